//! All of a client's subscriptions on one peer connection.

use super::*;
use crate::sfu::command::OutboundTrackConfig;

const CLIENT: ClientId = ClientId(7);
const OTHER: PublicationId = PublicationId(11);
const ANA: SubscriptionId = SubscriptionId(21);
const BEN: SubscriptionId = SubscriptionId(22);
const CLEO: SubscriptionId = SubscriptionId(23);

/// Two publications, and nobody subscribed.
fn sfu() -> Sfu {
    let mut sfu = Sfu::new();
    sfu.publish(OFFER);
    publish_other(&mut sfu, OFFER);
    sfu.commands();
    sfu
}

fn publish_other(sfu: &mut Sfu, sdp: &str) {
    let (sdp, publication) = (sdp.to_owned(), OTHER);
    sfu.0.handle_request(Request::PublisherOffer {
        publication,
        sdp,
        terms: Terms::default(),
    });
    let leg = Leg::Publisher(OTHER);
    let answered = sfu.0.poll_event();
    assert!(matches!(answered, Some(Event::Answer { leg: to, .. }) if to == leg));
}

fn subscribe(sfu: &mut Sfu, subscription: SubscriptionId, publication: PublicationId) {
    sfu.0.handle_request(Request::Subscribe {
        subscription,
        client: CLIENT,
        shared: true,
        publication,
        screen: false,
        wanted: Wanted::default(),
    });
}

fn unsubscribe(sfu: &mut Sfu, subscription: SubscriptionId) {
    let request = Request::Unsubscribe { subscription };
    sfu.0.handle_request(request);
}

/// The offer that is out next.
fn offered(sfu: &mut Sfu, expected: SubscriptionId) -> SessionDescription {
    match sfu.0.poll_event() {
        Some(Event::Offer { subscription, sdp }) if subscription == expected => {
            SessionDescription::parse(&sdp).unwrap()
        }
        other => panic!("an offer, not {other:?}"),
    }
}

fn answer(sfu: &mut Sfu, subscription: SubscriptionId, offer: &SessionDescription) {
    let sdp = answer_to(&offer.to_string(), |_| true);
    let request = Request::SubscriberAnswer { subscription, sdp };
    sfu.0.handle_request(request);
}

fn mids(sdp: &SessionDescription) -> Vec<&str> {
    sdp.sections.iter().map(|s| s.mid.as_str()).collect()
}

/// Subscribes and answers.
fn join(sfu: &mut Sfu, id: SubscriptionId, publication: PublicationId) -> SubscriptionConfig {
    subscribe(sfu, id, publication);
    let offer = offered(sfu, id);
    answer(sfu, id, &offer);
    sfu.subscribed()
}

fn numbers(track: &OutboundTrackConfig) -> Vec<u8> {
    track.payload_types.iter().map(|map| map.outbound).collect()
}

#[test]
fn later_offers_have_only_what_is_new_and_name_everything() {
    let mut sfu = sfu();
    subscribe(&mut sfu, ANA, PUBLICATION);
    let first = offered(&mut sfu, ANA);
    assert_eq!(mids(&first), ["0a", "1v"]);
    assert_eq!(first.bundle, ["0a", "1v"]);
    answer(&mut sfu, ANA, &first);
    let ana = sfu.subscribed();
    assert!(ana.shared && ana.client == CLIENT);
    subscribe(&mut sfu, BEN, OTHER);
    let second = offered(&mut sfu, BEN);
    assert_eq!(mids(&second), ["2a", "3v"]);
    assert_eq!(second.bundle, ["0a", "1v", "2a", "3v"]);
    assert_eq!((first.id, first.version + 1), (second.id, second.version));
    assert_eq!(first.sections[0].ice_ufrag, second.sections[0].ice_ufrag);
    answer(&mut sfu, BEN, &second);
    let ben = sfu.subscribed();
    assert_eq!(ana.transport.ice, ben.transport.ice);
    // One number has one meaning, one SSRC one sender.
    for (ana, ben) in ana.tracks.iter().zip(&ben.tracks) {
        assert_eq!(numbers(ana), numbers(ben));
        assert_ne!(ana.ssrc, ben.ssrc);
    }
}

#[test]
fn the_transport_stands_above_the_sections_too() {
    let mut sfu = sfu();
    subscribe(&mut sfu, ANA, PUBLICATION);
    let Some(Event::Offer { sdp, .. }) = sfu.0.poll_event() else {
        panic!("an offer");
    };
    let (head, _) = sdp.split_once("m=").unwrap();
    for line in ["a=candidate:1 1 udp ", "a=ice-ufrag:", "a=ice-pwd:"] {
        assert_eq!(head.matches(line).count(), 1, "{line}");
    }
}

#[test]
fn one_offer_is_out_at_a_time() {
    let mut sfu = sfu();
    subscribe(&mut sfu, ANA, PUBLICATION);
    let first = offered(&mut sfu, ANA);
    let commands = sfu.commands();
    assert!(matches!(
        commands[..],
        [Command::Offer {
            leg: Leg::Shared(CLIENT),
            ..
        }]
    ));
    subscribe(&mut sfu, BEN, OTHER);
    subscribe(&mut sfu, CLEO, OTHER);
    assert_eq!(sfu.0.poll_event(), None);
    // An answer for somebody else is none.
    answer(&mut sfu, BEN, &first);
    assert!(sfu.commands().is_empty());
    answer(&mut sfu, ANA, &first);
    let second = offered(&mut sfu, BEN);
    assert_eq!(sfu.0.poll_event(), None);
    // Who gives up makes room.
    unsubscribe(&mut sfu, BEN);
    let third = offered(&mut sfu, CLEO);
    assert_eq!(mids(&second), ["2a", "3v"]);
    assert_eq!(mids(&third), ["4a", "5v"]);
    assert_eq!(third.bundle, ["0a", "1v", "4a", "5v"]);
}

#[test]
fn what_ends_is_never_offered_again_and_the_last_one_ends_the_peer_connection() {
    let mut sfu = sfu();
    join(&mut sfu, ANA, PUBLICATION);
    join(&mut sfu, BEN, OTHER);
    unsubscribe(&mut sfu, ANA);
    assert!(matches!(
        sfu.commands()[..],
        [Command::Remove(Leg::Subscriber(ANA))]
    ));
    subscribe(&mut sfu, CLEO, PUBLICATION);
    let offer = offered(&mut sfu, CLEO);
    assert_eq!(mids(&offer), ["4a", "5v"]);
    assert_eq!(offer.bundle, ["2a", "3v", "4a", "5v"]);
    answer(&mut sfu, CLEO, &offer);
    sfu.commands();
    unsubscribe(&mut sfu, BEN);
    sfu.commands();
    unsubscribe(&mut sfu, CLEO);
    assert!(matches!(
        sfu.commands()[..],
        [
            Command::Remove(Leg::Shared(CLIENT)),
            Command::Remove(Leg::Subscriber(CLEO))
        ]
    ));
    let begun = join(&mut sfu, SubscriptionId(24), OTHER);
    assert_eq!(begun.tracks[0].mid, "0a", "with a new peer connection");
    assert_eq!(sfu.0.poll_event(), None);
}

#[test]
fn a_publication_takes_its_subscriptions_along_and_no_others() {
    let mut sfu = sfu();
    join(&mut sfu, ANA, PUBLICATION);
    join(&mut sfu, BEN, OTHER);
    let publication = PUBLICATION;
    sfu.0.handle_request(Request::Unpublish { publication });
    assert!(matches!(sfu.commands()[..], [Command::Remove(PUBLISHER)]));
    assert!(!sfu.0.knows(Leg::Subscriber(ANA)) && sfu.0.knows(Leg::Subscriber(BEN)));
    let closed = EngineEvent::Closed(Leg::Publisher(OTHER), CloseReason::PeerClosed);
    sfu.tell(closed);
    assert!(matches!(
        sfu.commands()[..],
        [Command::Remove(Leg::Shared(CLIENT))]
    ));
}

#[test]
fn a_track_that_is_added_gets_a_section_of_its_own_and_one_that_ends_none() {
    let mut sfu = Sfu::new();
    sfu.publish(&with_video_direction(OFFER, "inactive"));
    publish_other(&mut sfu, OFFER);
    sfu.commands();
    let before = join(&mut sfu, ANA, PUBLICATION);
    join(&mut sfu, BEN, OTHER);
    sfu.publish(OFFER);
    let offer = offered(&mut sfu, ANA);
    assert_eq!(mids(&offer), ["3v"]);
    assert_eq!(offer.bundle, ["0a", "3v", "1a", "2v"]);
    sfu.commands();
    answer(&mut sfu, ANA, &offer);
    let after = sfu.subscribed();
    assert_eq!((before.tracks.len(), after.tracks.len()), (1, 2));
    for direction in ["inactive", "sendrecv"] {
        sfu.publish(&with_video_direction(OFFER, direction));
        assert_eq!(sfu.0.poll_event(), None, "nobody is asked");
    }
}

#[test]
fn codecs_that_a_section_cannot_carry_get_another_one() {
    let only = |codecs: &str| codecs.parse().ok();
    let mut sfu = Sfu::new();
    sfu.ask_publish_in(OFFER, only("h264"));
    sfu.0.poll_event();
    sfu.commands();
    let before = join(&mut sfu, ANA, PUBLICATION);
    sfu.ask_publish_in(OFFER, only("vp8"));
    sfu.0.poll_event();
    let offer = offered(&mut sfu, ANA);
    assert_eq!(mids(&offer), ["2v"]);
    sfu.commands();
    answer(&mut sfu, ANA, &offer);
    let after = sfu.subscribed();
    let video = |config: &SubscriptionConfig| config.tracks[1].clone();
    assert_eq!(after.tracks.len(), 2);
    assert_ne!(video(&before).ssrc, video(&after).ssrc);
    assert_eq!(video(&after).mid, "2v");
}

#[test]
fn what_a_client_refuses_closes_that_subscription_alone() {
    let mut sfu = sfu();
    join(&mut sfu, ANA, PUBLICATION);
    subscribe(&mut sfu, BEN, OTHER);
    let offer = offered(&mut sfu, BEN);
    subscribe(&mut sfu, CLEO, OTHER);
    let sdp = answer_to(&offer.to_string(), |name| name == "rtx");
    sfu.0.handle_request(Request::SubscriberAnswer {
        subscription: BEN,
        sdp,
    });
    let mut events: Vec<_> = std::iter::from_fn(|| sfu.0.poll_event()).collect();
    events.retain(|event| {
        !matches!(
            event,
            Event::Offer {
                subscription: CLEO,
                ..
            }
        )
    });
    let (leg, reason) = (Leg::Subscriber(BEN), CloseReason::NothingInCommon);
    assert_eq!(events, [Event::Closed { leg, reason }]);
    assert!(sfu.0.knows(Leg::Subscriber(ANA)) && sfu.0.knows(Leg::Subscriber(CLEO)));
}

#[test]
fn a_restart_by_whatever_section_carries_the_transport_is_answered() {
    let mut sfu = sfu();
    subscribe(&mut sfu, ANA, PUBLICATION);
    let first = offered(&mut sfu, ANA);
    answer(&mut sfu, ANA, &first);
    join(&mut sfu, BEN, OTHER);
    unsubscribe(&mut sfu, ANA);
    sfu.commands();
    // The client offers the first section, which it keeps, inactive, for its transport.
    let mut head = SessionDescription::parse(&answer_to(&first.to_string(), |_| true)).unwrap();
    head.sections.truncate(1);
    head.sections[0].direction = Direction::Inactive;
    head.sections[0].setup = Some(Setup::ActPass);
    let sdp = head.to_string().replace("JK+F", "b2bQ");
    sfu.0.handle_request(Request::SubscriberOffer {
        subscription: BEN,
        sdp,
    });
    let Some(Event::Answer { leg, sdp }) = sfu.0.poll_event() else {
        panic!("an answer");
    };
    assert_eq!(leg, Leg::Subscriber(BEN));
    let answered = SessionDescription::parse(&sdp).unwrap();
    assert_eq!(mids(&answered), ["0a"]);
    assert_eq!(answered.bundle, ["2a", "3v"]);
    assert_ne!(answered.sections[0].ice_ufrag, first.sections[0].ice_ufrag);
    let commands = sfu.commands();
    let [Command::RestartIce { leg, ice }] = commands.as_slice() else {
        panic!("a restart: {commands:?}");
    };
    assert_eq!(
        (*leg, ice.remote_ufrag.as_deref()),
        (Leg::Shared(CLIENT), Some("b2bQ"))
    );
}

#[test]
fn what_happens_to_the_peer_connection_happens_to_all_subscriptions() {
    let mut sfu = sfu();
    join(&mut sfu, ANA, PUBLICATION);
    let up = EngineEvent::Connected(Leg::Shared(CLIENT));
    sfu.tell(up);
    let connected = |id| Event::Connected {
        leg: Leg::Subscriber(id),
    };
    assert_eq!(sfu.0.poll_event(), Some(connected(ANA)));
    join(&mut sfu, BEN, OTHER);
    assert_eq!(sfu.0.poll_event(), Some(connected(BEN)));
    let reason = CloseReason::ConsentExpired;
    let over = EngineEvent::Closed(Leg::Shared(CLIENT), reason);
    sfu.tell(over);
    for id in [ANA, BEN] {
        assert_eq!(sfu.closed(Leg::Subscriber(id)), reason);
    }
    assert_eq!(sfu.0.poll_event(), None);
    assert!(sfu.commands().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever happens in whatever order: one offer is out at most, each subscription gets its
    /// answer, and no section is offered twice.
    #[test]
    fn any_order_of_events_keeps_the_peer_connection_whole(
        steps in prop::collection::vec((0..6_usize, 0..4_u64), 1..60),
    ) {
        let mut sfu = sfu();
        let mut seen = std::collections::BTreeSet::new();
        let mut out: Option<(SubscriptionId, SessionDescription)> = None;
        let mut next = 100;
        let mut live: Vec<SubscriptionId> = Vec::new();
        for (what, which) in steps {
            let chosen = live.get(which as usize % live.len().max(1)).copied();
            match (what, chosen) {
                (0 | 1, _) => {
                    let id = SubscriptionId(next);
                    next += 1;
                    live.push(id);
                    let of = if which % 2 == 0 { PUBLICATION } else { OTHER };
                    subscribe(&mut sfu, id, of);
                }
                (2, Some(id)) => {
                    live.retain(|known| *known != id);
                    out = out.filter(|(to, _)| *to != id);
                    unsubscribe(&mut sfu, id);
                    if live.is_empty() {
                        // The next peer connection counts anew.
                        seen.clear();
                    }
                }
                (3, _) => {
                    let direction = ["inactive", "sendrecv"][which as usize % 2];
                    sfu.ask_publish(&with_video_direction(OFFER, direction));
                }
                _ => {
                    if let Some((to, offer)) = out.take() {
                        answer(&mut sfu, to, &offer);
                    }
                }
            }
            while let Some(event) = sfu.0.poll_event() {
                match event {
                    Event::Offer { subscription, sdp } => {
                        prop_assert!(out.is_none(), "two offers are out");
                        let offer = SessionDescription::parse(&sdp).unwrap();
                        for section in &offer.sections {
                            prop_assert!(seen.insert(section.mid.clone()), "{} again", section.mid);
                        }
                        prop_assert!(live.contains(&subscription));
                        out = Some((subscription, offer));
                    }
                    Event::Answer { leg: PUBLISHER, .. } => {}
                    other => prop_assert!(false, "{other:?}"),
                }
            }
            sfu.commands();
        }
        // Nobody is forgotten.
        while let Some((to, offer)) = out.take() {
            answer(&mut sfu, to, &offer);
            if let Some(Event::Offer { subscription, sdp }) = sfu.0.poll_event() {
                out = Some((subscription, SessionDescription::parse(&sdp).unwrap()));
            }
        }
        for id in live {
            let wanted = Wanted::default();
            let request = Request::Update { subscription: id, wanted };
            sfu.commands();
            sfu.0.handle_request(request);
            let told = matches!(sfu.commands()[..], [Command::Update { .. }]);
            prop_assert!(told, "the engine does not know {id:?}");
        }
    }
}

#[test]
fn a_shared_leg_is_left_to_its_client_as_no_section_can_be_offered_again() {
    let mut sfu = sfu();
    join(&mut sfu, ANA, PUBLICATION);
    sfu.0.handle_request(Request::Watch {
        leg: Leg::Subscriber(ANA),
    });
    sfu.tell(EngineEvent::Silent(Leg::Shared(CLIENT)));
    assert!(sfu.commands().is_empty());
    assert_eq!(sfu.0.poll_event(), None);
}
