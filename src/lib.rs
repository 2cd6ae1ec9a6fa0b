//! Parlor: a self-hosted video session server that speaks OpenTok's REST API and client signaling.

pub mod clock;
pub mod entropy;
pub mod hub;
pub mod model;
pub mod net;
pub mod rtp;
pub mod sfu;
pub mod signaling;
pub mod srtp;
