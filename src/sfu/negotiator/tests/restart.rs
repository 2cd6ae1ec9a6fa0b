//! ICE restarts, on both legs.

use super::*;

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
        (ice.local_ufrag, ice.remote_ufrag.as_deref()),
        (ufrag(&third), Some("c3cR"))
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
    assert_eq!(remote_ufrag.as_deref(), Some("b2bQ"));
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
