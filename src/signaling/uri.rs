//! Raptor URIs, read and written in one place (`protocol/signaling.md`, section 5).

use std::fmt;
use std::str::{FromStr, Split};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::channel::Channel;
use crate::model::id::{ConnectionId, ProjectId, SessionId, StreamId, SubscriberId};

/// A resource in its session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uri {
    /// The API key in the URI; whether it is the right one is for the caller to check.
    pub project: ProjectId,
    /// The session in the URI; likewise.
    pub session: SessionId,
    /// What the URI names there.
    pub resource: Resource,
}

/// What a URI names within its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// The session itself.
    Session,
    /// A client.
    Connection(ConnectionId),
    /// A stream, or the publisher's peer connection of it.
    Stream(StreamId),
    /// A channel of a stream.
    StreamChannel(StreamId, Channel),
    /// A datum the publisher sends along with a stream.
    StreamData(StreamId, Channel, Uuid),
    /// A subscriber of a stream, or its peer connection.
    Subscriber(StreamId, SubscriberId),
    /// What a subscriber wants of a channel.
    SubscriberChannel(StreamId, SubscriberId, Channel),
    /// A datum for one subscriber.
    SubscriberData(StreamId, SubscriberId, Channel, Uuid),
    /// One of the ways a stream's media takes in an adaptive session.
    Source(StreamId, Route),
    /// A signal to everybody.
    Signal(Uuid),
    /// A signal to one client.
    SignalTo(ConnectionId, Uuid),
    /// An archive.
    Archive(Uuid),
    /// A word from the server about itself.
    Notification,
    /// A client's wish to be moved to another server.
    Migrate,
}

/// The way media takes; `sourceStreamId` on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Route {
    /// From browser to browser.
    #[serde(rename = "P2P")]
    Relayed,
    /// Through the SFU.
    #[serde(rename = "MANTIS")]
    Routed,
}

impl Route {
    /// The wire's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Relayed => "P2P",
            Self::Routed => "MANTIS",
        }
    }
}

/// Why a text is not a URI of this protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// It does not follow the grammar.
    #[error("malformed resource URI")]
    Malformed,
    /// An identifier in it cannot exist, so nothing can have it.
    #[error("impossible identifier in a resource URI")]
    ImpossibleId,
}

impl FromStr for Uri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let path = text
            .strip_prefix("/v2/partner/")
            .ok_or(UriError::Malformed)?;
        let mut segments = Segments(path.split('/'));
        let project = segments.id()?;
        segments.expect("session")?;
        let session = segments.id()?;
        let resource = segments.resource()?;
        segments.end()?;
        Ok(Self {
            project,
            session,
            resource,
        })
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "/v2/partner/{}/session/{}{}",
            self.project, self.session, self.resource
        )
    }
}

impl Serialize for Uri {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The part behind the session, with its leading slash.
impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Resource as R;
        match self {
            R::Session => Ok(()),
            R::Connection(connection) => write!(f, "/connection/{connection}"),
            R::Stream(stream) => write!(f, "/stream/{stream}"),
            R::StreamChannel(stream, channel) => {
                write!(f, "{}/channel/{}", R::Stream(*stream), channel.word())
            }
            R::StreamData(stream, channel, id) => {
                write!(f, "{}/data/{id}", R::StreamChannel(*stream, *channel))
            }
            R::Subscriber(stream, subscriber) => {
                write!(f, "{}/subscriber/{subscriber}", R::Stream(*stream))
            }
            R::SubscriberChannel(stream, subscriber, channel) => {
                write!(
                    f,
                    "{}/channel/{}",
                    R::Subscriber(*stream, *subscriber),
                    channel.word()
                )
            }
            R::SubscriberData(stream, subscriber, channel, id) => {
                let channel = R::SubscriberChannel(*stream, *subscriber, *channel);
                write!(f, "{channel}/data/{id}")
            }
            R::Source(stream, route) => {
                write!(f, "{}/source/{}", R::Stream(*stream), route.word())
            }
            R::Signal(id) => write!(f, "/signal/{id}"),
            R::SignalTo(connection, id) => {
                write!(f, "{}{}", R::Connection(*connection), R::Signal(*id))
            }
            R::Archive(archive) => write!(f, "/archive/{archive}"),
            R::Notification => f.write_str("/notification"),
            R::Migrate => f.write_str("/migrate"),
        }
    }
}

/// Reads a path from left to right. A trailing slash counts as nothing: the grammar allows a
/// missing last value.
struct Segments<'a>(Split<'a, char>);

impl<'a> Segments<'a> {
    fn resource(&mut self) -> Result<Resource, UriError> {
        match self.next() {
            None => Ok(Resource::Session),
            Some("connection") => self.in_connection(),
            Some("stream") => self.in_stream(),
            Some("signal") => Ok(Resource::Signal(self.uuid()?)),
            Some("archive") => Ok(Resource::Archive(self.uuid()?)),
            Some("notification") => Ok(Resource::Notification),
            Some("migrate") => Ok(Resource::Migrate),
            Some(_) => Err(UriError::Malformed),
        }
    }

    fn in_connection(&mut self) -> Result<Resource, UriError> {
        let connection = self.id()?;
        match self.next() {
            None => Ok(Resource::Connection(connection)),
            Some("signal") => Ok(Resource::SignalTo(connection, self.uuid()?)),
            Some(_) => Err(UriError::Malformed),
        }
    }

    fn in_stream(&mut self) -> Result<Resource, UriError> {
        let stream = self.id()?;
        match self.next() {
            None => Ok(Resource::Stream(stream)),
            Some("source") => Ok(Resource::Source(stream, self.route()?)),
            Some("subscriber") => self.in_subscriber(stream),
            Some("channel") => {
                let channel = self.channel()?;
                Ok(match self.data()? {
                    None => Resource::StreamChannel(stream, channel),
                    Some(id) => Resource::StreamData(stream, channel, id),
                })
            }
            Some(_) => Err(UriError::Malformed),
        }
    }

    fn in_subscriber(&mut self, stream: StreamId) -> Result<Resource, UriError> {
        let subscriber = self.id()?;
        match self.next() {
            None => Ok(Resource::Subscriber(stream, subscriber)),
            Some("channel") => {
                let channel = self.channel()?;
                Ok(match self.data()? {
                    None => Resource::SubscriberChannel(stream, subscriber, channel),
                    Some(id) => Resource::SubscriberData(stream, subscriber, channel, id),
                })
            }
            Some(_) => Err(UriError::Malformed),
        }
    }

    fn data(&mut self) -> Result<Option<Uuid>, UriError> {
        match self.next() {
            None => Ok(None),
            Some("data") => self.uuid().map(Some),
            Some(_) => Err(UriError::Malformed),
        }
    }

    fn channel(&mut self) -> Result<Channel, UriError> {
        self.value()?.parse().map_err(|_| UriError::ImpossibleId)
    }

    fn route(&mut self) -> Result<Route, UriError> {
        let word = self.value()?;
        [Route::Relayed, Route::Routed]
            .into_iter()
            .find(|route| route.word() == word)
            .ok_or(UriError::ImpossibleId)
    }

    fn uuid(&mut self) -> Result<Uuid, UriError> {
        Uuid::try_parse(self.value()?).map_err(|_| UriError::ImpossibleId)
    }

    fn id<T: FromStr>(&mut self) -> Result<T, UriError> {
        self.value()?.parse().map_err(|_| UriError::ImpossibleId)
    }

    fn expect(&mut self, name: &str) -> Result<(), UriError> {
        (self.next() == Some(name))
            .then_some(())
            .ok_or(UriError::Malformed)
    }

    fn end(&mut self) -> Result<(), UriError> {
        self.next()
            .is_none()
            .then_some(())
            .ok_or(UriError::Malformed)
    }

    fn value(&mut self) -> Result<&'a str, UriError> {
        self.next().ok_or(UriError::Malformed)
    }

    fn next(&mut self) -> Option<&'a str> {
        self.0.next().filter(|segment| !segment.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BASE: &str = "/v2/partner/1127/session/S";
    const ID: &str = "80f8d87d-48b5-41ca-95ad-8e29b25de8ee";

    #[test]
    fn every_form_is_read_and_written_alike() {
        for path in [
            "",
            "/connection/ID",
            "/stream/ID",
            "/stream/ID/channel/audio1",
            "/stream/ID/channel/caption1/data/ID",
            "/stream/ID/subscriber/ID",
            "/stream/ID/subscriber/ID/channel/video1",
            "/stream/ID/subscriber/ID/channel/downlinkStats1/data/ID",
            "/stream/ID/source/P2P",
            "/stream/ID/source/MANTIS",
            "/signal/ID",
            "/connection/ID/signal/ID",
            "/archive/ID",
            "/notification",
            "/migrate",
        ] {
            let text = format!("{BASE}{}", path.replace("ID", ID));
            let uri: Uri = text.parse().unwrap();
            assert_eq!(uri.to_string(), text);
            assert_eq!(
                format!("{text}/").parse(),
                Ok(uri),
                "a missing last value is allowed"
            );
        }
    }

    #[test]
    fn what_does_not_follow_the_grammar_is_malformed() {
        let check =
            |text: &str| assert_eq!(text.parse::<Uri>(), Err(UriError::Malformed), "{text}");
        check("");
        check("/v1/partner/1127/session/S");
        check("/v2/partner/1127/session");
        check("/v2/partner/1127/room/S");
        check("/v2/partner//session/S");
        check(&format!("{BASE}/stream"));
        check(&format!("{BASE}/nonsense/{ID}"));
        check(&format!("{BASE}/stream/{ID}/channel"));
        check(&format!("{BASE}/stream/{ID}/signal/{ID}"));
        check(&format!("{BASE}/connection/{ID}/stream/{ID}"));
        check(&format!("{BASE}/migrate/{ID}"));
        check(&format!(
            "{BASE}/stream/{ID}/subscriber/{ID}/channel/audio1/data/{ID}/x"
        ));
    }

    #[test]
    fn what_cannot_be_an_id_is_told_apart() {
        let check =
            |text: &str| assert_eq!(text.parse::<Uri>(), Err(UriError::ImpossibleId), "{text}");
        check("/v2/partner/x/session/S");
        check("/v2/partner/1127/session/a b");
        check(&format!("/v2/partner/1127/session/{}", "x".repeat(256)));
        check(&format!("{BASE}/connection/nope"));
        check(&format!("{BASE}/stream/{}", ID.to_uppercase()));
        check(&format!("{BASE}/stream/{ID}/channel/video2"));
        check(&format!("{BASE}/stream/{ID}/source/OTHER"));
        check(&format!("{BASE}/signal/q"));
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_read_or_refused(
            path in "(/(stream|channel|subscriber|data|signal|connection|video1|x|))*",
        ) {
            if let Ok(uri) = format!("{BASE}{path}").parse::<Uri>() {
                prop_assert_eq!(uri.to_string().parse(), Ok(uri));
            }
        }
    }
}
