//! What REST callers are told when something is wrong, and in which format.
//!
//! The only file that chooses status codes (`protocol/rest.md`, section 3).

use std::convert::Infallible;
use std::error::Error;

use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use tracing::{debug, error};

use super::lenient::Unfit;
use super::openapi::operation::{Operation, Takes};
use super::pace::BodyTooSlow;
use crate::db::DbError;
use crate::driver::hub::CallFailure;
use crate::hub::call::CallError;
use crate::model::session::SessionError;
use crate::model::signal::InvalidSignal;

/// What a load balancer is told that should send nobody here.
pub const NOT_READY: StatusCode = StatusCode::SERVICE_UNAVAILABLE;

/// Why a REST call is refused or fails.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The request is not what it should be.
    #[error("{0}")]
    Invalid(String),
    /// The caller has not shown who they are, or may not do this. SDKs know 403 only, so there
    /// is no 401.
    #[error("{0}")]
    Forbidden(&'static str),
    /// There is no such path.
    #[error("Not found")]
    NotFound,
    /// There is such a path, but not the thing it names.
    #[error("Not found. There is no such {0}.")]
    Missing(&'static str),
    /// There is nobody in the session to hear a signal.
    #[error("Not found. No clients are actively connected to the OpenTok session.")]
    NobodyConnected,
    /// What cannot be a stream's id. SDKs know 408 for this, strange as it is
    /// (`protocol/rest.md`, 8.2).
    #[error("Invalid stream ID")]
    InvalidStreamId,
    /// What cannot be keyed on a telephone.
    #[error("Invalid DTMF Digits")]
    InvalidDigits,
    /// A signal says nothing.
    #[error("Signal payload 'data' must be set")]
    SignalWithoutData,
    /// A signal says too much.
    #[error("{0}")]
    SignalTooLong(InvalidSignal),
    /// The project calls more often than it may.
    #[error("Too many requests")]
    TooManyRequests,
    /// The request's body did not come in time.
    #[error("Request timeout. The body took too long.")]
    TooSlow,
    /// Too much is under way at the moment.
    #[error("Service unavailable. Too many requests are under way.")]
    Busy,
    /// It contradicts the state that things are in.
    #[error("{0}")]
    Conflict(&'static str),
    /// The body is of a kind that nobody here reads.
    #[error("The body must be JSON or a form")]
    UnsupportedBody,
    /// There is such a path, but not for this method.
    #[error("Method not allowed")]
    MethodNotAllowed,
    /// The body is larger than the configured limit.
    #[error("Request body too large")]
    TooLarge,
    /// The API has it and we do not.
    #[error("{0} is not supported by this server")]
    Unsupported(&'static str),
    /// This server is on its way down and takes nothing new.
    #[error("Service unavailable. The server is shutting down.")]
    Draining,
    /// It may work later.
    #[error("Service unavailable")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// It is our fault.
    #[error("Internal error")]
    Internal(#[source] Box<dyn Error + Send + Sync>),
}

impl ApiError {
    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Invalid(_) | Self::InvalidDigits | Self::SignalWithoutData => {
                StatusCode::BAD_REQUEST
            }
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound | Self::Missing(_) | Self::NobodyConnected => StatusCode::NOT_FOUND,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::UnsupportedBody => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::InvalidStreamId | Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge | Self::SignalTooLong(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unsupported(_) => StatusCode::NOT_IMPLEMENTED,
            Self::Busy | Self::Draining | Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The platform's own number for it, where one is known (`protocol/rest.md`, 3).
    fn code(&self) -> i32 {
        match self {
            Self::SignalWithoutData => 15_202,
            Self::InvalidDigits => 400,
            _ => GENERIC,
        }
    }

    /// Tells the operator what callers are not told.
    fn log(&self) {
        match self {
            Self::Unavailable(cause) | Self::Internal(cause) => {
                let cause: &(dyn Error + 'static) = cause.as_ref();
                error!(error = cause, "A REST call failed");
            }
            _ => debug!(reason = %self, "A REST call was refused"),
        }
    }
}

impl From<BytesRejection> for ApiError {
    fn from(rejection: BytesRejection) -> Self {
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Self::TooLarge,
            _ if BodyTooSlow::is_cause_of(&rejection) => Self::TooSlow,
            _ => Self::Invalid("Request body incomplete".to_owned()),
        }
    }
}

impl From<Unfit> for ApiError {
    fn from(unfit: Unfit) -> Self {
        Self::Invalid(unfit.to_string())
    }
}

impl From<SessionError> for ApiError {
    fn from(error: SessionError) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl From<InvalidSignal> for ApiError {
    fn from(invalid: InvalidSignal) -> Self {
        match invalid {
            InvalidSignal::TypeCharacters => Self::Invalid(invalid.to_string()),
            InvalidSignal::TypeTooLong | InvalidSignal::DataTooLong => Self::SignalTooLong(invalid),
        }
    }
}

impl From<CallFailure> for ApiError {
    fn from(failure: CallFailure) -> Self {
        match failure {
            CallFailure::Refused(refused) => refused.into(),
            CallFailure::Stopped(stopped) => Self::Unavailable(stopped.into()),
        }
    }
}

impl From<CallError> for ApiError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::NobodyConnected => Self::NobodyConnected,
            CallError::NoSuchConnection => Self::Missing("connection"),
            CallError::NoSuchStream => Self::Missing("stream"),
            CallError::NoSuchItem(_) => Self::Invalid(error.to_string()),
        }
    }
}

impl From<DbError> for ApiError {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Unavailable(_) => Self::Unavailable(error.into()),
            _ => Self::Internal(error.into()),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.log();
        let body = Body::of(&self);
        let mut response = (self.status(), axum::Json(&body)).into_response();
        if matches!(self, Self::TooManyRequests | Self::Busy) {
            // Every second brings at least one call, and hardly any takes longer.
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        // For whoever writes it in another format.
        response.extensions_mut().insert(body);
        response
    }
}

/// How to answer where it depends on `Accept`: creating sessions only. Three of the six SDKs read
/// nothing but XML there, and those are the ones that do not say so (`protocol/rest.md`, 1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// If it is asked for.
    Json,
    /// If not.
    Xml,
}

impl<S: Sync> FromRequestParts<S> for Format {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let mut accepted = parts.headers.get_all(header::ACCEPT).iter();
        let json = accepted.any(|value| {
            let text = value.to_str().unwrap_or_default().to_ascii_lowercase();
            text.contains("application/json")
        });
        Ok(if json { Self::Json } else { Self::Xml })
    }
}

impl Takes for Format {
    fn takes(operation: &mut Operation<'_>) {
        operation.refuses_in_xml();
    }
}

/// The layer around what is answered in this way: refusals are written in XML where that is wanted.
pub async fn as_accepted(format: Format, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if format == Format::Xml
        && let Some(body) = response.extensions_mut().remove::<Body>()
    {
        let xml = HeaderValue::from_static("application/xml");
        response.headers_mut().insert(header::CONTENT_TYPE, xml);
        *response.body_mut() = body.to_xml().into();
    }
    response
}

/// The error code that says no more than the status.
const GENERIC: i32 = -1;

/// What is answered to a refused or failed call. `message` is there whatever happens: one SDK
/// fails without it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "Error")]
pub(super) struct Body {
    /// The platform's own number for the reason, or -1.
    code: i32,
    /// The reason, in words.
    message: String,
    /// The same.
    description: String,
}

/// What is answered to calls that are refused for this reason, for the document.
pub(super) fn example(error: &ApiError) -> Value {
    json!(Body::of(error))
}

impl Body {
    fn of(error: &ApiError) -> Self {
        let message = error.to_string();
        Self {
            code: error.code(),
            description: message.clone(),
            message,
        }
    }

    fn to_xml(&self) -> String {
        let code = self.code.to_string();
        let members = [
            ("code", code.as_str()),
            ("message", &self.message),
            ("description", &self.description),
        ];
        let members = xml_elements(&members);
        format!("{XML_HEAD}<errorPayload>{members}</errorPayload>")
    }
}

/// What an XML document begins with.
pub(super) const XML_HEAD: &str = r#"<?xml version="1.0" encoding="UTF-8" standalone="yes"?>"#;

/// Elements with text in them, and nothing between them.
pub(super) fn xml_elements(members: &[(&str, &str)]) -> String {
    let element = |(name, text): &(&str, &str)| format!("<{name}>{}</{name}>", escaped(text));
    members.iter().map(element).collect()
}

/// Escapes the usual five; what XML cannot say at all becomes a replacement character.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\t' | '\n' | '\r' => out.push(char),
            '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            _ => out.push(char),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn xml_text_cannot_end_its_element() {
        let xml = xml_elements(&[("m", "<b>\"Q&A\"</b>'\u{1}")]);
        assert_eq!(
            xml,
            "<m>&lt;b&gt;&quot;Q&amp;A&quot;&lt;/b&gt;&apos;\u{fffd}</m>"
        );
    }

    #[test]
    fn callers_are_not_told_what_broke() {
        let error = ApiError::Internal("disk 7 of host 12 is on fire".into());
        assert_eq!(error.to_string(), "Internal error");
    }

    #[test]
    fn nobody_else_chooses_the_status_of_a_failure() {
        const FINE: [&str; 4] = ["OK", "NO_CONTENT", "NOT_MODIFIED", "SWITCHING_PROTOCOLS"];
        let mut paths = vec![PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/http")];
        while let Some(path) = paths.pop() {
            if path.is_dir() {
                let entries = std::fs::read_dir(path).unwrap();
                paths.extend(entries.map(|entry| entry.unwrap().path()));
                continue;
            }
            // The listener sends plain HTTP to HTTPS: nobody has asked for anything yet.
            if path.ends_with("error.rs") || path.ends_with("listener.rs") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let (code, _tests) = text.split_once("#[cfg(test)]").unwrap_or((&text, ""));
            for chosen in code.split("StatusCode::").skip(1) {
                let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
                let name = chosen.split(|c| !is_name(c)).next().unwrap_or_default();
                assert!(FINE.contains(&name), "{} says {name}", path.display());
            }
        }
    }
}
