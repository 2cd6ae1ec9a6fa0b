//! Sockets. Moves datagrams between the kernel and plain memory, makes HTTP requests to where it
//! is allowed to, and decides nothing.

mod address;
pub mod announce;
pub mod connection;
pub mod dial;
pub mod framing;
pub mod options;
pub mod outbound;
pub mod port;
pub mod quota;
pub mod service;
pub mod trust;
pub mod udp;
