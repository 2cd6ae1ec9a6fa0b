//! What a request asks for, as the type that its handler wants: [`Body`] and [`Query`].

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::error::ApiError;
use super::lenient;
use super::params::body;

/// A JSON body; nothing at all is an empty object (`protocol/rest.md`, 1).
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let readable = may_be_json(request.headers());
        let bytes = body(request).await?;
        if bytes.trim_ascii().is_empty() {
            return Ok(Self(lenient::read(Value::Null)?));
        }
        if !readable {
            return Err(ApiError::UnsupportedBody);
        }
        let json = serde_json::from_slice(&bytes)
            .map_err(|_| ApiError::Invalid("Invalid JSON".to_owned()))?;
        Ok(Self(lenient::read(json)?))
    }
}

/// Whether a body may be JSON by its `Content-Type`: many say nothing, or what their HTTP library
/// says by itself.
fn may_be_json(headers: &HeaderMap) -> bool {
    const READABLE: [&str; 5] = [
        "application/json",
        "text/json",
        "text/plain",
        "application/octet-stream",
        "application/x-www-form-urlencoded",
    ];
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return true;
    };
    let value = value.to_str().unwrap_or_default();
    let media_type = value.split(';').next().unwrap_or_default().trim();
    media_type.is_empty()
        || media_type.ends_with("+json")
        || READABLE
            .iter()
            .any(|known| media_type.eq_ignore_ascii_case(known))
}

/// The parameters behind the question mark; an empty one counts as absent.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let query = parts.uri.query().unwrap_or_default();
        let given = form_urlencoded::parse(query.as_bytes())
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())));
        Ok(Self(lenient::read(Value::Object(
            given.collect::<Map<_, _>>(),
        ))?))
    }
}
