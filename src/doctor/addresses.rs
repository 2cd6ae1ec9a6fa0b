//! Whether clients can reach the addresses that they are told to send media to.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rtc::stun::message::{BINDING_REQUEST, Getter, Message, TransactionId};
use rtc::stun::xoraddr::XorMappedAddress;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::ports::{host, is_local};
use super::{Level, Report};
use crate::config::{Announce, Config};
use crate::net::announce;
use crate::webhook::address::AddressPolicy;

const CHECK: &str = "addresses";

/// How long to wait for an answer, and how often to ask: datagrams get lost.
const STUN_PATIENCE: Duration = Duration::from_secs(1);
const STUN_ATTEMPTS: u32 = 3;

/// What an address can be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Public,
    /// In one network only: private, carrier-grade NAT, reserved for examples.
    Internal,
    /// On this machine only.
    Loopback,
    /// For nothing: unspecified, multicast, link-local.
    Useless,
}

pub(super) async fn check(config: &Config, stun: Option<&str>, report: &mut Report) {
    let listen = config.media.listen;
    let (announced, found) = match &config.media.announce {
        Announce::Addresses(all) => (all.clone(), false),
        Announce::Auto => match announce::reachable(listen, config.dev) {
            Ok(all) => (all.iter().map(SocketAddr::ip).collect(), true),
            Err(error) => {
                let what = format!("the network interfaces cannot be listed: {error}");
                report.fail(CHECK, what, "Name the addresses in media.announce.");
                return;
            }
        },
    };
    let local = config
        .http
        .public_url
        .as_ref()
        .is_none_or(|url| is_local(host(url.as_str())));
    for address in &announced {
        let (level, what, advice) = judge(*address, listen.ip(), found);
        let level = match level {
            // Nobody else is meant to come.
            Level::Failure if local && address.is_loopback() => Level::Ok,
            level => level,
        };
        let advice = if level == Level::Ok { "" } else { advice };
        report.add(CHECK, level, format!("{address} {what}"), advice);
    }
    if !local && !announced.iter().any(|ip| scope(*ip) == Scope::Public) {
        let advice = "If people are to call from the internet, put this server's public address \
                      into media.announce and forward the media port to this machine; \
                      `parlor doctor --stun HOST:PORT` finds the address.";
        let what = "no public address is announced: calls work in this network only";
        report.warn(CHECK, what, advice);
    }
    if let Some(server) = stun {
        check_stun(server, &announced, report).await;
    }
}

fn judge(address: IpAddr, listen: IpAddr, found: bool) -> (Level, &'static str, &'static str) {
    if address.is_ipv6() && listen.is_ipv4() {
        let advice = "Listen on [::], which serves IPv4 as well, or do not announce it.";
        return (
            Level::Failure,
            "is announced, but media.listen is IPv4 only",
            advice,
        );
    }
    match scope(address) {
        Scope::Public if found => (Level::Ok, "is announced, found at an interface", ""),
        Scope::Public => (Level::Ok, "is announced", ""),
        Scope::Internal => (
            Level::Ok,
            "is announced; it is known in its own network only",
            "",
        ),
        Scope::Loopback => (
            Level::Failure,
            "is announced: no client on another machine can reach it",
            "Set media.announce to this server's address on the network.",
        ),
        Scope::Useless => (
            Level::Failure,
            "is announced, which is no address to send to",
            "Set media.announce to this server's address, or to [\"auto\"].",
        ),
    }
}

fn scope(address: IpAddr) -> Scope {
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    if address.is_unspecified() || address.is_multicast() || link_local {
        Scope::Useless
    } else if address.is_loopback() {
        Scope::Loopback
    } else if AddressPolicy::default().permits(address) {
        Scope::Public
    } else {
        Scope::Internal
    }
}

async fn check_stun(server: &str, announced: &[IpAddr], report: &mut Report) {
    match ask_stun(server).await {
        Ok(ip) if announced.contains(&ip) => {
            report.ok(
                CHECK,
                format!("{server} sees this machine as {ip}, which is announced"),
            );
        }
        Ok(ip) => {
            let advice = format!(
                "Add \"{ip}\" to media.announce, and see that the media port is forwarded to this \
                 machine under the same number."
            );
            let what = format!("{server} sees this machine as {ip}, which is not announced");
            report.warn(CHECK, what, advice);
        }
        Err(error) => {
            let advice = "Is that a STUN server, and may this machine send UDP to it?";
            report.warn(CHECK, format!("no answer from {server}: {error}"), advice);
        }
    }
}

/// The address that a STUN server sees us under (RFC 8489, Binding).
async fn ask_stun(server: &str) -> io::Result<IpAddr> {
    let server = timeout(STUN_PATIENCE, tokio::net::lookup_host(server)).await??;
    let server = server.into_iter().next();
    let server = server.ok_or_else(|| io::Error::other("the name does not resolve"))?;
    let any = if server.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    let mut request = Message::new();
    let setters = [
        Box::new(BINDING_REQUEST) as _,
        Box::new(TransactionId::new()) as _,
    ];
    request.build(&setters).map_err(io::Error::other)?;
    for _ in 0..STUN_ATTEMPTS {
        socket.send(&request.raw).await?;
        let mut answer = vec![0; 1500];
        let Ok(received) = timeout(STUN_PATIENCE, socket.recv(&mut answer)).await else {
            continue;
        };
        answer.truncate(received?);
        let mut message = Message::new();
        message.raw = answer;
        message.decode().map_err(io::Error::other)?;
        if message.transaction_id == request.transaction_id {
            let mut seen = XorMappedAddress::default();
            seen.get_from(&message).map_err(io::Error::other)?;
            return Ok(seen.ip);
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_apart_by_who_can_reach_them() {
        for (address, expected) in [
            ("8.8.8.8", Scope::Public),
            ("2a00:1450::1", Scope::Public),
            ("10.0.0.1", Scope::Internal),
            ("100.64.0.1", Scope::Internal),
            ("fd00::1", Scope::Internal),
            // What the documentation shows as an example is nobody's address.
            ("203.0.113.7", Scope::Internal),
            ("127.0.0.1", Scope::Loopback),
            ("::1", Scope::Loopback),
            ("0.0.0.0", Scope::Useless),
            ("::", Scope::Useless),
            ("169.254.1.1", Scope::Useless),
            ("fe80::1", Scope::Useless),
            ("224.0.0.1", Scope::Useless),
        ] {
            assert_eq!(scope(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[tokio::test]
    async fn a_stun_server_tells_the_address() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap().to_string();
        let answering = async {
            let mut bytes = [0; 1500];
            let (len, from) = server.recv_from(&mut bytes).await.unwrap();
            let mut request = Message::new();
            request.raw = bytes[..len].to_vec();
            request.decode().unwrap();
            let mut answer = Message::new();
            let seen = XorMappedAddress {
                ip: "192.0.2.7".parse().unwrap(),
                port: 9,
            };
            let kind = rtc::stun::message::BINDING_SUCCESS;
            answer
                .build(&[
                    Box::new(kind) as _,
                    Box::new(request.transaction_id) as _,
                    Box::new(seen) as _,
                ])
                .unwrap();
            server.send_to(&answer.raw, from).await.unwrap();
        };
        let (seen, ()) = tokio::join!(ask_stun(&address), answering);
        assert_eq!(seen.unwrap().to_string(), "192.0.2.7");
    }
}
