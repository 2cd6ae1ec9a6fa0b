use std::time::Duration;

use serde_json::json;

use crate::hub::config::HubConfig;
use crate::hub::effect::{Denial, NoticeEvent, SocketOpen};
use crate::hub::harness::{Client, World, frame, heads, signal};
use crate::model::role::Role;
use crate::model::session::MediaMode;
use crate::signaling::frame::FrameKind;

#[test]
fn a_newcomer_gets_the_whole_state_and_everybody_hears_of_it() {
    let mut world = World::new(MediaMode::Relayed);
    let mut alice = world.join(Role::Moderator);
    let stream = world.publish(&mut alice);
    world.events(&mut alice);
    let mut bob = world.client();
    let (status, dump) = world.join_as(&mut bob, Role::Publisher, json!({}));
    assert_eq!(status, 200);
    assert_eq!(dump["id"], "S");
    let ids: Vec<_> = dump["connection"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| &c["id"])
        .collect();
    assert_eq!(
        ids,
        [&json!(alice.id.to_string()), &json!(bob.id.to_string())]
    );
    assert_eq!(dump["archive"], json!([]));
    assert_eq!(dump.get("mute"), None);
    let listed = &dump["stream"][0];
    assert_eq!(listed["id"], stream.to_string());
    assert_eq!(listed["connection"]["id"], alice.id.to_string());
    assert_eq!(listed["connectionId"], alice.id.to_string());
    assert_eq!(listed["name"], "cam");
    assert_eq!(listed["customProperties"], json!({"initials": "AB"}));
    assert_eq!(listed["channel"][0]["width"], 640);

    let id = bob.id;
    let created = format!("created /connection/{id}");
    for client in [&mut alice, &mut bob] {
        let events = world.events(client);
        assert_eq!(heads(&events), std::slice::from_ref(&created));
        assert_eq!(
            events[0].content["permissions"],
            json!(["publish", "subscribe", "signal"])
        );
        assert_eq!(events[0].content["data"], format!("data for token of {id}"));
        assert!(events[0].content["creationTime"].is_u64());
        assert!(events[0].from.starts_with("symphony."));
    }
}

#[test]
fn a_rejected_client_hears_why_and_is_closed() {
    let check = |denial, expected: u16| {
        let mut world = World::new(MediaMode::Routed);
        let mut client = world.client();
        world.connect(&mut client);
        let transaction = world.ask_to_join(&mut client, json!({}));
        world.deny(denial);
        world.receive(&mut client);
        let (status, body) = client.reply(&transaction);
        assert_eq!(status, expected);
        assert!(body["reason"].is_string());
        assert_eq!(world.closed.get(&client.socket), Some(&1011));
        assert_eq!(world.hub.poll_timeout(), None, "nothing is left behind");
    };
    check(Denial::InvalidToken, 403);
    check(Denial::NoSuchSession, 404);
    check(Denial::Unavailable, 500);
}

#[test]
fn the_partner_of_the_uri_must_own_the_session() {
    let mut world = World::new(MediaMode::Routed);
    let mut client = world.client();
    world.connect(&mut client);
    let uri = format!("/v2/partner/1128/session/S/connection/{}", client.id);
    let mut frame = world.request(&json!({"method": "create", "uri": uri, "content": {}}));
    frame
        .headers
        .push(("X-TB-TOKEN-AUTH".into(), "token".into()));
    world.send(&mut client, &frame);
    world.admit(Role::Publisher);
    world.receive(&mut client);
    assert_eq!(client.reply(frame.header("TRANSACTION-ID").unwrap()).0, 404);
    assert_eq!(world.closed.get(&client.socket), Some(&1011));
}

#[test]
fn a_client_may_only_create_the_connection_it_has_named() {
    let mut world = World::new(MediaMode::Routed);
    let mut client = world.client();
    world.connect(&mut client);
    let named = std::mem::replace(&mut client.id, world.uuid());
    let transaction = world.ask_to_join(&mut client, json!({}));
    world.receive(&mut client);
    assert_eq!(client.reply(&transaction).0, 403);
    assert_eq!(world.tickets, []);
    assert_eq!(world.closed.get(&client.socket), Some(&1011), "{named}");
}

#[test]
fn a_session_takes_only_so_many() {
    let config = HubConfig {
        connections_per_session: 2,
        ..HubConfig::default()
    };
    let mut world = World::with(MediaMode::Routed, config);
    let mut first = world.join(Role::Publisher);
    world.join(Role::Publisher);
    let mut third = world.client();
    let (status, body) = world.join_as(&mut third, Role::Publisher, json!({}));
    assert_eq!(
        (status, &body["reason"]),
        (409, &json!("connectionLimitExceeded"))
    );
    world.disconnect(&mut first, "");
    let mut fourth = world.client();
    assert_eq!(
        world.join_as(&mut fourth, Role::Publisher, json!({})).0,
        200
    );
}

#[test]
fn a_session_with_a_limit_of_its_own_takes_no_more_than_that_and_no_more_than_the_server() {
    let config = HubConfig {
        connections_per_session: 3,
        ..HubConfig::default()
    };
    let check = |own, fit: usize| {
        let mut world = World::with(MediaMode::Routed, config.clone());
        world.session.max_connections = own;
        let statuses: Vec<u16> = (0..5)
            .map(|_| {
                let mut client = world.client();
                world.join_as(&mut client, Role::Publisher, json!({})).0
            })
            .collect();
        let expected: Vec<u16> = (0..5).map(|n| if n < fit { 200 } else { 409 }).collect();
        assert_eq!(statuses, expected, "{own:?}");
    };
    check(None, 3);
    check(Some(1), 1);
    check(Some(2), 2);
    check(Some(4), 3);
}

#[test]
fn a_client_that_takes_its_own_place_needs_no_room() {
    let mut world = World::new(MediaMode::Routed);
    world.session.max_connections = Some(1);
    let mut first = world.client();
    world.connect(&mut first);
    world.ask_to_join(&mut first, json!({}));
    world.admit(Role::Publisher);
    // The reply is lost, and the client tries again from the start.
    let mut again = world.client();
    again.id = first.id;
    assert_eq!(world.join_as(&mut again, Role::Publisher, json!({})).0, 200);
}

#[test]
fn nobody_can_take_over_a_connection_id() {
    let mut world = World::new(MediaMode::Routed);
    let mut alice = world.join(Role::Publisher);
    let mut thief = world.client();
    thief.id = alice.id;
    // Even with the same token: Alice knows that she has joined.
    assert_eq!(world.join_as(&mut thief, Role::Publisher, json!({})).0, 409);
    assert_eq!(
        world.ask(&mut alice, "signal", &signal("a"), json!({})).0,
        200
    );

    let mut bob = world.client();
    bob.acknowledges = false;
    world.join_as(&mut bob, Role::Publisher, json!({}));
    let mut thief = world.client();
    thief.id = bob.id;
    world.connect(&mut thief);
    let uri = format!("/v2/partner/1127/session/S/connection/{}", bob.id);
    let mut frame = world.request(&json!({"method": "create", "uri": uri, "content": {}}));
    frame
        .headers
        .push(("X-TB-TOKEN-AUTH".into(), "another token".into()));
    world.send(&mut thief, &frame);
    world.admit(Role::Publisher);
    world.receive(&mut thief);
    assert_eq!(thief.reply(frame.header("TRANSACTION-ID").unwrap()).0, 409);
}

#[test]
fn a_client_that_never_heard_that_it_had_joined_takes_its_own_place() {
    let mut world = World::new(MediaMode::Routed);
    let mut alice = world.join(Role::Publisher);
    let mut first = world.client();
    world.connect(&mut first);
    world.ask_to_join(&mut first, json!({}));
    world.admit(Role::Publisher);
    world.events(&mut alice);

    let mut second = world.client();
    second.id = first.id;
    assert_eq!(
        world.join_as(&mut second, Role::Publisher, json!({})).0,
        200
    );
    assert_eq!(world.closed.get(&first.socket), Some(&1011));
    let connection = format!("/connection/{}", second.id);
    let events = world.events(&mut alice);
    assert_eq!(
        heads(&events),
        [
            format!("deleted {connection}"),
            format!("created {connection}")
        ]
    );
}

#[test]
fn who_does_not_join_in_time_is_closed() {
    let mut world = World::new(MediaMode::Routed);
    let mut client = world.client();
    world.connect(&mut client);
    world.pass(Duration::from_millis(14_999));
    assert_eq!(world.closed.get(&client.socket), None);
    world.pass(Duration::from_millis(1));
    assert_eq!(world.closed.get(&client.socket), Some(&1011));
}

#[test]
fn suppressed_connection_events_leave_only_ones_own() {
    let mut world = World::new(MediaMode::Relayed);
    let mut alice = world.join(Role::Publisher);
    let mut quiet = world.client();
    let suppressed = json!({"connectionEventsSuppressed": true});
    let (_, dump) = world.join_as(&mut quiet, Role::Publisher, suppressed);
    assert!(dump["connection"].is_array());
    assert_eq!(
        heads(&world.events(&mut quiet)),
        [format!("created /connection/{}", quiet.id)]
    );
    let mut bob = world.join(Role::Publisher);
    assert_eq!(world.events(&mut quiet), []);
    let stream = world.publish(&mut bob);
    let events = world.events(&mut quiet);
    assert_eq!(heads(&events), [format!("created /stream/{stream}")]);
    assert_eq!(events[0].content["connection"]["id"], bob.id.to_string());
    world.events(&mut alice);
    world.ask(&mut bob, "signal", &signal("a"), json!({"type": "x"}));
    let events = world.events(&mut quiet);
    assert_eq!(events[0].content["connection"]["id"], bob.id.to_string());
    assert_eq!(events[0].content["type"], "x");
    let events = world.events(&mut alice);
    assert_eq!(events[0].content, json!({"type": "x"}), "as it was sent");
    world.disconnect(&mut bob, "");
    let events = world.events(&mut quiet);
    assert_eq!(heads(&events), [format!("deleted /stream/{stream}")]);
}

#[test]
fn a_leaver_s_streams_end_before_itself_and_the_last_one_ends_the_session() {
    let mut world = World::new(MediaMode::Relayed);
    let mut alice = world.join(Role::Publisher);
    let mut bob = world.join(Role::Publisher);
    let stream = world.publish(&mut bob);
    world.events(&mut alice);
    world.notices.clear();
    world.disconnect(&mut bob, "");
    let events = world.events(&mut alice);
    let expected = [
        format!("deleted /stream/{stream}"),
        format!("deleted /connection/{}", bob.id),
    ];
    assert_eq!(heads(&events), expected);
    for event in &events {
        assert_eq!(event.reason.as_deref(), Some("clientDisconnected"));
        assert_eq!(event.content, json!({}));
    }
    world.disconnect(&mut alice, "");
    assert!(matches!(
        world.notices[..],
        [
            NoticeEvent::StreamDestroyed {
                reason: "clientDisconnected",
                ..
            },
            NoticeEvent::ConnectionDestroyed {
                reason: "clientDisconnected",
                ..
            },
            NoticeEvent::ConnectionDestroyed { .. },
            NoticeEvent::SessionEnded,
        ]
    ));
    assert_eq!(world.hub.poll_timeout(), None, "nothing is left behind");
}

#[test]
fn a_shutdown_closes_everybody_for_good() {
    let mut world = World::new(MediaMode::Routed);
    let clients: Vec<Client> = (0..3).map(|_| world.join(Role::Publisher)).collect();
    let mut silent = world.client();
    world.connect(&mut silent);
    let undecided = world.open(SocketOpen {
        socket_id: Some(world_id()),
        reconnect: true,
    });
    world.hub.shutdown(world.now);
    world.pass(Duration::ZERO);
    let sockets = clients
        .iter()
        .map(|c| c.socket)
        .chain([silent.socket, undecided]);
    for socket in sockets {
        assert_eq!(world.closed.get(&socket), Some(&1011));
    }
    world
        .hub
        .handle_frame(silent.socket, frame(FrameKind::Ping), world.now);
    assert_eq!(world.hub.poll_effect(), None);
}

fn world_id() -> uuid::Uuid {
    uuid::Uuid::from_u128(7)
}
