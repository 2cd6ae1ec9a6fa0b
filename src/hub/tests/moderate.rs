use std::time::Duration;

use serde_json::json;

use crate::hub::harness::{BASE, World, heads};
use crate::model::role::Role;
use crate::model::session::MediaMode;

#[test]
fn a_disconnected_client_hears_it_like_everybody_and_is_then_closed() {
    let mut world = World::new(MediaMode::Relayed);
    let mut alice = world.join(Role::Moderator);
    let mut bob = world.join(Role::Publisher);
    let stream = world.publish(&mut bob);
    world.events(&mut alice);
    world.events(&mut bob);
    let path = format!("/connection/{}", bob.id);
    assert_eq!(world.ask(&mut alice, "delete", &path, json!({})).0, 200);
    for client in [&mut alice, &mut bob] {
        let events = world.events(client);
        assert_eq!(
            heads(&events),
            [
                format!("deleted /stream/{stream}"),
                format!("deleted {path}")
            ]
        );
        assert!(
            events
                .iter()
                .all(|e| e.reason.as_deref() == Some("forceDisconnected"))
        );
    }
    // As real clients do on their way out.
    assert_eq!(
        world
            .ask(&mut bob, "delete", &format!("/stream/{stream}"), json!({}))
            .0,
        404
    );
    assert_eq!(world.closed.get(&bob.socket), None);
    world.pass_alive(Duration::from_secs(6), &mut [&mut alice]);
    assert_eq!(world.closed.get(&bob.socket), Some(&1011));
    assert_eq!(world.events(&mut alice), [], "it left only once");
}

#[test]
fn a_disconnected_client_that_was_away_hears_it_when_it_is_back() {
    let mut world = World::new(MediaMode::Relayed);
    let mut alice = world.join(Role::Moderator);
    let mut bob = world.join(Role::Publisher);
    world.cut(&bob);
    let path = format!("/connection/{}", bob.id);
    assert_eq!(world.ask(&mut alice, "delete", &path, json!({})).0, 200);
    world.pass_alive(Duration::from_secs(10), &mut [&mut alice]);
    world.resume(&mut bob);
    let events = world.events(&mut bob);
    assert_eq!(heads(&events), [format!("deleted {path}")]);
    assert_eq!(events[0].reason.as_deref(), Some("forceDisconnected"));
}

#[test]
fn a_moderator_ends_another_s_stream() {
    let mut world = World::new(MediaMode::Relayed);
    let mut alice = world.join(Role::Moderator);
    let mut bob = world.join(Role::Publisher);
    let stream = world.publish(&mut bob);
    world.events(&mut bob);
    assert_eq!(
        world
            .ask(
                &mut alice,
                "delete",
                &format!("/stream/{stream}"),
                json!({})
            )
            .0,
        200
    );
    let events = world.events(&mut bob);
    assert_eq!(heads(&events), [format!("deleted /stream/{stream}")]);
    assert_eq!(events[0].reason.as_deref(), Some("forceUnpublished"));
}

#[test]
fn muting_one_stream_is_told_to_its_publisher_only() {
    let mut world = World::new(MediaMode::Relayed);
    let mut alice = world.join(Role::Moderator);
    let mut bob = world.join(Role::Publisher);
    let stream = world.publish(&mut bob);
    world.events(&mut alice);
    world.events(&mut bob);
    let body = json!({
        "method": "update", "uri": format!("{BASE}/stream/{stream}"), "reason": "mute",
        "content": {"reason": "mute", "channels": ["audio"], "active": true, "locked": false},
    });
    assert_eq!(world.ask_body(&mut alice, &body).0, 200);
    assert_eq!(world.events(&mut alice), []);
    let events = world.events(&mut bob);
    assert_eq!(heads(&events), [format!("update /stream/{stream}")]);
    assert_eq!(events[0].content["reason"], "mute");
    assert_eq!(events[0].content["channels"], json!(["audio"]));
    assert_eq!(events[0].content["active"], true);
}

#[test]
fn muting_all_spares_the_excluded_and_lasts_until_it_is_lifted() {
    let mut world = World::new(MediaMode::Relayed);
    let mut alice = world.join(Role::Moderator);
    let mut bob = world.join(Role::Publisher);
    let (excluded, muted) = (world.publish(&mut alice), world.publish(&mut bob));
    world.events(&mut alice);
    world.events(&mut bob);
    let mute = |active: bool, exclusion: Vec<String>| {
        json!({
            "method": "update", "uri": BASE,
            "content": {"reason": "mute", "channels": ["audio"], "active": active,
                        "locked": false, "exclusion": exclusion},
        })
    };
    assert_eq!(
        world
            .ask_body(&mut alice, &mute(true, vec![excluded.to_string()]))
            .0,
        200
    );
    let events = world.events(&mut alice);
    assert_eq!(heads(&events), ["update "]);
    assert_eq!(
        (&events[0].content["reason"], &events[0].content["active"]),
        (&json!("mute"), &json!(true))
    );
    let events = world.events(&mut bob);
    assert_eq!(
        heads(&events),
        ["update ".to_owned(), format!("update /stream/{muted}")]
    );

    let mut carol = world.client();
    let (_, dump) = world.join_as(&mut carol, Role::Publisher, json!({}));
    assert_eq!(dump["mute"], json!({"active": true}));
    world.events(&mut bob);

    assert_eq!(world.ask_body(&mut alice, &mute(false, Vec::new())).0, 200);
    let events = world.events(&mut bob);
    assert_eq!(heads(&events), ["update "]);
    assert_eq!(events[0].content["active"], false);
    let mut dave = world.client();
    let (_, dump) = world.join_as(&mut dave, Role::Publisher, json!({}));
    assert_eq!(dump.get("mute"), None);
}

#[test]
fn only_moderators_moderate() {
    let mut world = World::new(MediaMode::Relayed);
    let mut alice = world.join(Role::Moderator);
    let mut bob = world.join(Role::Publisher);
    let stream = world.publish(&mut alice);
    let mute = json!({"reason": "mute", "channels": ["audio"], "active": true, "exclusion": []});
    for (method, path, content) in [
        ("delete", format!("/connection/{}", alice.id), json!({})),
        ("delete", format!("/stream/{stream}"), json!({})),
        ("update", format!("/stream/{stream}"), mute.clone()),
        ("update", String::new(), mute),
    ] {
        assert_eq!(
            world.ask(&mut bob, method, &path, content).0,
            403,
            "{method} {path}"
        );
    }
    world.events(&mut bob);
    for (method, path) in [
        ("delete", format!("/connection/{}", world.uuid())),
        ("delete", format!("/stream/{}", world.uuid())),
    ] {
        assert_eq!(
            world.ask(&mut alice, method, &path, json!({})).0,
            404,
            "{method} {path}"
        );
    }
}
