//! Behaviour of the hub, seen from its clients.

mod adaptive;
mod archive;
mod call;
mod drain;
mod hostile;
mod join;
mod load;
mod media;
mod moderate;
mod random;
mod relay;
mod replay;
mod resume;
mod signal;
mod streams;
