//! Roles, and the one table of what each may do (`protocol/rest.md`, 5.3).

use std::str::FromStr;

use super::id::InvalidId;

/// What a token lets its bearer be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// Receives streams only.
    Subscriber,
    /// Publishes, subscribes and signals.
    #[default]
    Publisher,
    /// Publishes only.
    PublisherOnly,
    /// A publisher who may also disconnect, unpublish and mute others.
    Moderator,
}

/// One thing a connection may be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capability {
    /// Publish a stream.
    Publish,
    /// Subscribe to streams.
    Subscribe,
    /// Send signals.
    Signal,
    /// Disconnect somebody else.
    ForceDisconnect,
    /// Stop somebody else's stream.
    ForceUnpublish,
    /// Mute somebody else.
    ForceMute,
}

impl Capability {
    /// The word the client looks for in `permissions` (`protocol/signaling.md`, section 7).
    pub fn word(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Subscribe => "subscribe",
            Self::Signal => "signal",
            Self::ForceDisconnect => "forcedisconnect",
            Self::ForceUnpublish => "forceunpublish",
            Self::ForceMute => "forcemute",
        }
    }
}

impl Role {
    /// The table.
    pub fn capabilities(self) -> &'static [Capability] {
        use Capability::{ForceDisconnect, ForceMute, ForceUnpublish, Publish, Signal, Subscribe};
        match self {
            Self::Subscriber => &[Subscribe],
            Self::Publisher => &[Publish, Subscribe, Signal],
            Self::PublisherOnly => &[Publish],
            Self::Moderator => &[
                Publish,
                Subscribe,
                Signal,
                ForceDisconnect,
                ForceUnpublish,
                ForceMute,
            ],
        }
    }

    /// Whether this role may do that.
    pub fn may(self, capability: Capability) -> bool {
        self.capabilities().contains(&capability)
    }
}

impl FromStr for Role {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        match text {
            "subscriber" => Ok(Self::Subscriber),
            "publisher" => Ok(Self::Publisher),
            "publisheronly" => Ok(Self::PublisherOnly),
            "moderator" => Ok(Self::Moderator),
            _ => Err(InvalidId),
        }
    }
}
