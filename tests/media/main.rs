//! The media engine from outside: real SRTP, invented time, no sockets.

#![allow(missing_docs, unreachable_pub, missing_debug_implementations)]

mod allocations;
mod forward;
mod hostile;
mod ice;
mod repair;
mod world;
