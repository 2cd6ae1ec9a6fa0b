//! The browser client, the demo page and the page of the REST API, compiled in.

use std::sync::LazyLock;

use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha1::{Digest, Sha1};

use super::error::ApiError;
/// The page on which people test their network.
pub const NETWORK_TEST: &str = "/test";

/// One compiled-in file.
#[derive(Debug)]
struct Asset {
    path: &'static str,
    content_type: &'static str,
    body: &'static [u8],
}

macro_rules! asset {
    ($path:expr, $content_type:literal, $file:literal) => {
        Asset {
            path: $path,
            content_type: $content_type,
            body: include_bytes!(concat!("../../client/dist/", $file)),
        }
    };
}

static ASSETS: [Asset; 10] = [
    asset!("/", "text/html; charset=utf-8", "index.html"),
    asset!(
        "/client/parlor.js",
        "text/javascript; charset=utf-8",
        "parlor.js"
    ),
    asset!(
        "/client/demo.js",
        "text/javascript; charset=utf-8",
        "demo.js"
    ),
    asset!("/client/demo.css", "text/css; charset=utf-8", "demo.css"),
    asset!(NETWORK_TEST, "text/html; charset=utf-8", "test.html"),
    asset!(
        "/client/test.js",
        "text/javascript; charset=utf-8",
        "test.js"
    ),
    asset!("/client/icon.svg", "image/svg+xml", "icon.svg"),
    asset!("/docs", "text/html; charset=utf-8", "docs.html"),
    asset!(
        "/client/docs.js",
        "text/javascript; charset=utf-8",
        "docs.js"
    ),
    asset!("/client/docs.css", "text/css; charset=utf-8", "docs.css"),
];

/// Nothing from elsewhere, and nobody frames it; signaling may be on another host than the page.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; connect-src 'self' http: https: ws: wss:; \
     img-src 'self' data: blob:; media-src 'self' blob:; style-src 'self'; \
     object-src 'none'; base-uri 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    // Asked for again each time, and answered with 304: a new version is in use at once.
    (header::CACHE_CONTROL, "no-cache"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(self), microphone=(self), display-capture=(self)",
    ),
];

/// The hash of each file, in the order of [`ASSETS`].
static ETAGS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let hash = |asset: &Asset| URL_SAFE_NO_PAD.encode(Sha1::digest(asset.body));
    ASSETS
        .iter()
        .map(|asset| format!("\"{}\"", hash(asset)))
        .collect()
});

/// The paths of all files.
pub fn paths() -> impl Iterator<Item = &'static str> {
    ASSETS.iter().map(|asset| asset.path)
}

/// Answers with the file at `path`, which must be one of [`paths`], or with 304 if the client
/// has it.
pub fn file(path: &str, headers: &HeaderMap) -> Response {
    let Some(index) = ASSETS.iter().position(|asset| asset.path == path) else {
        return ApiError::NotFound.into_response();
    };
    let (asset, etag) = (&ASSETS[index], ETAGS[index].as_str());
    let known = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok());
    let etag_header = [(header::ETAG, etag)];
    if known.is_some_and(|known| known.contains(etag)) {
        return (StatusCode::NOT_MODIFIED, HEADERS, etag_header).into_response();
    }
    let content_type = [(header::CONTENT_TYPE, asset.content_type)];
    (HEADERS, etag_header, content_type, asset.body).into_response()
}
