//! Load generators: `parlor load …`, for a server of its own or for any other that speaks the
//! protocol. They measure what a client sees; what the server costs is read from its process.

mod client;
mod connect;
mod histogram;
pub mod media;
mod progress;
mod report;
pub mod signaling;
pub mod target;
