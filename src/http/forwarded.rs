//! Whom a request comes from, and how they reach us, when there are reverse proxies in between.
//!
//! Each proxy adds a hop at the right: RFC 7239's `Forwarded`, or the older `X-Forwarded-For`,
//! `-Proto` and `-Host`. A hop is believed if whoever added it is trusted, so that clients can
//! write there what they like.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Who makes a request. In the extensions of every request that is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Their address, as far as it is known.
    pub address: IpAddr,
    /// Whether a trusted proxy passed the request on.
    pub proxied: bool,
    /// Whether they use TLS, if a proxy says so.
    pub secure: Option<bool>,
    /// The host and perhaps port that they ask, if they or a proxy say so.
    pub host: Option<String>,
}

/// Networks of proxies that are believed. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Arc<[IpNet]>);

impl TrustedProxies {
    /// These networks.
    pub fn new(networks: &[IpNet]) -> Self {
        Self(networks.into())
    }

    /// Whether whoever has this address is believed.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Who makes a request that came from this address with these headers.
    pub fn client(&self, from: SocketAddr, headers: &HeaderMap) -> Client {
        let host = headers.get(header::HOST);
        let host = host.and_then(|host| host.to_str().ok());
        let mut client = Client {
            address: from.ip().to_canonical(),
            proxied: false,
            secure: None,
            host: host.filter(|host| is_host(host)).map(str::to_owned),
        };
        if !self.trusts(client.address) {
            return client;
        }
        for hop in hops(headers) {
            client.proxied = true;
            client.secure = hop.secure.or(client.secure);
            client.host = hop.host.or(client.host);
            match hop.from {
                Some(address) => client.address = address,
                // Whoever it was does not want to be known.
                None => break,
            }
            if !self.trusts(client.address) {
                break;
            }
        }
        client
    }
}

/// What one proxy says of whom it got the request from.
#[derive(Debug, Default)]
struct Hop {
    from: Option<IpAddr>,
    secure: Option<bool>,
    host: Option<String>,
}

/// All hops, the one next to us first. Where both kinds of headers are, the standard one counts.
fn hops(headers: &HeaderMap) -> Vec<Hop> {
    let mut hops: Vec<Hop> = match headers.contains_key(header::FORWARDED) {
        true => {
            let all = items(headers, &header::FORWARDED);
            all.iter().map(|item| forwarded(item)).collect()
        }
        false => return x_forwarded(headers),
    };
    hops.reverse();
    hops
}

/// The older headers, whose lists need not be of the same length: they are aligned at the right.
fn x_forwarded(headers: &HeaderMap) -> Vec<Hop> {
    let [mut from, mut proto, mut host] = [FOR, PROTO, HOST].map(|name| items(headers, &name));
    let most = from.len().max(proto.len()).max(host.len());
    let hop = |_| Hop {
        from: from.pop().and_then(|text| address(&text)),
        secure: proto.pop().and_then(|text| secure(&text)),
        host: host.pop().filter(|host| is_host(host)),
    };
    (0..most).map(hop).collect()
}

/// One element of `Forwarded`: `for=192.0.2.60;proto=http;host=example.com`.
fn forwarded(element: &str) -> Hop {
    let mut hop = Hop::default();
    for pair in split_unquoted(element, ';') {
        let Some((name, value)) = pair.split_once('=') else {
            continue;
        };
        let value = value.trim().trim_matches('"');
        match name.trim().to_ascii_lowercase().as_str() {
            "for" => hop.from = address(value),
            "proto" => hop.secure = secure(value),
            "host" => hop.host = Some(value.to_owned()).filter(|host| is_host(host)),
            _ => {}
        }
    }
    hop
}

/// The items of a list that may be spread over several headers of the same name.
fn items(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    let lines = headers.get_all(name).iter();
    let texts = lines.map(|line| line.to_str().unwrap_or_default());
    texts.flat_map(|text| split_unquoted(text, ',')).collect()
}

/// Splits where `separator` is not between quotation marks.
fn split_unquoted(text: &str, separator: char) -> Vec<String> {
    let mut quoted = false;
    let parts = text.split(|c| {
        quoted ^= c == '"';
        c == separator && !quoted
    });
    parts.map(|part| part.trim().to_owned()).collect()
}

/// An address, perhaps with a port, and with brackets if it is one of IPv6.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.split(']').next())
        .unwrap_or(text);
    let address = bare.parse().ok();
    let address = address.or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))?;
    Some(address.to_canonical())
}

fn secure(scheme: &str) -> Option<bool> {
    match scheme.to_ascii_lowercase().as_str() {
        "https" | "wss" => Some(true),
        "http" | "ws" => Some(false),
        _ => None,
    }
}

/// Whether a text can be the host of a URL, with a port or without.
fn is_host(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    !text.is_empty() && text.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who makes a request from `from` with these headers, where 10.0.0.0/8 is trusted: address,
    /// whether by TLS, and host.
    fn client(from: &str, headers: &[(&'static str, &str)]) -> (String, Option<bool>, String) {
        let proxies = TrustedProxies::new(&["10.0.0.0/8".parse().unwrap()]);
        let mut map = HeaderMap::new();
        map.insert(header::HOST, "direct".parse().unwrap());
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let client = proxies.client(SocketAddr::new(from.parse().unwrap(), 1), &map);
        (
            client.address.to_string(),
            client.secure,
            client.host.unwrap(),
        )
    }

    #[test]
    fn strangers_can_write_what_they_like() {
        let lies = [
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "evil"),
            ("forwarded", "for=1.1.1.1;proto=https;host=evil"),
        ];
        let expected = ("9.9.9.9".to_owned(), None, "direct".to_owned());
        assert_eq!(client("9.9.9.9", &lies), expected);
        assert_eq!(client("::ffff:9.9.9.9", &lies), expected);
    }

    #[test]
    fn of_a_chain_the_last_stranger_counts_whatever_it_claims() {
        let check = |list: &str, expected: &str| {
            let found = client("10.0.0.1", &[("x-forwarded-for", list)]);
            assert_eq!(found.0, expected, "{list}");
            let elements: Vec<_> = list.split(',').map(|a| format!("for=\"{a}\"")).collect();
            let found = client("10.0.0.1", &[("forwarded", &elements.join(", "))]);
            assert_eq!(found.0, expected, "{list}");
        };
        check("9.9.9.9", "9.9.9.9");
        check("1.1.1.1,9.9.9.9", "9.9.9.9");
        check("10.0.0.9,9.9.9.9,10.0.0.2", "9.9.9.9");
        check("9.9.9.9:4711,10.0.0.2:80", "9.9.9.9");
        check("[2001:db8::1]:4711,10.0.0.2", "2001:db8::1");
        check("2001:db8::1", "2001:db8::1");
        check("::ffff:9.9.9.9", "9.9.9.9");
        // Nobody but proxies: the first of them.
        check("10.0.0.3,10.0.0.2", "10.0.0.3");
        // What is no address ends the chain.
        check("9.9.9.9,unknown,10.0.0.2", "10.0.0.2");
        check("9.9.9.9,_hidden", "10.0.0.1");
        check("", "10.0.0.1");
    }

    #[test]
    fn several_headers_are_one_list() {
        let headers = [
            ("x-forwarded-for", "1.1.1.1, 9.9.9.9"),
            ("x-forwarded-for", "10.0.0.2"),
        ];
        assert_eq!(client("10.0.0.1", &headers).0, "9.9.9.9");
    }

    #[test]
    fn scheme_and_host_are_those_of_the_outermost_proxy_that_is_trusted() {
        let check = |headers: &[(&'static str, &str)], secure, host: &str| {
            let found = client("10.0.0.1", headers);
            assert_eq!((found.1, found.2.as_str()), (secure, host), "{headers:?}");
        };
        check(&[], None, "direct");
        check(&[("x-forwarded-proto", "HTTPS")], Some(true), "direct");
        check(&[("x-forwarded-host", "a:8443")], None, "a:8443");
        check(&[("x-forwarded-host", "a/b?c")], None, "direct");
        let chain = ("x-forwarded-for", "9.9.9.9, 10.0.0.2");
        // The inner proxy passes on what the outer one said, or adds to it.
        let one = ("x-forwarded-proto", "https");
        check(&[chain, one], Some(true), "direct");
        let two = ("x-forwarded-proto", "https, http");
        check(&[chain, two], Some(true), "direct");
        let lie = ("x-forwarded-proto", "ftp, http, https, http");
        check(&[chain, lie], Some(true), "direct");
        let standard = "for=1.1.1.1;proto=http;host=evil, \
            For=9.9.9.9;Proto=https;host=\"video.example.com:443\", for=10.0.0.2;proto=http";
        check(
            &[("forwarded", standard), ("x-forwarded-host", "other")],
            Some(true),
            "video.example.com:443",
        );
    }

    #[test]
    fn what_is_quoted_is_not_taken_apart() {
        let odd = "for=9.9.9.9;host=\"a,b;c\", for=\"10.0.0.2\";by=\"a;b,c\"";
        let found = client("10.0.0.1", &[("forwarded", odd)]);
        assert_eq!(found, ("9.9.9.9".to_owned(), None, "direct".to_owned()));
    }
}
