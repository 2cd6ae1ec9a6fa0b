//! What a payload says about the frame it belongs to. One file per codec.
//!
//! Each `starts_keyframe` tells whether a decoder can begin with this packet; `None` if the bytes
//! make no sense for the codec, as when the payload is encrypted end to end.

pub mod av1;
pub mod dependency;
pub mod h264;
mod numbering;
pub mod vp8;
pub mod vp9;

pub use numbering::{Numbering, Picture};

/// A picture's size in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Pixels from left to right.
    pub width: u16,
    /// Pixels from top to bottom.
    pub height: u16,
}

impl Size {
    /// Pixels in all.
    pub fn area(self) -> u32 {
        u32::from(self.width) * u32::from(self.height)
    }
}
