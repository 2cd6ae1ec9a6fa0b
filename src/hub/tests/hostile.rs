use std::time::Duration;

use serde_json::{Value, json};

use crate::hub::config::HubConfig;
use crate::hub::effect::SocketOpen;
use crate::hub::harness::{BASE, World, frame, heads, signal};
use crate::model::role::Role;
use crate::model::session::MediaMode;
use crate::signaling::frame::FrameKind;

#[test]
fn who_has_not_joined_is_refused_everything_but_joining() {
    let mut world = World::new(MediaMode::Routed);
    let mut alice = world.join(Role::Moderator);
    let stream = world.publish(&mut alice);
    world.events(&mut alice);
    let mut eve = world.client();
    let paths = [
        ("signal", signal("a")),
        ("delete", format!("/stream/{stream}")),
        ("delete", format!("/connection/{}", alice.id)),
        ("update", format!("/stream/{stream}/channel/video1")),
    ];
    for (method, path) in &paths {
        assert_eq!(
            world
                .ask(&mut eve, method, path, json!({"active": false}))
                .0,
            403
        );
    }
    world.connect(&mut eve);
    for (method, path) in &paths {
        assert_eq!(
            world
                .ask(&mut eve, method, path, json!({"active": false}))
                .0,
            403
        );
    }
    assert_eq!(world.events(&mut alice), []);
}

#[test]
fn who_is_in_one_session_cannot_reach_another() {
    let mut world = World::new(MediaMode::Routed);
    let mut alice = world.join(Role::Moderator);
    let mut other = World::new(MediaMode::Routed).session;
    other.id = "T".parse().unwrap();
    let mine = std::mem::replace(&mut world.session, other);
    let mut eve = world.client();
    world.connect(&mut eve);
    let uri = format!("/v2/partner/1127/session/T/connection/{}", eve.id);
    let mut create = world.request(&json!({"method": "create", "uri": uri, "content": {}}));
    create
        .headers
        .push(("X-TB-TOKEN-AUTH".into(), "token".into()));
    world.send(&mut eve, &create);
    world.admit(Role::Moderator);
    world.session = mine;
    world.receive(&mut eve);
    assert_eq!(eve.reply(create.header("TRANSACTION-ID").unwrap()).0, 200);

    let target = format!("/connection/{}", alice.id);
    assert_eq!(world.ask(&mut eve, "delete", &target, json!({})).0, 404);
    assert_eq!(
        world.ask(&mut eve, "signal", &signal("a"), json!({})).0,
        404
    );
    let uri = format!("/v2/partner/1127/session/T{target}");
    let body = json!({"method": "delete", "uri": uri, "content": {}});
    assert_eq!(world.ask_body(&mut eve, &body).0, 404);
    assert_eq!(world.events(&mut alice), []);
}

#[test]
fn nonsense_is_answered_and_changes_nothing() {
    let mut world = World::new(MediaMode::Routed);
    let mut alice = world.join(Role::Moderator);
    let mut bob = world.join(Role::Moderator);
    world.events(&mut alice);
    let bodies = [
        json!(null),
        json!([]),
        json!({"method": "signal"}),
        json!({"method": "signal", "uri": 7, "content": {}}),
        json!({"method": "explode", "uri": BASE, "content": {}}),
        json!({"method": "create", "uri": format!("{BASE}/stream/NOT-A-UUID"), "content": {}}),
        json!({"method": "update", "uri": BASE, "content": {"reason": "other"}}),
        json!({"method": "migrate", "uri": format!("{BASE}/migrate"), "content": {}}),
        json!({"method": "signal", "uri": format!("{BASE}{}", signal("a")), "content": []}),
    ];
    for body in &bodies {
        let (status, reply) = world.ask_body(&mut bob, body);
        assert!((400..500).contains(&status), "{body}");
        assert!(reply["reason"].is_string());
    }
    let mut request = world.request(&Value::Null);
    request.payload = "{".repeat(100_000);
    world.send(&mut bob, &request);
    world.receive(&mut bob);
    assert_eq!(bob.reply(request.header("TRANSACTION-ID").unwrap()).0, 400);
    let mut anonymous = frame(FrameKind::Message);
    anonymous.payload =
        json!({"method": "signal", "uri": format!("{BASE}{}", signal("a"))}).to_string();
    world.send(&mut bob, &anonymous);
    assert_eq!(world.events(&mut alice), []);
    assert_eq!(
        world.ask(&mut bob, "signal", &signal("a"), json!({})).0,
        200,
        "still welcome"
    );
}

#[test]
fn what_is_no_frame_ends_the_connection() {
    let mut world = World::new(MediaMode::Routed);
    let mut alice = world.join(Role::Publisher);
    let bob = world.join(Role::Publisher);
    world.events(&mut alice);
    world.hub.handle_malformed(bob.socket, world.now);
    world.pass(Duration::ZERO);
    assert_eq!(world.closed.get(&bob.socket), Some(&1003));
    assert_eq!(
        heads(&world.events(&mut alice)),
        [format!("deleted /connection/{}", bob.id)]
    );
}

#[test]
fn a_flood_of_requests_is_refused_and_then_forgotten() {
    let config = HubConfig {
        request_burst: 50,
        replies: 10,
        ..HubConfig::default()
    };
    let mut world = World::with(MediaMode::Routed, config);
    let mut alice = world.join(Role::Publisher);
    let path = format!("/stream/{}", world.uuid());
    let mut refused = 0;
    for _ in 0..100 {
        refused += usize::from(world.ask(&mut alice, "delete", &path, json!({})).0 == 429);
    }
    assert_eq!(refused, 51, "one went into the join");
    world.pass_alive(Duration::from_secs(1), &mut [&mut alice]);
    assert_eq!(world.ask(&mut alice, "delete", &path, json!({})).0, 404);
}

#[test]
fn only_so_many_websockets_are_held() {
    let config = HubConfig {
        sockets: 3,
        ..HubConfig::default()
    };
    let mut world = World::with(MediaMode::Routed, config);
    let clients: Vec<_> = (0..3).map(|_| world.client()).collect();
    let undecided = SocketOpen {
        socket_id: Some(world.uuid()),
        reconnect: true,
    };
    for open in [SocketOpen::default(), undecided] {
        let socket = world.open(open);
        assert_eq!(world.closed.get(&socket), Some(&1011));
    }
    world.cut(&clients[0]);
    world.pass(Duration::from_secs(15));
    let socket = world.open(SocketOpen::default());
    assert_eq!(world.closed.get(&socket), None);
}

#[test]
fn a_socket_id_in_use_cannot_be_claimed_for_a_new_websocket() {
    let mut world = World::new(MediaMode::Routed);
    let mut alice = world.join(Role::Publisher);
    let open = SocketOpen {
        socket_id: Some(alice.socket_id),
        reconnect: false,
    };
    let thief = world.open(open);
    assert_eq!(world.closed.get(&thief), Some(&1011));
    assert_eq!(
        world.ask(&mut alice, "signal", &signal("a"), json!({})).0,
        200
    );
}
