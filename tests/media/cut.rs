//! A line of 3 Mbit/s that carries 500 kbit/s all of a sudden: how long sound waits meanwhile, and
//! what else is taken for that.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::line::{Line, tenths_until};

const MS: Duration = Duration::from_millis(1);

/// What may wait in front of the bottleneck, in bytes.
const BUFFER: f64 = 64_000.0;

/// Bits per second of the camera and the microphone, more or less.
const SENT: f64 = 2.05e6;

/// A line of 3 Mbit/s with 25 ms of delay each way, on which all has settled; what is left to
/// chance depends on the seed.
fn settled(seed: u64) -> Line {
    let dice = &mut StdRng::seed_from_u64(seed);
    let mut line = Line::new(3e6);
    line.back = 25 * MS;
    // Browsers report every 50 to 100 ms.
    line.report_ms = dice.random_range(50..=100);
    carry(&mut line, 3e6);
    line.run(5);
    line.run_ms(dice.random_range(0..200));
    assert_eq!(line.layer, 2);
    line
}

/// Has the line carry so many bits per second from now on.
fn carry(line: &mut Line, rate: f64) {
    line.rate = rate;
    line.max_queue = Duration::from_secs_f64(BUFFER * 8.0 / rate);
    (line.longest_queue, line.longest_wait) = (Duration::ZERO, Duration::ZERO);
}

#[test]
fn sound_waits_no_longer_than_it_takes_to_hear_of_a_cut() {
    for seed in 0..40 {
        let mut line = settled(seed);
        let report = line.report_ms * MS;
        carry(&mut line, 500e3);
        tenths_until(&mut line, 2, |line| line.layer == 0);
        // What left before anybody could know: for as long as it takes four packets to come out, a
        // report to be due, and that to arrive; and the frame that is sent then.
        let blind = 80 * MS + 45 * MS + report + 33 * MS;
        let unavoidable = blind.mul_f64((SENT - 500e3) / 500e3);
        let wait = std::mem::take(&mut line.longest_wait);
        println!("{seed}: {wait:?} of {unavoidable:?}");
        assert!(wait <= unavoidable, "{seed}: {wait:?}, {unavoidable:?}");
        // All of it has gone away before there is video again, and what is probed stays short.
        assert_eq!(line.changes(12), 0, "{seed}");
        assert!(
            line.longest_wait < 250 * MS,
            "{seed}: {:?}",
            line.longest_wait
        );
        carry(&mut line, 3e6);
        let tenths = tenths_until(&mut line, 10, |line| line.layer == 2);
        println!("{seed}: back after {tenths} tenths of a second");
        assert_eq!(line.changes(5), 0, "{seed}");
        assert_eq!((line.audio.0, line.dropped), (line.audio.1, 0), "{seed}");
    }
}

#[test]
fn no_video_waits_in_front_of_sound_while_a_queue_drains() {
    let mut line = settled(1);
    carry(&mut line, 500e3);
    line.run_ms(300);
    let (frames, resent) = (line.frames, line.world.engine.counters().resent);
    let waits = std::mem::take(&mut line.longest_wait).as_millis() as u32;
    line.run_ms(waits - 300);
    assert_eq!(line.frames, frames, "it still waits for {waits} ms in all");
    assert_eq!(line.world.engine.counters().resent, resent);
    tenths_until(&mut line, 1, |line| line.frames > frames);
    assert_eq!(line.layer, 0);
}

#[test]
fn jitter_is_not_taken_for_a_slow_network() {
    for seed in 0..10 {
        let mut line = settled(seed);
        line.jitter = 30 * MS;
        for _ in 0..20 {
            line.run(1);
            assert_eq!(line.layer, 2, "{seed}");
        }
        assert_eq!(line.world.engine.counters().resent, 0, "{seed}");
    }
}
