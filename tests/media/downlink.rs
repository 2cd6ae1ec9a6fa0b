//! What a subscriber gets through a network that carries less than there is to send.

use std::time::Duration;

use parlor::sfu::{Fallback, Wanted};

use crate::line::{Line, tenths_until};

const MS: Duration = Duration::from_millis(1);

#[test]
fn a_good_network_carries_the_highest_layer_and_is_not_probed() {
    let mut line = Line::new(20e6);
    line.run(10);
    assert_eq!(line.layer, 2);
    assert_eq!(line.changes(10), 0);
    assert_eq!(line.world.engine.counters().resent, 0);
    assert_eq!((line.dropped, line.audio.0), (0, line.audio.1));
}

#[test]
fn a_network_that_gets_slow_gets_a_lower_layer_without_loss_of_audio_and_the_higher_one_later() {
    let mut line = Line::new(6e6);
    line.run(5);
    assert_eq!(line.layer, 2);
    line.rate = 1.2e6;
    line.run(3);
    assert_eq!(line.layer, 1, "queue of {:?}", line.longest_queue);
    assert_eq!(line.dropped, 0);
    assert_eq!(line.audio.0, line.audio.1);
    // Probing shows that more does not fit, and costs nothing that is noticed.
    assert_eq!(line.changes(30), 0);
    assert_eq!(line.audio.0, line.audio.1);
    line.rate = 6e6;
    line.run(75);
    assert_eq!(line.layer, 2);
    assert_eq!(line.audio.0, line.audio.1);
}

#[test]
fn hardly_any_network_still_carries_the_audio() {
    let mut line = Line::new(6e6);
    line.run(5);
    line.rate = 250e3;
    line.run(10);
    let (sent, arrived) = line.audio;
    assert_eq!(line.layer, 0);
    line.run(10);
    let heard = (line.audio.1 - arrived) as f64 / (line.audio.0 - sent) as f64;
    assert!(heard > 0.99, "{heard} of the audio");
}

#[test]
fn loss_that_is_not_congestion_changes_nothing_and_heavy_loss_does() {
    let mut line = Line::new(20e6);
    line.loss = 0.04;
    line.run(15);
    assert_eq!(line.layer, 2);
    line.loss = 0.30;
    line.run(15);
    assert!(line.layer < 2);
}

#[test]
fn a_network_that_stops_for_a_moment_is_not_taken_for_a_slow_one() {
    let mut line = Line::new(20e6);
    line.want(true);
    line.run(5);
    for _ in 0..5 {
        line.rate = 300e3;
        line.run_ms(200);
        line.recover(20e6);
        // Less was sent for a moment; more comes without any probing.
        tenths_until(&mut line, 5, |line| line.layer == 2);
        line.run(12);
        assert_eq!((line.layer, line.fallbacks()), (2, vec![]));
        assert_eq!(line.world.engine.counters().resent, 0);
    }
}

#[test]
fn large_key_frames_are_not_taken_for_too_much() {
    let mut line = Line::new(3e6);
    line.camera.packets[2] = 9;
    line.run(5);
    for _ in 0..20 {
        line.camera.packets[2] = 60;
        line.run_ms(33);
        line.camera.packets[2] = 9;
        line.run_ms(967);
        assert_eq!(line.layer, 2, "queue of {:?}", line.longest_queue);
    }
    assert!(line.longest_queue > 100 * MS);
}

#[test]
fn a_deep_cut_settles_within_three_seconds_and_is_over_within_fifteen() {
    // Probing comes round every few seconds, so it matters when the network recovers.
    for lasts in [5, 12] {
        let mut line = Line::new(3e6);
        line.run(5);
        assert_eq!(line.layer, 2);
        line.rate = 500e3;
        line.run(3);
        assert_eq!(line.layer, 0, "queue of {:?}", line.longest_queue);
        line.longest_queue = Duration::ZERO;
        line.run(lasts);
        assert!(line.longest_queue < 300 * MS, "{:?}", line.longest_queue);
        assert_eq!(line.layer, 0);
        line.rate = 3e6;
        let tenths = tenths_until(&mut line, 15, |line| line.layer == 2);
        println!("back after {tenths} tenths of a second");
        assert_eq!(line.changes(10), 0);
        assert_eq!(line.audio.0, line.audio.1, "after {lasts} s");
    }
}

#[test]
fn video_that_does_not_fit_beside_the_audio_is_given_up_after_a_warning_and_comes_back() {
    let mut line = Line::new(3e6);
    line.want(true);
    // The least of it is more than a tenth of a megabit.
    line.camera.packets[0] = 2;
    line.run(5);
    assert_eq!(line.layer, 2);
    line.rate = 100e3;
    line.run(10);
    assert_eq!(line.fallbacks(), [Fallback::Warned, Fallback::AudioOnly]);
    let (frames, audio) = (line.frames, line.audio);
    line.run(30);
    assert_eq!(line.frames, frames, "no video");
    assert_eq!(line.fallbacks(), []);
    assert_eq!(
        line.audio.0 - audio.0,
        line.audio.1 - audio.1,
        "all of the audio"
    );
    line.rate = 3e6;
    tenths_until(&mut line, 20, |line| {
        line.layer == 2 && line.frames > frames
    });
    assert_eq!(line.fallbacks(), [Fallback::Good]);
    line.run(20);
    assert_eq!((line.layer, line.fallbacks()), (2, vec![]));
}

#[test]
fn where_a_modem_has_room_for_seconds_of_packets_little_of_it_is_used() {
    // The delay still grows when a cut has no way to show yet.
    for rate in [60e3, 90e3] {
        let mut line = Line::new(20e6);
        line.want(true);
        line.max_queue = Duration::from_secs_f64(64_000.0 * 8.0 / rate);
        // Half a megabit.
        line.camera.on = [true, false, false];
        line.camera.packets[0] = 2;
        line.run(5);
        line.rate = rate;
        line.run(1);
        assert_eq!(line.fallbacks(), [Fallback::Warned], "{rate}");
        line.run(5);
        assert_eq!(line.fallbacks(), [Fallback::AudioOnly], "{rate}");
        println!("{rate}: a queue of {:?}", line.longest_queue);
        // Half a second of what was sent before.
        let under_way = Duration::from_secs_f64(0.5e6 * 0.5 / rate);
        assert!(line.longest_queue < under_way, "{:?}", line.longest_queue);
        line.run_ms(line.longest_queue.as_millis() as u32 * 2);
        line.longest_queue = Duration::ZERO;
        line.run(30);
        assert!(line.longest_queue < 1500 * MS, "{:?}", line.longest_queue);
        assert_eq!(line.fallbacks(), []);
        line.rate = 20e6;
        let frames = line.frames;
        tenths_until(&mut line, 25, |line| line.frames > frames + 50);
        assert_eq!(line.fallbacks(), [Fallback::Good]);
        assert_eq!((line.audio.0, line.dropped), (line.audio.1, 0));
    }
}

#[test]
fn who_does_not_want_audio_fallback_gets_a_picture_now_and_then_without_loss_of_audio() {
    let mut line = Line::new(3e6);
    line.max_queue = Duration::from_secs(5);
    line.camera.packets[0] = 2;
    line.run(5);
    line.rate = 100e3;
    line.run(10);
    (line.longest_queue, line.dropped) = (Duration::ZERO, 0);
    let (frames, audio) = (line.frames, line.audio);
    line.run(20);
    let frames = line.frames - frames;
    assert!((3..60).contains(&frames), "{frames} frames");
    assert!(line.longest_queue < 1000 * MS, "{:?}", line.longest_queue);
    assert_eq!((line.dropped, line.fallbacks()), (0, vec![]));
    assert_eq!(line.audio.0 - audio.0, line.audio.1 - audio.1);
    line.rate = 3e6;
    let frames = line.frames;
    tenths_until(&mut line, 20, |line| {
        line.layer == 2 && line.frames > frames + 50
    });
}

#[test]
fn who_turns_video_off_is_told_that_nothing_is_held_back() {
    let mut line = Line::new(3e6);
    line.want(true);
    // The least of it is more than a tenth of a megabit.
    line.camera.packets[0] = 2;
    line.run(5);
    line.rate = 100e3;
    line.run(10);
    line.fallbacks();
    let wanted = Wanted {
        video: false,
        audio_fallback: true,
        ..Wanted::default()
    };
    line.update(wanted);
    line.run(1);
    assert_eq!(line.fallbacks(), [Fallback::Good]);
}
