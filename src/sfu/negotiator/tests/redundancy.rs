//! Redundant audio (RFC 2198) in offers and answers.

use super::*;
use crate::sfu::command::Redundancy;

/// The first offer without its RED, as Firefox has none.
fn without_red() -> String {
    let lines = OFFER.split_inclusive("\r\n");
    let kept = lines.filter(|line| !line.contains(":63 "));
    kept.collect::<String>().replacen(" 111 63 ", " 111 ", 1)
}

fn audio(sdp: &str) -> Vec<(u8, String, Option<String>)> {
    let sdp = SessionDescription::parse(sdp).unwrap();
    let formats = sdp.sections[0].formats.iter();
    let formats = formats.map(|f| (f.pt, f.name.clone(), f.fmtp.clone()));
    formats.collect()
}

fn names(sdp: &str) -> Vec<String> {
    audio(sdp).into_iter().map(|(_, name, _)| name).collect()
}

#[test]
fn a_publisher_is_asked_for_red_by_its_place_in_the_answer() {
    let answer = Sfu::new().publish(OFFER);
    assert_eq!(names(&answer), ["red", "opus"]);
    assert_eq!(audio(&answer)[0].2.as_deref(), Some("111/111"));
    assert_eq!(names(&Sfu::new().publish(&without_red())), ["opus"]);
}

#[test]
fn a_subscriber_is_offered_red_around_our_number_of_opus() {
    // Whether or not the publisher has it, as we make it.
    for offer in [OFFER, &without_red()] {
        let (_, offered) = Sfu::subscribed_to(offer);
        let formats = audio(&offered);
        assert_eq!(names(&offered), ["opus", "red"]);
        let expected = Redundancy {
            outbound: formats[1].0,
            inside: formats[0].0,
        };
        let numbers = format!("{0}/{0}", expected.inside);
        assert_eq!(formats[1].2.as_ref(), Some(&numbers));
        let mut sfu = Sfu::new();
        sfu.publish(offer);
        let offered = sfu.subscribe();
        sfu.commands();
        sfu.answer(&answer_to(&offered, |_| true));
        let track = sfu.subscribed().tracks[0].clone();
        assert_eq!(track.redundancy, Some(expected));
        // What comes in is Opus.
        let inbound: Vec<_> = track.payload_types.iter().map(|map| map.inbound).collect();
        assert_eq!(inbound, [111]);
    }
}

#[test]
fn who_knows_no_red_gets_opus() {
    let mut sfu = Sfu::new();
    sfu.publish(OFFER);
    let offered = sfu.subscribe();
    sfu.commands();
    sfu.answer(&answer_to(&offered, |name| name != "red"));
    let track = sfu.subscribed().tracks[0].clone();
    assert_eq!((track.redundancy, track.payload_types.len()), (None, 1));
}

#[test]
fn payloads_that_are_encrypted_end_to_end_are_left_alone() {
    let mut sfu = Sfu::new();
    sfu.0.handle_request(Request::PublisherOffer {
        publication: PUBLICATION,
        sdp: OFFER.to_owned(),
        terms: Terms {
            encrypted: true,
            ..Terms::default()
        },
    });
    let Some(Event::Answer { sdp, .. }) = sfu.0.poll_event() else {
        panic!("an answer");
    };
    assert_eq!(names(&sdp), ["opus", "red"]);
    let offered = sfu.subscribe();
    sfu.commands();
    sfu.answer(&answer_to(&offered, |_| true));
    let track = sfu.subscribed().tracks[0].clone();
    assert_eq!((track.redundancy, track.payload_types.len()), (None, 2));
}

#[test]
fn it_can_be_switched_off() {
    let sfu = Sfu::new();
    let mut sfu = Sfu(sfu.0.repeating(false), sfu.1);
    assert_eq!(names(&sfu.publish(OFFER)), ["opus", "red"]);
    let offered = sfu.subscribe();
    assert_eq!(names(&offered), ["opus"]);
    sfu.commands();
    sfu.answer(&answer_to(&offered, |_| true));
    assert_eq!(sfu.subscribed().tracks[0].redundancy, None);
}
