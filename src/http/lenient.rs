//! Turns what a back end sent into the type that a handler asks for, whichever way an SDK writes
//! it (`protocol/rest.md`, 1 and 23). The one place that knows how they differ:
//!
//! - members are found in any case, and with or without `_`; unknown ones are passed over;
//! - a member whose name has a dot, as in forms, may also be a member of a member;
//! - `null` is a member that was not given, `[]` is an empty object;
//! - booleans and whole numbers may come as texts, and whole numbers as fractions that are none.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use serde::de::value::StringDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error, IntoDeserializer, MapAccess, SeqAccess,
    Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Number, Value};

/// Reads a `T` out of JSON.
pub fn read<T: DeserializeOwned>(given: Value) -> Result<T, Unfit> {
    T::deserialize(Lenient(given))
}

/// What all spellings of a member's name have in common.
fn canonical(name: &str) -> String {
    let significant = name.chars().filter(|c| *c != '_');
    significant.map(|c| c.to_ascii_lowercase()).collect()
}

/// What does not fit, and where: `websocket.uri is missing`.
#[derive(Debug, PartialEq, Eq)]
pub struct Unfit {
    /// Names of members, the innermost first.
    path: Vec<String>,
    what: String,
}

impl Unfit {
    fn new(what: impl Into<String>) -> Self {
        Self {
            path: Vec::new(),
            what: what.into(),
        }
    }

    fn within(mut self, name: impl Into<String>) -> Self {
        self.path.push(name.into());
        self
    }
}

impl Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names = self.path.iter().rev();
        match names.next() {
            None => f.write_str("the request")?,
            Some(first) => f.write_str(first)?,
        }
        for name in names {
            let dot = if name.starts_with('[') { "" } else { "." };
            write!(f, "{dot}{name}")?;
        }
        write!(f, " {}", self.what)
    }
}

impl std::error::Error for Unfit {}

impl Error for Unfit {
    fn custom<T: Display>(what: T) -> Self {
        Self::new(what.to_string())
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new("is missing").within(field)
    }

    fn unknown_variant(_: &str, known: &'static [&'static str]) -> Self {
        // An empty text that stands for something is no advice.
        let known: Vec<_> = known
            .iter()
            .copied()
            .filter(|word| !word.is_empty())
            .collect();
        Self::new(format!("must be one of {}", known.join(", ")))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::new("was given twice").within(field)
    }
}

struct Lenient(Value);

/// Methods for all kinds of whole numbers; who asks for one checks its range.
macro_rules! whole_numbers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
            let what = || Unfit::new("must be a whole number within range");
            let number = whole(&self.0).ok_or_else(what)?;
            visitor.visit_i64(number).map_err(|_: Unfit| what())
        }
    )*};
}

impl<'de> Deserializer<'de> for Lenient {
    type Error = Unfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(flag) => visitor.visit_bool(flag),
            Value::Number(number) => visit_number(&number, visitor),
            Value::String(text) => visitor.visit_string(text),
            Value::Array(items) => visitor.visit_seq(Items::of(items)),
            Value::Object(_) => self.deserialize_map(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        match self.0 {
            Value::Bool(flag) => visitor.visit_bool(flag),
            Value::String(text) if text.eq_ignore_ascii_case("true") => visitor.visit_bool(true),
            Value::String(text) if text.eq_ignore_ascii_case("false") => visitor.visit_bool(false),
            _ => Err(Unfit::new("must be true or false")),
        }
    }

    whole_numbers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        self.deserialize_string(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        match self.0 {
            Value::String(text) => visitor.visit_string(text),
            _ => Err(Unfit::new("must be a string")),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        match self.0 {
            Value::Array(items) => visitor.visit_seq(Items::of(items)),
            _ => Err(Unfit::new("must be a list")),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        let given = object(self.0)?.into_iter();
        let given = given.filter(|(_, value)| !value.is_null());
        visitor.visit_map(Members {
            rest: given.collect::<Vec<_>>().into_iter(),
            next: None,
        })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        let given = object(self.0)?.into_iter();
        let given = given.filter(|(_, value)| !value.is_null());
        let mut given: BTreeMap<_, _> = given
            .map(|(name, value)| (canonical(&name), value))
            .collect();
        let known = |name: &&'static str| {
            let value = given.remove(&canonical(name));
            let value = value.or_else(|| nested(&given, name))?;
            Some(((*name).to_owned(), value))
        };
        let found: Vec<_> = fields.iter().filter_map(known).collect();
        visitor.visit_map(Members {
            rest: found.into_iter(),
            next: None,
        })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        match self.0 {
            Value::String(text) => {
                let text: StringDeserializer<Unfit> = text.into_deserializer();
                visitor.visit_enum(text)
            }
            _ => Err(Unfit::new("must be a string")),
        }
    }

    forward_to_deserialize_any! {
        i128 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct identifier
        ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Unfit> for Lenient {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

fn object(value: Value) -> Result<Map<String, Value>, Unfit> {
    match value {
        Value::Null => Ok(Map::new()),
        Value::Array(items) if items.is_empty() => Ok(Map::new()),
        Value::Object(members) => Ok(members),
        _ => Err(Unfit::new("must be an object")),
    }
}

/// The member of a member that a name with a dot stands for.
fn nested(given: &BTreeMap<String, Value>, name: &str) -> Option<Value> {
    let (outer, inner) = name.split_once('.')?;
    let mut members = given.get(&canonical(outer))?.as_object()?.iter();
    let found =
        members.find(|(name, value)| canonical(name) == canonical(inner) && !value.is_null());
    found.map(|(_, value)| value.clone())
}

fn whole(value: &Value) -> Option<i64> {
    /// Up to here, a double is exact.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let from_f64 = |number: f64| {
        let exact = number.fract() == 0.0 && number.abs() < EXACT;
        #[expect(clippy::cast_possible_truncation, reason = "checked to be exact")]
        exact.then_some(number as i64)
    };
    match value {
        Value::Number(number) => number
            .as_i64()
            .or_else(|| number.as_f64().and_then(from_f64)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn visit_number<'de, V: Visitor<'de>>(number: &Number, visitor: V) -> Result<V::Value, Unfit> {
    match (number.as_u64(), number.as_i64(), number.as_f64()) {
        (Some(number), _, _) => visitor.visit_u64(number),
        (_, Some(number), _) => visitor.visit_i64(number),
        (_, _, number) => visitor.visit_f64(number.unwrap_or(f64::NAN)),
    }
}

/// The members of an object, each error with its name in front.
struct Members {
    rest: std::vec::IntoIter<(String, Value)>,
    next: Option<(String, Value)>,
}

impl<'de> MapAccess<'de> for Members {
    type Error = Unfit;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Unfit> {
        self.next = self.rest.next();
        let Some((name, _)) = &self.next else {
            return Ok(None);
        };
        let name: StringDeserializer<Unfit> = name.clone().into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Unfit> {
        let (name, value) = self.next.take().expect("a key comes before its value");
        seed.deserialize(Lenient(value))
            .map_err(|unfit| unfit.within(name))
    }
}

/// The items of a list, each error with its index in front.
struct Items(std::iter::Enumerate<std::vec::IntoIter<Value>>);

impl Items {
    fn of(items: Vec<Value>) -> Self {
        Self(items.into_iter().enumerate())
    }
}

impl<'de> SeqAccess<'de> for Items {
    type Error = Unfit;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Unfit> {
        let Some((index, value)) = self.0.next() else {
            return Ok(None);
        };
        seed.deserialize(Lenient(value))
            .map(Some)
            .map_err(|unfit| unfit.within(format!("[{index}]")))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Asked {
        has_audio: bool,
        max_duration: u32,
        name: Option<String>,
        outputs: Outputs,
        headers: BTreeMap<String, String>,
        mode: Mode,
        #[serde(rename = "p2p.preference")]
        preference: Option<String>,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Outputs {
        low_latency: bool,
        streams: Vec<String>,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Mode {
        #[default]
        #[serde(alias = "")]
        Auto,
        Manual,
    }

    fn asked(given: Value) -> Asked {
        read(given).unwrap()
    }

    fn refused(given: Value) -> String {
        read::<Asked>(given).unwrap_err().to_string()
    }

    #[test]
    fn members_are_found_in_any_spelling_at_any_depth() {
        for (one, two) in [
            ("hasAudio", "lowLatency"),
            ("has_audio", "low_latency"),
            ("HasAudio", "LOWLATENCY"),
        ] {
            let asked = asked(json!({one: true, "Outputs": {two: true}, "unknown": 1}));
            assert!(asked.has_audio && asked.outputs.low_latency, "{one}");
        }
    }

    #[test]
    fn a_name_with_a_dot_may_be_nested() {
        for given in [
            json!({"P2P.preference": "x"}),
            json!({"p2p": {"Preference": "x", "other": 1}}),
        ] {
            assert_eq!(asked(given).preference.as_deref(), Some("x"));
        }
        for nothing in [json!({"p2p": "x"}), json!({"p2p": {"preference": null}})] {
            assert_eq!(asked(nothing).preference, None);
        }
    }

    #[test]
    fn null_is_not_given_and_an_empty_list_is_an_empty_object() {
        for nothing in [json!(null), json!([]), json!({})] {
            assert_eq!(asked(nothing.clone()), Asked::default());
            let given = json!({"hasAudio": null, "name": null, "outputs": nothing, "headers": []});
            assert_eq!(asked(given), Asked::default());
        }
    }

    #[test]
    fn booleans_and_numbers_may_be_texts() {
        for yes in [json!(true), json!("true"), json!("True")] {
            assert!(asked(json!({"hasAudio": yes})).has_audio);
        }
        for number in [json!(14400), json!("14400"), json!(14400.0)] {
            assert_eq!(asked(json!({"maxDuration": number})).max_duration, 14400);
        }
    }

    #[test]
    fn names_in_a_map_are_kept_as_they_are() {
        let asked = asked(json!({"headers": {"X_Key": "v", "none": null}}));
        assert_eq!(
            asked.headers,
            BTreeMap::from([("X_Key".into(), "v".into())])
        );
    }

    #[test]
    fn what_does_not_fit_is_named_with_its_place() {
        let check = |given, reason: &str| assert_eq!(refused(given), reason);
        check(json!({"has_audio": 1}), "hasAudio must be true or false");
        check(json!({"name": 1}), "name must be a string");
        check(json!({"mode": "x"}), "mode must be one of auto, manual");
        check(
            json!({"outputs": {"streams": ["a", 1]}}),
            "outputs.streams[1] must be a string",
        );
        for number in [json!(-1), json!(1.5), json!("x"), json!(4_294_967_296_u64)] {
            check(
                json!({"maxDuration": number}),
                "maxDuration must be a whole number within range",
            );
        }
        check(json!([1]), "the request must be an object");
    }
}
