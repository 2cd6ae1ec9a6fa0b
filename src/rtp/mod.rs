//! Packet bytes: views and edits in place. No policy, no state beyond one packet.

pub mod bits;
pub mod codec;
pub mod extension;
pub mod header;
pub mod ntp;
pub mod red;
pub mod rtcp;
pub mod seq;
