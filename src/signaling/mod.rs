//! The client's wire protocol: bytes to typed messages and back (`protocol/signaling.md`, 3 and 5).
