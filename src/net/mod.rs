//! Sockets. Moves datagrams between the kernel and plain memory, and decides nothing.
