//! ICE restarts, on both legs.

use super::*;
use crate::sfu::sdp::Section;

impl Sfu {
    fn watch(&mut self, leg: Leg) {
        self.0.handle_request(Request::Watch { leg });
    }

    /// What the engine is told to answer checks with from now on.
    fn restarted(&mut self) -> IceCredentials {
        match self.0.poll_command() {
            Some(Command::Offer {
                leg: SUBSCRIBER,
                ice,
            }) => ice,
            other => panic!("new credentials, not {other:?}"),
        }
    }
}

/// What the official client would send to restart ICE where it was offered this.
fn restart_of(offer: &str) -> String {
    answer_to(offer, |_| true)
        .replace("JK+F", "b2bQ")
        .replace("setup:active", "setup:actpass")
}

#[test]
fn legs_are_watched_if_they_are_there() {
    let (mut sfu, _) = Sfu::subscribed_to(OFFER);
    for leg in [PUBLISHER, SUBSCRIBER] {
        sfu.watch(leg);
        let commands = sfu.commands();
        assert!(matches!(commands[..], [Command::Watch(watched)] if watched == leg));
    }
    let mut sfu = Sfu::new();
    for leg in [PUBLISHER, SUBSCRIBER] {
        sfu.watch(leg);
        sfu.tell(EngineEvent::Silent(leg));
    }
    assert!(sfu.commands().is_empty());
    assert_eq!(sfu.0.poll_event(), None);
}

#[test]
fn a_silent_publisher_is_asked_for_an_offer() {
    let mut sfu = Sfu::new();
    sfu.publish(OFFER);
    sfu.commands();
    sfu.tell(EngineEvent::Silent(PUBLISHER));
    let asked = Event::Renegotiate {
        publication: PUBLICATION,
    };
    assert_eq!(sfu.0.poll_event(), Some(asked));
    assert!(sfu.commands().is_empty());
}

#[test]
fn a_silent_subscriber_is_offered_the_same_with_other_credentials() {
    let (mut sfu, first) = Sfu::subscribed_to(OFFER);
    sfu.tell(EngineEvent::Silent(SUBSCRIBER));
    let second = sfu.offered();
    let parsed = [&first, &second].map(|sdp| SessionDescription::parse(sdp).unwrap());
    let [before, after] = &parsed;
    assert_eq!((before.id, before.version + 1), (after.id, after.version));
    for (old, new) in before.sections.iter().zip(&after.sections) {
        assert_ne!(
            (&old.ice_ufrag, &old.ice_pwd),
            (&new.ice_ufrag, &new.ice_pwd)
        );
        let new = Section {
            ice_ufrag: old.ice_ufrag.clone(),
            ice_pwd: old.ice_pwd.clone(),
            ..new.clone()
        };
        assert_eq!(*old, new);
    }
    let ice = sfu.restarted();
    assert_eq!(ice.local_ufrag, after.sections[0].ice_ufrag);
    assert_eq!(ice.remote_ufrag, None);
    sfu.answer(&answer_to(&second, |_| true).replace("JK+F", "b2bQ"));
    let agreed = sfu.subscribed().transport.ice;
    assert_eq!(agreed.local_ufrag, ice.local_ufrag);
    assert_eq!(agreed.remote_ufrag.as_deref(), Some("b2bQ"));
    assert_eq!(sfu.0.poll_event(), None);
}

#[test]
fn while_our_restart_is_out_neither_more_silence_nor_the_subscribers_own_restart_brings_another() {
    let (mut sfu, first) = Sfu::subscribed_to(OFFER);
    sfu.tell(EngineEvent::Silent(SUBSCRIBER));
    let second = sfu.offered();
    let ice = sfu.restarted();
    sfu.tell(EngineEvent::Silent(SUBSCRIBER));
    sfu.ask_subscriber_offer(&restart_of(&first));
    assert_eq!(sfu.0.poll_event(), None, "the subscriber has taken it back");
    assert!(sfu.commands().is_empty());
    sfu.answer(&answer_to(&second, |_| true).replace("JK+F", "c3cR"));
    assert_eq!(sfu.subscribed().transport.ice.local_ufrag, ice.local_ufrag);
    assert_eq!(sfu.0.poll_event(), None);
    // Afterwards both may restart again.
    sfu.ask_subscriber_offer(&restart_of(&second));
    assert!(matches!(sfu.0.poll_event(), Some(Event::Answer { .. })));
    sfu.tell(EngineEvent::Silent(SUBSCRIBER));
    sfu.offered();
}

#[test]
fn silence_while_another_offer_is_out_restarts_ice_once_that_is_answered() {
    let (mut sfu, _) = Sfu::subscribed_to(&with_video_direction(OFFER, "inactive"));
    sfu.publish(OFFER);
    let second = sfu.offered();
    sfu.commands();
    sfu.tell(EngineEvent::Silent(SUBSCRIBER));
    assert_eq!(sfu.0.poll_event(), None);
    sfu.answer(&answer_to(&second, |_| true));
    let third = sfu.offered();
    sfu.subscribed();
    let [second, third] = [&second, &third].map(|sdp| SessionDescription::parse(sdp).unwrap());
    assert_ne!(second.sections[0].ice_ufrag, third.sections[0].ice_ufrag);
    assert_eq!(sfu.restarted().local_ufrag, third.sections[0].ice_ufrag);
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
    sfu.ask_subscriber_offer(&restart_of(&offer));
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
