//! The events and what they say (`protocol/rest.md`, 18 and 19.1).

use serde::Serialize;

use crate::hub::effect::{Notice, NoticeEvent, StreamFacts};
use crate::model::id::{ConnectionId, StreamId};
use crate::signaling::channel::VideoSource;
use crate::signaling::object::ConnectionObject;

/// What a callback can be registered for. Not all of it happens yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// The first client of a session came.
    SessionCreated,
    /// The last one left.
    SessionDestroyed,
    /// A client joined.
    ConnectionCreated,
    /// A client left.
    ConnectionDestroyed,
    /// A stream was published.
    StreamCreated,
    /// A stream ended.
    StreamDestroyed,
    /// An archive's status changed.
    ArchiveStatus,
    /// A broadcast's.
    BroadcastStatus,
    /// A SIP call's.
    SipStatus,
    /// An Experience Composer's.
    RenderStatus,
    /// Captions'.
    CaptionsStatus,
}

impl Topic {
    /// All there are.
    pub const ALL: [Self; 11] = [
        Self::SessionCreated,
        Self::SessionDestroyed,
        Self::ConnectionCreated,
        Self::ConnectionDestroyed,
        Self::StreamCreated,
        Self::StreamDestroyed,
        Self::ArchiveStatus,
        Self::BroadcastStatus,
        Self::SipStatus,
        Self::RenderStatus,
        Self::CaptionsStatus,
    ];

    /// `group` and `event` of the REST API.
    pub fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::SessionCreated => ("session", "created"),
            Self::SessionDestroyed => ("session", "destroyed"),
            Self::ConnectionCreated => ("connection", "created"),
            Self::ConnectionDestroyed => ("connection", "destroyed"),
            Self::StreamCreated => ("stream", "created"),
            Self::StreamDestroyed => ("stream", "destroyed"),
            Self::ArchiveStatus => ("archive", "status"),
            Self::BroadcastStatus => ("broadcast", "status"),
            Self::SipStatus => ("sip", "status"),
            Self::RenderStatus => ("render", "status"),
            Self::CaptionsStatus => ("captions", "status"),
        }
    }

    /// The topic with these words.
    pub fn from_words(group: &str, event: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|topic| topic.words() == (group, event))
    }
}

/// One thing that happened, ready to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Who is interested.
    pub topic: Topic,
    /// The name in the body.
    pub name: &'static str,
    /// JSON.
    pub body: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    session_id: &'a str,
    /// A text, unlike elsewhere.
    project_id: String,
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    timestamp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection: Option<Connection<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<Stream<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Connection<'a> {
    id: ConnectionId,
    created_at: i64,
    data: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Stream<'a> {
    id: StreamId,
    connection: Connection<'a>,
    created_at: i64,
    name: &'a str,
    /// Absent if there is only sound.
    #[serde(skip_serializing_if = "Option::is_none")]
    video_type: Option<VideoSource>,
}

impl Event {
    /// What back ends are told of it. `at_ms` is when it happened, since the Unix epoch.
    pub fn of(notice: &Notice, at_ms: i64) -> Self {
        let (topic, name) = named(&notice.event);
        let (connection, stream, reason) = parts(&notice.event);
        let body = Body {
            session_id: notice.session.as_str(),
            project_id: notice.project.to_string(),
            event: name,
            reason,
            timestamp: at_ms,
            connection: connection.map(Connection::from),
            stream: stream.map(Stream::from),
        };
        let body = serde_json::to_string(&body).expect("texts and numbers are JSON");
        Self { topic, name, body }
    }
}

fn named(event: &NoticeEvent) -> (Topic, &'static str) {
    match event {
        NoticeEvent::SessionStarted => (Topic::SessionCreated, "sessionCreated"),
        NoticeEvent::SessionEnded => (Topic::SessionDestroyed, "sessionDestroyed"),
        NoticeEvent::ConnectionCreated { .. } => (Topic::ConnectionCreated, "connectionCreated"),
        NoticeEvent::ConnectionDestroyed { .. } => {
            (Topic::ConnectionDestroyed, "connectionDestroyed")
        }
        NoticeEvent::StreamCreated { .. } => (Topic::StreamCreated, "streamCreated"),
        NoticeEvent::StreamDestroyed { .. } => (Topic::StreamDestroyed, "streamDestroyed"),
    }
}

type Parts<'a> = (
    Option<&'a ConnectionObject>,
    Option<&'a StreamFacts>,
    Option<&'static str>,
);

fn parts(event: &NoticeEvent) -> Parts<'_> {
    match event {
        NoticeEvent::SessionStarted | NoticeEvent::SessionEnded => (None, None, None),
        NoticeEvent::ConnectionCreated { connection } => (Some(connection), None, None),
        NoticeEvent::ConnectionDestroyed { connection, reason } => {
            (Some(connection), None, Some(reason))
        }
        NoticeEvent::StreamCreated { stream } => (None, Some(stream), None),
        NoticeEvent::StreamDestroyed { stream, reason } => (None, Some(stream), Some(reason)),
    }
}

impl<'a> From<&'a ConnectionObject> for Connection<'a> {
    fn from(object: &'a ConnectionObject) -> Self {
        Self {
            id: object.id,
            created_at: object.created_at_ms,
            data: &object.data,
        }
    }
}

impl<'a> From<&'a StreamFacts> for Stream<'a> {
    fn from(stream: &'a StreamFacts) -> Self {
        Self {
            id: stream.id,
            connection: (&stream.owner).into(),
            created_at: stream.created_at_ms,
            name: &stream.name,
            video_type: stream.video,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::id::ProjectId;
    use crate::model::role::Role;

    fn body(event: NoticeEvent) -> Value {
        let notice = Notice {
            project: ProjectId::new(123_456).unwrap(),
            session: "2_MX4".parse().unwrap(),
            event,
        };
        serde_json::from_str(&Event::of(&notice, 1_470_258_896_953).body).unwrap()
    }

    fn stream(video: Option<VideoSource>) -> StreamFacts {
        StreamFacts {
            id: "63245362-e00e-4834-8371-9397deb3e452".parse().unwrap(),
            owner: ConnectionObject {
                id: "c053fcc8-c681-41d5-8ec2-7a9e1434a21e".parse().unwrap(),
                created_at_ms: 1_470_257_688_143,
                data: "TOKENDATA".to_owned(),
                role: Role::Publisher,
            },
            created_at_ms: 1_470_258_845_416,
            name: String::new(),
            video,
        }
    }

    #[test]
    fn the_end_of_a_stream_reads_as_the_original_documents_it() {
        let expected = json!({
            "sessionId": "2_MX4", "projectId": "123456", "event": "streamDestroyed",
            "reason": "clientDisconnected", "timestamp": 1_470_258_896_953_i64,
            "stream": {
                "id": "63245362-e00e-4834-8371-9397deb3e452",
                "connection": {
                    "id": "c053fcc8-c681-41d5-8ec2-7a9e1434a21e",
                    "createdAt": 1_470_257_688_143_i64, "data": "TOKENDATA",
                },
                "createdAt": 1_470_258_845_416_i64, "name": "", "videoType": "camera",
            },
        });
        let stream = stream(Some(VideoSource::Camera));
        let reason = "clientDisconnected";
        assert_eq!(
            body(NoticeEvent::StreamDestroyed { stream, reason }),
            expected
        );
    }

    #[test]
    fn a_stream_without_pictures_has_no_video_type() {
        let told = body(NoticeEvent::StreamCreated {
            stream: stream(None),
        });
        assert_eq!(told["stream"].get("videoType"), None);
        assert_eq!(told.get("reason"), None);
    }

    #[test]
    fn a_session_is_told_of_without_anything_in_it() {
        let expected = json!({
            "sessionId": "2_MX4", "projectId": "123456", "event": "sessionDestroyed",
            "timestamp": 1_470_258_896_953_i64,
        });
        assert_eq!(body(NoticeEvent::SessionEnded), expected);
    }

    #[test]
    fn every_topic_is_found_by_its_words() {
        for topic in Topic::ALL {
            let (group, event) = topic.words();
            assert_eq!(Topic::from_words(group, event), Some(topic));
        }
        assert_eq!(Topic::from_words("archive", "created"), None);
    }
}
