//! Where REST, signaling and pages are served, and how much of that at a time.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::values::{PublicUrl, Reader};

/// REST, signaling and pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpConfig {
    /// Where to listen.
    pub listen: SocketAddr,
    /// How clients reach us; without it, the `Host` header of each request says so.
    pub public_url: Option<PublicUrl>,
    /// Longest request body in bytes.
    pub max_body: usize,
    /// Who is believed about whom a request comes from.
    pub trusted_proxies: Vec<IpNet>,
    /// How much is done at a time.
    pub crowd: Crowd,
    /// How long clients may take.
    pub pace: Pace,
}

/// How many may be served at a time. Websockets do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crowd {
    /// Open connections in all.
    pub connections: usize,
    /// Of these, connections from one address; and requests under way of one client, if its
    /// requests come through a trusted proxy.
    pub of_one_address: usize,
    /// Requests under way.
    pub requests: usize,
}

/// How long a client of HTTP may take, each time. Websockets are not concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// For the head of a request, from its first byte; and for that first byte on a new
    /// connection.
    pub head: Duration,
    /// For the body of a request, in all.
    pub body: Duration,
    /// For taking any part of an answer.
    pub write: Duration,
    /// Until the next request begins.
    pub idle: Duration,
}

impl HttpConfig {
    pub(super) fn read(reader: &mut Reader, dev: bool) -> Option<Self> {
        const URL: &str = "\"https://video.example.com\"";
        let listen = reader.parsed("http.listen", "\"0.0.0.0:8080\"");
        let public_url = reader.optional("http.public_url", URL);
        if public_url == Some(None) && !dev {
            let what = "must say how clients reach this server";
            reader.problem("http.public_url", what, Some(URL));
        }
        let max_body = reader.size("http.max_body", "\"1MiB\"");
        let trusted_proxies = reader.networks("http.trusted_proxies", "[\"10.0.0.0/8\"]");
        let crowd = Crowd::read(reader);
        let pace = Pace::read(reader);
        Some(Self {
            listen: listen?,
            public_url: public_url?,
            max_body: max_body?,
            trusted_proxies,
            crowd: crowd?,
            pace: pace?,
        })
    }
}

impl Crowd {
    fn read(reader: &mut Reader) -> Option<Self> {
        let connections = reader.count("http.max_connections", "10000");
        let of_one_address = reader.count("http.max_connections_per_address", "2000");
        let requests = reader.count("http.max_requests", "1000");
        Some(Self {
            connections: connections?,
            of_one_address: of_one_address?,
            requests: requests?,
        })
    }
}

impl Pace {
    fn read(reader: &mut Reader) -> Option<Self> {
        let head = reader.duration("http.head_timeout", "\"15s\"");
        let body = reader.duration("http.body_timeout", "\"30s\"");
        let write = reader.duration("http.write_timeout", "\"30s\"");
        let idle = reader.duration("http.idle_timeout", "\"75s\"");
        Some(Self {
            head: head?,
            body: body?,
            write: write?,
            idle: idle?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Sources};

    #[test]
    fn every_limit_can_be_set() {
        let set = |(key, value): (&str, &str)| (format!("PARLOR_HTTP_{key}"), value.to_owned());
        let environment = [
            ("MAX_BODY", "1KiB"),
            ("TRUSTED_PROXIES", "10.0.0.0/8,::1"),
            ("MAX_CONNECTIONS", "1"),
            ("MAX_CONNECTIONS_PER_ADDRESS", "2"),
            ("MAX_REQUESTS", "3"),
            ("HEAD_TIMEOUT", "4s"),
            ("BODY_TIMEOUT", "5s"),
            ("WRITE_TIMEOUT", "6s"),
            ("IDLE_TIMEOUT", "7s"),
        ];
        let sources = Sources {
            dev: true,
            environment: environment.map(set).into(),
            ..Sources::default()
        };
        let http = Config::load(&sources).unwrap().http;
        assert_eq!(http.max_body, 1024);
        let proxies = ["10.0.0.0/8", "::1/128"].map(|network| network.parse().unwrap());
        assert_eq!(http.trusted_proxies, proxies);
        let Crowd {
            connections,
            of_one_address,
            requests,
        } = http.crowd;
        assert_eq!([connections, of_one_address, requests], [1, 2, 3]);
        let Pace {
            head,
            body,
            write,
            idle,
        } = http.pace;
        assert_eq!(
            [head, body, write, idle],
            [4, 5, 6, 7].map(Duration::from_secs)
        );
    }
}
