use serde_json::{Value, json};

use crate::hub::config::HubConfig;
use crate::hub::harness::{World, heads, stream};
use crate::model::role::Role;
use crate::model::session::MediaMode;
use crate::sfu::{CloseReason, Event, Fallback, Leg, Request, Wanted};

#[test]
fn a_routed_stream_is_announced_when_its_leg_is_up() {
    let mut world = World::new(MediaMode::Routed);
    let mut alice = world.join(Role::Publisher);
    let mut bob = world.join(Role::Publisher);
    world.events(&mut alice);
    let id = world.publish(&mut alice);
    let path = format!("/stream/{id}");
    let events = world.events(&mut alice);
    assert_eq!(heads(&events), [format!("generateoffer {path}")]);
    let content = events[0].content.clone();
    assert_eq!(
        (&content["sourceStreamId"], &content["simulcastEnabled"]),
        (&json!("MANTIS"), &json!(true))
    );
    let peer = content["peerId"].clone();
    let candidate = json!({"candidate": "candidate:1", "peerId": peer, "sourceStreamId": "MANTIS"});
    assert_eq!(world.ask(&mut alice, "candidate", &path, candidate).0, 200);
    assert_eq!(world.asked_of_media(), []);
    let offer =
        json!({"type": "offer", "sdp": "v=0 o", "peerId": peer, "sourceStreamId": "MANTIS"});
    assert_eq!(
        world.ask(&mut bob, "offer", &path, offer.clone()).0,
        403,
        "not his"
    );
    assert_eq!(world.ask(&mut alice, "offer", &path, offer).0, 200);
    let requests = world.asked_of_media();
    let [
        Request::PublisherOffer {
            publication,
            ref sdp,
            ref terms,
        },
    ] = requests[..]
    else {
        panic!("{requests:?}")
    };
    assert_eq!(sdp, "v=0 o");
    assert_eq!((&terms.codecs, terms.encrypted), (&None, false));
    let leg = Leg::Publisher(publication);
    world.media_says(Event::Answer {
        leg,
        sdp: "v=0 a".into(),
    });
    let events = world.events(&mut alice);
    assert_eq!(heads(&events), [format!("answer {path}")]);
    let expected =
        json!({"peerId": peer, "sourceStreamId": "MANTIS", "type": "answer", "sdp": "v=0 a"});
    assert_eq!(events[0].content, expected);
    assert!(events[0].from.starts_with("symphony."));
    assert_eq!(world.events(&mut bob), [], "nobody knows of it yet");
    let mut early = world.client();
    let (_, dump) = world.join_as(&mut early, Role::Publisher, json!({}));
    assert_eq!(dump["stream"], json!([]));
    world.events(&mut alice);
    world.events(&mut bob);

    world.media_says(Event::Connected { leg });
    for client in [&mut alice, &mut bob] {
        let events = world.events(client);
        assert_eq!(heads(&events), [format!("created {path}")]);
        assert_eq!(events[0].content["sourceStreamId"], "MANTIS");
    }
    world.media_says(Event::Connected { leg });
    assert_eq!(world.events(&mut bob), [], "announced once");
}

#[test]
fn a_subscriber_gets_its_offer_and_its_wishes_reach_the_sfu() {
    let mut world = World::new(MediaMode::Routed);
    let mut alice = world.join(Role::Publisher);
    let mut bob = world.join(Role::Subscriber);
    let (stream, publication) = world.publish_routed(&mut alice);
    world.asked_of_media();
    world.events(&mut bob);
    let id = world.subscribe(&mut bob, stream);
    let path = format!("/stream/{stream}/subscriber/{id}");
    let requests = world.asked_of_media();
    let [
        Request::Subscribe {
            subscription,
            publication: of,
            wanted,
            shared: false,
            screen: false,
            ..
        },
    ] = requests[..]
    else {
        panic!("{requests:?}")
    };
    assert_eq!(of, publication);
    let expected = Wanted {
        resolution: Some((320, 240)),
        frame_rate: Some(15),
        audio_fallback: true,
        ..Wanted::default()
    };
    assert_eq!(wanted, expected);
    world.media_says(Event::Offer {
        subscription,
        sdp: "v=0 o".into(),
    });
    let events = world.events(&mut bob);
    assert_eq!(heads(&events), [format!("offer {path}")]);
    let peer = events[0].content["peerId"].clone();
    let expected =
        json!({"peerId": peer, "sourceStreamId": "MANTIS", "type": "offer", "sdp": "v=0 o"});
    assert_eq!(events[0].content, expected);
    let answer =
        json!({"type": "answer", "sdp": "v=0 a", "peerId": peer, "sourceStreamId": "MANTIS"});
    assert_eq!(
        world.ask(&mut alice, "answer", &path, answer.clone()).0,
        403,
        "not hers"
    );
    assert_eq!(world.ask(&mut bob, "answer", &path, answer).0, 200);
    let stale = json!({"type": "answer", "sdp": "v=0", "peerId": world.uuid().to_string()});
    assert_eq!(world.ask(&mut bob, "answer", &path, stale).0, 404);
    assert_eq!(
        world.asked_of_media(),
        [Request::SubscriberAnswer {
            subscription,
            sdp: "v=0 a".into()
        }]
    );

    let mut check = |channel: &str, content, wanted: Option<Wanted>| {
        let path = format!("{path}/channel/{channel}");
        assert_eq!(world.ask(&mut bob, "update", &path, content).0, 200);
        let expected: Vec<_> = wanted
            .map(|wanted| Request::Update {
                subscription,
                wanted,
            })
            .into_iter()
            .collect();
        assert_eq!(world.asked_of_media(), expected);
    };
    let mut wanted = wanted;
    check("audio1", json!({"active": true}), None);
    wanted.audio = false;
    check("audio1", json!({"active": false}), Some(wanted));
    wanted.resolution = None;
    check(
        "video1",
        json!({"preferredWidth": 0, "preferredHeight": 0}),
        Some(wanted),
    );
    wanted.restrict_frame_rate = true;
    check("video1", json!({"restrictFrameRate": true}), Some(wanted));
    // The client did as it was told, which is not a wish (13.8).
    check(
        "video1",
        json!({"active": false, "activeReason": "auto"}),
        None,
    );
    wanted.video = false;
    check("video1", json!({"active": false}), Some(wanted));
    check("caption1", json!({"active": true}), None);

    assert_eq!(world.ask(&mut bob, "delete", &path, json!({})).0, 200);
    assert_eq!(
        world.asked_of_media(),
        [Request::Unsubscribe { subscription }]
    );
    world.media_says(Event::Offer {
        subscription,
        sdp: "too late".into(),
    });
    assert_eq!(world.events(&mut bob), []);
    assert_eq!(
        world
            .events(&mut alice)
            .iter()
            .filter(|e| e.method == "deleted")
            .count(),
        0
    );
}

#[test]
fn a_subscription_waits_for_the_publisher_s_leg() {
    let mut world = World::new(MediaMode::Routed);
    let mut alice = world.join(Role::Publisher);
    let mut bob = world.join(Role::Publisher);
    let stream = world.publish(&mut alice);
    let offer = json!({"type": "offer", "sdp": "v=0"});
    world.ask(&mut alice, "offer", &format!("/stream/{stream}"), offer);
    let Some(Request::PublisherOffer { publication, .. }) = world.asked_of_media().pop() else {
        panic!("no offer")
    };
    world.subscribe(&mut bob, stream);
    assert_eq!(world.asked_of_media(), []);
    world.media_says(Event::Connected {
        leg: Leg::Publisher(publication),
    });
    assert!(matches!(
        world.asked_of_media()[..],
        [Request::Subscribe { .. }]
    ));
}

#[test]
fn both_clients_may_restart_ice_with_an_offer_of_their_own() {
    let mut world = World::new(MediaMode::Routed);
    let mut alice = world.join(Role::Publisher);
    let mut bob = world.join(Role::Publisher);
    let (stream, publication) = world.publish_routed(&mut alice);
    let id = world.subscribe(&mut bob, stream);
    let Some(Request::Subscribe { subscription, .. }) = world.asked_of_media().pop() else {
        panic!("no subscription")
    };
    world.events(&mut alice);
    world.events(&mut bob);
    let offer = json!({"type": "offer", "sdp": "v=0 restart"});
    let (publisher, subscriber) = (
        format!("/stream/{stream}"),
        format!("/stream/{stream}/subscriber/{id}"),
    );
    assert_eq!(
        world.ask(&mut alice, "offer", &publisher, offer.clone()).0,
        200
    );
    assert_eq!(world.ask(&mut bob, "offer", &subscriber, offer).0, 200);
    let sdp = String::from("v=0 restart");
    let asked = world.asked_of_media();
    assert!(
        matches!(&asked[0], Request::PublisherOffer { publication: of, sdp: offered, .. }
            if (*of, offered) == (publication, &sdp)),
        "{asked:?}"
    );
    assert_eq!(asked[1..], [Request::SubscriberOffer { subscription, sdp }]);
    let leg = Leg::Subscriber(subscription);
    world.media_says(Event::Answer {
        leg,
        sdp: "v=0 answer".into(),
    });
    let events = world.events(&mut bob);
    assert_eq!(heads(&events), [format!("answer {subscriber}")]);
    assert_eq!(events[0].content["sourceStreamId"], "MANTIS");
}

#[test]
fn a_lost_publisher_leg_ends_the_stream_and_a_lost_subscriber_leg_the_subscription() {
    let mut world = World::new(MediaMode::Routed);
    let mut alice = world.join(Role::Publisher);
    let mut bob = world.join(Role::Publisher);
    let (stream, publication) = world.publish_routed(&mut alice);
    let id = world.subscribe(&mut bob, stream);
    let Some(Request::Subscribe { subscription, .. }) = world.asked_of_media().pop() else {
        panic!("no subscription")
    };
    world.events(&mut alice);
    world.events(&mut bob);
    let reason = CloseReason::ConsentExpired;
    world.media_says(Event::Closed {
        leg: Leg::Subscriber(subscription),
        reason,
    });
    assert_eq!(
        heads(&world.events(&mut bob)),
        [format!("deleted /stream/{stream}/subscriber/{id}")]
    );
    world.subscribe(&mut bob, stream);
    assert!(matches!(
        world.asked_of_media()[..],
        [Request::Subscribe { .. }]
    ));
    world.media_says(Event::Closed {
        leg: Leg::Publisher(publication),
        reason,
    });
    for client in [&mut alice, &mut bob] {
        let events = world.events(client);
        assert_eq!(heads(&events), [format!("deleted /stream/{stream}")]);
        assert_eq!(events[0].reason.as_deref(), Some("mediaStopped"));
    }
    assert_eq!(world.asked_of_media(), [], "the SFU knows");
}

#[test]
fn media_that_ends_while_its_owner_is_away_was_lost_to_the_network() {
    let mut world = World::new(MediaMode::Routed);
    let mut alice = world.join(Role::Publisher);
    let mut bob = world.join(Role::Publisher);
    let (stream, publication) = world.publish_routed(&mut alice);
    world.events(&mut bob);
    world.cut(&alice);
    // What a client does that has given up resuming.
    world.media_says(Event::Closed {
        leg: Leg::Publisher(publication),
        reason: CloseReason::PeerClosed,
    });
    let events = world.events(&mut bob);
    assert_eq!(heads(&events), [format!("deleted /stream/{stream}")]);
    assert_eq!(events[0].reason.as_deref(), Some("networkDisconnected"));
}

#[test]
fn a_leg_that_never_came_up_concerns_its_publisher_only() {
    let mut world = World::new(MediaMode::Routed);
    let mut alice = world.join(Role::Publisher);
    let mut bob = world.join(Role::Publisher);
    let id = world.publish(&mut alice);
    let offer = json!({"type": "offer", "sdp": "garbage"});
    world.ask(&mut alice, "offer", &format!("/stream/{id}"), offer);
    let Some(Request::PublisherOffer { publication, .. }) = world.asked_of_media().pop() else {
        panic!("no offer")
    };
    world.events(&mut alice);
    world.events(&mut bob);
    let (leg, reason) = (Leg::Publisher(publication), CloseReason::MalformedSdp);
    world.media_says(Event::Closed { leg, reason });
    assert_eq!(
        heads(&world.events(&mut alice)),
        [format!("deleted /stream/{id}")]
    );
    assert_eq!(world.events(&mut bob), []);
    assert_eq!(
        world
            .ask(&mut alice, "create", &format!("/stream/{id}"), stream(id))
            .0,
        200
    );
}

#[test]
fn a_leaver_takes_its_media_with_it() {
    let mut world = World::new(MediaMode::Routed);
    let mut alice = world.join(Role::Publisher);
    let mut bob = world.join(Role::Publisher);
    let (hers, publication) = world.publish_routed(&mut alice);
    let (his, _) = world.publish_routed(&mut bob);
    world.subscribe(&mut bob, hers);
    world.subscribe(&mut alice, his);
    let requests = world.asked_of_media();
    let Some(Request::Subscribe { subscription, .. }) = requests.last() else {
        panic!()
    };
    world.disconnect(&mut alice, "");
    let expected = [
        Request::Unsubscribe {
            subscription: *subscription,
        },
        Request::Unpublish { publication },
    ];
    assert_eq!(world.asked_of_media(), expected);
}

#[test]
fn publishers_fall_back_to_audio_as_documented() {
    let mut world = World::new(MediaMode::Routed);
    let mut alice = world.join(Role::Publisher);
    let mut bob = world.join(Role::Publisher);
    let (stream, _) = world.publish_routed(&mut alice);
    let id = world.subscribe(&mut bob, stream);
    world.events(&mut bob);
    let wire = format!("/stream/{stream}/channel/video1");
    let own = format!("/stream/{stream}/subscriber/{id}/channel/video1");
    let mut check = |active: bool, level: u32, expected: &[(&str, &str, serde_json::Value)]| {
        let content = json!({"active": active, "activeReason": "auto", "congestionLevel": level});
        assert_eq!(world.ask(&mut alice, "update", &wire, content).0, 200);
        let seen: Vec<_> = world
            .events(&mut bob)
            .into_iter()
            .map(|e| (e.head(), e.content))
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(method, uri, content)| (format!("{method} {uri}"), content.clone()))
            .collect();
        assert_eq!(seen, expected);
    };
    let warning = |on: bool| ("updated", own.as_str(), json!({"disableWarning": on}));
    let switch = |on: bool| ("update", own.as_str(), json!({"active": on}));
    let stream_is = |on: bool| ("updated", wire.as_str(), json!({"active": on}));
    check(true, 1, &[warning(true)]);
    check(true, 1, &[]);
    check(true, 0, &[warning(false)]);
    check(true, 1, &[warning(true)]);
    check(false, 2, &[warning(false), switch(false), stream_is(false)]);
    check(true, 0, &[switch(true), stream_is(true)]);
}

#[test]
fn the_sfu_is_told_which_codecs_a_session_may_use() {
    let config = HubConfig {
        video_codecs: "vp8".parse().ok(),
        ..HubConfig::default()
    };
    for (own, expected) in [(None, "vp8"), (Some("h264,vp9"), "h264,vp9")] {
        let mut world = World::with(MediaMode::Routed, config.clone());
        world.session.video_codecs = own.map(|own| own.parse().unwrap());
        let mut alice = world.join(Role::Publisher);
        let stream = world.publish(&mut alice);
        let offer = json!({"type": "offer", "sdp": "v=0"});
        let path = format!("/stream/{stream}");
        assert_eq!(world.ask(&mut alice, "offer", &path, offer).0, 200);
        let requests = world.asked_of_media();
        let [Request::PublisherOffer { ref terms, .. }] = requests[..] else {
            panic!("{requests:?}")
        };
        assert_eq!(terms.codecs, expected.parse().ok());
        assert!(!terms.encrypted);
    }
}

#[test]
fn a_subscriber_whose_network_is_bad_is_warned_then_told_to_stop_video_and_later_to_show_it() {
    let mut world = World::new(MediaMode::Routed);
    let (mut alice, mut bob) = (world.join(Role::Publisher), world.join(Role::Publisher));
    let mut carol = world.join(Role::Publisher);
    let (stream, _) = world.publish_routed(&mut alice);
    world.subscribe(&mut carol, stream);
    world.asked_of_media();
    let id = world.subscribe(&mut bob, stream);
    let Some(Request::Subscribe { subscription, .. }) = world.asked_of_media().pop() else {
        panic!("the SFU was not asked");
    };
    let path = format!("/stream/{stream}/subscriber/{id}/channel/video1");
    let mut clients = [&mut alice, &mut bob, &mut carol];
    clients
        .iter_mut()
        .for_each(|client| drop(world.events(client)));
    let [alice, bob, carol] = clients;
    let mut hears = |state, expected: &[(&str, Value)]| {
        world.media_says(Event::Fallback {
            subscription,
            state,
        });
        let events = world.events(bob);
        let heard: Vec<_> = events
            .iter()
            .map(|e| (e.head(), e.content.clone()))
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(method, content)| (format!("{method} {path}"), content.clone()))
            .collect();
        assert_eq!(heard, expected);
    };
    hears(
        Fallback::Warned,
        &[("updated", json!({"disableWarning": true}))],
    );
    hears(
        Fallback::Good,
        &[("updated", json!({"disableWarning": false}))],
    );
    hears(
        Fallback::Warned,
        &[("updated", json!({"disableWarning": true}))],
    );
    hears(
        Fallback::AudioOnly,
        &[
            ("updated", json!({"disableWarning": false})),
            ("update", json!({"active": false})),
        ],
    );
    hears(Fallback::AudioOnly, &[]);
    hears(Fallback::Good, &[("update", json!({"active": true}))]);
    hears(Fallback::AudioOnly, &[("update", json!({"active": false}))]);
    // The client does as it is told, which is not what it wants.
    let content = json!({"active": false, "activeReason": "auto"});
    assert_eq!(world.ask(bob, "update", &path, content).0, 200);
    assert_eq!(world.asked_of_media(), []);
    // An application that insists is told again.
    assert_eq!(
        world.ask(bob, "update", &path, json!({"active": true})).0,
        200
    );
    assert_eq!(heads(&world.events(bob)), [format!("update {path}")]);
    assert_eq!(world.events(alice), []);
    assert_eq!(world.events(carol), []);
}

#[test]
fn video_is_back_when_both_networks_are_good_again() {
    let mut world = World::new(MediaMode::Routed);
    let (mut alice, mut bob) = (world.join(Role::Publisher), world.join(Role::Publisher));
    let (stream, _) = world.publish_routed(&mut alice);
    world.asked_of_media();
    world.subscribe(&mut bob, stream);
    let Some(Request::Subscribe { subscription, .. }) = world.asked_of_media().pop() else {
        panic!("the SFU was not asked");
    };
    let says = |state| Event::Fallback {
        subscription,
        state,
    };
    world.media_says(says(Fallback::AudioOnly));
    let path = format!("/stream/{stream}/channel/video1");
    for (level, active) in [(2, false), (0, true)] {
        let content = json!({"active": active, "activeReason": "auto", "congestionLevel": level});
        assert_eq!(world.ask(&mut alice, "update", &path, content).0, 200);
    }
    let switches = |events: Vec<super::super::harness::Event>| {
        let own = events
            .into_iter()
            .filter(|e| e.uri.contains("/subscriber/"));
        own.map(|e| e.content["active"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        switches(world.events(&mut bob)),
        [json!(null), json!(false)][1..]
    );
    world.media_says(says(Fallback::Good));
    assert_eq!(switches(world.events(&mut bob)), [json!(true)]);
}

#[test]
fn a_publisher_is_asked_for_an_offer_again_when_other_layers_are_of_use() {
    let mut world = World::new(MediaMode::Routed);
    let mut alice = world.join(Role::Publisher);
    world.events(&mut alice);
    let stream = world.publish(&mut alice);
    let path = format!("/stream/{stream}");
    let offer = json!({"type": "offer", "sdp": "v=0"});
    let first = world.events(&mut alice);
    assert_eq!(world.ask(&mut alice, "offer", &path, offer).0, 200);
    let Some(Request::PublisherOffer { publication, .. }) = world.asked_of_media().pop() else {
        panic!("no offer");
    };
    world.media_says(Event::Renegotiate { publication });
    let again = world.events(&mut alice);
    assert_eq!(heads(&again), [format!("generateoffer {path}")]);
    assert_eq!(again[0].content, first[0].content);
    let publication = crate::sfu::PublicationId(u64::MAX);
    world.media_says(Event::Renegotiate { publication });
    assert_eq!(heads(&world.events(&mut alice)), [""; 0]);
}
