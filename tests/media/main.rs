//! The media half from outside: real SRTP, invented time, no sockets.

#![allow(missing_docs, unreachable_pub, missing_debug_implementations)]

mod allocations;
mod call;
mod downlink;
mod forward;
mod hostile;
mod ice;
mod peer;
mod repair;
mod sfu;
mod simnet;
mod simulcast;
mod world;
