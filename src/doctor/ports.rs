//! Whether the ports are free, or in use by a server of ours, and do not stand in each other's way.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};

use super::Report;
use crate::config::Config;
use crate::ports::{self, Port};
use crate::probe;

const CHECK: &str = "ports";

pub(super) async fn check(config: &Config, report: &mut Report) {
    let ports = ports::ports(config);
    for (index, port) in ports.iter().enumerate() {
        if let Some(other) = ports[..index].iter().find(|other| collide(other, port)) {
            let what = format!(
                "{} is used twice: for {} and for {}",
                name(port),
                other.purpose,
                port.purpose
            );
            report.fail(CHECK, what, "Give each its own port.");
        }
    }
    let running = runs_here(config).await;
    for port in &ports {
        check_one(port, running, report);
    }
    check_url(config, report);
}

fn check_one(port: &Port, running: bool, report: &mut Report) {
    let name = name(port);
    match bind(port) {
        Ok(()) => report.ok(CHECK, format!("{name} is free: {}", port.purpose)),
        Err(error) if error.kind() == ErrorKind::AddrInUse && running => {
            report.ok(
                CHECK,
                format!(
                    "{name} is in use by the server that runs here: {}",
                    port.purpose
                ),
            );
        }
        Err(error) => {
            let advice = match error.kind() {
                ErrorKind::AddrInUse => format!(
                    "Another program has it, and no Parlor answers here. `ss -lnp 'sport = :{}'` \
                     shows which; end it, or listen elsewhere.",
                    port.address.port()
                ),
                ErrorKind::PermissionDenied => {
                    "Ports below 1024 need a privilege: the systemd unit has it \
                     (CAP_NET_BIND_SERVICE); run the doctor as root to check the rest."
                        .into()
                }
                ErrorKind::AddrNotAvailable => format!(
                    "No network interface has {}. Listen on 0.0.0.0 or [::], or on one of \
                     `ip address`.",
                    port.address.ip()
                ),
                _ => "See `ip address` and the kernel's log.".into(),
            };
            report.fail(
                CHECK,
                format!("{name} cannot be opened for {}: {error}", port.purpose),
                advice,
            );
        }
    }
}

/// What clients are told and where we listen should fit.
fn check_url(config: &Config, report: &mut Report) {
    let Some(url) = &config.http.public_url else {
        return;
    };
    let url = url.as_str();
    let tls = config.scheme() == "https";
    if url.starts_with("http://") && !is_local(host(url)) {
        let advice = "Browsers give a page the camera only over HTTPS: set [tls] or [acme], or \
                      put a proxy with a certificate in front, and begin http.public_url with https://.";
        report.warn(
            CHECK,
            format!("clients are told {url}, without TLS"),
            advice,
        );
    } else if url.starts_with("http://") && tls {
        let advice = "Begin http.public_url with https://, since http.listen speaks TLS.";
        report.fail(
            CHECK,
            format!("clients are told {url}, but a certificate is set"),
            advice,
        );
    } else if url.starts_with("https://") && !tls && !config.http.listen.ip().is_loopback() {
        let what = format!(
            "clients are told {url}, and {} has no TLS and is open to the network",
            config.http.listen
        );
        let advice = "With a proxy on this machine, listen on 127.0.0.1 only; with one elsewhere, \
                      let nobody else reach this port; without one, set [tls] or [acme].";
        report.warn(CHECK, what, advice);
    }
}

/// The host of a public URL, without a port.
pub(super) fn host(url: &str) -> &str {
    let place = url.split_once("://").map_or(url, |(_, rest)| rest);
    let place = place.split('/').next().unwrap_or_default();
    match place.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => place.split(':').next().unwrap_or_default(),
    }
}

/// Whether a host is this machine itself, for which browsers make an exception.
pub(super) fn is_local(host: &str) -> bool {
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn name(port: &Port) -> String {
    format!("{}/{}", port.address, port.protocol)
}

fn collide(one: &Port, other: &Port) -> bool {
    let (a, b) = (one.address, other.address);
    let same = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    one.protocol == other.protocol && a.port() == b.port() && a.port() != 0 && same
}

/// Opens the port and lets go of it.
fn bind(port: &Port) -> io::Result<()> {
    match port.protocol {
        "udp" => UdpSocket::bind(port.address).map(drop),
        _ => TcpListener::bind(port.address).map(drop),
    }
}

/// Whether one of our servers answers where this one would listen.
async fn runs_here(config: &Config) -> bool {
    let address = config.http.listen;
    let asked = tokio::task::spawn_blocking(move || probe::ask(address, "/readyz")).await;
    is_ours(
        &asked.unwrap_or_else(|error| Err(io::Error::other(error))),
        address,
    )
}

fn is_ours(answer: &io::Result<String>, address: SocketAddr) -> bool {
    let Ok(answer) = answer else { return false };
    let ours = answer.contains("\"draining\":") && answer.contains("\"hub\":");
    // Over TLS: whoever asks in the clear is sent away in our own manner.
    let sent = answer.starts_with("HTTP/1.1 308 ")
        && answer.to_ascii_lowercase().contains("location: https://")
        && answer.contains(&format!(":{}/readyz", address.port()));
    ours || sent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_url_is_found_in_all_its_forms() {
        for (url, expected) in [
            ("https://video.example.com", "video.example.com"),
            ("https://video.example.com:8443/parlor", "video.example.com"),
            ("http://[::1]:8080", "::1"),
            ("http://127.0.0.1", "127.0.0.1"),
        ] {
            assert_eq!(host(url), expected);
        }
        assert!(is_local("localhost") && is_local("::1") && !is_local("10.0.0.1"));
    }

    #[test]
    fn a_port_on_all_addresses_collides_with_the_same_on_one() {
        let port = |address: &str, protocol| Port {
            address: address.parse().unwrap(),
            protocol,
            purpose: "",
            open: true,
        };
        let all = port("0.0.0.0:80", "tcp");
        assert!(collide(&all, &port("127.0.0.1:80", "tcp")));
        assert!(!collide(&all, &port("127.0.0.1:80", "udp")));
        assert!(!collide(
            &port("10.0.0.1:80", "tcp"),
            &port("10.0.0.2:80", "tcp")
        ));
        assert!(!collide(
            &port("0.0.0.0:0", "tcp"),
            &port("0.0.0.0:0", "tcp")
        ));
    }
}
