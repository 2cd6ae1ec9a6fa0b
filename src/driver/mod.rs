//! The loops around the pure machines, and the bounded queues between them.
//!
//! Every driver looks alike: one input, then everything that the machine wants done, then wait.

pub mod admission;
pub mod closing;
pub mod dtls;
pub mod hub;
pub mod ice;
mod links;
pub mod media;
pub mod outbox;
mod steering;
mod streams;
pub mod turn;
pub mod webhook;
pub mod workers;
