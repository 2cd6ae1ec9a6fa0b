//! The websocket that clients signal over (`protocol/signaling.md`, 3 and 4).

pub mod connection;
