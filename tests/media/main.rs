//! The media half from outside: real SRTP, invented time, no sockets but in `worker` and `tcp`.

#![allow(missing_docs, unreachable_pub, missing_debug_implementations)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod allocations;
mod call;
mod crowd;
mod cut;
mod downlink;
mod forward;
mod hostile;
mod ice;
mod line;
mod peer;
mod pipe;
mod redundancy;
mod redundant_call;
mod rekey;
mod repair;
mod scalable;
mod sfu;
mod shared;
mod simnet;
mod simulcast;
mod steps;
mod tap;
mod tcp;
mod worker;
mod world;
