//! The nouns of the public API and the rules between them.
//!
//! Nothing here waits, reads a clock, rolls a die, or knows how a thing is stored or sent.

pub mod codec;
pub mod id;
pub mod jwt;
pub mod project;
pub mod resolution;
pub mod role;
pub mod session;
pub mod signal;
pub mod token;
