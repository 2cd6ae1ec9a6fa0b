//! Parlor: a self-hosted video session server that speaks OpenTok's REST API and client signaling.

pub mod clock;
pub mod config;
pub mod db;
pub mod driver;
pub mod entropy;
pub mod http;
pub mod hub;
pub mod load;
pub mod model;
pub mod net;
pub mod rtp;
pub mod sfu;
pub mod signaling;
pub mod srtp;
pub mod telemetry;
