//! A publisher's offers and what they come to.

use super::*;

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
    assert_eq!(transport.ice.remote_ufrag.as_deref(), Some("y6iR"));
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
fn sections_with_one_name_are_not_told_apart() {
    let text = Sfu::new().publish(&OFFER.replace("a=mid:1", "a=mid:0"));
    let answer = SessionDescription::parse(&text).unwrap();
    assert!(answer.sections[1].rejected);
    assert_eq!(answer.bundle, ["0"]);
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
        let mut formats = sdp.sections[0].formats.iter();
        formats
            .find(|format| format.name == "opus")
            .cloned()
            .unwrap()
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
fn layers_that_nobody_watches_are_paused_in_the_next_answer_and_go_on_in_another() {
    let mut sfu = Sfu::new();
    let simulcast = |answer: &str| {
        let answer = SessionDescription::parse(answer).unwrap();
        answer.sections[1].simulcast.clone().map(|(_, list)| list)
    };
    assert_eq!(simulcast(&sfu.publish(RID)).as_deref(), Some("f;h;q"));
    sfu.commands();
    for (layers, offered, answered) in [
        (1, "f;h;q", "~f;~h;q"),
        (2, "~f;~h;q", "~f;h;q"),
        (3, "~f;h;q", "f;h;q"),
    ] {
        let publication = PUBLICATION;
        for _ in 0..2 {
            let news = EngineEvent::Layers(publication, layers);
            sfu.tell(news);
        }
        let asked = std::iter::from_fn(|| sfu.0.poll_event()).collect::<Vec<_>>();
        assert_eq!(asked, [Event::Renegotiate { publication }]);
        let offer = RID.replace(
            "a=simulcast:send f;h;q",
            &format!("a=simulcast:send {offered}"),
        );
        assert_eq!(simulcast(&sfu.publish(&offer)).as_deref(), Some(answered));
        assert!(sfu.commands().is_empty(), "its tracks are the same");
    }
}
