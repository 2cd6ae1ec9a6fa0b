//! Changes of keys, on both legs.

use super::*;
use crate::sfu::command::Generation;
use crate::sfu::sdp::Section;

const INTERVAL: Duration = Duration::from_secs(600);

fn fingerprint(sdp: &str) -> Fingerprint {
    let description = SessionDescription::parse(sdp).unwrap();
    description.sections[0].fingerprint.clone().unwrap()
}

impl Sfu {
    /// With both legs up, and keys that are due after [`INTERVAL`] at the latest; our offer.
    fn rotating() -> (Self, String) {
        let (Self(negotiator, now), offer) = Self::subscribed_to(OFFER);
        let mut sfu = Self(negotiator.rotating(Some(INTERVAL)), now);
        sfu.tell(EngineEvent::Connected(SUBSCRIBER));
        sfu.0.poll_event();
        (sfu, offer)
    }

    /// Lets the time come for whatever is due next.
    fn due(&mut self) {
        self.1 = self.0.poll_timeout().unwrap();
        self.0.handle_timeout(self.1);
    }

    fn rekeyed(&mut self, expected: Leg) -> Generation {
        match self.0.poll_command() {
            Some(Command::Rekey { leg, generation }) if leg == expected => generation,
            other => panic!("another certificate, not {other:?}"),
        }
    }
}

#[test]
fn a_subscriber_is_offered_the_same_under_another_certificate_and_then_under_the_first_again() {
    let (mut sfu, first) = Sfu::rotating();
    let mut before = first.clone();
    let mut generation = Generation::default();
    for _ in 0..3 {
        sfu.due();
        generation = generation.next();
        assert_eq!(sfu.rekeyed(SUBSCRIBER), generation);
        let offer = sfu.offered();
        assert_ne!(fingerprint(&before), fingerprint(&offer));
        let parsed = [&before, &offer].map(|sdp| SessionDescription::parse(sdp).unwrap());
        for (old, new) in parsed[0].sections.iter().zip(&parsed[1].sections) {
            let new = Section {
                fingerprint: old.fingerprint.clone(),
                ..new.clone()
            };
            assert_eq!(*old, new);
        }
        sfu.answer(&answer_to(&offer, |_| true));
        assert_eq!(sfu.subscribed().tracks.len(), 2);
        sfu.tell(EngineEvent::Rekeyed(SUBSCRIBER));
        assert_eq!(sfu.0.poll_timeout(), Some(sfu.1 + INTERVAL));
        before = offer;
    }
    assert_eq!(sfu.0.rotations().completed, 3);
}

#[test]
fn a_publisher_is_asked_for_an_offer_and_answered_under_another_certificate() {
    let mut sfu = Sfu::new();
    let first = sfu.publish(OFFER);
    let mut sfu = Sfu(sfu.0.rotating(Some(INTERVAL)), sfu.1);
    sfu.commands();
    sfu.tell(EngineEvent::Connected(PUBLISHER));
    sfu.0.poll_event();
    sfu.due();
    let asked = Event::Renegotiate {
        publication: PUBLICATION,
    };
    assert_eq!(sfu.0.poll_event(), Some(asked));
    assert!(sfu.commands().is_empty(), "the client does not know yet");
    let second = sfu.publish(OFFER);
    assert_ne!(fingerprint(&first), fingerprint(&second));
    assert_eq!(sfu.rekeyed(PUBLISHER), Generation::default().next());
    sfu.tell(EngineEvent::Rekeyed(PUBLISHER));
    let third = sfu.publish(OFFER);
    assert_eq!(fingerprint(&second), fingerprint(&third));
    assert!(sfu.commands().is_empty());
}

#[test]
fn nothing_is_offered_while_an_offer_is_out_and_a_silent_client_keeps_its_keys() {
    let (mut sfu, _) = Sfu::rotating();
    sfu.due();
    let offer = sfu.offered();
    sfu.commands();
    for _ in 0..5 {
        sfu.due();
        assert_eq!(sfu.0.poll_event(), None);
        assert!(sfu.commands().is_empty());
    }
    assert_eq!(sfu.0.rotations().unanswered, 1);
    sfu.answer(&answer_to(&offer, |_| true));
    sfu.commands();
    sfu.due();
    assert_ne!(fingerprint(&offer), fingerprint(&sfu.offered()));
}

#[test]
fn a_leg_that_ends_is_due_no_more() {
    for end in [
        Request::Unpublish {
            publication: PUBLICATION,
        },
        Request::Unsubscribe {
            subscription: SUBSCRIPTION,
        },
    ] {
        let (mut sfu, _) = Sfu::rotating();
        sfu.0.handle_request(end);
        assert_eq!(sfu.0.poll_timeout(), None);
    }
    let (mut sfu, _) = Sfu::rotating();
    let reason = CloseReason::ConsentExpired;
    sfu.tell(EngineEvent::Closed(SUBSCRIBER, reason));
    assert_eq!(sfu.0.poll_timeout(), None);
}

#[test]
fn a_restart_of_ice_afterwards_shows_the_new_certificate() {
    let (mut sfu, _) = Sfu::rotating();
    sfu.due();
    let offer = sfu.offered();
    sfu.answer(&answer_to(&offer, |_| true));
    sfu.commands();
    let again = answer_to(&offer, |_| true)
        .replace("JK+F", "b2bQ")
        .replace("setup:active", "setup:actpass");
    sfu.ask_subscriber_offer(&again);
    let Some(Event::Answer { sdp, .. }) = sfu.0.poll_event() else {
        panic!("an answer");
    };
    assert_eq!(fingerprint(&offer), fingerprint(&sdp));
}
