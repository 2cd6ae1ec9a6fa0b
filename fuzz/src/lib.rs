//! What is fuzzed: functions that take any bytes, give them to a reader of strangers' input, and
//! check what must hold whatever came.
//!
//! libFuzzer runs them (`fuzz_targets/`), and so do the tests (`tests/fuzz`), which include this
//! file. A target name is a name of a folder in `corpus/`.

#![allow(missing_docs)]

pub mod media;
pub mod network;
pub mod packet;
pub mod relay;
pub mod split;
pub mod text;
