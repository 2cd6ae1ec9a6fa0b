//! Identifiers. Each is its own type, so that one cannot be passed for another.
//!
//! Connection, stream and subscriber ids are chosen by the client (`protocol/signaling.md`,
//! section 1); all three are UUIDs, and only the canonical lower-case form is accepted, so that
//! an id has one spelling.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, de};
use uuid::Uuid;

/// A text that is not an identifier of the wanted kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid identifier")]
pub struct InvalidId;

/// A project's API key: decimal digits, 1 to 2147483647 (`protocol/rest.md`, 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProjectId(i32);

impl ProjectId {
    /// The project with this key, if the number can be a key.
    pub fn new(key: i32) -> Option<Self> {
        (key > 0).then_some(Self(key))
    }

    /// The key as a number.
    pub fn get(self) -> i32 {
        self.0
    }
}

impl fmt::Display for ProjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ProjectId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let digits = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
        let key = text.parse().ok().filter(|_| digits).ok_or(InvalidId)?;
        Self::new(key).ok_or(InvalidId)
    }
}

/// A session id as issued by this server; opaque to everything but `model::session`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(Arc<str>);

impl SessionId {
    /// Longest session id in bytes (`protocol/rest.md`, 22).
    pub const MAX_LEN: usize = 255;

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for SessionId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.~=".contains(&b);
        let valid = (1..=Self::MAX_LEN).contains(&text.len()) && text.bytes().all(allowed);
        valid.then(|| Self(text.into())).ok_or(InvalidId)
    }
}

macro_rules! uuid_id {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let id = Uuid::try_parse(text).map_err(|_| InvalidId)?;
                let mut canonical = Uuid::encode_buffer();
                let same = id.hyphenated().encode_lower(&mut canonical) == text;
                same.then_some(Self(id)).ok_or(InvalidId)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
                let text = Cow::<str>::deserialize(input)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    )*};
}

uuid_id! {
    /// One client in one session.
    ConnectionId;
    /// What a publisher publishes.
    StreamId;
    /// One subscriber object of one client (its "widget id").
    SubscriberId;
    /// One media negotiation; chosen by the server, echoed by the client.
    PeerId;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_key_is_digits_in_the_range_of_a_signed_int() {
        let check = |text: &str, valid: bool| {
            assert_eq!(text.parse::<ProjectId>().is_ok(), valid, "{text}");
        };
        check("47665971", true);
        check("2147483647", true);
        check("2147483648", false);
        check("0", false);
        check("047", false);
        check("+47", false);
        check("", false);
    }

    #[test]
    fn a_connection_id_has_one_spelling() {
        let id = "80f8d87d-48b5-41ca-95ad-8e29b25de8ee";
        assert_eq!(id.parse::<ConnectionId>().unwrap().to_string(), id);
        assert!(id.to_uppercase().parse::<ConnectionId>().is_err());
        assert!(id.replace('-', "").parse::<ConnectionId>().is_err());
        assert!("".parse::<ConnectionId>().is_err());
    }
}
