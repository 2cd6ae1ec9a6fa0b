//! Streams that move between the SFU and a direct leg.

mod call;
mod failures;
mod moves;
mod random;
mod replay;
