//! Live sessions: who is here, who may see and hear what.

pub mod effect;
