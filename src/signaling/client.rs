//! What a client may ask for: one variant and one struct per Raptor request
//! (`protocol/signaling.md`, 5.1).

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::channel::{Channel, ChannelChange, ChannelKind, StreamChannel};
use super::json::{RawJson, given, is_auto, whole_number};
pub use super::request::{RequestError, parse};
use super::uri::Route;
use crate::model::id::{ConnectionId, PeerId, ProjectId, SessionId, StreamId, SubscriberId};

/// A request, and where it was addressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addressed {
    /// The API key in the URI. Compare it with the connection's.
    pub project: ProjectId,
    /// The session in the URI. Compare it with the connection's.
    pub session: SessionId,
    /// What is asked for.
    pub request: ClientRequest,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientRequest {
    /// Join the session.
    ConnectionCreate(ConnectionCreate),
    /// Throw a client out.
    ConnectionDelete(ConnectionDelete),
    /// Publish, or add a way for the media of what is published.
    StreamCreate(StreamCreate),
    /// Unpublish one's own stream or somebody else's, or give up one way of its media.
    StreamDelete(StreamDelete),
    /// Mute one publisher.
    StreamMute(StreamMute),
    /// Mute everybody, or let newcomers speak again.
    SessionMute(SessionMute),
    /// Tell others what a stream now sends.
    StreamChannelUpdate(StreamChannelUpdate),
    /// Send a caption or sender statistics.
    Data(Data),
    /// Offer, answer or candidate.
    Negotiation(Negotiation),
    /// Subscribe.
    SubscriberCreate(SubscriberCreate),
    /// Unsubscribe, or give up one way of the media.
    SubscriberDelete(SubscriberDelete),
    /// Change what is wanted of a stream.
    SubscriberChannelUpdate(SubscriberChannelUpdate),
    /// Send an application's message.
    Signal(Signal),
    /// Ask to be moved to another server.
    Migrate,
}

/// Joining.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionCreate {
    /// The id the client chose.
    pub connection: ConnectionId,
    /// What it says about itself.
    pub client: ClientInfo,
}

/// What a client says about itself when it joins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClientInfo {
    /// The browser.
    pub user_agent: String,
    /// Such as `js-2.35.2`.
    pub client_version: String,
    /// What it can do beyond the basics.
    pub capabilities: Vec<String>,
    /// The application does not want to hear of other connections.
    pub connection_events_suppressed: bool,
}

/// Throwing a client out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionDelete {
    /// Whom.
    pub connection: ConnectionId,
}

/// Publishing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamCreate {
    /// The id the client chose.
    pub stream: StreamId,
    /// Name for others to see; may be empty.
    pub name: String,
    /// Whether the publisher turns its video off when its network is bad.
    pub publisher_audio_fallback: bool,
    /// Whether subscribers' video may be turned off when their network is bad.
    pub subscriber_audio_fallback: bool,
    /// At most one of each.
    pub channels: Vec<StreamChannel>,
    /// Whether the media is encrypted end to end.
    pub e2ee: bool,
    /// Whatever the application attached; a JSON object.
    pub custom_properties: RawJson,
    /// Least video bitrate the publisher wants to keep, bits per second.
    pub min_bitrate_bps: Option<u32>,
    /// Which way this is about, in adaptive sessions and migrations.
    pub route: Option<Route>,
}

/// Unpublishing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamDelete {
    /// Which.
    pub stream: StreamId,
    /// If given, only this way of its media ends.
    pub route: Option<Route>,
}

/// What is to be muted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Mute {
    /// Kinds of channels, in practice audio alone.
    #[serde(default)]
    pub channels: Vec<ChannelKind>,
    /// Mute, or no longer.
    pub active: bool,
    /// Whether the publisher cannot unmute itself; clients always say no.
    #[serde(default)]
    pub locked: bool,
}

/// Muting one publisher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamMute {
    /// Whose stream.
    pub stream: StreamId,
    /// How.
    pub mute: Mute,
}

/// Muting everybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionMute {
    /// How; not `active` means that newcomers need not start muted any more.
    pub mute: Mute,
    /// Streams that go on.
    pub excluded: Vec<StreamId>,
}

/// A publisher's change of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamChannelUpdate {
    /// Of which stream.
    pub stream: StreamId,
    /// Which channel.
    pub channel: Channel,
    /// What to tell others.
    pub change: ChannelChange,
    /// Why and for whom.
    pub cause: ChangeCause,
}

/// What a channel update says beyond the change itself; not for others' eyes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ChangeCause {
    /// Not the application asked for it, but audio fallback or a moderator.
    #[serde(rename = "activeReason", deserialize_with = "is_auto")]
    pub automatic: bool,
    /// How bad the publisher's network is: 0 good, 1 warning, 2 critical.
    #[serde(deserialize_with = "whole_number")]
    pub congestion_level: Option<u32>,
    /// In relayed sessions: the one negotiation it concerns. On the wire it is called
    /// `subscriberId`, but it is the `peerId` of the `generateoffer`.
    #[serde(rename = "subscriberId")]
    pub peer: Option<PeerId>,
}

/// A datum that goes along with a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data {
    /// Which stream.
    pub stream: StreamId,
    /// Captions or sender statistics.
    pub channel: Channel,
    /// The id in the URI.
    pub id: Uuid,
    /// To be passed on verbatim.
    pub content: RawJson,
}

/// An offer, answer or candidate on one leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Negotiation {
    /// Of which stream.
    pub stream: StreamId,
    /// On the leg of this subscriber; without one, on the publisher's leg to the SFU.
    pub subscriber: Option<SubscriberId>,
    /// The id the server gave the negotiation.
    pub peer: Option<PeerId>,
    /// The way it is about. Clients before 2.20 do not say: the session's default.
    pub route: Option<Route>,
    /// What was said.
    pub message: NegotiationMessage,
    /// All of the content, to be passed on verbatim.
    pub content: RawJson,
}

/// What is said in a negotiation. `Debug` hides the SDP: it holds the ICE password.
#[derive(Clone, PartialEq, Eq)]
pub enum NegotiationMessage {
    /// Full SDP text.
    Offer(String),
    /// Full SDP text.
    Answer(String),
    /// An ICE candidate: its line, which says which description it belongs to.
    Candidate(String),
}

/// Subscribing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriberCreate {
    /// To what.
    pub stream: StreamId,
    /// The id the client chose.
    pub subscriber: SubscriberId,
    /// What is wanted at the start; at most one of each.
    pub channels: Vec<SubscriberChannel>,
    /// Whether the client can decrypt end to end.
    pub e2ee: bool,
    /// Which way this is about, in adaptive sessions and migrations.
    pub route: Option<Route>,
}

/// What a new subscriber wants of one channel.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SubscriberChannel {
    /// Which channel.
    pub id: Channel,
    /// What of it.
    #[serde(flatten)]
    pub wish: Wish,
}

/// What a subscriber wants of a channel. What is not given does not change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Wish {
    /// Whether it is wanted at all.
    pub active: Option<bool>,
    /// Not the application asked for it, but the server.
    #[serde(rename = "activeReason", deserialize_with = "is_auto")]
    pub automatic: bool,
    /// Pixels; 0 for no preference.
    #[serde(deserialize_with = "whole_number")]
    pub preferred_width: Option<u32>,
    /// Pixels; 0 for no preference.
    #[serde(deserialize_with = "whole_number")]
    pub preferred_height: Option<u32>,
    /// Frames per second; 0 for no preference.
    #[serde(deserialize_with = "whole_number")]
    pub preferred_frame_rate: Option<u32>,
    /// Whether about one frame per second is enough.
    pub restrict_frame_rate: Option<bool>,
    /// Language captions are to be translated into; empty for none.
    pub category: Option<String>,
}

/// Unsubscribing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubscriberDelete {
    /// From what.
    pub stream: StreamId,
    /// Who.
    pub subscriber: SubscriberId,
    /// If given, only this way of the media ends.
    pub route: Option<Route>,
}

/// A subscriber's change of mind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriberChannelUpdate {
    /// Of what.
    pub stream: StreamId,
    /// Whose.
    pub subscriber: SubscriberId,
    /// About which channel.
    pub channel: Channel,
    /// What is wanted now.
    pub wish: Wish,
}

/// An application's message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    /// To one client; without it, to everybody.
    pub to: Option<ConnectionId>,
    /// The id in the URI.
    pub id: Uuid,
    /// The message. Its limits are not checked here.
    pub body: SignalBody,
}

/// What a signal says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct SignalBody {
    /// A word the application sorts signals by.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Any JSON value.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub data: Option<RawJson>,
}

impl fmt::Debug for NegotiationMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Offer(sdp) => write!(f, "Offer({} bytes)", sdp.len()),
            Self::Answer(sdp) => write!(f, "Answer({} bytes)", sdp.len()),
            Self::Candidate(_) => f.write_str("Candidate"),
        }
    }
}
