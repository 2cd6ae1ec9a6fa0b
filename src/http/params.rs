//! What a REST call was given: a form or JSON, whichever way an SDK writes it.
//!
//! Forgiving as `protocol/rest.md`, section 1, asks for: names in any case and with or without
//! `_`, `null` and the empty string for "not given", numbers and booleans for their text.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use serde_json::Value;

use super::error::ApiError;

/// Parameters by name. Members of objects in JSON have a dotted name: `p2p.preference`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Params(BTreeMap<String, String>);

impl Params {
    /// A parameter's text, if it was given and is not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(&canonical(name)).map(String::as_str)
    }

    /// Reads a body.
    pub async fn read(request: Request) -> Result<Self, ApiError> {
        let kind = Kind::of(request.headers());
        Self::parse(kind, &body(request).await?)
    }

    fn parse(kind: Kind, body: &[u8]) -> Result<Self, ApiError> {
        let body = body.trim_ascii();
        let mut params = Self::default();
        match kind {
            _ if body.is_empty() => {}
            Kind::Unknown if !matches!(body[0], b'{' | b'[') => params.add_form(body),
            Kind::Form => params.add_form(body),
            Kind::Json | Kind::Unknown => {
                let json = serde_json::from_slice(body)
                    .map_err(|_| ApiError::Invalid("Invalid JSON".to_owned()))?;
                match json {
                    Value::Null => {}
                    // How one SDK writes an empty map.
                    Value::Array(items) if items.is_empty() => {}
                    Value::Object(_) => params.add_json("", json),
                    _ => return Err(ApiError::Invalid("JSON object expected".to_owned())),
                }
            }
        }
        Ok(params)
    }

    fn add_form(&mut self, body: &[u8]) {
        for (name, value) in form_urlencoded::parse(body) {
            self.add(&name, value.into_owned());
        }
    }

    /// Depth is bounded by the JSON parser.
    fn add_json(&mut self, name: &str, value: Value) {
        match value {
            Value::Null => {}
            Value::String(text) => self.add(name, text),
            Value::Object(members) => {
                for (member, value) in members {
                    let dot = if name.is_empty() { "" } else { "." };
                    self.add_json(&format!("{name}{dot}{member}"), value);
                }
            }
            Value::Array(items) if items.is_empty() => {}
            // No parameter is a list; as text it will be refused by whoever asks for it.
            Value::Array(_) | Value::Bool(_) | Value::Number(_) => {
                self.add(name, value.to_string());
            }
        }
    }

    /// The last of several values counts.
    fn add(&mut self, name: &str, value: String) {
        let name = canonical(name);
        if value.is_empty() {
            self.0.remove(&name)
        } else {
            self.0.insert(name, value)
        };
    }
}

/// All of a body, which may be as large as the router's limit allows.
pub(super) async fn body(request: Request) -> Result<Bytes, ApiError> {
    Bytes::from_request(request, &())
        .await
        .map_err(|rejection| match rejection.into_response().status() {
            StatusCode::PAYLOAD_TOO_LARGE => ApiError::TooLarge,
            _ => ApiError::Invalid("Request body incomplete".to_owned()),
        })
}

/// What all spellings of a name have in common.
pub(super) fn canonical(name: &str) -> String {
    let significant = name.chars().filter(|c| *c != '_');
    significant.map(|c| c.to_ascii_lowercase()).collect()
}

/// What `Content-Type` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Form,
    Json,
    /// Nothing, or nothing that makes sense: the body itself has to tell.
    Unknown,
}

impl Kind {
    fn of(headers: &HeaderMap) -> Self {
        let value = headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let media_type = value
            .and_then(|value| value.split(';').next())
            .unwrap_or_default();
        match media_type.trim().to_ascii_lowercase().as_str() {
            "application/x-www-form-urlencoded" => Self::Form,
            "application/json" => Self::Json,
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(kind: Kind, body: &str) -> Params {
        Params::parse(kind, body.as_bytes()).unwrap()
    }

    #[test]
    fn names_match_in_any_case_and_with_or_without_underscores() {
        for name in ["archiveMode", "ArchiveMode", "archive_mode", "ARCHIVEMODE"] {
            let params = parsed(Kind::Form, &format!("{name}=always"));
            assert_eq!(params.get("archiveMode"), Some("always"), "{name}");
            let params = parsed(Kind::Json, &format!(r#"{{"{name}": "always"}}"#));
            assert_eq!(params.get("archiveMode"), Some("always"), "{name}");
        }
    }

    #[test]
    fn what_is_empty_or_null_was_not_given() {
        assert_eq!(parsed(Kind::Form, "location=&e2ee="), Params::default());
        assert_eq!(
            parsed(Kind::Json, r#"{"location": null, "e2ee": ""}"#),
            Params::default()
        );
        assert_eq!(
            parsed(Kind::Json, r#"{"properties": [], "hls": {}}"#),
            Params::default()
        );
    }

    #[test]
    fn a_body_may_be_missing_whatever_its_type() {
        for kind in [Kind::Form, Kind::Json, Kind::Unknown] {
            assert_eq!(parsed(kind, ""), Params::default());
            assert_eq!(parsed(kind, "\r\n"), Params::default());
        }
        assert_eq!(parsed(Kind::Json, "[]"), Params::default());
        assert_eq!(parsed(Kind::Json, "null"), Params::default());
    }

    #[test]
    fn booleans_and_numbers_read_as_their_text() {
        let params = parsed(Kind::Json, r#"{"e2ee": true, "api_key": 47665971}"#);
        assert_eq!(params.get("e2ee"), Some("true"));
        assert_eq!(params.get("apiKey"), Some("47665971"));
    }

    #[test]
    fn nested_members_have_dotted_names() {
        let nested = parsed(Kind::Json, r#"{"p2p": {"preference": "enabled"}}"#);
        let flat = parsed(Kind::Json, r#"{"p2p.preference": "enabled"}"#);
        assert_eq!(nested.get("p2p.preference"), Some("enabled"));
        assert_eq!(nested, flat);
    }

    #[test]
    fn a_form_is_decoded() {
        let params = parsed(
            Kind::Form,
            "p2p.preference=disabled&archive%4Eame=a+b%26c%C3%A9",
        );
        assert_eq!(params.get("archiveName"), Some("a b&cé"));
        assert_eq!(params.get("p2p.preference"), Some("disabled"));
    }

    #[test]
    fn a_body_without_a_type_is_looked_at() {
        let expected = parsed(Kind::Json, r#"{"e2ee": "true"}"#);
        assert_eq!(parsed(Kind::Unknown, r#" {"e2ee": true}"#), expected);
        assert_eq!(parsed(Kind::Unknown, "e2ee=true"), expected);
    }

    #[test]
    fn json_that_is_not_an_object_is_refused() {
        let deep = "[".repeat(100_000);
        for body in ["{", "[1]", "\"a\"", "1", "{\"a\":1}x", deep.as_str()] {
            let error = Params::parse(Kind::Json, body.as_bytes()).unwrap_err();
            assert_eq!(error.status(), StatusCode::BAD_REQUEST);
        }
    }

    #[test]
    fn the_type_is_read_without_its_charset() {
        let check = |value: &str, expected| {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, value.parse().unwrap())]);
            assert_eq!(Kind::of(&headers), expected, "{value}");
        };
        check("application/json; charset=utf-8", Kind::Json);
        check("Application/JSON", Kind::Json);
        check(
            "application/x-www-form-urlencoded;charset=UTF-8",
            Kind::Form,
        );
        check("text/plain", Kind::Unknown);
        assert_eq!(Kind::of(&HeaderMap::new()), Kind::Unknown);
    }
}
