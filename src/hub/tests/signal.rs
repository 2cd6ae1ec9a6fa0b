use serde_json::json;

use crate::hub::config::HubConfig;
use crate::hub::harness::{World, heads, signal};
use crate::model::role::Role;
use crate::model::session::MediaMode;
use crate::model::signal::SignalLimits;
use std::time::Duration;

#[test]
fn a_signal_to_all_reaches_everybody_and_its_sender() {
    let mut world = World::new(MediaMode::Routed);
    let mut alice = world.join(Role::Publisher);
    let mut bob = world.join(Role::Publisher);
    world.events(&mut alice);
    let content = json!({"type": "chat", "data": {"text": ["hello", 1, null]}});
    let (status, body) = world.ask(&mut alice, "signal", &signal("one"), content.clone());
    assert_eq!((status, body), (200, json!(null)));
    for client in [&mut alice, &mut bob] {
        let events = world.events(client);
        assert_eq!(heads(&events), [format!("signal {}", signal("one"))]);
        assert_eq!(events[0].content, content);
    }
}

#[test]
fn a_signal_to_one_connection_reaches_only_that_connection() {
    let mut world = World::new(MediaMode::Routed);
    let mut alice = world.join(Role::Publisher);
    let mut bob = world.join(Role::Publisher);
    world.events(&mut alice);
    let path = format!("/connection/{}{}", bob.id, signal("one"));
    assert_eq!(world.ask(&mut alice, "signal", &path, json!({})).0, 200);
    let events = world.events(&mut bob);
    assert_eq!(heads(&events), [format!("signal {path}")]);
    assert_eq!(events[0].from, alice.id.to_string());
    assert_eq!(events[0].content, json!({}));
    assert_eq!(world.events(&mut alice), []);

    let path = format!("/connection/{}{}", world.uuid(), signal("two"));
    assert_eq!(world.ask(&mut alice, "signal", &path, json!({})).0, 404);
}

#[test]
fn signals_have_limits() {
    let mut world = World::new(MediaMode::Routed);
    let mut alice = world.join(Role::Publisher);
    let mut check = |content, expected: u16| {
        assert_eq!(
            world.ask(&mut alice, "signal", &signal("one"), content).0,
            expected
        );
    };
    check(
        json!({"type": "t".repeat(128), "data": "d".repeat(8190)}),
        200,
    );
    check(json!({"type": "t".repeat(129)}), 413);
    check(json!({"type": "no spaces"}), 400);
    check(json!({"data": "d".repeat(8191)}), 413);
    check(json!({"type": 7}), 400);
}

#[test]
fn the_limits_of_the_settings_are_those_that_count() {
    let config = HubConfig {
        signal: SignalLimits {
            type_chars: 4,
            data_chars: 6,
        },
        json_depth: 8,
        ..HubConfig::default()
    };
    let mut world = World::with(MediaMode::Routed, config);
    let mut alice = world.join(Role::Publisher);
    let mut check = |content, expected: u16| {
        let (status, _) = world.ask(&mut alice, "signal", &signal("a"), content);
        assert_eq!(status, expected);
    };
    check(json!({"type": "four", "data": "four"}), 200);
    check(json!({"type": "five5"}), 413);
    check(json!({"data": "five5"}), 413);
    // The request and its content are two levels already.
    check(json!({"data": [[[[[[7]]]]]]}), 413);
    check(json!({"data": [[[[[[[8]]]]]]]}), 400);
}

#[test]
fn a_subscriber_may_not_signal() {
    let mut world = World::new(MediaMode::Routed);
    let mut alice = world.join(Role::Subscriber);
    assert_eq!(
        world.ask(&mut alice, "signal", &signal("one"), json!({})).0,
        403
    );
    assert_eq!(world.events(&mut alice), []);
}

#[test]
fn too_many_signals_are_refused_until_time_has_passed() {
    let config = HubConfig {
        signals_per_second: 2,
        ..HubConfig::default()
    };
    let mut world = World::with(MediaMode::Routed, config);
    let mut alice = world.join(Role::Publisher);
    let mut passed = 0;
    for _ in 0..20 {
        let (status, _) = world.ask(&mut alice, "signal", &signal("one"), json!({}));
        assert!(status == 200 || status == 429);
        passed += usize::from(status == 200);
    }
    assert_eq!(passed, 8, "a burst of four seconds");
    world.pass(Duration::from_secs(1));
    assert_eq!(
        world.ask(&mut alice, "signal", &signal("one"), json!({})).0,
        200
    );
}
