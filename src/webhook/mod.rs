//! What back ends are told without asking (`protocol/rest.md`, 18 and 19): which events there
//! are, what they say, how they are signed, whom the server may call, and when.
//!
//! The driver around it is [`crate::driver::webhook`].

pub mod address;
pub mod event;
pub mod schedule;
pub mod signature;
pub mod target;
