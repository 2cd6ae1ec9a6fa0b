//! Parlor: a self-hosted video session server that speaks OpenTok's REST API and client signaling.
//!
//! One process: a back end creates sessions over REST ([`http`]); browsers join them over a
//! websocket ([`ws`], [`hub`]); their media goes through the SFU inside the same process ([`sfu`]).
//! `docs/ARCHITECTURE.md` is the map; this is the order in which the code reads best:
//!
//! 1. [`hub::effect`], [`sfu`] and [`sfu::command`]: the vocabularies between the parts.
//! 2. [`hub`] and one of its verbs.
//! 3. [`sfu::engine`], and a packet's way through it.
//! 4. [`driver::hub`] and [`driver::media`]: how the pure machines meet the world.
//! 5. [`app`]: how everything is put together and taken down.
//!
//! The first half of the modules computes: it is told the time and the dice, and gives back what
//! to do. The second half waits, reads, writes and tells the time.

// Pure: no tokio, no sockets, no SQL, no clock.
pub mod hub;
pub mod model;
pub mod rtp;
pub mod sfu;
pub mod signaling;
pub mod srtp;
pub mod turn;
pub mod webhook;

// Edges: everything that waits.
pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod db;
pub mod doctor;
pub mod driver;
pub mod entropy;
pub mod files;
pub mod http;
pub mod load;
pub mod net;
pub mod ports;
pub mod probe;
pub mod telemetry;
pub mod tls;
pub mod ws;
