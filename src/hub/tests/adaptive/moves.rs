use std::time::Duration;

use serde_json::json;

use super::call::{Call, MOMENT, SETTLE, description};
use crate::hub::config::AdaptiveConfig;
use crate::hub::harness::{Client, World, heads};
use crate::model::role::Role;
use crate::model::session::MediaMode;
use crate::sfu::Request;

#[test]
fn a_stream_with_one_viewer_moves_and_comes_back_for_the_second_in_the_recorded_order() {
    let mut call = Call::routed();
    call.pass(SETTLE - MOMENT);
    assert_eq!(call.news(), [vec![], vec![]] as [Vec<String>; 2]);
    call.pass(MOMENT);
    let events = call.world.events(&mut call.alice);
    assert_eq!(heads(&events), [call.source("create")]);
    assert!(events[0].from.starts_with("symphony."));
    assert!(events[0].reason.is_some());
    assert_eq!(events[0].content, json!({}));

    assert_eq!(call.publish_directly(), 200);
    for client in [&mut call.alice, &mut call.bob] {
        let events = call.world.events(client);
        assert_eq!(events.len(), 1);
        let content = &events[0].content;
        assert_eq!(events[0].method, "created");
        assert_eq!(content["sourceStreamId"], "P2P");
        assert_eq!(content["id"], json!(call.stream));
        assert_eq!(content["channel"].as_array().map(Vec::len), Some(4));
    }

    assert_eq!(call.subscribe_directly(), 200);
    let events = call.world.events(&mut call.alice);
    assert_eq!(heads(&events), [format!("generateoffer {}", call.leg())]);
    assert_eq!(events[0].from, call.bob.id.to_string());
    let peer = events[0].content["peerId"].clone();
    let about = json!({"peerId": peer, "sourceStreamId": "P2P"});
    assert_eq!(events[0].content, about);

    let path = call.leg();
    let offer = description("offer", &peer);
    let (status, _) = call
        .world
        .ask(&mut call.alice, "offer", &path, offer.clone());
    assert_eq!(status, 200);
    let events = call.world.events(&mut call.bob);
    assert_eq!((&events[0].content, events.len()), (&offer, 1), "verbatim");
    assert_eq!(events[0].from, call.alice.id.to_string());
    let candidate = json!({"candidate": "candidate:1 1 udp 1 192.0.2.1 9 typ host ufrag bbbb",
                           "sdpMid": "0", "peerId": peer, "sourceStreamId": "P2P"});
    let early = call.world.ask(&mut call.bob, "candidate", &path, candidate);
    assert_eq!((early.0, call.alice_hears().len()), (200, 0), "held back");
    let answer = json!({"type": "answer", "sdp": "a=ice-ufrag:bbbb\r\n", "peerId": peer,
                        "sourceStreamId": "P2P"});
    assert_eq!(
        call.world.ask(&mut call.bob, "answer", &path, answer).0,
        200
    );
    let expected = [format!("answer {path}"), format!("candidate {path}")];
    assert_eq!(call.alice_hears(), expected);
    assert_eq!(call.world.asked_of_media(), [], "both legs to the SFU stay");

    call.pass(Duration::from_secs(60));
    assert_eq!(call.news(), [vec![], vec![]] as [Vec<String>; 2]);
    let mut carol = call.world.join_able();
    call.news();
    call.world.subscribe(&mut carol, call.stream);
    let asked = call.world.asked_of_media();
    assert!(matches!(asked[..], [Request::Subscribe { .. }]), "at once");
    let events = call.world.events(&mut call.alice);
    assert_eq!(heads(&events), [call.source("delete")]);
    assert_eq!(events[0].content, json!({}));
    assert_eq!(
        call.news()[1],
        [] as [String; 0],
        "not before media flows again"
    );

    assert_eq!(call.alice_ends_it(), 200);
    for client in [&mut call.alice, &mut call.bob, &mut carol] {
        let events = call.world.events(client);
        assert_eq!(heads(&events), [format!("deleted /stream/{}", call.stream)]);
        assert_eq!(events[0].content, json!({"sourceStreamId": "P2P"}));
    }
    assert_eq!(call.alice_ends_it(), 200, "twice is fine");
    assert_eq!(call.world.asked_of_media(), []);
    let everybody = &mut [&mut call.alice, &mut call.bob, &mut carol];
    call.world.pass_alive(Duration::from_secs(60), everybody);
    assert_eq!(
        call.news(),
        [vec![], vec![]] as [Vec<String>; 2],
        "two stay"
    );
}

#[test]
fn the_stream_is_listed_once_and_as_routed_in_every_phase() {
    let phases = [
        Call::routed(),
        Call::asked(),
        Call::announced(),
        Call::opening().0,
        Call::direct().0,
    ];
    for mut call in phases {
        let streams = call.dump();
        assert_eq!(streams.as_array().map(Vec::len), Some(1));
        assert_eq!(streams[0]["sourceStreamId"], "MANTIS");
    }
    let (mut call, _) = Call::direct();
    let path = call.leg();
    assert_eq!(
        call.world.ask(&mut call.bob, "delete", &path, json!({})).0,
        200
    );
    assert_eq!(call.alice_hears(), [call.source("delete")]);
    assert_eq!(
        call.dump().as_array().map(Vec::len),
        Some(1),
        "on the way back"
    );
}

#[test]
fn a_stream_does_not_move_while_people_come_and_go() {
    let mut call = Call::routed();
    let mut carol = call.world.join_able();
    for _ in 0..5 {
        call.pass(Duration::from_secs(2));
        let (second, _) = call.world.view(&mut carol, call.stream);
        let path = format!("/stream/{}/subscriber/{second}", call.stream);
        assert_eq!(
            call.world.ask(&mut carol, "delete", &path, json!({})).0,
            200
        );
    }
    call.news();
    call.assert_routed_until(SETTLE);
}

#[test]
fn a_viewer_counts_once_it_sees_the_stream() {
    let mut world = World::new(MediaMode::Adaptive);
    let (mut alice, mut bob) = (world.join_able(), world.join_able());
    let (stream, _) = world.publish_routed(&mut alice);
    world.subscribe(&mut bob, stream);
    world.events(&mut alice);
    world.pass(Duration::from_secs(5));
    assert_eq!(world.events(&mut alice), []);
}

#[test]
fn a_stream_stays_where_somebody_could_not_follow() {
    type Case = fn(&mut World) -> Client;
    let able: Case = World::join_able;
    let unable: Case = |world| world.join(Role::Publisher);
    for (publisher, viewer) in [(able, unable), (unable, able)] {
        let mut world = World::new(MediaMode::Adaptive);
        let (mut alice, mut bob) = (publisher(&mut world), viewer(&mut world));
        let (stream, _) = world.publish_routed(&mut alice);
        world.view(&mut bob, stream);
        world.events(&mut alice);
        world.pass_alive(Duration::from_secs(60), &mut [&mut alice, &mut bob]);
        assert_eq!(world.events(&mut alice), []);
    }
    // One's own stream over the network, and routed sessions, whatever clients announce.
    for mode in [MediaMode::Adaptive, MediaMode::Routed] {
        let mut world = World::new(mode);
        let (mut alice, mut bob) = (world.join_able(), world.join_able());
        let (stream, _) = world.publish_routed(&mut alice);
        match mode {
            MediaMode::Adaptive => world.view(&mut alice, stream),
            _ => world.view(&mut bob, stream),
        };
        world.events(&mut alice);
        world.pass_alive(Duration::from_secs(60), &mut [&mut alice, &mut bob]);
        assert_eq!(world.events(&mut alice), []);
    }
}

#[test]
fn a_switch_makes_adaptive_sessions_routed_ones() {
    let mut call = Call::with(AdaptiveConfig {
        enabled: false,
        ..AdaptiveConfig::default()
    });
    call.pass(Duration::from_secs(60));
    assert_eq!(call.news(), [vec![], vec![]] as [Vec<String>; 2]);
    assert_eq!(call.publish_directly(), 409);
    assert_eq!(call.alice_ends_it(), 404);
    assert_eq!(call.bob_ends_it(), 200);
    assert_eq!(call.world.asked_of_media(), [], "nothing has ended");
}

#[test]
fn those_who_do_not_know_direct_legs_hear_nothing_of_them() {
    let mut call = Call::routed();
    let mut old = call.world.join(Role::Publisher);
    call.news();
    call.pass(SETTLE);
    assert_eq!(call.publish_directly(), 200);
    assert_eq!(call.alice_ends_it(), 200);
    assert_eq!(call.world.events(&mut old), []);
}

#[test]
fn a_second_viewer_before_the_publisher_has_moved_ends_the_attempt() {
    let mut call = Call::asked();
    let mut carol = call.world.join_able();
    call.news();
    call.world.view(&mut carol, call.stream);
    assert_eq!(call.publish_directly(), 409);
    assert_eq!(call.news(), [vec![], vec![]] as [Vec<String>; 2]);

    let mut call = Call::announced();
    let mut carol = call.world.join_able();
    call.news();
    call.world.view(&mut carol, call.stream);
    let gone = vec![call.deleted()];
    assert_eq!(call.news(), [gone.clone(), gone]);
    assert_eq!(call.subscribe_directly(), 409);
    assert_eq!(call.bob_ends_it(), 200, "what the client does 6 s later");
    assert_eq!(call.news(), [vec![], vec![]] as [Vec<String>; 2]);

    let (mut call, peer) = Call::opening();
    let mut carol = call.world.join_able();
    call.news();
    call.world.view(&mut carol, call.stream);
    let closed = format!("deleted {}", call.leg());
    let (gone, path) = (call.deleted(), call.leg());
    assert_eq!(call.news(), [vec![closed, gone.clone()], vec![gone]]);
    let late = call
        .world
        .ask(&mut call.bob, "answer", &path, description("answer", &peer));
    assert_eq!(late.0, 409);
    assert_eq!(call.world.asked_of_media(), [] as [Request; 0]);
}

#[test]
fn when_the_viewer_leaves_the_publisher_comes_back() {
    for leaves in [true, false] {
        let (mut call, _) = Call::direct();
        if leaves {
            call.world.disconnect(&mut call.bob, "");
        } else {
            let path = call.leg();
            assert_eq!(
                call.world.ask(&mut call.bob, "delete", &path, json!({})).0,
                200
            );
        }
        let asked = call.world.asked_of_media();
        assert!(matches!(asked[..], [Request::Unsubscribe { .. }]));
        assert!(call.alice_hears().contains(&call.source("delete")));
        assert_eq!(call.alice_ends_it(), 200);
        assert!(call.alice_hears().contains(&call.deleted()));
        // And goes again for the next one, after a pause.
        let mut carol = call.world.join_able();
        call.world.view(&mut carol, call.stream);
        call.news();
        let (alice, wait) = (&mut call.alice, Duration::from_secs(10));
        call.world
            .pass_alive(wait + MOMENT, &mut [alice, &mut carol]);
        assert!(call.alice_hears().contains(&call.source("create")));
    }
}

#[test]
fn when_the_publisher_ends_the_stream_nothing_of_it_is_left() {
    let calls = [
        Call::asked(),
        Call::announced(),
        Call::opening().0,
        Call::direct().0,
    ];
    for (mut call, leaves) in calls.into_iter().zip([true, false].into_iter().cycle()) {
        if leaves {
            call.world.disconnect(&mut call.alice, "");
        } else {
            let path = call.path();
            assert_eq!(
                call.world
                    .ask(&mut call.alice, "delete", &path, json!({}))
                    .0,
                200
            );
        }
        let events = call.world.events(&mut call.bob);
        assert_eq!(events[0].head(), call.deleted());
        assert_eq!(events[0].content, json!({}), "all of it");
        assert!(call.world.hub.agenda.is_empty());
        call.world.pass(Duration::from_secs(7));
        assert!(
            call.world
                .events(&mut call.bob)
                .iter()
                .all(|e| e.uri != call.path())
        );
    }
}

#[test]
fn what_the_viewer_wants_reaches_the_sfu_meanwhile_and_its_offers_do_too() {
    let (mut call, _) = Call::direct();
    let path = format!("{}/channel/video1", call.leg());
    assert_eq!(
        call.world
            .ask(&mut call.bob, "update", &path, json!({"active": false}))
            .0,
        200
    );
    let asked = call.world.asked_of_media();
    assert!(matches!(asked[..], [Request::Update { .. }]));
    let offer = json!({"type": "offer", "sdp": "v=0", "sourceStreamId": "MANTIS"});
    let leg = call.leg();
    assert_eq!(
        call.world
            .ask(&mut call.bob, "offer", &leg, offer.clone())
            .0,
        200
    );
    let path = call.path();
    assert_eq!(
        call.world.ask(&mut call.alice, "offer", &path, offer).0,
        200
    );
    let asked = call.world.asked_of_media();
    assert!(matches!(
        asked[..],
        [
            Request::SubscriberOffer { .. },
            Request::PublisherOffer { .. }
        ]
    ));
}

#[test]
fn changes_of_channels_are_told_once_whichever_way_they_are_about() {
    let (mut call, peer) = Call::direct();
    let path = format!("{}/channel/video1", call.path());
    let content = json!({"active": false, "sourceStreamId": "P2P"});
    for news in [vec![format!("updated {path}")], vec![]] {
        assert_eq!(
            call.world
                .ask(&mut call.alice, "update", &path, content.clone())
                .0,
            200
        );
        let events = call.world.events(&mut call.bob);
        assert_eq!(heads(&events), news);
        assert!(events.iter().all(|e| e.content == json!({"active": false})));
    }
    let content = json!({"active": true});
    assert_eq!(
        call.world.ask(&mut call.alice, "update", &path, content).0,
        200
    );
    call.news();
    // What the publisher says of the direct leg it carries over to the SFU.
    let content = json!({"active": false, "activeReason": "auto", "congestionLevel": 2,
                         "subscriberId": peer});
    assert_eq!(
        call.world.ask(&mut call.alice, "update", &path, content).0,
        200
    );
    let switched = format!("update {}/channel/video1", call.leg());
    assert_eq!(
        call.news()[1],
        [switched.clone(), format!("updated {path}")]
    );
    assert_eq!(call.dump()[0]["channel"][0]["active"], false);
    assert_eq!(call.alice_ends_it(), 200);
    call.news();
    let content = json!({"active": true, "activeReason": "auto", "congestionLevel": 0});
    assert_eq!(
        call.world.ask(&mut call.alice, "update", &path, content).0,
        200
    );
    assert_eq!(call.news()[1], [switched, format!("updated {path}")]);
}
