//! Media engine: offers and datagrams in, answers and datagrams out.
//!
//! Two halves that meet only in [`command`]:
//!
//! - [`negotiator::Negotiator`], the control half: owns what was agreed in SDP, one per hub shard;
//!   turns a [`Request`] into [`Event`]s for the hub and [`command::Command`]s for the engine.
//! - [`engine::Engine`], the packet half: owns ICE, SRTP, tracks and caches, one per media worker;
//!   turns received datagrams into datagrams to send.
//!
//! Sessions, roles and tokens are unknown here.

pub mod command;
pub mod datagram;
pub mod dtls;
pub mod engine;
pub mod handshake;
pub mod negotiator;
pub mod parcel;
pub mod path;
pub mod sdp;
pub mod shards;
pub mod stats;
pub mod stun;
pub mod tap;
pub mod worker;

pub use negotiator::rotation::Rotations;

mod allocate;
mod bandwidth;
mod cache;
mod counters;
mod downlink;
mod events;
mod fallback;
mod feedback;
mod filter;
mod frame;
mod handoff;
mod history;
mod inbound;
mod intake;
mod keyframe;
mod layer;
mod legs;
mod loss;
mod moment;
mod nack;
mod offered;
mod outbound;
mod outlet;
pub mod own_paths;
mod pack;
mod packet;
mod pause;
mod pipe;
mod protection;
mod publication;
mod receiver;
mod report;
mod resend;
mod rewrite;
mod rollover;
mod routes;
mod selector;
mod send_leg;
mod silence;
mod speaker;
mod stream;
mod subscription;
mod timers;
mod transport;
mod twcc;
mod unpack;
mod waiting;

use std::fmt;

use crate::model::codec::VideoCodecs;

/// One publisher's stream inside the SFU, numbered by the hub; never reused in a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicationId(pub u64);

/// One subscriber's copy of a stream inside the SFU, numbered by the hub; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionId(pub u64);

/// Whoever receives: all subscriptions of one client, which share its network. Numbered by the hub;
/// never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u64);

/// Publications of which one is listened to at a time, as in a meeting. Named by the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct GroupId(pub u64);

/// One peer connection between a client and the SFU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Leg {
    /// Media comes in.
    Publisher(PublicationId),
    /// Media of one subscription goes out.
    Subscriber(SubscriptionId),
    /// Media of all of a client's subscriptions goes out (`protocol/signaling.md`, 13.9). The hub
    /// is told of each subscription instead.
    Shared(ClientId),
}

impl fmt::Display for Leg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Publisher(id) => write!(f, "pub-{}", id.0),
            Self::Subscriber(id) => write!(f, "sub-{}", id.0),
            Self::Shared(id) => write!(f, "shared-{}", id.0),
        }
    }
}

/// Audio or video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MediaKind {
    /// A microphone, or anything else that is heard.
    Audio,
    /// A camera or a screen.
    Video,
}

/// What the hub asks of the SFU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// A publisher's offer, the first or a later one (ICE restart, tracks changed).
    /// Answered by [`Event::Answer`] or [`Event::Closed`].
    PublisherOffer {
        /// The stream it belongs to; the first offer creates it.
        publication: PublicationId,
        /// Full SDP text.
        sdp: String,
        /// What the session says about it.
        terms: Terms,
    },
    /// Start a subscription. Answered by [`Event::Offer`] or [`Event::Closed`].
    Subscribe {
        /// The new subscription.
        subscription: SubscriptionId,
        /// Whose it is.
        client: ClientId,
        /// Whether it goes over the leg that the client's subscriptions share.
        shared: bool,
        /// What it receives.
        publication: PublicationId,
        /// Whether that is a screen, which is served before cameras.
        screen: bool,
        /// What is wanted at the start.
        wanted: Wanted,
    },
    /// A subscriber's answer to our offer.
    SubscriberAnswer {
        /// Whose.
        subscription: SubscriptionId,
        /// Full SDP text.
        sdp: String,
    },
    /// A subscriber's own offer: an ICE restart with the roles reversed
    /// (`protocol/signaling.md`, 13.7). Answered by [`Event::Answer`] or [`Event::Closed`].
    SubscriberOffer {
        /// Whose.
        subscription: SubscriptionId,
        /// Full SDP text.
        sdp: String,
    },
    /// A subscriber changed what it wants.
    Update {
        /// Whose.
        subscription: SubscriptionId,
        /// All of what is wanted from now on.
        wanted: Wanted,
    },
    /// The client at the other end was away and has come back, perhaps from elsewhere: should nothing
    /// come on this leg, ICE is restarted. A leg that is alive is left alone.
    Watch {
        /// Which; of those that share one, any.
        leg: Leg,
    },
    /// A stream ended; ends its subscriptions too, without further events.
    Unpublish {
        /// Which.
        publication: PublicationId,
    },
    /// A subscription ended.
    Unsubscribe {
        /// Which.
        subscription: SubscriptionId,
    },
}

/// What a session says about everything that is published in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Terms {
    /// The video codecs that may be used, the preferred one first; `None`: all, in the publisher's
    /// own order.
    pub codecs: Option<VideoCodecs>,
    /// Whether payloads are encrypted end to end.
    pub encrypted: bool,
    /// What is published together.
    pub group: GroupId,
}

/// What a subscriber wants to receive (`protocol/signaling.md`, 9.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Whether audio is forwarded.
    pub audio: bool,
    /// Whether video is forwarded.
    pub video: bool,
    /// Preferred width and height in pixels, if any.
    pub resolution: Option<(u32, u32)>,
    /// Preferred frame rate in frames per second, if any.
    pub frame_rate: Option<u32>,
    /// Whether video is restricted to about one frame per second.
    pub restrict_frame_rate: bool,
    /// Whether video may be stopped where the network does not carry it beside the audio
    /// (`protocol/signaling.md`, 13.8).
    pub audio_fallback: bool,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            audio: true,
            video: true,
            resolution: None,
            frame_rate: None,
            restrict_frame_rate: false,
            audio_fallback: false,
        }
    }
}

/// How far video is given up for the sake of audio (`protocol/signaling.md`, 13.8); the worse, the
/// greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Fallback {
    /// Not at all.
    #[default]
    Good,
    /// It may stop soon.
    Warned,
    /// It has stopped.
    AudioOnly,
}

/// What the SFU tells the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Send this offer to the subscriber: the first, or a later one because what it receives has
    /// changed, or for other keys or an ICE restart. Answered by [`Request::SubscriberAnswer`].
    Offer {
        /// To whom.
        subscription: SubscriptionId,
        /// Full SDP text, candidates included.
        sdp: String,
    },
    /// Send this answer to the client whose offer it answers.
    Answer {
        /// To whom.
        leg: Leg,
        /// Full SDP text, candidates included.
        sdp: String,
    },
    /// ICE and DTLS are up; media can flow.
    Connected {
        /// Where.
        leg: Leg,
    },
    /// Ask the publisher for an offer: the answer will be another one, or the offer is to restart ICE.
    Renegotiate {
        /// Whom.
        publication: PublicationId,
    },
    /// A subscriber's network has become too bad for video, or good enough again.
    Fallback {
        /// Whose.
        subscription: SubscriptionId,
        /// What is so from now on.
        state: Fallback,
    },
    /// Somebody else is listened to now (RFC 6464).
    Speaker {
        /// Among whom.
        group: GroupId,
        /// Who; `None`: nobody any more.
        publication: Option<PublicationId>,
    },
    /// The leg is gone and forgotten. For a publisher, its subscriptions are gone too.
    Closed {
        /// Which.
        leg: Leg,
        /// Why.
        reason: CloseReason,
    },
}

/// Why the SFU gave up a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// The SDP could not be understood.
    #[error("malformed session description")]
    MalformedSdp,
    /// Nothing we can forward was offered, or an answer does not fit the offer.
    #[error("no common codec or media section")]
    NothingInCommon,
    /// The publication or subscription is unknown, or not ready for this.
    #[error("no such publication or subscription")]
    Unknown,
    /// The DTLS handshake failed or ran out of time.
    #[error("DTLS handshake failed")]
    DtlsFailed,
    /// The peer closed its DTLS association.
    #[error("closed by the peer")]
    PeerClosed,
    /// No ICE check came in for too long (RFC 7675), or none came at all.
    #[error("ICE consent expired")]
    ConsentExpired,
}
