//! Reads a client's request: URI and method say which it is, the content the rest.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::channel::{Channel, ChannelKind, StreamChannel};
use super::client::{
    Addressed, ClientInfo, ClientRequest, ConnectionCreate, ConnectionDelete, Data, Mute,
    Negotiation, NegotiationMessage, SessionMute, Signal, StreamChannelUpdate, StreamCreate,
    StreamDelete, StreamMute, SubscriberChannel, SubscriberChannelUpdate, SubscriberCreate,
    SubscriberDelete,
};
use super::error::Refusal;
use super::json::{RawJson, is_too_deep, whole_number};
use super::uri::{Resource, Route, Uri, UriError};
use crate::model::id::{PeerId, StreamId, SubscriberId};

/// Most bytes of a stream's name and custom properties together. Everybody in the session is sent
/// them, and late joiners again. Applications attach names and initials. Ours.
const MAX_DESCRIPTION_LEN: usize = 8 * 1024;

/// Most bytes of what a client says about itself, capabilities included. Ours.
const MAX_CLIENT_INFO_LEN: usize = 8 * 1024;

/// Why a payload is not a request.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// Not JSON, or without `method` and `uri`.
    #[error("malformed request")]
    Malformed(#[source] serde_json::Error),
    /// Nested deeper than any request is.
    #[error("request nests too deep")]
    TooDeep,
    /// The URI cannot be read.
    #[error(transparent)]
    Uri(#[from] UriError),
    /// No client may do this to that.
    #[error("method cannot be applied to this resource")]
    Unsupported,
    /// The content does not fit URI and method.
    #[error("malformed request content")]
    Content(#[source] serde_json::Error),
    /// The content breaks a rule of its own.
    #[error("{0}")]
    Rule(&'static str),
}

impl RequestError {
    /// What to tell the client.
    pub fn refusal(&self) -> Refusal {
        match self {
            // What cannot exist does not.
            Self::Uri(UriError::ImpossibleId) => Refusal::NotFound,
            _ => Refusal::Malformed,
        }
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    uri: Cow<'a, str>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
}

/// Reads the payload of a MESSAGE frame, which may nest as deep as `max_depth`.
pub fn parse(payload: &str, max_depth: usize) -> Result<Addressed, RequestError> {
    if is_too_deep(payload, max_depth) {
        return Err(RequestError::TooDeep);
    }
    let envelope: Envelope<'_> = serde_json::from_str(payload).map_err(RequestError::Malformed)?;
    let Uri {
        project,
        session,
        resource,
    } = envelope.uri.parse()?;
    let content = Content(envelope.content.map_or("{}", RawValue::get));
    let request = request(&envelope.method, resource, content)?;
    Ok(Addressed {
        project,
        session,
        request,
    })
}

/// The table of section 5.1.
fn request(
    method: &str,
    resource: Resource,
    content: Content<'_>,
) -> Result<ClientRequest, RequestError> {
    use ClientRequest as Q;
    use Resource as R;
    Ok(match (method, resource) {
        ("create", R::Connection(connection)) => Q::ConnectionCreate(ConnectionCreate {
            connection,
            client: content.client_info()?,
        }),
        ("delete", R::Connection(connection)) => {
            Q::ConnectionDelete(ConnectionDelete { connection })
        }
        ("create", R::Stream(stream)) => Q::StreamCreate(content.stream_create(stream)?),
        ("delete", R::Stream(stream)) => Q::StreamDelete(StreamDelete {
            stream,
            route: content.route()?,
        }),
        ("update", R::Stream(stream)) => Q::StreamMute(StreamMute {
            stream,
            mute: content.mute()?.mute,
        }),
        ("update", R::Session) => Q::SessionMute(content.mute()?),
        ("update", R::StreamChannel(stream, channel)) => {
            let (change, cause) = (content.read()?, content.read()?);
            Q::StreamChannelUpdate(StreamChannelUpdate {
                stream,
                channel,
                change,
                cause,
            })
        }
        ("data", R::StreamData(stream, channel, id)) => Q::Data(Data {
            stream,
            channel,
            id,
            content: content.raw()?,
        }),
        ("offer" | "candidate", R::Stream(stream)) => {
            Q::Negotiation(content.negotiation(method, stream, None)?)
        }
        ("offer" | "answer" | "candidate", R::Subscriber(stream, subscriber)) => {
            Q::Negotiation(content.negotiation(method, stream, Some(subscriber))?)
        }
        ("create", R::Subscriber(stream, subscriber)) => {
            Q::SubscriberCreate(content.subscriber_create(stream, subscriber)?)
        }
        ("delete", R::Subscriber(stream, subscriber)) => Q::SubscriberDelete(SubscriberDelete {
            stream,
            subscriber,
            route: content.route()?,
        }),
        ("update", R::SubscriberChannel(stream, subscriber, channel)) => {
            let wish = content.read()?;
            Q::SubscriberChannelUpdate(SubscriberChannelUpdate {
                stream,
                subscriber,
                channel,
                wish,
            })
        }
        ("signal", R::Signal(id)) => Q::Signal(Signal {
            to: None,
            id,
            body: content.read()?,
        }),
        ("signal", R::SignalTo(connection, id)) => Q::Signal(Signal {
            to: Some(connection),
            id,
            body: content.read()?,
        }),
        ("migrate", R::Migrate) => Q::Migrate,
        _ => return Err(RequestError::Unsupported),
    })
}

/// The JSON text of a request's content.
#[derive(Clone, Copy)]
struct Content<'a>(&'a str);

impl Content<'_> {
    fn read<T: DeserializeOwned>(self) -> Result<T, RequestError> {
        // A derived struct would also read an array, member by member.
        if !self.0.starts_with('{') {
            return Err(RequestError::Rule("content must be an object"));
        }
        serde_json::from_str(self.0).map_err(RequestError::Content)
    }

    fn raw(self) -> Result<RawJson, RequestError> {
        self.read()
    }

    fn client_info(self) -> Result<ClientInfo, RequestError> {
        if self.0.len() > MAX_CLIENT_INFO_LEN {
            return Err(RequestError::Rule("client information is too long"));
        }
        self.read()
    }

    fn route(self) -> Result<Option<Route>, RequestError> {
        self.read::<RouteContent>().map(|content| content.route)
    }

    fn mute(self) -> Result<SessionMute, RequestError> {
        let content: MuteContent = self.read()?;
        if content.reason != "mute" {
            return Err(RequestError::Unsupported);
        }
        Ok(SessionMute {
            mute: content.mute,
            excluded: content.exclusion,
        })
    }

    fn stream_create(self, stream: StreamId) -> Result<StreamCreate, RequestError> {
        let content: StreamContent = self.read()?;
        same_id(content.id, stream)?;
        distinct(content.channel.iter().map(|channel| channel.id))?;
        if content
            .channel
            .iter()
            .any(|channel| channel.kind != kind_of(channel.id))
        {
            return Err(RequestError::Rule("channel type does not fit its id"));
        }
        let properties = content
            .custom_properties
            .unwrap_or_else(RawJson::empty_object);
        if !properties.is_object() {
            return Err(RequestError::Rule("custom properties must be an object"));
        }
        let name = content.name.unwrap_or_default();
        if name.len() + properties.get().len() > MAX_DESCRIPTION_LEN {
            return Err(RequestError::Rule(
                "name and custom properties are too long",
            ));
        }
        Ok(StreamCreate {
            stream,
            name,
            publisher_audio_fallback: content.publisher_audio_fallback_enabled.unwrap_or(false),
            // Clients before 2.27 have one flag, and it means this side.
            subscriber_audio_fallback: content
                .subscriber_audio_fallback_enabled
                .or(content.audio_fallback_enabled)
                .unwrap_or(false),
            channels: content.channel,
            e2ee: content.e2ee.unwrap_or(false),
            custom_properties: properties,
            min_bitrate_bps: content.min_bitrate,
            route: content.route,
        })
    }

    fn subscriber_create(
        self,
        stream: StreamId,
        subscriber: SubscriberId,
    ) -> Result<SubscriberCreate, RequestError> {
        let content: SubscriberContent = self.read()?;
        same_id(content.id, subscriber)?;
        distinct(content.channel.iter().map(|channel| channel.id))?;
        let e2ee = content.e2ee.unwrap_or(false);
        let (channels, route) = (content.channel, content.route);
        Ok(SubscriberCreate {
            stream,
            subscriber,
            channels,
            e2ee,
            route,
        })
    }

    fn negotiation(
        self,
        method: &str,
        stream: StreamId,
        subscriber: Option<SubscriberId>,
    ) -> Result<Negotiation, RequestError> {
        let content: NegotiationContent = self.read()?;
        let sdp = content
            .sdp
            .ok_or(RequestError::Rule("session description without SDP"));
        let message = match method {
            "offer" => NegotiationMessage::Offer(sdp?),
            "answer" => NegotiationMessage::Answer(sdp?),
            _ => NegotiationMessage::Candidate(content.candidate.unwrap_or_default()),
        };
        let (peer, route) = (content.peer_id, content.route);
        Ok(Negotiation {
            stream,
            subscriber,
            peer,
            route,
            message,
            content: self.raw()?,
        })
    }
}

fn same_id<T: PartialEq>(in_content: Option<T>, in_uri: T) -> Result<(), RequestError> {
    match in_content {
        Some(id) if id != in_uri => Err(RequestError::Rule("ids in URI and content differ")),
        _ => Ok(()),
    }
}

fn distinct(channels: impl Iterator<Item = Channel>) -> Result<(), RequestError> {
    let mut seen = [false; Channel::ALL.len()];
    for channel in channels {
        if std::mem::replace(&mut seen[channel as usize], true) {
            return Err(RequestError::Rule("the same channel twice"));
        }
    }
    Ok(())
}

fn kind_of(channel: Channel) -> ChannelKind {
    match channel {
        Channel::Video => ChannelKind::Video,
        Channel::Audio => ChannelKind::Audio,
        Channel::Captions | Channel::DownlinkStats => ChannelKind::Data,
    }
}

#[derive(Deserialize)]
struct RouteContent {
    #[serde(default, rename = "sourceStreamId")]
    route: Option<Route>,
}

#[derive(Deserialize)]
struct MuteContent {
    reason: String,
    #[serde(flatten)]
    mute: Mute,
    #[serde(default)]
    exclusion: Vec<StreamId>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StreamContent {
    id: Option<StreamId>,
    name: Option<String>,
    publisher_audio_fallback_enabled: Option<bool>,
    subscriber_audio_fallback_enabled: Option<bool>,
    audio_fallback_enabled: Option<bool>,
    channel: Vec<StreamChannel>,
    e2ee: Option<bool>,
    custom_properties: Option<RawJson>,
    #[serde(default, deserialize_with = "whole_number")]
    min_bitrate: Option<u32>,
    #[serde(default, rename = "sourceStreamId")]
    route: Option<Route>,
}

#[derive(Deserialize)]
struct SubscriberContent {
    id: Option<SubscriberId>,
    #[serde(default)]
    channel: Vec<SubscriberChannel>,
    e2ee: Option<bool>,
    #[serde(default, rename = "sourceStreamId")]
    route: Option<Route>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NegotiationContent {
    peer_id: Option<PeerId>,
    sdp: Option<String>,
    candidate: Option<String>,
    #[serde(default, rename = "sourceStreamId")]
    route: Option<Route>,
}
