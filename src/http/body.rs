//! What a request asks for, as the type that its handler wants: [`Body`], [`Form`] and [`Query`].
//! What they hand over is valid.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::error::ApiError;
use super::lenient;
use super::openapi::operation::{Operation, Takes};

/// What can be asked for in a body or behind the question mark.
pub trait Asked: DeserializeOwned + JsonSchema + Send {
    /// Why it can be refused, besides that it is not what it should be.
    const REFUSALS: &'static [ApiError] = &[];

    /// The rules between the members; those of one member are its type's.
    fn check(&self) -> Result<(), ApiError> {
        Ok(())
    }
}

/// A JSON body; nothing at all is an empty object (`protocol/rest.md`, 1).
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<T: Asked, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        // Many say what their HTTP library says by itself.
        let (Kind::Json | Kind::Unclear) = Kind::of(request.headers())?;
        let bytes = whole(request).await?;
        let given = match bytes.is_empty() {
            true => Value::Null,
            false => json(&bytes)?,
        };
        Ok(Self(valid(given)?))
    }
}

/// A form, or the same as JSON. An empty value counts as absent, as in a [`Query`].
#[derive(Debug)]
pub struct Form<T>(pub T);

impl<T: Asked, S: Send + Sync> FromRequest<S> for Form<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let kind = Kind::of(request.headers())?;
        let bytes = whole(request).await?;
        let given = match (kind, bytes.first()) {
            (_, None) => Value::Null,
            (Kind::Json, _) | (Kind::Unclear, Some(b'{' | b'[')) => without_empty(json(&bytes)?),
            (Kind::Unclear, Some(_)) => parameters(&bytes),
        };
        Ok(Self(valid(given)?))
    }
}

/// The parameters behind the question mark; an empty one counts as absent.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: Asked, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let query = parts.uri.query().unwrap_or_default();
        Ok(Self(valid(parameters(query.as_bytes()))?))
    }
}

impl<T: Asked> Takes for Body<T> {
    fn takes(operation: &mut Operation<'_>) {
        operation.body::<T>(&["application/json"]);
        refusals_of_bodies::<T>(operation);
    }
}

impl<T: Asked> Takes for Form<T> {
    fn takes(operation: &mut Operation<'_>) {
        operation.body::<T>(&["application/x-www-form-urlencoded", "application/json"]);
        refusals_of_bodies::<T>(operation);
    }
}

impl<T: Asked> Takes for Query<T> {
    fn takes(operation: &mut Operation<'_>) {
        operation.query::<T>();
        operation.refuses(&ApiError::Invalid(
            "count must be a whole number".to_owned(),
        ));
    }
}

fn refusals_of_bodies<T: Asked>(operation: &mut Operation<'_>) {
    operation.refuses(&ApiError::Invalid("Invalid JSON".to_owned()));
    operation.refuses(&ApiError::UnsupportedBody);
    operation.refuses(&ApiError::TooLarge);
    operation.refuses(&ApiError::TooSlow);
    for reason in T::REFUSALS {
        operation.refuses(reason);
    }
}

fn valid<T: Asked>(given: Value) -> Result<T, ApiError> {
    let asked: T = lenient::read(given)?;
    asked.check()?;
    Ok(asked)
}

/// All of a body, which may be as large as the router's limit allows, without white space around
/// it.
async fn whole(request: Request) -> Result<Bytes, ApiError> {
    let bytes = Bytes::from_request(request, &()).await?;
    Ok(bytes.slice_ref(bytes.trim_ascii()))
}

fn json(bytes: &[u8]) -> Result<Value, ApiError> {
    serde_json::from_slice(bytes).map_err(|_| ApiError::Invalid("Invalid JSON".to_owned()))
}

/// Of several values, the last counts.
fn parameters(urlencoded: &[u8]) -> Value {
    let given = form_urlencoded::parse(urlencoded)
        .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())));
    without_empty(Value::Object(given.collect::<Map<_, _>>()))
}

fn without_empty(mut given: Value) -> Value {
    if let Value::Object(members) = &mut given {
        members.retain(|_, value| value.as_str() != Some(""));
    }
    given
}

/// What `Content-Type` says of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Json,
    /// Nothing, or what is also said of what it is not: the body itself has to tell.
    Unclear,
}

impl Kind {
    /// Refuses what is certainly neither JSON nor a form.
    fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        const UNCLEAR: [&str; 4] = [
            "",
            "application/x-www-form-urlencoded",
            "application/octet-stream",
            "text/plain",
        ];
        let value = headers
            .get(header::CONTENT_TYPE)
            .map_or(Ok(""), |value| value.to_str())
            .unwrap_or("?");
        let media_type = value.split(';').next().unwrap_or_default().trim();
        let media_type = media_type.to_ascii_lowercase();
        match media_type.as_str() {
            "application/json" | "text/json" => Ok(Self::Json),
            other if other.ends_with("+json") => Ok(Self::Json),
            other if UNCLEAR.contains(&other) => Ok(Self::Unclear),
            _ => Err(ApiError::UnsupportedBody),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize, JsonSchema)]
    #[serde(rename_all = "camelCase", default)]
    struct Wanted {
        name: Option<String>,
        e2ee: Option<bool>,
    }

    impl Asked for Wanted {}

    fn request(kind: Option<&str>, body: &str) -> Request {
        let mut request = Request::new(body.to_owned().into());
        if let Some(kind) = kind {
            let kind = kind.parse().unwrap();
            request.headers_mut().insert(header::CONTENT_TYPE, kind);
        }
        request
    }

    async fn form(kind: Option<&str>, body: &str) -> Result<Wanted, ApiError> {
        let form = Form::from_request(request(kind, body), &()).await;
        form.map(|Form(wanted)| wanted)
    }

    async fn body(kind: Option<&str>, body: &str) -> Result<Wanted, ApiError> {
        let body = Body::from_request(request(kind, body), &()).await;
        body.map(|Body(wanted)| wanted)
    }

    fn named(name: &str) -> Wanted {
        Wanted {
            name: Some(name.to_owned()),
            e2ee: None,
        }
    }

    const JSON: Option<&str> = Some("application/json; charset=utf-8");
    const FORM: Option<&str> = Some("application/x-www-form-urlencoded;charset=UTF-8");

    #[tokio::test]
    async fn a_body_may_be_missing_whatever_its_type() {
        for kind in [FORM, JSON, None, Some("text/plain")] {
            for nothing in ["", "\r\n", "[]", "{}"] {
                assert_eq!(form(kind, nothing).await.unwrap(), Wanted::default());
                assert_eq!(body(kind, nothing).await.unwrap(), Wanted::default());
            }
        }
    }

    #[tokio::test]
    async fn a_form_is_decoded_and_what_is_empty_was_not_given() {
        let given = form(FORM, "n%61me=a+b%26c%C3%A9&E2EE=").await.unwrap();
        assert_eq!(given, named("a b&cé"));
        let given = form(JSON, r#"{"name": "", "e2ee": ""}"#).await.unwrap();
        assert_eq!(given, Wanted::default());
        assert_eq!(body(JSON, r#"{"name": ""}"#).await.unwrap(), named(""));
    }

    #[tokio::test]
    async fn a_body_is_looked_at_where_its_type_says_little() {
        for kind in [None, FORM, Some("text/plain"), Some("text/json")] {
            let json = r#" {"name": "x"} "#;
            assert_eq!(form(kind, json).await.unwrap(), named("x"), "{kind:?}");
            assert_eq!(body(kind, json).await.unwrap(), named("x"), "{kind:?}");
        }
        assert_eq!(form(None, "name=x").await.unwrap(), named("x"));
        assert!(body(FORM, "name=x").await.is_err());
        for kind in [
            "application/xml",
            "multipart/form-data; boundary=x",
            "\u{e9}",
        ] {
            for refused in [form(Some(kind), "").await, body(Some(kind), "").await] {
                assert!(matches!(refused, Err(ApiError::UnsupportedBody)), "{kind}");
            }
        }
    }

    #[tokio::test]
    async fn what_is_no_object_is_refused() {
        let deep = "[".repeat(100_000);
        for given in ["{", "[1]", "\"a\"", "1", "{}x", deep.as_str()] {
            for refused in [form(JSON, given).await, body(JSON, given).await] {
                let reason = refused.unwrap_err();
                assert!(matches!(reason, ApiError::Invalid(_)), "{reason:?}");
            }
        }
    }

    #[tokio::test]
    async fn of_several_parameters_of_one_name_the_last_counts() {
        #[derive(Deserialize, JsonSchema)]
        struct All(BTreeMap<String, String>);
        impl Asked for All {}
        let uri = "/?a=1&a=2&b=&c=%20".parse().unwrap();
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.uri = uri;
        let Query(All(given)) = Query::from_request_parts(&mut parts, &()).await.unwrap();
        assert_eq!(json!(given), json!({"a": "2", "c": " "}));
    }
}
