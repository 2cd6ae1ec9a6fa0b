//! What clients say to the hub and the negotiator: frames, requests, descriptions, tokens.

use parlor::entropy::Entropy;
use parlor::model::project::{Project, ProjectStatus};
use parlor::model::token;
use parlor::sfu::command::{Fingerprint, FingerprintAlgorithm, LocalEndpoint};
use parlor::sfu::negotiator::Negotiator;
use parlor::sfu::path::Candidate;
use parlor::sfu::sdp::SessionDescription;
use parlor::sfu::worker::WorkerId;
use parlor::sfu::{ClientId, Event, PublicationId, Request, SubscriptionId, Terms, Wanted};
use parlor::signaling::client;
use parlor::signaling::frame::Frame;

/// A real offer, for what comes after one.
const OFFER: &str = include_str!("../../tests/fixtures/sdp/publisher-offer.sdp");

/// Deepest JSON that is read (`limits.json_depth`).
const MAX_DEPTH: usize = 64;

/// A session description: what we understood, written and read again, is the same; and as offer
/// and as answer it gets one answer or a refusal.
pub fn sdp(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(description) = SessionDescription::parse(&text) {
        let written = description.to_string();
        let again = SessionDescription::parse(&written).expect("what is written can be read");
        assert_eq!(again.to_string(), written);
    }
    let mut negotiator = negotiator();
    let (first, second) = (PublicationId(1), PublicationId(2));
    offer(&mut negotiator, first, &text);
    offer(&mut negotiator, first, &text);
    offer(&mut negotiator, second, OFFER);
    offer(&mut negotiator, second, &text);
    let ways = [false, true].map(|shared| [(first, shared), (second, shared)]);
    for ((publication, shared), id) in ways.into_iter().flatten().zip(1..) {
        let subscription = SubscriptionId(id);
        negotiator.handle_request(Request::Subscribe {
            subscription,
            client: ClientId(1),
            shared,
            publication,
            screen: false,
            wanted: Wanted::default(),
        });
        check_events(&mut negotiator, 1);
        let sdp = text.to_string();
        negotiator.handle_request(Request::SubscriberAnswer { subscription, sdp });
        check_events(&mut negotiator, 0);
        let sdp = text.to_string();
        negotiator.handle_request(Request::SubscriberOffer { subscription, sdp });
        check_events(&mut negotiator, 1);
    }
}

fn negotiator() -> Negotiator {
    let fingerprint = Fingerprint {
        algorithm: FingerprintAlgorithm::Sha256,
        digest: vec![7; 32],
    };
    let local = LocalEndpoint {
        candidates: vec![
            Candidate::Udp(([192, 0, 2, 1], 4000).into()),
            Candidate::Tcp(([192, 0, 2, 1], 443).into()),
        ],
        fingerprints: [fingerprint.clone(), fingerprint],
        worker: WorkerId::default(),
    };
    Negotiator::new(local, Entropy::from_seed(1))
}

fn offer(negotiator: &mut Negotiator, publication: PublicationId, sdp: &str) {
    let sdp = sdp.to_owned();
    negotiator.handle_request(Request::PublisherOffer {
        publication,
        sdp,
        terms: Terms::default(),
    });
    check_events(negotiator, 1);
}

/// At least `least` events, none of which has a description that we could not read ourselves.
fn check_events(negotiator: &mut Negotiator, least: usize) {
    while negotiator.poll_command().is_some() {}
    let events: Vec<_> = std::iter::from_fn(|| negotiator.poll_event()).collect();
    assert!(events.len() >= least, "a request without an answer");
    for event in events {
        if let Event::Offer { sdp, .. } | Event::Answer { sdp, .. } = event {
            SessionDescription::parse(&sdp).expect("ours");
        }
    }
}

/// A websocket message, and the request inside.
pub fn frame(data: &[u8]) {
    match Frame::decode(data) {
        Ok(frame) => {
            let again = Frame::decode(&frame.encode()).expect("what is written can be read");
            assert!(again == frame);
            let _ = client::parse(&frame.payload, MAX_DEPTH);
        }
        // So that a request is reached also where the frame around it is broken.
        Err(_) => {
            let _ = client::parse(&String::from_utf8_lossy(data), MAX_DEPTH);
        }
    }
}

/// A client token: none that the fuzzer makes up is good.
pub fn token(data: &[u8]) {
    let project = Project {
        id: "12345678".parse().expect("an API key"),
        name: String::new(),
        secret: "0123456789abcdef0123456789abcdef01234567"
            .parse()
            .expect("a secret"),
        old_secret: None,
        status: ProjectStatus::Active,
        max_connections: None,
        video_codecs: None,
        created_at_ms: 0,
    };
    let session = "1_MX4xMjM0NTY3OH5-MX5-".parse().expect("a session id");
    let _ = token::verify(
        &String::from_utf8_lossy(data),
        &project,
        &session,
        1_700_000_000,
    );
}
