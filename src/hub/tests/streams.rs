use serde_json::{Value, json};

use crate::hub::config::HubConfig;
use crate::hub::harness::{World, heads, stream, subscriber};
use crate::model::role::Role;
use crate::model::session::MediaMode;

#[test]
fn a_relayed_stream_is_announced_at_once_to_everybody() {
    let mut world = World::new(MediaMode::Relayed);
    let mut alice = world.join(Role::Publisher);
    let mut bob = world.join(Role::Subscriber);
    world.events(&mut alice);
    let id = world.uuid();
    let path = format!("/stream/{id}");
    let (status, body) = world.ask(&mut alice, "create", &path, stream(id));
    assert_eq!(status, 200);
    assert!(body["content"]["iceServers"].is_array());
    for client in [&mut alice, &mut bob] {
        let events = world.events(client);
        assert_eq!(heads(&events), [format!("created {path}")]);
        let content = &events[0].content;
        assert_eq!(content["connection"]["id"], client_id(&alice_id(content)));
        assert_eq!(content["name"], "cam");
        assert_eq!(content["subscriberAudioFallbackEnabled"], true);
        assert!(content["creationTime"].is_u64());
    }
    assert_eq!(world.asked_of_media(), []);
}

fn alice_id(content: &Value) -> String {
    content["connectionId"].as_str().unwrap().to_owned()
}

fn client_id(id: &str) -> Value {
    json!(id)
}

#[test]
fn publishing_has_its_rules() {
    let config = HubConfig {
        streams_per_connection: 2,
        streams_per_session: 3,
        ..HubConfig::default()
    };
    let mut world = World::with(MediaMode::Relayed, config);
    let mut alice = world.join(Role::Publisher);
    let mut bob = world.join(Role::Publisher);
    let mut guest = world.join(Role::Subscriber);
    let first = world.publish(&mut alice);
    let id = world.uuid();
    let path = format!("/stream/{id}");
    assert_eq!(world.ask(&mut guest, "create", &path, stream(id)).0, 403);
    let taken = format!("/stream/{first}");
    assert_eq!(world.ask(&mut bob, "create", &taken, stream(first)).0, 409);
    assert_eq!(
        world.ask(&mut alice, "create", &taken, stream(first)).0,
        409
    );
    let mut encrypted = stream(id);
    encrypted["e2ee"] = json!(true);
    let (status, body) = world.ask(&mut alice, "create", &path, encrypted);
    assert_eq!(
        (status, &body["reason"]),
        (405, &json!("IncompatibleEncryptionSettings"))
    );
    world.publish(&mut alice);
    assert_eq!(
        world.ask(&mut alice, "create", &path, stream(id)).0,
        409,
        "two for each"
    );
    world.publish(&mut bob);
    assert_eq!(
        world.ask(&mut bob, "create", &path, stream(id)).0,
        409,
        "three for all"
    );
    let mut big = stream(id);
    big["name"] = json!("n".repeat(20_000));
    assert_eq!(world.ask(&mut bob, "delete", &taken, json!({})).0, 403);
    assert_eq!(world.ask(&mut alice, "delete", &taken, json!({})).0, 200);
    assert_eq!(world.ask(&mut bob, "create", &path, big).0, 400);
    assert_eq!(world.ask(&mut bob, "create", &path, stream(id)).0, 200);
}

#[test]
fn only_real_changes_of_a_channel_are_passed_on_and_late_joiners_see_them() {
    let mut world = World::new(MediaMode::Relayed);
    let mut alice = world.join(Role::Publisher);
    let mut bob = world.join(Role::Publisher);
    let id = world.publish(&mut alice);
    world.events(&mut alice);
    world.events(&mut bob);
    let path = format!("/stream/{id}/channel/video1");
    let mut check = |content: Value, expected: Option<Value>| {
        assert_eq!(world.ask(&mut alice, "update", &path, content).0, 200);
        for client in [&mut alice, &mut bob] {
            let events = world.events(client);
            let contents: Vec<_> = events.iter().map(|e| e.content.clone()).collect();
            assert_eq!(contents, expected.iter().cloned().collect::<Vec<_>>());
            assert!(events.iter().all(|e| e.head() == format!("updated {path}")));
        }
    };
    check(json!({"active": true}), None);
    check(
        json!({"active": false, "activeReason": "auto"}),
        Some(json!({"active": false})),
    );
    check(json!({"active": false}), None);
    check(
        json!({"width": 1280, "height": 720, "orientation": 0}),
        Some(json!({"width": 1280, "height": 720})),
    );
    check(json!({"frameRate": 15}), Some(json!({"frameRate": 15})));
    check(json!({"color": "red"}), None);

    assert_eq!(
        world
            .ask(&mut bob, "update", &path, json!({"active": true}))
            .0,
        403
    );
    let mut carol = world.client();
    let (_, dump) = world.join_as(&mut carol, Role::Publisher, json!({}));
    let video = &dump["stream"][0]["channel"][0];
    assert_eq!(
        (&video["active"], &video["width"]),
        (&json!(false), &json!(1280))
    );
}

#[test]
fn captions_go_once_to_each_client_that_turned_them_on() {
    let mut world = World::new(MediaMode::Relayed);
    let mut alice = world.join(Role::Publisher);
    let mut bob = world.join(Role::Publisher);
    let mut carol = world.join(Role::Publisher);
    let id = world.publish(&mut alice);
    for _ in 0..2 {
        let subscription = world.subscribe(&mut bob, id);
        let path = format!("/stream/{id}/subscriber/{subscription}/channel/caption1");
        assert_eq!(
            world
                .ask(&mut bob, "update", &path, json!({"active": true}))
                .0,
            200
        );
        assert_eq!(
            world
                .ask(&mut bob, "update", &path, json!({"category": "de"}))
                .0,
            200
        );
    }
    world.subscribe(&mut carol, id);
    world.events(&mut bob);
    world.events(&mut carol);
    let path = format!("/stream/{id}/channel/caption1/data/{}", world.uuid());
    let content = json!({"type": "data", "data": "{\"caption\":{\"text\":\"hello\"}}"});
    assert_eq!(world.ask(&mut alice, "data", &path, content.clone()).0, 200);
    let events = world.events(&mut bob);
    assert_eq!(heads(&events), [format!("data {path}")]);
    assert_eq!(events[0].content, content);
    assert_eq!(world.events(&mut carol), []);
    assert_eq!(world.ask(&mut bob, "data", &path, content).0, 403);
}

#[test]
fn sender_statistics_go_to_each_subscriber_that_asked() {
    let mut world = World::new(MediaMode::Relayed);
    let mut alice = world.join(Role::Publisher);
    let mut bob = world.join(Role::Publisher);
    let id = world.publish(&mut alice);
    let silent = world.subscribe(&mut bob, id);
    let asked = world.subscribe(&mut bob, id);
    let path = format!("/stream/{id}/subscriber/{asked}/channel/downlinkStats1");
    assert_eq!(
        world
            .ask(&mut bob, "update", &path, json!({"active": true}))
            .0,
        200
    );
    world.events(&mut bob);
    let datum = world.uuid();
    let data = format!("/stream/{id}/channel/downlinkStats1/data/{datum}");
    let content = json!({"type": "data", "data": {"networkCondition": 4}});
    assert_eq!(world.ask(&mut alice, "data", &data, content.clone()).0, 200);
    let events = world.events(&mut bob);
    assert_eq!(
        heads(&events),
        [format!("data {path}/data/{datum}")],
        "not {silent}"
    );
    assert_eq!(events[0].content, content);
    let content = json!({"type": "data", "data": "d".repeat(20_000)});
    assert_eq!(world.ask(&mut alice, "data", &data, content).0, 413);
}

#[test]
fn subscribing_has_its_rules() {
    let config = HubConfig {
        subscriptions_per_connection: 1,
        ..HubConfig::default()
    };
    let mut world = World::with(MediaMode::Relayed, config);
    let mut alice = world.join(Role::Publisher);
    let mut bob = world.join(Role::Publisher);
    let mut sender = world.join(Role::PublisherOnly);
    let stream = world.publish(&mut alice);
    let id = world.uuid();
    let path = format!("/stream/{stream}/subscriber/{id}");
    assert_eq!(
        world.ask(&mut sender, "create", &path, subscriber(id)).0,
        403
    );
    let nowhere = format!("/stream/{}/subscriber/{id}", world.uuid());
    assert_eq!(
        world.ask(&mut bob, "create", &nowhere, subscriber(id)).0,
        404
    );
    let mut encrypted = subscriber(id);
    encrypted["e2ee"] = json!(true);
    assert_eq!(world.ask(&mut bob, "create", &path, encrypted).0, 405);
    assert_eq!(world.ask(&mut bob, "create", &path, subscriber(id)).0, 200);
    assert_eq!(
        world.ask(&mut alice, "create", &path, subscriber(id)).0,
        409,
        "taken"
    );
    let other = world.uuid();
    let path2 = format!("/stream/{stream}/subscriber/{other}");
    let (status, body) = world.ask(&mut bob, "create", &path2, subscriber(other));
    assert_eq!(
        (status, &body["reason"]),
        (409, &json!("streamLimitExceeded"))
    );
    assert_eq!(
        world.ask(&mut alice, "delete", &path, json!({})).0,
        403,
        "not hers"
    );
    assert_eq!(world.ask(&mut bob, "delete", &path, json!({})).0, 200);
    assert_eq!(
        world.ask(&mut bob, "delete", &path, json!({})).0,
        200,
        "gone already is fine"
    );
    assert_eq!(
        world.ask(&mut bob, "create", &path2, subscriber(other)).0,
        200
    );
}
