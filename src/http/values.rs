//! Values that several operations ask for. What exists of these types is valid.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::json;

use super::body::Asked;
use super::error::ApiError;
use crate::model::id::StreamId;

/// A whole number in a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Within<const MIN: u32, const MAX: u32>(pub u32);

impl<'de, const MIN: u32, const MAX: u32> Deserialize<'de> for Within<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let number = i64::deserialize(input)?;
        let number = u32::try_from(number).ok();
        let number = number.filter(|number| (MIN..=MAX).contains(number));
        let what = || de::Error::custom(format!("must be from {MIN} to {MAX}"));
        number.map(Self).ok_or_else(what)
    }
}

impl<const MIN: u32, const MAX: u32> JsonSchema for Within<MIN, MAX> {
    fn schema_name() -> Cow<'static, str> {
        format!("From{MIN}To{MAX}").into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "integer", "minimum": MIN, "maximum": MAX})
    }
}

/// A text whose length in characters is in a range.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text<const MIN: usize, const MAX: usize>(pub String);

impl<'de, const MIN: usize, const MAX: usize> Deserialize<'de> for Text<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        if (MIN..=MAX).contains(&text.chars().count()) {
            Ok(Self(text))
        } else {
            let what = format!("must have {MIN} to {MAX} characters");
            Err(de::Error::custom(what))
        }
    }
}

impl<const MIN: usize, const MAX: usize> JsonSchema for Text<MIN, MAX> {
    fn schema_name() -> Cow<'static, str> {
        format!("TextOf{MIN}To{MAX}").into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "minLength": MIN, "maxLength": MAX})
    }
}

/// What a [`Uri`] is for, and so how it may begin.
pub trait Schemes {
    /// What it begins with; one of these, in lower case.
    const BEGINNINGS: &'static [&'static str];
    /// Its length in characters.
    const LENGTH: std::ops::RangeInclusive<usize>;
}

/// A URI that begins as `S` says.
#[derive(Clone, PartialEq, Eq)]
pub struct Uri<S>(pub String, std::marker::PhantomData<S>);

impl<S> fmt::Debug for Uri<S> {
    /// Not the whole: it may hold a password or a stream key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Uri").finish_non_exhaustive()
    }
}

impl<'de, S: Schemes> Deserialize<'de> for Uri<S> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        if !S::LENGTH.contains(&text.chars().count()) {
            let (min, max) = (S::LENGTH.start(), S::LENGTH.end());
            let what = format!("must have {min} to {max} characters");
            return Err(de::Error::custom(what));
        }
        let lower = text.to_ascii_lowercase();
        let begins = |with: &str| lower.len() > with.len() && lower.starts_with(with);
        let printable = text.chars().all(|c| !c.is_whitespace() && !c.is_control());
        if printable && S::BEGINNINGS.iter().any(|with| begins(with)) {
            Ok(Self(text, std::marker::PhantomData))
        } else {
            let what = format!("must begin with {}", S::BEGINNINGS.join(" or "));
            Err(de::Error::custom(what))
        }
    }
}

impl<S: Schemes> JsonSchema for Uri<S> {
    fn schema_name() -> Cow<'static, str> {
        format!("Uri{}", S::BEGINNINGS[0]).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": format!("^({})", S::BEGINNINGS.join("|")),
            "minLength": S::LENGTH.start(), "maxLength": S::LENGTH.end(),
        })
    }
}

macro_rules! schemes {
    ($($(#[$doc:meta])* $name:ident: $beginnings:expr, $length:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name;

        impl Schemes for $name {
            const BEGINNINGS: &'static [&'static str] = &$beginnings;
            const LENGTH: std::ops::RangeInclusive<usize> = $length;
        }
    )*};
}

schemes! {
    /// A page, or where callbacks go.
    Web: ["http://", "https://"], 15..=2048;
    /// A websocket.
    WebSocket: ["ws://", "wss://"], 15..=2048;
    /// An RTMP server.
    Rtmp: ["rtmp://", "rtmps://"], 8..=2048;
    /// Whom to call.
    Sip: ["sip:", "sips:"], 5..=2048;
}

/// How the streams of an archive or a broadcast are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StreamMode {
    /// All of them.
    #[default]
    Auto,
    /// Those that are added.
    Manual,
}

/// A stream that is added to or removed from an archive or a broadcast (`protocol/rest.md`, 11.8).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(example = json!({"addStream": "8b732909-0a06-46a2-8ea8-074e64d43422", "hasVideo": false}))]
pub struct SelectStream {
    /// Take this one, or change what is taken of it. Excludes `removeStream`.
    pub add_stream: Option<StreamId>,
    /// Take this one no longer. Excludes `addStream`.
    pub remove_stream: Option<StreamId>,
    /// Take its sound.
    #[serde(default = "yes")]
    pub has_audio: bool,
    /// Take its pictures.
    #[serde(default = "yes")]
    pub has_video: bool,
}

impl Asked for SelectStream {
    fn check(&self) -> Result<(), ApiError> {
        match (self.add_stream, self.remove_stream) {
            (Some(_), None) => something(self.has_audio, self.has_video),
            (None, Some(_)) => Ok(()),
            _ => Err(invalid("either addStream or removeStream is needed")),
        }
    }
}

/// A stream that an archive or a broadcast takes by choice.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SelectedStream {
    /// The stream.
    pub stream_id: StreamId,
    /// Whether its sound is taken.
    pub has_audio: bool,
    /// Whether its pictures are taken.
    pub has_video: bool,
}

/// Part of a list (`protocol/rest.md`, 11.5).
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
pub struct Paging {
    /// How many of the newest to leave out.
    #[serde(default)]
    #[schemars(range(max = u32::MAX))]
    pub offset: u32,
    /// How many at most: 50 unless told, and never more than 1000.
    #[schemars(range(max = u32::MAX))]
    count: Option<u32>,
}

impl Asked for Paging {}

/// A list of one session's only.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OfSession {
    /// Only those of this session. What is no id of ours finds nothing.
    pub session_id: Option<String>,
}

impl Asked for OfSession {}

impl Paging {
    /// How many at most. Two SDKs may ask for none, and mean the default.
    pub fn count(&self) -> u32 {
        const DEFAULT: u32 = 50;
        const MAX: u32 = 1000;
        match self.count {
            None | Some(0) => DEFAULT,
            Some(count) => count.min(MAX),
        }
    }
}

/// Something must be left to record or to send.
pub fn something(has_audio: bool, has_video: bool) -> Result<(), ApiError> {
    if has_audio || has_video {
        Ok(())
    } else {
        Err(invalid("hasAudio and hasVideo must not both be false"))
    }
}

/// For `#[serde(default)]`.
pub fn yes() -> bool {
    true
}

/// A 400 with this reason.
pub fn invalid(reason: &str) -> ApiError {
    ApiError::Invalid(reason.to_owned())
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;
    use serde_json::Value;

    use super::*;
    use crate::http::lenient;

    fn reason<T: DeserializeOwned + fmt::Debug>(given: Value) -> String {
        lenient::read::<T>(given).unwrap_err().to_string()
    }

    #[test]
    fn ranges_include_their_ends() {
        for good in [json!(60), json!("36000")] {
            assert!(lenient::read::<Within<60, 36000>>(good).is_ok());
        }
        for bad in [json!(59), json!(36001), json!(-1), json!(1_u64 << 40)] {
            let reason = reason::<Within<60, 36000>>(bad);
            assert_eq!(reason, "the request must be from 60 to 36000");
        }
    }

    #[test]
    fn a_uri_begins_with_its_scheme_and_has_more() {
        let ok = |text: &str| lenient::read::<Uri<WebSocket>>(json!(text)).is_ok();
        assert!(ok("wss://example.com/a"));
        assert!(ok("WS://example.com/a"));
        assert!(!ok("https://example.com"));
        assert!(!ok("wss://exa mple.com/a"));
        assert!(!ok("wss://a"));
        assert!(!ok(&format!("wss://{}", "a".repeat(2048))));
    }

    #[test]
    fn a_page_of_a_list_has_50_items_unless_told_and_never_more_than_1000() {
        let count = |given| lenient::read::<Paging>(given).map(|paging| paging.count());
        assert_eq!(count(json!({})), Ok(50));
        assert_eq!(count(json!({"count": "0"})), Ok(50));
        assert_eq!(count(json!({"count": "2000"})), Ok(1000));
        assert!(count(json!({"count": "-1"})).is_err());
        assert!(count(json!({"offset": "x"})).is_err());
    }
}
