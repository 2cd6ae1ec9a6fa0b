//! The client's wire protocol: bytes to typed messages and back (`protocol/signaling.md`, 3 and 5).
//!
//! A websocket message is one Rumor [`frame`]. The payload of a MESSAGE frame is a Raptor message:
//! a request of the client ([`client`]) or an event of the server ([`server`]); every request is
//! answered with a STATUS frame ([`reply`]). What both directions speak of is in [`uri`],
//! [`channel`] and [`json`].
//!
//! Who is connected, and who may do what, is unknown here.

pub mod channel;
pub mod client;
pub mod error;
mod event;
pub mod frame;
pub mod json;
pub mod object;
pub mod reply;
mod request;
pub mod server;
pub mod uri;

#[cfg(test)]
pub(crate) mod transcript;
