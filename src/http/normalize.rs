//! Gives every path one spelling before it is routed (`protocol/rest.md`, section 1).
//!
//! One SDK joins an API URL that ends in a slash with a path that begins with one, another asks
//! for some lists with a slash at the end, a third percent-encodes what need not be.

use axum::extract::Request;
use axum::http::Uri;
use axum::http::uri::PathAndQuery;
use percent_encoding::percent_decode_str;
use tower::util::{MapRequest, MapRequestLayer};

/// A service that gets to see paths in their one spelling only.
pub type Normalized<S> = MapRequest<S, fn(Request) -> Request>;

/// What makes a service [`Normalized`]. Goes around a router: inside it is too late.
pub fn layer() -> MapRequestLayer<fn(Request) -> Request> {
    MapRequestLayer::new(request)
}

fn request(mut request: Request) -> Request {
    if let Some(path) = spelled_differently(request.uri().path()) {
        *request.uri_mut() = with_path(request.uri(), path);
    }
    request
}

fn with_path(uri: &Uri, mut path: String) -> Uri {
    if let Some(query) = uri.query() {
        path.push('?');
        path.push_str(query);
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = PathAndQuery::try_from(path).ok();
    Uri::from_parts(parts).unwrap_or_else(|_| uri.clone())
}

/// The usual spelling of `path`, if it is not this one: no slash after a slash, none at the end,
/// and no percent-encoding of characters that never need it (RFC 3986, 2.3).
fn spelled_differently(path: &str) -> Option<String> {
    let mut usual = String::with_capacity(path.len());
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        usual.push('/');
        push_decoded(&mut usual, segment);
    }
    if usual.is_empty() {
        usual.push('/');
    }
    (usual != path).then_some(usual)
}

fn push_decoded(out: &mut String, segment: &str) {
    let mut rest = segment;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let escape = rest.get(at..at + 3);
        let decoded = escape.and_then(|escape| percent_decode_str(escape).next());
        match (escape, decoded) {
            (Some(_), Some(b)) if b.is_ascii_alphanumeric() || b"-._~".contains(&b) => {
                out.push(char::from(b));
                rest = &rest[at + 3..];
            }
            _ => {
                out.push('%');
                rest = &rest[at + 1..];
            }
        }
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(given: &str, expected: &str) {
        let request = Request::builder()
            .uri(given)
            .body(axum::body::Body::empty());
        assert_eq!(
            super::request(request.unwrap()).uri().to_string(),
            expected,
            "{given}"
        );
    }

    #[test]
    fn slashes_are_neither_doubled_nor_last() {
        check("/session/create", "/session/create");
        check("//session///create/", "/session/create");
        check("/", "/");
        check("//", "/");
        check("/a/?b=//c/", "/a?b=//c/");
    }

    #[test]
    fn only_what_needs_no_escape_is_unescaped() {
        check("/session/%63reate", "/session/create");
        check("/a/1%7E2%2d3", "/a/1~2-3");
        check("/a%2Fb%20c", "/a%2Fb%20c");
        check("/a%252F", "/a%252F");
        check("/100%", "/100%");
        check("/%4", "/%4");
        check("/%zz", "/%zz");
    }
}
