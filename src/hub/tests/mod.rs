//! Behaviour of the hub, seen from its clients.

mod adaptive;
mod adaptive_random;
mod adaptive_replay;
mod hostile;
mod join;
mod media;
mod moderate;
mod random;
mod relay;
mod resume;
mod signal;
mod streams;
