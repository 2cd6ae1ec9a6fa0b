//! The fuzz targets on the stable toolchain: every corpus file, then inputs made from them, the
//! same on every run.
//!
//! `PARLOR_FUZZ_TIMES=50` makes as many times more, `PARLOR_FUZZ_SEED=7` other ones.

#![allow(missing_docs, unreachable_pub, missing_debug_implementations)]

mod mutate;
#[path = "../../fuzz/src/lib.rs"]
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use mutate::Mutator;
use targets::{media, network, packet, relay, text};

/// Inputs per target where one costs about ten microseconds; all of it takes seconds.
const INPUTS: u32 = 60_000;

#[test]
fn rtp_headers() {
    run("rtp", INPUTS, packet::rtp);
}

#[test]
fn redundant_audio() {
    run("red", INPUTS, packet::red);
}

#[test]
fn rtcp_compounds() {
    run("rtcp", INPUTS, packet::rtcp);
}

#[test]
fn payload_descriptors() {
    run("codec", INPUTS, packet::codec);
}

#[test]
fn dependency_descriptors() {
    run("dependency", INPUTS, packet::dependency);
}

#[test]
fn binding_requests() {
    run("stun", INPUTS, media::stun);
}

#[test]
fn handshake_datagrams() {
    run("dtls", INPUTS / 30, media::dtls);
}

#[test]
fn unauthentic_packets() {
    run("srtp", INPUTS / 4, media::srtp);
}

#[test]
fn members_that_send_nonsense() {
    run("engine", INPUTS / 60, media::engine);
}

#[test]
fn session_descriptions() {
    run("sdp", INPUTS / 30, text::sdp);
}

#[test]
fn first_bytes_of_connections() {
    run("service", INPUTS, network::service);
}

#[test]
fn what_proxies_say_of_a_request() {
    run("forwarded", INPUTS / 4, network::forwarded);
}

#[test]
fn packets_on_a_byte_stream() {
    run("framing", INPUTS / 2, network::framing);
}

#[test]
fn signaling_frames_and_requests() {
    run("frame", INPUTS, text::frame);
}

#[test]
fn client_tokens() {
    run("token", INPUTS, text::token);
}

#[test]
fn turn_messages() {
    run("turn", INPUTS / 8, relay::turn);
}

/// Runs a target over its corpus and `inputs` mutations of it. A failing input is kept in a file,
/// ready to be moved into the corpus.
fn run(name: &str, inputs: u32, target: fn(&[u8])) {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seed = number("PARLOR_FUZZ_SEED").unwrap_or(1);
    let times = number("PARLOR_FUZZ_TIMES").unwrap_or(1) as u32;
    let corpus = corpus(name);
    for (path, bytes) in &corpus {
        attempt(target, bytes, || path.clone());
    }
    let seeds = corpus.into_iter().map(|(_, bytes)| bytes).collect();
    let mut mutator = Mutator::new(seeds, seed);
    for _ in 0..inputs * times {
        let input = mutator.input();
        attempt(target, &input, || {
            let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{name}"));
            std::fs::write(&path, &input).expect("a place for the input");
            path
        });
    }
}

fn attempt(target: fn(&[u8]), input: &[u8], keep: impl FnOnce() -> PathBuf) {
    if catch_unwind(AssertUnwindSafe(|| target(input))).is_err() {
        panic!("the target fails with {}", keep().display());
    }
}

/// The target's corpus, and the fixtures that are inputs as they are.
fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = files(&root.join("fuzz/corpus").join(name));
    if name == "sdp" {
        files.extend(self::files(&root.join("tests/fixtures/sdp")));
    }
    assert!(!files.is_empty(), "no corpus for {name}");
    files.sort();
    let read = |path: PathBuf| {
        let bytes = std::fs::read(&path).expect("a readable file");
        (path, bytes)
    };
    files.into_iter().map(read).collect()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten();
    entries
        .map(|entry| entry.expect("a directory entry").path())
        .filter(|path| path.is_file())
        .collect()
}
