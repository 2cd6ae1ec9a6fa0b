//! Identifiers. Each is its own type, so that one cannot be passed for another.
//!
//! Connection, stream and subscriber ids are chosen by the client (`protocol/signaling.md`,
//! section 1); all three are UUIDs, and only the canonical lower-case form is accepted, so that
//! an id has one spelling.

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

use crate::entropy::Entropy;

/// A text that is not an identifier of the wanted kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no valid identifier")]
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

/// A session id as issued by this server; opaque once it is issued.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(Arc<str>);

impl SessionId {
    /// Longest session id in bytes (`protocol/rest.md`, 22).
    pub const MAX_LEN: usize = 255;

    /// A new id that every SDK can read the API key from (`protocol/rest.md`, 4.3).
    ///
    /// The random part has 142 bits: whoever knows an id needs only a token to join. The rest is
    /// written in an alphabet whose base64url never has a `_`, which one SDK splits at, and has a
    /// `-` only where a group of four ends, which another needs.
    pub fn issue(
        project: ProjectId,
        location: Option<Ipv4Addr>,
        created_at_ms: i64,
        relayed: bool,
        entropy: &mut Entropy,
    ) -> Self {
        let location = location.map_or_else(String::new, |address| address.to_string());
        let random = entropy.alphanumeric(24);
        let (version, flags) = if relayed { (1, "P") } else { (2, "") };
        let clear = format!("1~{project}~{location}~{created_at_ms}~{random}~{flags}~~");
        Self(format!("{version}_{}", BASE64_URL_SAFE_NO_PAD.encode(clear)).into())
    }

    /// The project an id says it is of; `None` if it has not the shape of those that are issued.
    pub fn project(&self) -> Option<ProjectId> {
        let (_, body) = self.0.split_once('_')?;
        let clear = BASE64_URL_SAFE_NO_PAD.decode(body).ok()?;
        let key = std::str::from_utf8(&clear).ok()?.split('~').nth(1)?;
        key.parse().ok()
    }

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

impl Serialize for SessionId {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        output.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SessionId {
    /// Only what has the shape of those that are issued.
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let id = Cow::<str>::deserialize(input)?.parse().ok();
        let id = id.filter(|id: &Self| id.project().is_some());
        id.ok_or_else(|| de::Error::custom(InvalidId))
    }
}

impl JsonSchema for ProjectId {
    fn schema_name() -> Cow<'static, str> {
        "ProjectKey".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[1-9][0-9]{0,9}$", "examples": ["47665971"]})
    }
}

impl JsonSchema for SessionId {
    fn schema_name() -> Cow<'static, str> {
        "SessionId".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "pattern": "^[12]_[A-Za-z0-9-]+$", "maxLength": Self::MAX_LEN,
            "examples": ["2_MX40NzY2NTk3MX5-MTczOTUzODg5NDk1OX5ROW1jWEcxUXJOM1RJWXU4eX5-fg"],
        })
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

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                Uuid::json_schema(generator)
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
    use base64::alphabet::STANDARD;
    use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
    use base64::prelude::BASE64_URL_SAFE;

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

    /// Session ids with and without a location, of both kinds, with keys of every length.
    fn issued() -> impl Iterator<Item = (ProjectId, SessionId)> {
        let mut entropy = Entropy::from_seed(7);
        (0..1000).map(move |n| {
            let digits = 1 + n % 9;
            let key = 10_i32.pow(digits) - 1 - i32::try_from(entropy.below(9)).unwrap();
            let project = ProjectId::new(key).unwrap();
            let location = n.is_multiple_of(3).then(|| Ipv4Addr::from(entropy.u32()));
            let relayed = n.is_multiple_of(2);
            let at = 1_700_000_000_000 + i64::from(entropy.u32());
            let id = SessionId::issue(project, location, at, relayed, &mut entropy);
            (project, id)
        })
    }

    /// Base64 as forgiving decoders take it: padded or not, and whatever is left over at the end.
    fn lenient(text: &str) -> Option<Vec<u8>> {
        let config = GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true);
        GeneralPurpose::new(&STANDARD, config).decode(text).ok()
    }

    fn fields(bytes: &[u8]) -> Vec<String> {
        let text = std::str::from_utf8(bytes).unwrap();
        text.split('~').map(str::to_owned).collect()
    }

    #[test]
    fn an_issued_session_id_is_a_valid_one_and_ascii() {
        for (project, id) in issued() {
            assert_eq!(id.as_str().parse(), Ok(id.clone()));
            assert_eq!(id.project(), Some(project));
            let clear = BASE64_URL_SAFE_NO_PAD.decode(&id.as_str()[2..]).unwrap();
            assert!(clear.iter().all(|b| (b' '..0x7f).contains(b)), "{id}");
        }
    }

    #[test]
    fn a_session_id_that_was_not_issued_is_of_no_project() {
        for text in [
            "1",
            "1_",
            "_",
            "1_x",
            "2_MX4",
            "1_MX4wfn4",
            "1_MX5hYmN-fg",
            "1_-_-_",
        ] {
            let id: SessionId = text.parse().unwrap();
            assert_eq!(id.project(), None, "{text}");
        }
    }

    #[test]
    fn the_node_sdk_finds_the_key_in_field_one() {
        for (project, id) in issued() {
            let body = id.as_str()[2..].replace('-', "+").replace('_', "/");
            assert_eq!(fields(&lenient(&body).unwrap())[1], project.to_string());
        }
    }

    #[test]
    fn the_python_sdk_finds_the_key_after_padding_base64url() {
        for (project, id) in issued() {
            let mut body = id.as_str()[2..].to_owned();
            while !body.len().is_multiple_of(4) {
                body.push('=');
            }
            let clear = BASE64_URL_SAFE.decode(body).unwrap();
            assert!(fields(&clear).contains(&project.to_string()));
        }
    }

    #[test]
    fn the_java_and_ruby_sdks_find_the_key_in_what_they_decode() {
        for (project, id) in issued() {
            let body = id.as_str()[2..].replace('-', "+").replace('_', "/");
            let clear = lenient(&body).unwrap();
            assert!(fields(&clear).contains(&project.to_string()), "Java");
            let text = String::from_utf8(clear).unwrap();
            assert!(text.contains(&project.to_string()), "Ruby");
        }
    }

    #[test]
    fn the_php_sdk_finds_the_key_though_it_decodes_piece_by_piece() {
        for (project, id) in issued() {
            let pieces = id.as_str()[2..]
                .split('-')
                .map(|piece| lenient(piece).unwrap());
            let found = pieces
                .flat_map(|piece| fields(&piece))
                .any(|f| f == project.to_string());
            assert!(found, "{id}");
        }
    }

    #[test]
    fn the_dotnet_sdk_finds_the_key_though_it_splits_at_underscores() {
        for (project, id) in issued() {
            let text = id.as_str().replace('-', "+");
            let [_, body] = text.split('_').collect::<Vec<_>>().try_into().unwrap();
            let fields = fields(&lenient(body).unwrap());
            assert!(fields.len() >= 2);
            assert_eq!(fields[1].parse::<i32>().unwrap(), project.get());
        }
    }

    #[test]
    fn no_session_id_is_issued_twice() {
        let project = ProjectId::new(47_665_971).unwrap();
        let mut entropy = Entropy::from_seed(7);
        let ids: std::collections::BTreeSet<_> = (0..1000)
            .map(|_| SessionId::issue(project, None, 0, false, &mut entropy))
            .collect();
        assert_eq!(ids.len(), 1000);
    }
}
