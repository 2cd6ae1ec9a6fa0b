//! JSON that is passed on as it came, and readers for what clients are loose about.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::value::RawValue;

/// Deepest nesting accepted in a payload unless settings say otherwise. Legitimate requests nest
/// three deep, and signal data rarely deeper; receivers with recursive parsers must not be at the
/// sender's mercy. Ours.
pub const MAX_DEPTH: usize = 64;

/// A JSON value kept as the text it was, so that it can be passed on verbatim.
/// `Debug` shows only its length: it may be a signal or a session description.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RawJson(Box<RawValue>);

impl RawJson {
    /// An empty object.
    pub fn empty_object() -> Self {
        Self(RawValue::from_string("{}".to_owned()).expect("`{}` is JSON"))
    }

    /// The JSON text of a value, if it has one.
    pub fn of(value: &impl Serialize) -> Result<Self, serde_json::Error> {
        serde_json::value::to_raw_value(value).map(Self)
    }

    /// Takes over a text that is JSON.
    pub fn parse(text: String) -> Result<Self, serde_json::Error> {
        RawValue::from_string(text).map(Self)
    }

    /// The JSON text.
    pub fn get(&self) -> &str {
        self.0.get()
    }

    /// Whether the value is an object.
    pub fn is_object(&self) -> bool {
        self.get().starts_with('{')
    }
}

impl From<&RawValue> for RawJson {
    fn from(raw: &RawValue) -> Self {
        Self(raw.to_owned())
    }
}

impl PartialEq for RawJson {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl Eq for RawJson {}

impl fmt::Debug for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RawJson({} bytes)", self.get().len())
    }
}

/// Whether a JSON text nests too deep. The text need not be valid.
pub(super) fn is_too_deep(text: &str, max_depth: usize) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > max_depth {
            return true;
        }
    }
    false
}

/// A whole number that JavaScript may have written with a fraction; rounded, at most `u32::MAX`.
pub(super) fn whole_number<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u32>, D::Error> {
    match Option::<f64>::deserialize(input)? {
        Some(number) if number < 0.0 => Err(de::Error::custom("negative number")),
        number => Ok(number.map(|n| n.round() as u32)),
    }
}

/// Whether a reason word is `auto`.
pub(super) fn is_auto<'de, D: Deserializer<'de>>(input: D) -> Result<bool, D::Error> {
    Ok(Option::<String>::deserialize(input)?.as_deref() == Some("auto"))
}

/// A value that may be `null` and still counts as given.
pub(super) fn given<'de, D: Deserializer<'de>>(input: D) -> Result<Option<RawJson>, D::Error> {
    Box::<RawValue>::deserialize(input).map(|raw| Some(RawJson(raw)))
}

/// One of a set of words; a word that is not in the set counts as not given.
pub(super) fn known_word<'de, D, T>(input: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let word = Option::<String>::deserialize(input)?;
    Ok(word.and_then(|word| {
        T::deserialize(de::value::StringDeserializer::<de::value::Error>::new(word)).ok()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_brackets_outside_of_strings() {
        let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(!is_too_deep(&nested(MAX_DEPTH), MAX_DEPTH));
        assert!(is_too_deep(&nested(MAX_DEPTH + 1), MAX_DEPTH));
        let deep = |text: &str| is_too_deep(text, MAX_DEPTH);
        assert!(!deep(&format!("\"{}\"", nested(1000))));
        assert!(deep(&format!(r#"["\"",{}"#, nested(1000))));
        assert!(!deep(&format!(r#""\\\"{}""#, nested(1000))));
        assert!(!deep(&"[],".repeat(1000)));
        assert!(!deep(&"]".repeat(1000)));
    }

    #[test]
    fn raw_json_keeps_its_spelling_and_does_not_print() {
        let raw = RawJson::parse(r#"{"b":1e2,  "a":"\u0041"}"#.to_owned()).unwrap();
        assert_eq!(
            serde_json::to_string(&raw).unwrap(),
            r#"{"b":1e2,  "a":"\u0041"}"#
        );
        assert_eq!(format!("{raw:?}"), "RawJson(24 bytes)");
        assert!(RawJson::parse("{".to_owned()).is_err());
    }
}
