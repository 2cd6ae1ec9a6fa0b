//! The negotiator answers what real browsers offered.

use proptest::prelude::*;

use super::*;
use crate::sfu::MediaKind;
use crate::sfu::command::{
    Codec, Fingerprint, FingerprintAlgorithm, IceCredentials, InboundTrackConfig,
    PublicationConfig, Simulcast, SubscriptionConfig,
};
use crate::sfu::sdp::{Direction, RidDirection, SessionDescription, Setup};
use crate::sfu::worker::WorkerId;

const OFFER: &str = include_str!("../../../tests/fixtures/sdp/publisher-offer.sdp");
const BEFORE: &str = include_str!("../../../tests/fixtures/sdp/publisher-restart-before.sdp");
const RESTART: &str = include_str!("../../../tests/fixtures/sdp/publisher-restart-offer.sdp");
const SIM: &str = include_str!("../../../tests/fixtures/sdp/publisher-simulcast-ssrc-offer.sdp");
const RID: &str = include_str!("../../../tests/fixtures/sdp/publisher-simulcast-rid-offer.sdp");
const LATER_BEFORE: &str =
    include_str!("../../../tests/fixtures/sdp/publisher-simulcast-later-before.sdp");
const LATER: &str = include_str!("../../../tests/fixtures/sdp/publisher-simulcast-later-offer.sdp");
const ANSWER: &str = include_str!("../../../tests/fixtures/sdp/subscriber-answer.sdp");
const SUBSCRIBER_OFFER: &str =
    include_str!("../../../tests/fixtures/sdp/subscriber-restart-offer.sdp");

const PUBLICATION: PublicationId = PublicationId(1);
const SUBSCRIPTION: SubscriptionId = SubscriptionId(2);
const PUBLISHER: Leg = Leg::Publisher(PUBLICATION);
const SUBSCRIBER: Leg = Leg::Subscriber(SUBSCRIPTION);

#[test]
fn a_publishers_offer_is_answered_and_the_engine_told() {
    let mut sfu = Sfu::new();
    let answer = sfu.publish(OFFER);
    insta::assert_snapshot!("publisher_answer", answer);
    let Some(Command::AddPublication(config)) = sfu.0.poll_command() else {
        panic!("the engine learns of the publication");
    };
    let PublicationConfig {
        transport, tracks, ..
    } = *config;
    assert_eq!(transport.ice.remote_ufrag, "y6iR");
    assert_eq!(transport.fingerprint.digest[..2], [0xD5, 0xB0]);
    let [audio, video] = tracks.as_slice() else {
        panic!("two tracks");
    };
    assert_eq!((audio.kind, audio.mid.as_str()), (MediaKind::Audio, "0"));
    assert_eq!(audio.ssrcs, [2939048552]);
    assert_eq!(
        codecs(audio),
        [(Codec::Opus, 111, None), (Codec::Red, 63, None)]
    );
    assert_eq!(video.ssrcs, [2373253636]);
    assert_eq!(video.rtx_ssrcs, [(2373253636, 1384964296)]);
    assert_eq!(codecs(video)[0], (Codec::Vp8, 96, Some(97)));
    assert_eq!(codecs(video).len(), 10);
    assert_eq!(video.extensions.rid, Some(10));
    assert_eq!(audio.extensions.audio_level, Some(1));
}

#[test]
fn a_second_section_of_a_kind_and_data_channels_are_refused() {
    let extra = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:2\r\na=rtcp-mux\r\na=rtpmap:96 VP8/90000\r\n\
                 m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:3\r\n";
    let offer = OFFER.replace("BUNDLE 0 1", "BUNDLE 0 1 2 3") + extra;
    let text = Sfu::new().publish(&offer);
    let answer = SessionDescription::parse(&text).unwrap();
    let refused: Vec<_> = answer.sections.iter().map(|s| s.rejected).collect();
    assert_eq!(refused, [false, false, true, true]);
    assert_eq!(answer.bundle, ["0", "1"]);
    assert!(text.contains("m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\n"));
}

#[test]
fn sections_that_share_no_transport_cannot_both_be_taken() {
    let text = Sfu::new().publish(&OFFER.replace("a=group:BUNDLE 0 1\r\n", ""));
    let answer = SessionDescription::parse(&text).unwrap();
    assert!(!answer.sections[0].rejected && answer.sections[1].rejected);
}

#[test]
fn an_ice_restart_keeps_the_certificate_and_changes_only_credentials() {
    let mut sfu = Sfu::new();
    let before = SessionDescription::parse(&sfu.publish(BEFORE)).unwrap();
    sfu.commands();
    let after = SessionDescription::parse(&sfu.publish(RESTART)).unwrap();
    let (old, new) = (&before.sections[1], &after.sections[1]);
    assert_ne!(old.ice_ufrag, new.ice_ufrag);
    assert_eq!(old.fingerprint, new.fingerprint);
    assert_eq!(new.setup, Some(Setup::Passive));
    assert_eq!((before.id, before.version + 1), (after.id, after.version));
    let commands = sfu.commands();
    let [Command::RestartIce { leg, ice }, ..] = commands.as_slice() else {
        panic!("a restart: {commands:?}");
    };
    assert_eq!((*leg, &ice.local_ufrag), (PUBLISHER, &new.ice_ufrag));
}

#[test]
fn an_offer_sent_twice_is_answered_twice_and_changes_nothing() {
    let mut sfu = Sfu::new();
    let first = sfu.publish(OFFER);
    sfu.commands();
    let second = sfu.publish(OFFER);
    assert_eq!(
        first.lines().skip(2).collect::<Vec<_>>(),
        second.lines().skip(2).collect::<Vec<_>>()
    );
    assert!(sfu.commands().is_empty());
}

#[test]
fn simulcast_that_is_switched_on_later_brings_new_ssrcs() {
    let mut sfu = Sfu::new();
    sfu.publish(LATER_BEFORE);
    sfu.commands();
    sfu.publish(LATER);
    let commands = sfu.commands();
    let [Command::UpdatePublication(config)] = commands.as_slice() else {
        panic!("an update: {commands:?}");
    };
    assert_eq!(config.tracks[1].ssrcs, [10000, 10001, 10002]);
}

#[test]
fn sections_with_one_name_are_not_told_apart() {
    let text = Sfu::new().publish(&OFFER.replace("a=mid:1", "a=mid:0"));
    let answer = SessionDescription::parse(&text).unwrap();
    assert!(answer.sections[1].rejected);
    assert_eq!(answer.bundle, ["0"]);
}

#[test]
fn changed_tracks_replace_the_old_ones_on_the_same_transport() {
    let mut sfu = Sfu::new();
    sfu.publish(OFFER);
    sfu.commands();
    let answer = sfu.publish(&with_video_direction(OFFER, "inactive"));
    let answer = SessionDescription::parse(&answer).unwrap();
    assert_eq!(answer.sections[1].direction, Direction::Inactive);
    let commands = sfu.commands();
    let [Command::UpdatePublication(config)] = commands.as_slice() else {
        panic!("an update: {commands:?}");
    };
    assert_eq!(config.tracks.len(), 1);
    assert_eq!(
        config.transport.ice.local_ufrag,
        answer.sections[0].ice_ufrag
    );
}

#[test]
fn another_certificate_on_a_live_leg_closes_it() {
    let mut sfu = Sfu::new();
    sfu.publish(OFFER);
    sfu.commands();
    sfu.ask_publish(&OFFER.replace("D5:B0", "D5:B1"));
    assert_eq!(sfu.closed(PUBLISHER), CloseReason::NothingInCommon);
    assert!(matches!(sfu.commands()[..], [Command::Remove(PUBLISHER)]));
}

#[test]
fn offers_that_cannot_work_close_the_leg() {
    let check = |offer: &str, reason| {
        let mut sfu = Sfu::new();
        sfu.ask_publish(offer);
        assert_eq!(sfu.closed(PUBLISHER), reason);
        assert!(sfu.commands().is_empty());
    };
    check("hello", CloseReason::MalformedSdp);
    check(
        &OFFER.replace("a=fingerprint", "a=x"),
        CloseReason::MalformedSdp,
    );
    check(
        &OFFER.replace("a=ice-pwd", "a=x"),
        CloseReason::MalformedSdp,
    );
    check(
        &OFFER.replace("a=rtcp-mux", "a=x"),
        CloseReason::NothingInCommon,
    );
    check(
        &OFFER.replace("a=sendrecv", "a=recvonly"),
        CloseReason::NothingInCommon,
    );
    check(
        &OFFER.replace("setup:actpass", "setup:passive"),
        CloseReason::NothingInCommon,
    );
    check(
        &OFFER.replace("a=rtpmap", "a=x"),
        CloseReason::NothingInCommon,
    );
}

#[test]
fn simulcast_by_rid_is_accepted() {
    let mut sfu = Sfu::new();
    let text = sfu.publish(RID);
    let Some(Command::AddPublication(config)) = sfu.0.poll_command() else {
        panic!("a publication");
    };
    let rids = ["q", "h", "f"].map(str::to_owned).to_vec();
    assert_eq!(config.tracks[1].simulcast, Simulcast::Rids(rids));
    let answer = SessionDescription::parse(&text).unwrap();
    let video = &answer.sections[1];
    assert_eq!(
        video.simulcast,
        Some((RidDirection::Recv, "f;h;q".to_owned()))
    );
    assert!(
        video
            .rids
            .iter()
            .all(|rid| rid.direction == RidDirection::Recv)
    );
    assert!(text.contains("a=rid:q recv\r\n"));
}

#[test]
fn simulcast_by_ssrc_group_lists_the_lowest_layer_first() {
    let mut sfu = Sfu::new();
    sfu.publish(SIM);
    let Some(Command::AddPublication(config)) = sfu.0.poll_command() else {
        panic!("a publication");
    };
    assert_eq!(config.tracks[1].ssrcs, [10000, 10001, 10002]);
    assert_eq!(
        config.tracks[1].simulcast,
        Simulcast::Ssrcs(vec![10000, 10001, 10002])
    );
    assert_eq!(config.tracks[1].rtx_ssrcs[2], (10002, 20002));
}

#[test]
fn stereo_is_asked_of_a_publisher_that_has_it_and_promised_to_its_subscribers() {
    let opus = |text: &str| {
        let sdp = SessionDescription::parse(text).unwrap();
        sdp.sections[0].formats[0].clone()
    };
    let check = |offered: &str, answered: Option<&str>| {
        let mut sfu = Sfu::new();
        let offer = OFFER
            .replace(";stereo=0", offered)
            .replace("; stereo=0", offered);
        assert_ne!(offer, OFFER);
        let answer = opus(&sfu.publish(&offer));
        assert_eq!(answer.parameter("stereo"), answered, "{offered}");
        assert_eq!(answer.parameter("useinbandfec"), Some("1"));
        let promised = opus(&sfu.subscribe());
        assert_eq!(promised.parameter("sprop-stereo"), answered, "{offered}");
    };
    check("; stereo=0; sprop-stereo=1", Some("1"));
    check(";stereo=0 ", None);
}

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
    assert_eq!(config.transport.ice.remote_ufrag, "JK+F");
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
        assert!(sfu.commands().is_empty());
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
fn a_track_that_comes_later_is_offered_to_subscribers() {
    let (mut sfu, first) = Sfu::subscribed_to(&with_video_direction(OFFER, "inactive"));
    sfu.publish(OFFER);
    let offer = sfu.offered();
    let (before, after) = (
        SessionDescription::parse(&first).unwrap(),
        SessionDescription::parse(&offer).unwrap(),
    );
    assert_eq!((before.sections.len(), after.sections.len()), (1, 2));
    assert_eq!(before.sections[0], after.sections[0]);
    assert_eq!((before.id, before.version + 1), (after.id, after.version));
    assert_eq!(after.bundle, ["0", "1"]);
    assert!(matches!(
        sfu.commands()[..],
        [Command::UpdatePublication(_)]
    ));
    sfu.answer(&answer_to(&offer, |_| true));
    let config = sfu.subscribed();
    let kinds: Vec<_> = config.tracks.iter().map(|track| track.kind).collect();
    assert_eq!(kinds, [MediaKind::Audio, MediaKind::Video]);
    assert_eq!(sfu.0.poll_event(), None);
}

#[test]
fn a_track_that_ends_and_comes_back_keeps_its_section_and_ssrc() {
    let (mut sfu, first) = Sfu::subscribed_to(OFFER);
    let ssrcs = |text: &str| {
        let sdp = SessionDescription::parse(text).unwrap();
        sdp.sections[1].ssrcs.clone()
    };
    for (direction, expected) in [
        ("inactive", Direction::Inactive),
        ("sendrecv", Direction::SendOnly),
    ] {
        sfu.publish(&with_video_direction(OFFER, direction));
        let offer = sfu.offered();
        let video = SessionDescription::parse(&offer).unwrap().sections[1].clone();
        assert_eq!((video.mid.as_str(), video.direction), ("1", expected));
        assert_eq!(ssrcs(&first), ssrcs(&offer));
        sfu.commands();
        sfu.answer(&answer_to(&offer, |_| true));
        // The engine keeps the track: a sender that began anew would use its key stream twice.
        assert_eq!(sfu.subscribed().tracks.len(), 2);
    }
}

#[test]
fn what_changes_while_an_offer_is_out_waits_for_its_answer() {
    let mut sfu = Sfu::new();
    sfu.publish(&with_video_direction(OFFER, "inactive"));
    let first = sfu.subscribe();
    sfu.publish(OFFER);
    assert_eq!(sfu.0.poll_event(), None, "one offer at a time");
    sfu.answer(&answer_to(&first, |_| true));
    let second = sfu.offered();
    sfu.publish(&with_video_direction(OFFER, "inactive"));
    assert_eq!(sfu.0.poll_event(), None);
    sfu.answer(&answer_to(&second, |_| true));
    let third = SessionDescription::parse(&sfu.offered()).unwrap();
    assert_eq!(third.sections[1].direction, Direction::Inactive);
}

#[test]
fn other_numbers_for_the_same_codecs_are_no_subscribers_business() {
    let (mut sfu, _) = Sfu::subscribed_to(OFFER);
    let renumbered = OFFER
        .replace("SAVPF 96 97", "SAVPF 95 97")
        .replace("a=rtpmap:96 ", "a=rtpmap:95 ")
        .replace("a=rtcp-fb:96 ", "a=rtcp-fb:95 ")
        .replace("apt=96", "apt=95");
    sfu.publish(&renumbered);
    assert_eq!(sfu.0.poll_event(), None);
    let commands = sfu.commands();
    let [
        Command::UpdatePublication(_),
        Command::AddSubscription(config),
    ] = commands.as_slice()
    else {
        panic!("{commands:?}");
    };
    let vp8 = config.tracks[1].payload_types[0];
    assert_eq!((vp8.inbound, vp8.outbound), (95, 98));
}

#[test]
fn other_codecs_are_offered_in_the_same_section() {
    let only = |codecs: &str| codecs.parse().ok();
    let mut sfu = Sfu::new();
    sfu.ask_publish_in(OFFER, only("h264"));
    sfu.0.poll_event();
    let first = sfu.subscribe();
    sfu.answer(&answer_to(&first, |_| true));
    sfu.commands();
    sfu.ask_publish_in(OFFER, only("vp8"));
    sfu.0.poll_event();
    let offer = sfu.offered();
    assert!(!first.contains("VP8") && offer.contains("VP8") && !offer.contains("H264"));
    let video = SessionDescription::parse(&offer).unwrap().sections[1].clone();
    assert_eq!(video.mid, "1");
    sfu.answer(&answer_to(&offer, |_| true));
    let Some(Command::UpdatePublication(_)) = sfu.0.poll_command() else {
        panic!("the publication has changed");
    };
    assert_eq!(sfu.subscribed().tracks[1].payload_types.len(), 1);
}

#[test]
fn video_that_was_refused_is_offered_again_when_its_codec_is_another() {
    let only = |codecs: &str| codecs.parse().ok();
    let mut sfu = Sfu::new();
    sfu.ask_publish_in(OFFER, only("vp9"));
    sfu.0.poll_event();
    let first = sfu.subscribe();
    let knows = |name: &str| ["opus", "VP8", "rtx"].contains(&name);
    sfu.answer(&answer_to(&first, knows));
    assert_eq!(sfu.0.poll_event(), None);
    sfu.ask_publish_in(OFFER, only("vp8"));
    sfu.0.poll_event();
    let offer = sfu.offered();
    let video = SessionDescription::parse(&offer).unwrap().sections[1].clone();
    assert_eq!((video.mid.as_str(), video.rejected), ("2", false));
    sfu.commands();
    sfu.answer(&answer_to(&offer, knows));
    assert_eq!(sfu.subscribed().tracks.len(), 2);
}

#[test]
fn a_restart_that_crosses_our_offer_is_made_up_for() {
    let (mut sfu, first) = Sfu::subscribed_to(&with_video_direction(OFFER, "inactive"));
    sfu.publish(OFFER);
    let second = sfu.offered();
    sfu.commands();
    let restart = answer_to(&first, |_| true).replace("JK+F", "b2bQ");
    sfu.ask_subscriber_offer(&restart.replace("setup:active", "setup:actpass"));
    assert_eq!(sfu.0.poll_event(), None, "the subscriber has taken it back");
    sfu.answer(&answer_to(&second, |_| true));
    sfu.commands();
    let third = sfu.offered();
    let ufrag = |text: &str| {
        SessionDescription::parse(text).unwrap().sections[0]
            .ice_ufrag
            .clone()
    };
    assert_ne!(ufrag(&second), ufrag(&third));
    sfu.answer(&answer_to(&third, |_| true).replace("JK+F", "c3cR"));
    let ice = sfu.subscribed().transport.ice;
    assert_eq!(
        (ice.local_ufrag, ice.remote_ufrag.as_str()),
        (ufrag(&third), "c3cR")
    );
}

#[test]
fn a_subscribers_own_offer_restarts_ice_and_keeps_everything_else() {
    let (mut sfu, offer) = Sfu::subscribed_to(OFFER);
    // What the official client would send: our numbers, its long list, the new credentials.
    let again = answer_to(&offer, |_| true)
        .replace("JK+F", "b2bQ")
        .replace("setup:active", "setup:actpass");
    sfu.ask_subscriber_offer(&again);
    let Some(Event::Answer {
        leg: SUBSCRIBER,
        sdp,
    }) = sfu.0.poll_event()
    else {
        panic!("an answer");
    };
    let (before, after) = (
        SessionDescription::parse(&offer).unwrap(),
        SessionDescription::parse(&sdp).unwrap(),
    );
    for (old, new) in before.sections.iter().zip(&after.sections) {
        assert_eq!(new.direction, Direction::SendOnly);
        assert_eq!(new.setup, Some(Setup::Passive));
        assert_eq!((&old.mid, &old.formats), (&new.mid, &new.formats));
        assert_eq!((&old.ssrcs, &old.extensions), (&new.ssrcs, &new.extensions));
        assert_eq!(old.fingerprint, new.fingerprint);
        assert_ne!(old.ice_ufrag, new.ice_ufrag);
    }
    let commands = sfu.commands();
    let [
        Command::RestartIce {
            leg: SUBSCRIBER,
            ice: IceCredentials { remote_ufrag, .. },
        },
    ] = commands.as_slice()
    else {
        panic!("a restart: {commands:?}");
    };
    assert_eq!(remote_ufrag, "b2bQ");
}

#[test]
fn a_subscribers_offer_of_another_peer_connection_closes_the_subscription() {
    // Recorded with another server: other numbers, another certificate.
    for (sdp, reason) in [
        (SUBSCRIBER_OFFER, CloseReason::NothingInCommon),
        ("nonsense", CloseReason::MalformedSdp),
    ] {
        let (mut sfu, _) = Sfu::subscribed_to(OFFER);
        sfu.ask_subscriber_offer(sdp);
        assert_eq!(sfu.closed(SUBSCRIBER), reason);
        assert!(matches!(sfu.commands()[..], [Command::Remove(SUBSCRIBER)]));
    }
}

#[test]
fn what_else_a_browser_knows_does_not_disturb_its_restart() {
    let (mut sfu, offer) = Sfu::subscribed_to(OFFER);
    let long_list = "a=rtpmap:40 H265/90000\r\na=rtpmap:41 VP9/90000\r\n";
    let again = answer_to(&offer, |_| true)
        .replace("RTP/SAVPF 98 ", "RTP/SAVPF 40 98 41 ")
        .replace("a=rtpmap:98 ", &format!("{long_list}a=rtpmap:98 "))
        .replace("JK+F", "b2bQ");
    sfu.ask_subscriber_offer(&again);
    let Some(Event::Answer { sdp, .. }) = sfu.0.poll_event() else {
        panic!("an answer");
    };
    assert!(!sdp.contains("H265") && sdp.contains("RTP/SAVPF 98 99 "));
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
    sfu.0
        .handle_engine_event(EngineEvent::Connected(SUBSCRIBER));
    assert_eq!(
        sfu.0.poll_event(),
        Some(Event::Connected { leg: SUBSCRIBER })
    );
    sfu.0
        .handle_engine_event(EngineEvent::Closed(PUBLISHER, reason));
    assert_eq!(sfu.closed(PUBLISHER), reason);
    sfu.0
        .handle_engine_event(EngineEvent::Closed(SUBSCRIBER, reason));
    sfu.0.handle_engine_event(EngineEvent::Connected(PUBLISHER));
    assert_eq!(sfu.0.poll_event(), None);
    assert!(
        sfu.commands().is_empty(),
        "the engine has forgotten it already"
    );
}

proptest! {
    #[test]
    fn mutated_descriptions_do_no_harm(
        which in 0..6_usize, cut in any::<prop::sample::Index>(), len in 0..300_usize,
        insert in "[ -~\r\n]{0,40}",
    ) {
        let original = [OFFER, SIM, RID, ANSWER, SUBSCRIBER_OFFER, RESTART][which];
        let at = cut.index(original.len());
        let end = (at + len).min(original.len());
        let sdp = format!("{}{insert}{}", &original[..at], &original[end..]);
        let (mut sfu, _) = Sfu::subscribed_to(OFFER);
        sfu.ask_publish(&sdp);
        sfu.ask_subscriber_offer(&sdp);
        let mut sfu = Sfu::new();
        sfu.publish(OFFER);
        sfu.subscribe();
        sfu.answer(&sdp);
        let mut sfu = Sfu::new();
        sfu.ask_publish(&sdp);
        sfu.ask_subscribe();
        sfu.answer(&sdp);
        while let Some(event) = sfu.0.poll_event() {
            if let Event::Answer { sdp, .. } | Event::Offer { sdp, .. } = event {
                prop_assert!(SessionDescription::parse(&sdp).is_ok());
            }
        }
    }
}

struct Sfu(Negotiator);

impl Sfu {
    fn new() -> Self {
        let local = LocalEndpoint {
            candidates: vec![
                "203.0.113.7:4000".parse().unwrap(),
                "[2001:db8::7]:4000".parse().unwrap(),
            ],
            fingerprint: Fingerprint {
                algorithm: FingerprintAlgorithm::Sha256,
                digest: (0..32).collect(),
            },
            worker: WorkerId::default(),
        };
        Self(Negotiator::new(local, Entropy::from_seed(7)))
    }

    /// With the subscription answered, and everything drained; our offer.
    fn subscribed_to(offer: &str) -> (Self, String) {
        let mut sfu = Self::new();
        sfu.publish(offer);
        let offer = sfu.subscribe();
        sfu.answer(&answer_to(&offer, |_| true));
        sfu.commands();
        (sfu, offer)
    }

    fn ask_publish(&mut self, sdp: &str) {
        self.ask_publish_in(sdp, None);
    }

    fn ask_publish_in(&mut self, sdp: &str, codecs: Option<VideoCodecs>) {
        let sdp = sdp.to_owned();
        self.0.handle_request(Request::PublisherOffer {
            publication: PUBLICATION,
            sdp,
            codecs,
        });
    }

    fn publish(&mut self, sdp: &str) -> String {
        self.ask_publish(sdp);
        match self.0.poll_event() {
            Some(Event::Answer {
                leg: PUBLISHER,
                sdp,
            }) => sdp,
            other => panic!("an answer, not {other:?}"),
        }
    }

    fn ask_subscribe(&mut self) {
        self.0.handle_request(Request::Subscribe {
            subscription: SUBSCRIPTION,
            publication: PUBLICATION,
            wanted: Wanted::default(),
        });
    }

    fn subscribe(&mut self) -> String {
        self.ask_subscribe();
        match self.0.poll_event() {
            Some(Event::Offer {
                subscription: SUBSCRIPTION,
                sdp,
            }) => sdp,
            other => panic!("an offer, not {other:?}"),
        }
    }

    /// A later offer of ours.
    fn offered(&mut self) -> String {
        match self.0.poll_event() {
            Some(Event::Offer {
                subscription: SUBSCRIPTION,
                sdp,
            }) => sdp,
            other => panic!("an offer, not {other:?}"),
        }
    }

    fn answer(&mut self, sdp: &str) {
        let sdp = sdp.to_owned();
        self.0.handle_request(Request::SubscriberAnswer {
            subscription: SUBSCRIPTION,
            sdp,
        });
    }

    fn ask_subscriber_offer(&mut self, sdp: &str) {
        let sdp = sdp.to_owned();
        self.0.handle_request(Request::SubscriberOffer {
            subscription: SUBSCRIPTION,
            sdp,
        });
    }

    fn ask_update(&mut self, video: bool) {
        let wanted = Wanted {
            video,
            ..Wanted::default()
        };
        self.0.handle_request(Request::Update {
            subscription: SUBSCRIPTION,
            wanted,
        });
    }

    fn subscribed(&mut self) -> SubscriptionConfig {
        match self.0.poll_command() {
            Some(Command::AddSubscription(config)) => *config,
            other => panic!("a subscription, not {other:?}"),
        }
    }

    fn closed(&mut self, expected: Leg) -> CloseReason {
        match self.0.poll_event() {
            Some(Event::Closed { leg, reason }) if leg == expected => reason,
            other => panic!("an end, not {other:?}"),
        }
    }

    fn commands(&mut self) -> Vec<Command> {
        std::iter::from_fn(|| self.0.poll_command()).collect()
    }
}

/// What a browser that knows only these codecs would say to our offer.
fn answer_to(offer: &str, knows: impl Fn(&str) -> bool) -> String {
    let recorded = SessionDescription::parse(ANSWER).unwrap();
    let mut answer = SessionDescription::parse(offer).unwrap();
    answer.ice_lite = false;
    for section in &mut answer.sections {
        section.formats.retain(|format| knows(&format.name));
        section.rejected = section.formats.iter().all(|format| format.name == "rtx");
        section.direction = Direction::RecvOnly;
        section.setup = Some(Setup::Active);
        section.ssrcs.clear();
        section.ssrc_groups.clear();
        section
            .ice_ufrag
            .clone_from(&recorded.sections[0].ice_ufrag);
        section.ice_pwd.clone_from(&recorded.sections[0].ice_pwd);
        section
            .fingerprint
            .clone_from(&recorded.sections[0].fingerprint);
    }
    answer.to_string()
}

fn with_video_direction(offer: &str, direction: &str) -> String {
    let (before, video) = offer.split_at(offer.find("m=video").unwrap());
    before.to_owned() + &video.replace("a=sendrecv", &format!("a={direction}"))
}

fn codecs(track: &InboundTrackConfig) -> Vec<(Codec, u8, Option<u8>)> {
    let codecs = track.codecs.iter();
    codecs.map(|c| (c.codec, c.pt, c.rtx_pt)).collect()
}
