//! Reads a client's request: URI and method say which it is, the content the rest.

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

#[cfg(test)]
mod tests {
    use crate::signaling::json::MAX_DEPTH;
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "80f8d87d-48b5-41ca-95ad-8e29b25de8ee";
    const OTHER: &str = "fc764b1c-fd2f-4ae1-a18e-4b25b9f6d171";

    #[test]
    fn a_stream_of_an_old_client_has_one_fallback_flag_and_it_is_the_subscribers() {
        let stream = stream_create(r#"{"name":"cam","audioFallbackEnabled":true,"channel":[]}"#);
        assert!(stream.subscriber_audio_fallback && !stream.publisher_audio_fallback);
        let stream = stream_create(
            r#"{"audioFallbackEnabled":true,"subscriberAudioFallbackEnabled":false,"channel":[]}"#,
        );
        assert!(!stream.subscriber_audio_fallback, "the newer flag counts");
    }

    #[test]
    fn an_old_client_negotiates_without_saying_which_way() {
        let content =
            format!(r#"{{"peerId":"{ID}","peerPriority":null,"type":"offer","sdp":"v=0\r\n"}}"#);
        let request = ask("offer", &format!("/stream/{ID}"), &content).unwrap();
        let ClientRequest::Negotiation(negotiation) = request else {
            panic!()
        };
        assert_eq!(negotiation.route, None);
        assert_eq!(
            negotiation.message,
            NegotiationMessage::Offer("v=0\r\n".into())
        );
        assert_eq!(negotiation.content.get(), content);
    }

    #[test]
    fn content_may_be_missing_where_nothing_is_needed() {
        let text = format!(
            r#"{{"unknown":[1],"uri":"/v2/partner/1/session/S/stream/{ID}","method":"delete"}}"#
        );
        assert!(matches!(
            parse(&text, MAX_DEPTH).unwrap().request,
            ClientRequest::StreamDelete(_)
        ));
        assert!(ask("delete", &format!("/stream/{ID}"), "null").is_ok());
        assert!(ask("create", &format!("/connection/{ID}"), "{}").is_ok());
    }

    #[test]
    fn a_mute_says_whom_it_spares() {
        let content = format!(
            r#"{{"reason":"mute","channels":["audio"],"active":true,"exclusion":["{ID}"]}}"#
        );
        let ClientRequest::SessionMute(all) = ask("update", "", &content).unwrap() else {
            panic!()
        };
        assert_eq!(all.excluded, [ID.parse().unwrap()]);
        assert!(all.mute.active);
        refused("update", "", r#"{"reason":"other","active":true}"#);
        refused(
            "update",
            "",
            r#"{"reason":"mute","active":true,"exclusion":["nope"]}"#,
        );
    }

    #[test]
    fn a_signal_keeps_any_data_verbatim() {
        let data = |content: &str| match ask("signal", &format!("/signal/{ID}"), content) {
            Ok(ClientRequest::Signal(signal)) => signal.body.data.map(|d| d.get().to_owned()),
            other => panic!("{other:?}"),
        };
        assert_eq!(data("{}"), None);
        assert_eq!(data(r#"{"data":null}"#).as_deref(), Some("null"));
        assert_eq!(
            data(r#"{"data":{"a": 1.0e3}}"#).as_deref(),
            Some(r#"{"a": 1.0e3}"#)
        );
    }

    #[test]
    fn ids_in_content_must_be_those_of_the_uri() {
        let stream = format!("/stream/{ID}");
        assert!(
            ask(
                "create",
                &stream,
                &format!(r#"{{"id":"{ID}","channel":[]}}"#)
            )
            .is_ok()
        );
        refused(
            "create",
            &stream,
            &format!(r#"{{"id":"{OTHER}","channel":[]}}"#),
        );
        refused("create", &stream, r#"{"id":"nope","channel":[]}"#);
        let subscriber = format!("/stream/{ID}/subscriber/{ID}");
        refused(
            "create",
            &subscriber,
            &format!(r#"{{"id":"{OTHER}","channel":[]}}"#),
        );
    }

    #[test]
    fn channels_are_each_there_once_and_of_their_type() {
        let channel = |id: &str, kind: &str| format!(r#"{{"id":"{id}","type":"{kind}"}}"#);
        let create = |channels: &[String]| {
            let content = format!(r#"{{"channel":[{}]}}"#, channels.join(","));
            ask("create", &format!("/stream/{ID}"), &content)
        };
        let (audio, video) = (channel("audio1", "audio"), channel("video1", "video"));
        assert!(create(&[audio.clone(), video]).is_ok());
        assert!(create(&[audio.clone(), audio]).is_err());
        assert!(create(&[channel("audio1", "video")]).is_err());
        assert!(create(&[channel("video2", "video")]).is_err());
    }

    #[test]
    fn what_everybody_is_sent_is_bounded() {
        let long = "x".repeat(MAX_DESCRIPTION_LEN);
        let stream = format!("/stream/{ID}");
        refused(
            "create",
            &stream,
            &format!(r#"{{"name":"{long}","channel":[]}}"#),
        );
        refused(
            "create",
            &stream,
            &format!(r#"{{"channel":[],"customProperties":{{"a":"{long}"}}}}"#),
        );
        refused("create", &stream, r#"{"channel":[],"customProperties":[]}"#);
        refused(
            "create",
            &format!("/connection/{ID}"),
            &format!(r#"{{"userAgent":"{long}"}}"#),
        );
    }

    #[test]
    fn what_no_client_may_do_is_refused() {
        refused("explode", &format!("/stream/{ID}"), "{}");
        refused("created", &format!("/stream/{ID}"), "{}");
        refused("answer", &format!("/stream/{ID}"), r#"{"sdp":""}"#);
        refused("update", &format!("/archive/{ID}"), "{}");
        refused("offer", &format!("/stream/{ID}"), "{}");
        refused("signal", &format!("/signal/{ID}"), r#"["chat","hello"]"#);
        refused(
            "signal",
            &format!("/signal/{ID}"),
            r#"{"type":"a","type":"b"}"#,
        );
    }

    #[test]
    fn hostile_nesting_is_refused_before_it_is_read() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let content = format!(r#"{{"data":{deep}}}"#);
        let result = ask("signal", &format!("/signal/{ID}"), &content);
        assert!(matches!(result, Err(RequestError::TooDeep)));
        assert!(matches!(
            parse(&"[".repeat(100_000), MAX_DEPTH),
            Err(RequestError::TooDeep)
        ));
    }

    #[test]
    fn what_is_no_json_is_malformed() {
        for text in [
            "",
            "x",
            "{}",
            "[]",
            "null",
            r#"{"method":"create"}"#,
            r#"{"method":1,"uri":2}"#,
        ] {
            assert!(
                matches!(parse(text, MAX_DEPTH), Err(RequestError::Malformed(_))),
                "{text}"
            );
        }
    }

    #[test]
    fn session_descriptions_do_not_print() {
        let request = ask("offer", &format!("/stream/{ID}"), r#"{"sdp":"ice-pwd"}"#).unwrap();
        assert!(!format!("{request:?}").contains("ice-pwd"));
    }

    proptest! {
        #[test]
        fn arbitrary_content_is_read_or_refused(
            method in "(create|delete|update|offer|answer|candidate|signal|data)",
            path in "(|/connection/ID|/stream/ID|/stream/ID/channel/video1|/signal/ID\
                |/stream/ID/subscriber/ID|/stream/ID/subscriber/ID/channel/video1)",
            key in "(id|name|channel|active|width|sdp|peerId|type|data|reason|sourceStreamId)",
            value in r#"(1|-1|1e400|null|true|""|"a"|\[\]|\[1\]|\{\}|\[\{\}\]|x|)"#,
        ) {
            let _ = ask(&method, &path.replace("ID", ID), &format!(r#"{{"{key}":{value}}}"#));
        }

        #[test]
        fn arbitrary_text_is_read_or_refused(text in ".{0,200}") {
            let _ = parse(&text, MAX_DEPTH);
        }
    }

    fn stream_create(content: &str) -> StreamCreate {
        match ask("create", &format!("/stream/{ID}"), content) {
            Ok(ClientRequest::StreamCreate(stream)) => stream,
            other => panic!("{other:?}"),
        }
    }

    fn refused(method: &str, path: &str, content: &str) {
        let error = ask(method, path, content).unwrap_err();
        assert_eq!(error.refusal(), Refusal::Malformed, "{error}");
    }

    fn ask(method: &str, path: &str, content: &str) -> Result<ClientRequest, RequestError> {
        let uri = format!("/v2/partner/1127/session/S{path}");
        let payload = format!(r#"{{"method":"{method}","uri":"{uri}","content":{content}}}"#);
        parse(&payload, MAX_DEPTH).map(|addressed| addressed.request)
    }
}
