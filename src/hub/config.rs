//! Every limit and every time of the hub, in one place.

use std::time::Duration;

use crate::model::codec::VideoCodecs;
use crate::model::signal::SignalLimits;
use crate::signaling::json::MAX_DEPTH;

/// How much a client may do, and how long it may be silent or away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubConfig {
    /// Silence after which a websocket counts as lost. Clients ping after 2 s
    /// (`protocol/signaling.md`, 4.3).
    pub silence: Duration,
    /// How long a client may be away before it has left. Clients give up after 30 s (4.5), and
    /// notice a loss up to 6 s later than we do.
    pub grace: Duration,
    /// How long a websocket may take to join a session.
    pub handshake: Duration,
    /// How long the first frame decides about a resume that nobody knows (4.5).
    pub undecided: Duration,
    /// How long a client that was put out may take to leave by itself.
    pub farewell: Duration,
    /// Logical sockets, joined or not; more are closed at once.
    pub sockets: usize,
    /// Connections in one session; more are refused with 409 `connectionLimitExceeded`.
    pub connections_per_session: usize,
    /// Streams in one session; more are refused with 409.
    pub streams_per_session: usize,
    /// Streams of one connection; more are refused with 409.
    pub streams_per_connection: usize,
    /// Subscriptions of one connection; more are refused with 409 `streamLimitExceeded`.
    pub subscriptions_per_connection: usize,
    /// How long signals may be; longer ones are refused with 413.
    pub signal: SignalLimits,
    /// How deep the JSON of a request may nest; deeper ones are refused with 400.
    pub json_depth: usize,
    /// Signals a second of one connection; more are refused with 429.
    pub signals_per_second: u32,
    /// Requests of any kind a second of one connection; more are refused with 429. A joiner who
    /// subscribes to everything sends some ten for each stream, hence `request_burst`.
    pub requests_per_second: u32,
    /// Requests that may come at once.
    pub request_burst: u32,
    /// Longest session description and candidate, in bytes; longer ones are refused with 413.
    pub description_bytes: usize,
    /// Longest caption or statistics message, in bytes; longer ones are refused with 413.
    pub data_bytes: usize,
    /// Messages kept for one client until it acknowledges them. One more ends the connection.
    ///
    /// An outbox must have room for all of them, or a client could not resume.
    pub unacked_messages: usize,
    /// Bytes of these messages; more end the connection.
    pub unacked_bytes: usize,
    /// Replies kept for one client, to be repeated when it asks again. The oldest go first.
    pub replies: usize,
    /// How long a reply is kept at least, if the number allows it.
    pub reply_age: Duration,
    /// ICE candidates held back for one direction of one relayed peer connection until the
    /// description they belong to has passed. The oldest go first.
    pub held_candidates: usize,
    /// Whether publishers in routed sessions are asked for simulcast (13.5).
    pub simulcast: bool,
    /// Whether clients may have all their subscriptions on one peer connection (13.9).
    pub single_peer_connection: bool,
    /// Which video codecs are used where neither session nor project says so; `None`: all, in
    /// the order of each publisher.
    pub video_codecs: Option<VideoCodecs>,
    /// Sessions without anybody in them that are remembered as muted. The oldest go first.
    pub premuted_sessions: usize,
    /// Adaptive sessions.
    pub adaptive: AdaptiveConfig,
}

/// When a stream of an adaptive session changes its way (`protocol/signaling.md`, 13.10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdaptiveConfig {
    /// Whether streams move at all. If not, adaptive sessions are routed ones.
    pub enabled: bool,
    /// How long a stream must have had a single viewer, so that people who come one after the
    /// other do not move it to and fro.
    pub settle: Duration,
    /// How long each step of the negotiation may take. The official client gives up after 6 s.
    pub negotiation: Duration,
    /// How long a publisher may take to send to the SFU again.
    pub release: Duration,
    /// Time between a return and the next attempt. The official client takes up to 6 s to be done
    /// with the last one.
    pub pause: Duration,
    /// Time between a failure and the next attempt; doubles with each failure in a row.
    pub backoff: Duration,
    /// Longest such time.
    pub backoff_max: Duration,
}

impl Default for AdaptiveConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            settle: Duration::from_secs(3),
            negotiation: Duration::from_secs(10),
            release: Duration::from_secs(5),
            pause: Duration::from_secs(10),
            backoff: Duration::from_secs(30),
            backoff_max: Duration::from_secs(600),
        }
    }
}

impl Default for HubConfig {
    fn default() -> Self {
        Self {
            silence: Duration::from_secs(8),
            grace: Duration::from_secs(38),
            handshake: Duration::from_secs(15),
            undecided: Duration::from_secs(3),
            farewell: Duration::from_secs(5),
            sockets: 100_000,
            connections_per_session: 3000,
            streams_per_session: 3000,
            streams_per_connection: 32,
            subscriptions_per_connection: 1000,
            signal: SignalLimits::default(),
            json_depth: MAX_DEPTH,
            signals_per_second: 50,
            requests_per_second: 200,
            request_burst: 4000,
            description_bytes: 128 * 1024,
            data_bytes: 16 * 1024,
            unacked_messages: 8192,
            unacked_bytes: 8 * 1024 * 1024,
            replies: 1024,
            reply_age: Duration::from_secs(45),
            held_candidates: 64,
            simulcast: true,
            single_peer_connection: true,
            video_codecs: None,
            premuted_sessions: 1024,
            adaptive: AdaptiveConfig::default(),
        }
    }
}
