//! A publisher's tracks change during a call.

use super::*;

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
fn a_section_that_has_ended_stays_as_it_may_carry_the_transport() {
    let mut sfu = Sfu::new();
    sfu.publish(OFFER);
    sfu.commands();
    // Chromium does not send on a section again from which a track was taken out.
    let (head, video) = OFFER.split_at(OFFER.find("m=video").unwrap());
    let (session, audio) = head.split_at(head.find("m=audio").unwrap());
    let again = audio
        .replace("a=mid:0", "a=mid:2")
        .replace("2939048552", "2939048553");
    let session = session.replace("BUNDLE 0 1", "BUNDLE 0 1 2");
    let ended = audio.replace("a=sendrecv", "a=recvonly");
    let answer = sfu.publish(&format!("{session}{ended}{video}{again}"));
    let answer = SessionDescription::parse(&answer).unwrap();
    let directions: Vec<_> = answer.sections.iter().map(|s| s.direction).collect();
    let expected = [
        Direction::Inactive,
        Direction::RecvOnly,
        Direction::RecvOnly,
    ];
    assert_eq!(directions, expected);
    assert!(answer.sections.iter().all(|section| !section.rejected));
    assert_eq!(answer.bundle, ["0", "1", "2"]);
    let commands = sfu.commands();
    let [Command::UpdatePublication(config)] = commands.as_slice() else {
        panic!("an update: {commands:?}");
    };
    let tracks = config.tracks.iter();
    let tracks: Vec<_> = tracks.map(|t| (t.kind, t.mid.as_str())).collect();
    assert_eq!(tracks, [(MediaKind::Video, "1"), (MediaKind::Audio, "2")]);
}

#[test]
fn parameters_in_another_order_describe_the_same_format() {
    let (mut sfu, _) = Sfu::subscribed_to(OFFER);
    let said = "minptime=10;useinbandfec=1; stereo=0";
    assert!(OFFER.contains(said));
    sfu.publish(&OFFER.replace(said, "minptime=10;stereo=0;useinbandfec=1"));
    assert_eq!(sfu.0.poll_event(), None, "no subscriber's business");
}

#[test]
fn no_number_ever_changes_its_meaning() {
    let (mut sfu, first) = Sfu::subscribed_to(OFFER);
    let audio = |text: &str| {
        let sdp = SessionDescription::parse(text).unwrap();
        sdp.sections[0].formats.clone()
    };
    let before = audio(&first);
    // RED names Opus by its number, and Opus is another one now.
    sfu.publish(&OFFER.replace("stereo=0", "stereo=1"));
    let after = audio(&sfu.offered());
    assert_eq!((before.len(), after.len()), (2, 2));
    for format in after {
        let known = before.iter().find(|known| known.pt == format.pt);
        assert_eq!(known, None, "{format:?}");
    }
}
