//! The members of a JSON body, whichever way an SDK writes them.
//!
//! As forgiving as [`Params`](super::params::Params), but with types: texts may be empty, and
//! there are lists.

use axum::extract::{FromRequest, Request};
use serde_json::{Map, Value};

use super::error::ApiError;
use super::params::{body, canonical};

/// A JSON object. A missing body and an empty array are empty objects (`protocol/rest.md`, 1).
#[derive(Debug, Default, PartialEq)]
pub struct Members(Map<String, Value>);

impl<S: Send + Sync> FromRequest<S> for Members {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        Self::parse(&body(request).await?)
    }
}

impl Members {
    /// A text, which may be empty; `None` if there is none, or null.
    pub fn text(&self, name: &str) -> Result<Option<&str>, ApiError> {
        match self.find(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(wrong(name, "a string")),
        }
    }

    /// A boolean, or its text in any case.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.find(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(Value::String(text)) if text.eq_ignore_ascii_case("true") => Ok(Some(true)),
            Some(Value::String(text)) if text.eq_ignore_ascii_case("false") => Ok(Some(false)),
            Some(_) => Err(wrong(name, "true or false")),
        }
    }

    /// A list of texts.
    pub fn texts(&self, name: &str) -> Result<Option<Vec<&str>>, ApiError> {
        let Some(list) = self.find(name) else {
            return Ok(None);
        };
        let texts = list
            .as_array()
            .and_then(|items| items.iter().map(Value::as_str).collect());
        texts.map(Some).ok_or(wrong(name, "a list of strings"))
    }

    /// A list of objects.
    pub fn objects(self, name: &str) -> Result<Option<Vec<Self>>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Array(items)) => {
                let items: Option<_> = items.into_iter().map(Self::of).collect();
                items.map(Some).ok_or(wrong(name, "a list of objects"))
            }
            Some(_) => Err(wrong(name, "a list of objects")),
        }
    }

    fn parse(body: &[u8]) -> Result<Self, ApiError> {
        if body.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        let json = serde_json::from_slice(body)
            .map_err(|_| ApiError::Invalid("Invalid JSON".to_owned()))?;
        Self::of(json).ok_or_else(|| ApiError::Invalid("JSON object expected".to_owned()))
    }

    fn of(json: Value) -> Option<Self> {
        match json {
            Value::Null => Some(Self::default()),
            Value::Array(items) if items.is_empty() => Some(Self::default()),
            Value::Object(members) => Some(Self(members)),
            _ => None,
        }
    }

    fn find(&self, name: &str) -> Option<&Value> {
        let name = canonical(name);
        let mut given = self.0.iter().filter(|(_, value)| !value.is_null());
        given
            .find(|(known, _)| canonical(known) == name)
            .map(|(_, value)| value)
    }

    fn take(self, name: &str) -> Option<Value> {
        let name = canonical(name);
        let mut given = self.0.into_iter().filter(|(_, value)| !value.is_null());
        given
            .find(|(known, _)| canonical(known) == name)
            .map(|(_, value)| value)
    }
}

fn wrong(name: &str, expected: &str) -> ApiError {
    ApiError::Invalid(format!("{name} must be {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(body: &str) -> Members {
        Members::parse(body.as_bytes()).unwrap()
    }

    #[test]
    fn names_match_in_any_spelling_and_null_is_nothing() {
        let members = members(r#"{"Excluded_StreamIDs": ["a"], "type": null, "data": ""}"#);
        assert_eq!(members.texts("excludedStreamIds").unwrap(), Some(vec!["a"]));
        assert_eq!(members.text("type").unwrap(), None);
        assert_eq!(members.text("data").unwrap(), Some(""));
    }

    #[test]
    fn an_empty_body_and_an_empty_array_are_an_empty_object() {
        for body in ["", "  ", "[]", "{}", "null"] {
            assert_eq!(members(body), Members::default(), "{body}");
        }
    }

    #[test]
    fn flags_may_be_texts() {
        let check = |json: &str, expected| {
            let body = format!(r#"{{"active": {json}}}"#);
            assert_eq!(members(&body).flag("active").ok(), expected, "{json}");
        };
        check("true", Some(Some(true)));
        check(r#""True""#, Some(Some(true)));
        check(r#""FALSE""#, Some(Some(false)));
        check("null", Some(None));
        check("1", None);
        check(r#""yes""#, None);
    }

    #[test]
    fn a_wrong_type_is_refused_by_name() {
        let body = r#"{"data": 1, "list": ["a", 1], "items": [{}, "x"]}"#;
        let reason = |error: ApiError| error.to_string();
        let reasons = [
            members(body).text("data").map_err(reason).unwrap_err(),
            members(body).texts("list").map_err(reason).unwrap_err(),
            members(body).objects("items").map_err(reason).unwrap_err(),
        ];
        assert_eq!(
            reasons,
            [
                "data must be a string",
                "list must be a list of strings",
                "items must be a list of objects"
            ]
        );
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for body in ["{", "[1]", "1", "\"a\"", "{}x", "\u{0}"] {
            assert!(Members::parse(body.as_bytes()).is_err(), "{body}");
        }
    }
}
