use serde_json::json;

use crate::hub::config::HubConfig;
use crate::hub::harness::{World, heads, signal};
use crate::model::role::Role;
use crate::model::session::MediaMode;
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
