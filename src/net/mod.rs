//! Sockets. Moves datagrams between the kernel and plain memory, and decides nothing.

mod address;
pub mod announce;
pub mod udp;
