//! The negotiator answers what real browsers offered.

mod publisher;
mod redundancy;
mod restart;
mod rotation;
mod shared;
mod subscriber;
mod tracks;

use proptest::prelude::*;

use super::*;
use crate::clock::Clock;
use crate::model::codec::VideoCodecs;
use crate::sfu::MediaKind;
use crate::sfu::command::{
    Codec, Fingerprint, FingerprintAlgorithm, IceCredentials, InboundTrackConfig,
    PublicationConfig, Simulcast, SubscriptionConfig,
};
use crate::sfu::path::Candidate;
use crate::sfu::sdp::{Direction, RidDirection, SessionDescription, Setup};
use crate::sfu::worker::WorkerId;

const OFFER: &str = include_str!("../../../../tests/fixtures/sdp/publisher-offer.sdp");
const BEFORE: &str = include_str!("../../../../tests/fixtures/sdp/publisher-restart-before.sdp");
const RESTART: &str = include_str!("../../../../tests/fixtures/sdp/publisher-restart-offer.sdp");
const SIM: &str = include_str!("../../../../tests/fixtures/sdp/publisher-simulcast-ssrc-offer.sdp");
const RID: &str = include_str!("../../../../tests/fixtures/sdp/publisher-simulcast-rid-offer.sdp");
const LATER_BEFORE: &str =
    include_str!("../../../../tests/fixtures/sdp/publisher-simulcast-later-before.sdp");
const LATER: &str =
    include_str!("../../../../tests/fixtures/sdp/publisher-simulcast-later-offer.sdp");
const ANSWER: &str = include_str!("../../../../tests/fixtures/sdp/subscriber-answer.sdp");
const SUBSCRIBER_OFFER: &str =
    include_str!("../../../../tests/fixtures/sdp/subscriber-restart-offer.sdp");

const PUBLICATION: PublicationId = PublicationId(1);
const SUBSCRIPTION: SubscriptionId = SubscriptionId(2);
const PUBLISHER: Leg = Leg::Publisher(PUBLICATION);
const SUBSCRIBER: Leg = Leg::Subscriber(SUBSCRIPTION);

/// A negotiator, and what time it is.
struct Sfu(Negotiator, Instant);

impl Sfu {
    fn new() -> Self {
        let local = LocalEndpoint {
            candidates: vec![
                Candidate::Udp("203.0.113.7:4000".parse().unwrap()),
                Candidate::Udp("[2001:db8::7]:4000".parse().unwrap()),
            ],
            fingerprints: [0..32, 32..64].map(|bytes| Fingerprint {
                algorithm: FingerprintAlgorithm::Sha256,
                digest: bytes.collect(),
            }),
            worker: WorkerId::default(),
        };
        let now = Clock::system().epoch().instant;
        Self(Negotiator::new(local, Entropy::from_seed(7)), now)
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

    fn tell(&mut self, event: EngineEvent) {
        self.0.handle_engine_event(event, self.1);
    }

    fn ask_publish(&mut self, sdp: &str) {
        self.ask_publish_in(sdp, None);
    }

    fn ask_publish_in(&mut self, sdp: &str, codecs: Option<VideoCodecs>) {
        let sdp = sdp.to_owned();
        self.0.handle_request(Request::PublisherOffer {
            publication: PUBLICATION,
            sdp,
            terms: Terms {
                codecs,
                ..Terms::default()
            },
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
            client: ClientId(1),
            shared: false,
            publication: PUBLICATION,
            screen: false,
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

    /// What the engine is told once our offer was answered.
    fn subscribed(&mut self) -> SubscriptionConfig {
        let mut commands = std::iter::from_fn(|| self.0.poll_command());
        match commands.find(|command| !matches!(command, Command::Offer { .. })) {
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
