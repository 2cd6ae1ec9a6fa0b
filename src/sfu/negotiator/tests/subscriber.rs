//! A subscriber's answers, and its end.

use super::*;

#[test]
fn a_subscriber_is_offered_what_the_publication_has() {
    let mut sfu = Sfu::new();
    sfu.publish(OFFER);
    let text = sfu.subscribe();
    insta::assert_snapshot!("subscriber_offer", text);
    let offer = SessionDescription::parse(&text).unwrap();
    let ssrcs: Vec<_> = offer.sections.iter().flat_map(|s| &s.ssrcs).collect();
    assert_eq!(ssrcs.len(), 3);
    let mut pts: Vec<_> = offer
        .sections
        .iter()
        .flat_map(|s| &s.formats)
        .map(|f| f.pt)
        .collect();
    pts.sort_unstable();
    pts.dedup();
    assert_eq!(pts.len(), 22, "no number has two meanings");
}

#[test]
fn an_answer_starts_the_subscription_with_what_it_kept() {
    let mut sfu = Sfu::new();
    sfu.publish(OFFER);
    let offer = sfu.subscribe();
    sfu.commands();
    sfu.ask_update(false);
    assert!(sfu.commands().is_empty(), "the engine does not know it yet");
    sfu.answer(&answer_to(&offer, |name| {
        ["opus", "VP8", "rtx"].contains(&name)
    }));
    let config = sfu.subscribed();
    assert_eq!(config.publication, PUBLICATION);
    assert!(!config.wanted.video);
    assert_eq!(config.transport.ice.remote_ufrag.as_deref(), Some("JK+F"));
    let [audio, video] = config.tracks.as_slice() else {
        panic!("two tracks");
    };
    let maps: Vec<_> = audio
        .payload_types
        .iter()
        .chain(&video.payload_types)
        .collect();
    let [opus, vp8] = maps.as_slice() else {
        panic!("two codecs: {maps:?}");
    };
    assert_eq!(
        (opus.inbound, opus.outbound, opus.outbound_rtx),
        (111, 96, None)
    );
    assert_eq!(
        (vp8.inbound, vp8.outbound, vp8.outbound_rtx),
        (96, 98, Some(99))
    );
    assert!(video.rtx_ssrc.is_some() && audio.rtx_ssrc.is_none());
    assert_eq!(video.extensions.transport_cc, Some(3));
}

#[test]
fn what_an_answer_refuses_is_not_sent() {
    let mut sfu = Sfu::new();
    sfu.publish(OFFER);
    let offer = sfu.subscribe();
    sfu.commands();
    sfu.answer(&answer_to(&offer, |name| name == "opus"));
    let config = sfu.subscribed();
    assert_eq!(config.tracks.len(), 1);
    assert_eq!(config.tracks[0].kind, MediaKind::Audio);
}

#[test]
fn an_answer_without_retransmissions_leaves_their_ssrc_out() {
    let mut sfu = Sfu::new();
    sfu.publish(OFFER);
    let offer = sfu.subscribe();
    sfu.commands();
    sfu.answer(&answer_to(&offer, |name| name == "VP8"));
    let config = sfu.subscribed();
    assert_eq!(config.tracks[0].rtx_ssrc, None);
    assert_eq!(config.tracks[0].payload_types[0].outbound_rtx, None);
}

#[test]
fn an_answer_that_keeps_nothing_closes_the_subscription() {
    for answer in [
        ANSWER.replace("a=mid:", "a=mid:x"),
        ANSWER.replace("a=recvonly", "a=inactive"),
    ] {
        let mut sfu = Sfu::new();
        sfu.publish(OFFER);
        sfu.subscribe();
        sfu.commands();
        sfu.answer(&answer);
        assert_eq!(sfu.closed(SUBSCRIBER), CloseReason::NothingInCommon);
        assert!(matches!(sfu.commands()[..], [Command::Remove(SUBSCRIBER)]));
    }
}

#[test]
fn an_answer_that_waits_for_our_handshake_closes_the_subscription() {
    let mut sfu = Sfu::new();
    sfu.publish(OFFER);
    let offer = sfu.subscribe();
    sfu.answer(&answer_to(&offer, |_| true).replace("setup:active", "setup:passive"));
    assert_eq!(sfu.closed(SUBSCRIBER), CloseReason::NothingInCommon);
}

#[test]
fn a_second_answer_and_one_for_nobody_are_ignored() {
    let (mut sfu, offer) = Sfu::subscribed_to(OFFER);
    sfu.answer(&answer_to(&offer, |_| true));
    sfu.0.handle_request(Request::SubscriberAnswer {
        subscription: SubscriptionId(9),
        sdp: offer,
    });
    assert!(sfu.commands().is_empty());
    assert_eq!(sfu.0.poll_event(), None);
}

#[test]
fn subscribing_to_nothing_or_offering_too_early_is_refused() {
    let mut sfu = Sfu::new();
    sfu.ask_subscribe();
    assert_eq!(sfu.closed(SUBSCRIBER), CloseReason::Unknown);
    sfu.ask_subscriber_offer(SUBSCRIBER_OFFER);
    assert_eq!(sfu.closed(SUBSCRIBER), CloseReason::Unknown);
    sfu.publish(OFFER);
    sfu.subscribe();
    sfu.ask_subscriber_offer(SUBSCRIBER_OFFER);
    assert_eq!(sfu.closed(SUBSCRIBER), CloseReason::Unknown);
}

#[test]
fn a_subscription_is_updated_and_ended() {
    let (mut sfu, _) = Sfu::subscribed_to(OFFER);
    sfu.ask_update(false);
    assert!(matches!(
        sfu.commands()[..],
        [Command::Update {
            wanted: Wanted { video: false, .. },
            ..
        }]
    ));
    sfu.0.handle_request(Request::Unsubscribe {
        subscription: SUBSCRIPTION,
    });
    assert!(matches!(sfu.commands()[..], [Command::Remove(SUBSCRIBER)]));
    sfu.0.handle_request(Request::Unsubscribe {
        subscription: SUBSCRIPTION,
    });
    sfu.ask_update(true);
    assert!(sfu.commands().is_empty());
    assert_eq!(sfu.0.poll_event(), None);
}

#[test]
fn a_publication_takes_its_subscriptions_along() {
    let (mut sfu, _) = Sfu::subscribed_to(OFFER);
    sfu.0.handle_request(Request::Unpublish {
        publication: PUBLICATION,
    });
    assert!(matches!(sfu.commands()[..], [Command::Remove(PUBLISHER)]));
    assert!(!sfu.0.knows(SUBSCRIBER));
    assert_eq!(sfu.0.poll_event(), None);
}

#[test]
fn the_engines_news_reach_the_hub_once() {
    let (mut sfu, _) = Sfu::subscribed_to(OFFER);
    let reason = CloseReason::ConsentExpired;
    sfu.tell(EngineEvent::Connected(SUBSCRIBER));
    assert_eq!(
        sfu.0.poll_event(),
        Some(Event::Connected { leg: SUBSCRIBER })
    );
    sfu.tell(EngineEvent::Closed(PUBLISHER, reason));
    assert_eq!(sfu.closed(PUBLISHER), reason);
    sfu.tell(EngineEvent::Closed(SUBSCRIBER, reason));
    sfu.tell(EngineEvent::Connected(PUBLISHER));
    assert_eq!(sfu.0.poll_event(), None);
    assert!(
        sfu.commands().is_empty(),
        "the engine has forgotten it already"
    );
}

#[test]
fn the_engine_knows_of_an_offer_before_its_answer_and_of_its_end() {
    let offer = |sfu: &mut Sfu| {
        sfu.publish(OFFER);
        sfu.commands();
        SessionDescription::parse(&sfu.subscribe()).unwrap()
    };
    let mut sfu = Sfu::new();
    let offered = offer(&mut sfu);
    let commands = sfu.commands();
    let [Command::Offer { leg, ice }] = commands.as_slice() else {
        panic!("an offer: {commands:?}");
    };
    let head = &offered.sections[0];
    assert_eq!((*leg, &ice.remote_ufrag), (SUBSCRIBER, &None));
    assert_eq!(
        (&ice.local_ufrag, &ice.local_pwd),
        (&head.ice_ufrag, &head.ice_pwd)
    );
    sfu.0.handle_request(Request::Unsubscribe {
        subscription: SUBSCRIPTION,
    });
    assert!(matches!(sfu.commands()[..], [Command::Remove(SUBSCRIBER)]));

    offer(&mut sfu);
    sfu.commands();
    sfu.0.handle_request(Request::Unpublish {
        publication: PUBLICATION,
    });
    let commands = sfu.commands();
    assert!(matches!(
        commands[..],
        [Command::Remove(SUBSCRIBER), Command::Remove(PUBLISHER)]
    ));
}
