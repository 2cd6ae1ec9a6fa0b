//! What a payload says about the frame it belongs to. One file per codec.
//!
//! Each `starts_keyframe` tells whether a decoder can begin with this packet; `None` if the bytes
//! make no sense for the codec, as when the payload is encrypted end to end.

pub mod av1;
pub mod h264;
pub mod vp8;
pub mod vp9;
