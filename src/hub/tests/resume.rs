use std::time::Duration;

use serde_json::json;

use crate::hub::config::HubConfig;
use crate::hub::effect::SocketOpen;
use crate::hub::harness::{BASE, Client, World, frame, heads, signal, stream, subscriber};
use crate::model::role::Role;
use crate::model::session::MediaMode;
use crate::sfu::{Event, Leg, Request};
use crate::signaling::frame::{Frame, FrameKind};

#[test]
fn what_was_missed_is_replayed_in_order_and_the_client_knows_at_once_that_it_is_back() {
    let mut world = World::new(MediaMode::Routed);
    let mut alice = world.join(Role::Publisher);
    let mut bob = world.join(Role::Publisher);
    world.events(&mut alice);
    world.ask(&mut bob, "signal", &signal("lost-on-the-way"), json!({}));
    world.cut(&alice);
    world.ask(&mut bob, "signal", &signal("while-away"), json!({}));
    let pongs = alice.pongs;
    world.resume(&mut alice);
    world.ask(&mut bob, "signal", &signal("after"), json!({}));
    let events = world.events(&mut alice);
    assert_eq!(alice.pongs, pongs + 1);
    let expected = [
        format!("signal {}", signal("lost-on-the-way")),
        format!("signal {}", signal("while-away")),
        format!("signal {}", signal("after")),
    ];
    assert_eq!(heads(&events), expected);
    // Nothing more after another resume: all of it was acknowledged.
    world.cut(&alice);
    world.resume(&mut alice);
    alice.acknowledges = false;
    assert_eq!(world.events(&mut alice), []);
}

#[test]
fn a_client_is_away_for_the_grace_time_and_then_it_has_left() {
    let mut world = World::new(MediaMode::Relayed);
    let mut alice = world.join(Role::Publisher);
    let mut bob = world.join(Role::Publisher);
    let stream = world.publish(&mut bob);
    world.events(&mut alice);
    world.cut(&bob);
    world.pass_alive(Duration::from_millis(37_999), &mut [&mut alice]);
    assert_eq!(world.events(&mut alice), []);
    world.pass(Duration::from_millis(1));
    let events = world.events(&mut alice);
    let expected = [
        format!("deleted /stream/{stream}"),
        format!("deleted /connection/{}", bob.id),
    ];
    assert_eq!(heads(&events), expected);
    assert!(
        events
            .iter()
            .all(|e| e.reason.as_deref() == Some("networkDisconnected"))
    );
    // Too late: told so with its first frame.
    world.resume(&mut bob);
    world.send(&mut bob, &frame(FrameKind::Ping));
    assert_eq!(world.closed.get(&bob.socket), Some(&1011));
}

#[test]
fn a_silent_websocket_is_closed_and_may_be_resumed() {
    let mut world = World::new(MediaMode::Routed);
    let mut alice = world.join(Role::Publisher);
    world.pass_alive(Duration::from_secs(60), &mut [&mut alice]);
    assert_eq!(world.closed.get(&alice.socket), None);
    let old = alice.socket;
    world.pass(Duration::from_secs(8));
    assert_eq!(world.closed.get(&old), Some(&1012));
    world.pass(Duration::from_secs(37));
    world.resume(&mut alice);
    assert_eq!(
        world.ask(&mut alice, "signal", &signal("a"), json!({})).0,
        200
    );
}

#[test]
fn a_resume_replaces_a_websocket_that_still_seems_open() {
    let mut world = World::new(MediaMode::Routed);
    let mut alice = world.join(Role::Publisher);
    let old = alice.socket;
    world.resume(&mut alice);
    assert_eq!(world.closed.get(&old), Some(&1000));
    // Its end is no news, and what it still says is not heard.
    world.hub.handle_socket_closed(old, world.now);
    let mut bye = frame(FrameKind::Disconnect);
    bye.headers.push(("reconnect".into(), String::new()));
    world.hub.handle_frame(old, bye, world.now);
    assert_eq!(
        world.ask(&mut alice, "signal", &signal("a"), json!({})).0,
        200
    );
}

#[test]
fn giving_a_websocket_up_for_another_is_no_departure() {
    let mut world = World::new(MediaMode::Routed);
    let mut alice = world.join(Role::Publisher);
    let mut bob = world.join(Role::Publisher);
    world.events(&mut bob);
    let old = alice.socket;
    world.disconnect(&mut alice, "1");
    assert_eq!(world.closed.get(&old), Some(&1000));
    world.resume(&mut alice);
    assert_eq!(
        world.ask(&mut alice, "signal", &signal("a"), json!({})).0,
        200
    );
    assert_eq!(
        heads(&world.events(&mut bob)),
        [format!("signal {}", signal("a"))]
    );
}

#[test]
fn a_client_without_a_socket_id_has_left_when_its_websocket_is_lost() {
    let mut world = World::new(MediaMode::Routed);
    let mut alice = world.join(Role::Publisher);
    let mut bob = world.client();
    world.cut(&bob);
    bob.socket = world.open(SocketOpen::default());
    world.join_as(&mut bob, Role::Publisher, json!({}));
    world.events(&mut alice);
    world.cut(&bob);
    let events = world.events(&mut alice);
    assert_eq!(heads(&events), [format!("deleted /connection/{}", bob.id)]);
    assert_eq!(events[0].reason.as_deref(), Some("networkDisconnected"));
}

#[test]
fn an_unknown_resume_is_decided_by_its_first_frame_or_by_time() {
    let mut world = World::new(MediaMode::Routed);
    let open = SocketOpen {
        socket_id: Some(world.uuid()),
        reconnect: true,
    };

    let mut never_opened = world.client();
    world.cut(&never_opened);
    world.pass(Duration::from_secs(20));
    world.resume(&mut never_opened);
    let (status, _) = world.join_as(&mut never_opened, Role::Publisher, json!({}));
    assert_eq!(status, 200, "CONNECT makes it a new client");

    let silent = world.open(open);
    world.pass(Duration::from_millis(2999));
    assert_eq!(world.closed.get(&silent), None);
    world.pass(Duration::from_millis(1));
    assert_eq!(world.closed.get(&silent), Some(&1011));

    let pinging = world.open(open);
    world
        .hub
        .handle_frame(pinging, frame(FrameKind::Ping), world.now);
    world.pass(Duration::ZERO);
    assert_eq!(world.closed.get(&pinging), Some(&1011));
}

#[test]
fn a_repeated_request_gets_its_old_reply_and_is_not_executed_again() {
    let mut world = World::new(MediaMode::Routed);
    let mut alice = world.join(Role::Publisher);
    let mut bob = world.join(Role::Publisher);
    world.events(&mut bob);
    let body = json!({"method": "signal", "uri": format!("{BASE}{}", signal("a")), "content": {}});
    let request = world.request(&body);
    world.send(&mut alice, &request);
    world.cut(&alice);
    world.resume(&mut alice);
    world.send(&mut alice, &request);
    world.receive(&mut alice);
    assert_eq!(
        alice.reply(request.header("TRANSACTION-ID").unwrap()).0,
        200
    );
    assert_eq!(
        heads(&world.events(&mut bob)),
        [format!("signal {}", signal("a"))]
    );
    assert_eq!(world.hub.counters().repeated, 1);
    // The same for a refusal.
    let body = json!({"method": "delete", "uri": format!("{BASE}/stream/x"), "content": {}});
    let request = world.request(&body);
    for _ in 0..2 {
        world.send(&mut alice, &request);
        world.receive(&mut alice);
        assert!(alice.reply(request.header("TRANSACTION-ID").unwrap()).0 >= 400);
    }
}

#[test]
fn a_join_survives_a_lost_websocket_before_and_after_its_reply() {
    for cut_before_reply in [true, false] {
        let mut world = World::new(MediaMode::Routed);
        let mut alice = world.client();
        world.connect(&mut alice);
        let body = json!({
            "method": "create", "uri": format!("/v2/partner/1127/session/S/connection/{}", alice.id),
            "content": {},
        });
        let mut request = world.request(&body);
        request
            .headers
            .push(("X-TB-TOKEN-AUTH".into(), "token".into()));
        world.send(&mut alice, &request);
        if cut_before_reply {
            world.cut(&alice);
            world.resume(&mut alice);
            world.send(&mut alice, &request);
            assert_eq!(world.tickets.len(), 1, "the token is looked at once");
            world.admit(Role::Publisher);
        } else {
            world.admit(Role::Publisher);
            world.cut(&alice);
            world.resume(&mut alice);
            world.send(&mut alice, &request);
        }
        world.receive(&mut alice);
        let (status, dump) = alice.reply(request.header("TRANSACTION-ID").unwrap());
        assert_eq!((status, &dump["id"]), (200, &json!("S")));
        let expected = [format!("created /connection/{}", alice.id)];
        assert_eq!(heads(&world.events(&mut alice)), expected);
    }
}

/// A client whose join is about to be granted, with an answer that is long; and what it asked.
fn joining_a_crowd(world: &mut World) -> (Client, Frame) {
    for _ in 0..8 {
        world.join(Role::Publisher);
    }
    let mut alice = world.client();
    world.connect(&mut alice);
    let uri = format!("/v2/partner/1127/session/S/connection/{}", alice.id);
    let body = json!({"method": "create", "uri": uri, "content": {}});
    let mut request = world.request(&body);
    let token = ("X-TB-TOKEN-AUTH".into(), "token".into());
    request.headers.push(token);
    world.send(&mut alice, &request);
    (alice, request)
}

#[test]
fn a_long_reply_that_was_lost_is_repeated_although_a_later_message_was_replayed() {
    for is_away in [false, true] {
        let mut world = World::new(MediaMode::Routed);
        let (mut alice, request) = joining_a_crowd(&mut world);
        if is_away {
            world.cut(&alice);
            world.admit(Role::Publisher);
        } else {
            world.admit(Role::Publisher);
            world.cut(&alice);
        }
        world.resume(&mut alice);
        let own = format!("created /connection/{}", alice.id);
        assert_eq!(heads(&world.events(&mut alice)), [own], "and acknowledged");
        world.send(&mut alice, &request);
        world.receive(&mut alice);
        let (status, dump) = alice.reply(request.header("TRANSACTION-ID").unwrap());
        assert_eq!((status, &dump["id"]), (200, &json!("S")));
    }
}

#[test]
fn a_long_reply_that_has_arrived_is_not_kept_and_its_request_not_executed_again() {
    let mut world = World::new(MediaMode::Routed);
    let (mut alice, request) = joining_a_crowd(&mut world);
    world.admit(Role::Publisher);
    world.receive(&mut alice);
    let transaction = request.header("TRANSACTION-ID").unwrap();
    assert_eq!(alice.reply(transaction).0, 200);
    world.send(&mut alice, &request);
    world.receive(&mut alice);
    assert!(alice.replies.is_empty() && world.tickets.is_empty());
    assert_eq!(world.hub.counters().repeated, 1);
    let (status, _) = world.ask(&mut alice, "signal", &signal("a"), json!({}));
    assert_eq!(status, 200);
}

#[test]
fn who_comes_back_may_be_elsewhere_and_so_its_legs_are_watched() {
    let mut world = World::new(MediaMode::Routed);
    let mut alice = world.join(Role::Publisher);
    let mut bob = world.join(Role::Publisher);
    let (alices, publication) = world.publish_routed(&mut alice);
    let (bobs, _) = world.publish_routed(&mut bob);
    let subscribe = |world: &mut World, client: &mut Client, stream, connects| {
        world.subscribe(client, stream);
        let Some(Request::Subscribe { subscription, .. }) = world.asked_of_media().pop() else {
            panic!("a subscription");
        };
        let leg = Leg::Subscriber(subscription);
        if connects {
            world.media_says(Event::Connected { leg });
        }
        leg
    };
    let leg = subscribe(&mut world, &mut alice, bobs, true);
    subscribe(&mut world, &mut alice, bobs, false);
    subscribe(&mut world, &mut bob, alices, true);
    world.cut(&alice);
    world.pass_alive(Duration::from_secs(6), &mut [&mut bob]);
    assert_eq!(world.asked_of_media(), []);
    world.resume(&mut alice);
    let watched = [Leg::Publisher(publication), leg];
    assert_eq!(
        world.asked_of_media(),
        watched.map(|leg| Request::Watch { leg })
    );
}

#[test]
fn there_is_nothing_to_watch_without_legs_to_the_sfu() {
    let mut world = World::new(MediaMode::Relayed);
    let mut alice = world.join(Role::Publisher);
    let stream = world.publish(&mut alice);
    world.subscribe(&mut alice, stream);
    world.cut(&alice);
    world.resume(&mut alice);
    let mut early = world.client();
    world.cut(&early);
    world.resume(&mut early);
    assert_eq!(world.asked_of_media(), []);
}

/// Publishes in a routed session and loses the websocket once, after this many steps.
fn publish_with_a_loss_after(step: usize) {
    let mut world = World::new(MediaMode::Routed);
    let mut alice = world.join(Role::Publisher);
    let mut bob = world.join(Role::Publisher);
    world.events(&mut alice);
    let id = world.uuid();
    let uri = format!("/v2/partner/1127/session/S/stream/{id}");
    let lose = |world: &mut World, alice: &mut _, at: usize| {
        if at == step {
            world.cut(alice);
            world.pass_alive(Duration::from_secs(5), &mut [&mut bob]);
            world.resume(alice);
        }
    };
    let mut lose = lose;
    let create = world.request(&json!({"method": "create", "uri": uri, "content": stream(id)}));
    lose(&mut world, &mut alice, 0);
    world.send(&mut alice, &create);
    lose(&mut world, &mut alice, 1);
    if step == 1 {
        world.send(&mut alice, &create);
    }
    let events = world.events(&mut alice);
    assert_eq!(alice.reply(create.header("TRANSACTION-ID").unwrap()).0, 200);
    assert_eq!(heads(&events), [format!("generateoffer /stream/{id}")]);
    let peer = events[0].content["peerId"].clone();

    let content =
        json!({"type": "offer", "sdp": "v=0", "peerId": peer, "sourceStreamId": "MANTIS"});
    let offer = world.request(&json!({"method": "offer", "uri": uri, "content": content}));
    lose(&mut world, &mut alice, 2);
    world.send(&mut alice, &offer);
    lose(&mut world, &mut alice, 3);
    let requests = world.asked_of_media();
    let [Request::PublisherOffer { publication, .. }] = requests[..] else {
        panic!("one offer: {requests:?}");
    };
    let leg = Leg::Publisher(publication);
    world.media_says(Event::Answer {
        leg,
        sdp: "v=0 answer".into(),
    });
    lose(&mut world, &mut alice, 4);
    world.media_says(Event::Connected { leg });
    lose(&mut world, &mut alice, 5);
    if (3..=5).contains(&step) {
        world.send(&mut alice, &offer);
    }
    let mut asked = world.asked_of_media();
    // Its legs are watched from then on, if they were up.
    asked.retain(|request| !matches!(request, Request::Watch { .. }));
    assert_eq!(asked, [], "the repeated offer went no further");
    let events = world.events(&mut alice);
    assert_eq!(alice.reply(offer.header("TRANSACTION-ID").unwrap()).0, 200);
    assert_eq!(
        heads(&events),
        [
            format!("answer /stream/{id}"),
            format!("created /stream/{id}")
        ]
    );
    assert_eq!(events[0].content["peerId"], peer);
    assert_eq!(events[0].content["sdp"], "v=0 answer");
    assert_eq!(
        heads(&world.events(&mut bob)).last(),
        Some(&format!("created /stream/{id}"))
    );
}

#[test]
fn publishing_survives_a_lost_websocket_at_any_point() {
    for step in 0..=5 {
        publish_with_a_loss_after(step);
    }
}

/// Subscribes in a routed session and loses the websocket once, after this many steps.
fn subscribe_with_a_loss_after(step: usize) {
    let mut world = World::new(MediaMode::Routed);
    let mut alice = world.join(Role::Publisher);
    let mut bob = world.join(Role::Publisher);
    let (stream, _) = world.publish_routed(&mut alice);
    world.events(&mut bob);
    world.asked_of_media();
    let lose = |world: &mut World, bob: &mut _, at: usize| {
        if at == step {
            world.cut(bob);
            world.resume(bob);
        }
    };
    let id = world.uuid();
    let uri = format!("/v2/partner/1127/session/S/stream/{stream}/subscriber/{id}");
    let content = subscriber(id);
    let create = world.request(&json!({"method": "create", "uri": uri, "content": content}));
    world.send(&mut bob, &create);
    lose(&mut world, &mut bob, 0);
    if step == 0 {
        world.send(&mut bob, &create);
    }
    let requests = world.asked_of_media();
    let [Request::Subscribe { subscription, .. }] = requests[..] else {
        panic!("one subscription, once: {requests:?}");
    };
    lose(&mut world, &mut bob, 1);
    if step == 1 {
        world.send(&mut bob, &create);
    }
    world.media_says(Event::Offer {
        subscription,
        sdp: "v=0 offer".into(),
    });
    lose(&mut world, &mut bob, 2);
    if step == 2 {
        world.send(&mut bob, &create);
    }
    let events = world.events(&mut bob);
    assert_eq!(bob.reply(create.header("TRANSACTION-ID").unwrap()).0, 200);
    assert_eq!(
        heads(&events),
        [format!("offer /stream/{stream}/subscriber/{id}")]
    );
    let content = json!({"type": "answer", "sdp": "v=0", "peerId": events[0].content["peerId"],
                         "sourceStreamId": "MANTIS"});
    let answer = world.request(&json!({"method": "answer", "uri": uri, "content": content}));
    world.send(&mut bob, &answer);
    lose(&mut world, &mut bob, 3);
    if step == 3 {
        world.send(&mut bob, &answer);
    }
    world.receive(&mut bob);
    assert_eq!(bob.reply(answer.header("TRANSACTION-ID").unwrap()).0, 200);
    let expected = [Request::SubscriberAnswer {
        subscription,
        sdp: "v=0".into(),
    }];
    assert_eq!(world.asked_of_media(), expected);
}

#[test]
fn subscribing_survives_a_lost_websocket_at_any_point() {
    for step in 0..=3 {
        subscribe_with_a_loss_after(step);
    }
}

#[test]
fn a_client_that_never_acknowledges_is_ended_and_the_others_are_not() {
    let config = HubConfig {
        unacked_messages: 20,
        ..HubConfig::default()
    };
    let mut world = World::with(MediaMode::Routed, config);
    let mut alice = world.join(Role::Publisher);
    let mut deaf = world.join(Role::Publisher);
    world.events(&mut alice);
    deaf.acknowledges = false;
    for _ in 0..21 {
        assert_eq!(
            world.ask(&mut alice, "signal", &signal("a"), json!({})).0,
            200
        );
    }
    assert_eq!(world.closed.get(&deaf.socket), Some(&1011));
    let events = world.events(&mut alice);
    let last = events.last().unwrap();
    assert_eq!(last.head(), format!("deleted /connection/{}", deaf.id));
    assert_eq!(last.reason.as_deref(), Some("networkDisconnected"));
    assert_eq!(world.hub.counters().overflowed, 1);
}

#[test]
fn bytes_waiting_for_a_client_that_is_away_are_bounded_too() {
    let config = HubConfig {
        unacked_bytes: 20_000,
        ..HubConfig::default()
    };
    let mut world = World::with(MediaMode::Routed, config);
    let mut alice = world.join(Role::Publisher);
    let away = world.join(Role::Publisher);
    world.events(&mut alice);
    world.cut(&away);
    for _ in 0..3 {
        world.ask(
            &mut alice,
            "signal",
            &signal("a"),
            json!({"data": "d".repeat(8000)}),
        );
    }
    let events = world.events(&mut alice);
    assert_eq!(
        events.last().unwrap().head(),
        format!("deleted /connection/{}", away.id)
    );
}

#[test]
fn a_client_whose_outbox_was_full_may_resume() {
    let mut world = World::new(MediaMode::Routed);
    let mut alice = world.join(Role::Publisher);
    let mut slow = world.join(Role::Publisher);
    world.events(&mut alice);
    world.ask(&mut alice, "signal", &signal("a"), json!({}));
    world.hub.handle_socket_overflow(slow.socket, world.now);
    world.ask(&mut alice, "signal", &signal("b"), json!({}));
    world.resume(&mut slow);
    assert_eq!(
        heads(&world.events(&mut slow)),
        [
            format!("signal {}", signal("a")),
            format!("signal {}", signal("b"))
        ]
    );
    assert_eq!(world.hub.counters().stalled, 1);
}
