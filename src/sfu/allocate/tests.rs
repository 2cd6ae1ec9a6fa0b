//! Who gets how much of a network.

use super::super::layer::Rates;
use super::*;
use crate::clock::Clock;

const BEST: Choice = Choice {
    layer: 2,
    temporal: 2,
};

fn now() -> Instant {
    Clock::system().epoch().instant
}

/// Layers of 0.2, 0.6 and 2 Mbit/s, of which half is temporal layer 0.
fn layers() -> Layers {
    let mut layers = Layers::default();
    for (layer, bits) in [200_000, 600_000, 2_000_000].into_iter().enumerate() {
        layers.begin(layer, None);
        let rates = Rates {
            bits: [bits / 2, bits / 4 * 3, bits],
            frames: [7.5, 15.0, 30.0],
        };
        layers.update(layer, Some(rates));
    }
    layers
}

/// Streams of one client, all of whose layers are those of [`layers`].
struct Client {
    streams: Vec<(Priority, Given)>,
    wanted: Choice,
    may_stop: bool,
    missing: Option<u64>,
    fits: Vec<Option<Fit>>,
}

impl Client {
    fn new(priorities: &[Priority]) -> Self {
        let streams = priorities.iter().map(|p| (*p, Given::default())).collect();
        Self {
            streams,
            wanted: BEST,
            may_stop: false,
            missing: None,
            fits: Vec::new(),
        }
    }

    /// What everybody gets: layer and temporal layer.
    fn given(&mut self, room: f64, now: Instant) -> Vec<(usize, u8)> {
        let layers = layers();
        let streams = self.streams.iter().enumerate();
        let mut demands: Vec<_> = streams
            .map(|(id, (priority, given))| {
                let key = (SubscriptionId(id as u64), *priority);
                Demand::new(key, &layers, self.wanted, self.may_stop, given, now)
            })
            .collect();
        self.missing = share(&mut demands, room, true);
        demands.sort_by_key(|demand| demand.subscription);
        self.fits = demands.iter().map(|demand| demand.fit).collect();
        for ((_, given), demand) in self.streams.iter_mut().zip(&demands) {
            given.settle(demand, now);
        }
        let choices = demands.iter().map(Demand::choice);
        choices.map(|c| (c.layer, c.temporal)).collect()
    }
}

#[test]
fn without_a_limit_everybody_gets_what_was_asked_for() {
    let (layers, given) = (layers(), Given::default());
    let key = (SubscriptionId(1), Priority::Other);
    let mut demands = [Demand::new(key, &layers, BEST, false, &given, now())];
    serve_all(&mut demands);
    assert_eq!((demands[0].choice(), demands[0].is_short()), (BEST, false));
}

#[test]
fn the_largest_picture_that_fits_is_given_and_at_least_the_least() {
    for (room, expected) in [
        (4e6, (2, 2)),
        (0.9e6, (1, 2)),
        (0.4e6, (0, 2)),
        (0.18e6, (0, 1)),
        (1.0, (0, 0)),
    ] {
        let mut client = Client::new(&[Priority::Other]);
        assert_eq!(client.given(room, now()), [expected], "{room}");
    }
}

#[test]
fn what_is_missing_is_named_with_a_margin() {
    let mut client = Client::new(&[Priority::Other]);
    client.given(1e6, now());
    let missing = client.missing.expect("the highest layer is wanted");
    assert!((2_400_000..3_000_000).contains(&missing), "{missing}");
}

#[test]
fn going_up_takes_a_margin_and_some_time_after_going_down() {
    let (mut client, now) = (Client::new(&[Priority::Other]), now());
    assert_eq!(client.given(4e6, now), [(2, 2)]);
    assert_eq!(client.given(2.14e6, now), [(2, 2)]);
    assert_eq!(client.given(1e6, now), [(1, 2)]);
    assert_eq!(client.given(4e6, now + HOLD / 2), [(1, 2)]);
    assert_eq!(client.given(2.14e6, now + HOLD), [(1, 2)]);
    assert_eq!(client.given(2.6e6, now + HOLD), [(2, 2)]);
}

#[test]
fn what_has_to_be_taken_back_soon_is_given_later_each_time() {
    let (mut client, mut now) = (Client::new(&[Priority::Other]), now());
    client.given(4e6, now);
    let mut waits = Vec::new();
    for _ in 0..5 {
        client.given(1e6, now);
        let waited = (1..100)
            .find(|second| {
                let later = now + Duration::from_secs(*second);
                client.given(4e6, later) == [(2, 2)]
            })
            .expect("it comes back");
        waits.push(waited);
        now += Duration::from_secs(waited + 1);
    }
    assert_eq!(waits, [3, 6, 12, 24, 24]);
}

#[test]
fn a_screen_is_served_before_cameras_and_the_speaker_before_listeners() {
    use Priority::{Other, Screen, Speaker};
    let order = [Other, Speaker, Other, Screen];
    for (room, expected) in [
        // The least of all takes 0.42 Mbit/s.
        (0.5e6, [(0, 0), (0, 0), (0, 0), (0, 1)]),
        (1.2e6, [(0, 1), (0, 2), (0, 1), (1, 2)]),
        (3.2e6, [(0, 2), (1, 2), (0, 2), (2, 2)]),
        (5.2e6, [(1, 2), (2, 2), (0, 2), (2, 2)]),
        (6.5e6, [(1, 2), (2, 2), (1, 2), (2, 2)]),
    ] {
        let mut client = Client::new(&order);
        assert_eq!(client.given(room, now()), expected, "{room}");
    }
}

#[test]
fn others_are_served_by_turns() {
    let mut client = Client::new(&[Priority::Other; 3]);
    assert_eq!(client.given(0.8e6, now()), [(0, 2), (0, 2), (0, 2)]);
    let mut client = Client::new(&[Priority::Other; 3]);
    assert_eq!(client.given(1.2e6, now()), [(1, 2), (0, 2), (0, 2)]);
    let mut client = Client::new(&[Priority::Other; 3]);
    assert_eq!(client.given(2.2e6, now()), [(1, 2), (1, 2), (1, 2)]);
}

#[test]
fn of_those_that_may_stop_the_least_important_do() {
    let mut client = Client::new(&[Priority::Other, Priority::Other, Priority::Speaker]);
    client.may_stop = true;
    client.given(0.23e6, now());
    let fits = [Some(Fit::Tight), Some(Fit::Short), Some(Fit::Ample)];
    assert_eq!(client.fits, fits);
    assert!(client.missing.is_some());
}

#[test]
fn one_layer_without_temporal_layers_is_sent_as_it_is_or_now_and_then() {
    let mut layers = Layers::default();
    layers.begin(0, None);
    let rates = Rates {
        bits: [1_000_000; 3],
        frames: [30.0; 3],
    };
    layers.update(0, Some(rates));
    let wanted = Choice::default();
    let mut given = Given::default();
    let second = Duration::from_secs(1);
    for (room, fit, sparse) in [
        (1.14e6, Fit::Tight, None),
        (1.25e6, Fit::Ample, None),
        (0.35e6, Fit::Short, Some(second * 3)),
        (1.0, Fit::Short, Some(second * 15)),
        (1.14e6, Fit::Tight, Some(second)),
        (1.25e6, Fit::Ample, None),
    ] {
        let key = (SubscriptionId(1), Priority::Other);
        let mut demands = [Demand::new(key, &layers, wanted, false, &given, now())];
        let missing = share(&mut demands, room, true);
        let [demand] = &demands;
        given.settle(demand, now());
        assert_eq!((demand.choice(), demand.fit), (wanted, Some(fit)));
        assert_eq!(demand.sparse, sparse, "{room}");
        assert_eq!(missing.is_some(), fit != Fit::Ample);
    }
}

#[test]
fn no_more_than_was_asked_for_is_given() {
    let wanted = Choice {
        layer: 1,
        temporal: 1,
    };
    let mut client = Client::new(&[Priority::Other]);
    client.wanted = wanted;
    assert_eq!(client.given(9e6, now()), [(1, 1)]);
    assert_eq!(client.missing, None);
}
