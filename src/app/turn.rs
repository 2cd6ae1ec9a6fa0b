//! Puts the TURN server together, and what clients are told of it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::report;
use crate::clock::Clock;
use crate::config::Config;
use crate::driver::turn::{self, MediaPlace, TurnHandle, TurnThread, stream};
use crate::entropy::Entropy;
use crate::net::connection::Connection;
use crate::turn::credential::Issuer;
use crate::turn::ice_servers::{Embedded, IceServers};

/// How long streams may take to close on the way down.
const GOOD_BYE: Duration = Duration::from_secs(1);

/// A running TURN server; taken down with [`Self::shutdown`].
#[derive(Debug)]
pub(super) struct TurnService {
    handle: TurnHandle,
    thread: TurnThread,
    /// Takes streams; ends when the port is closed and all streams have ended.
    streams: Option<JoinHandle<()>>,
}

/// What the rest of the server has of it.
#[derive(Debug)]
pub(super) struct TurnParts {
    pub(super) service: Option<TurnService>,
    /// Where the port brings streams to.
    pub(super) connections: Option<mpsc::Sender<Connection>>,
    /// What clients are told.
    pub(super) ice: Arc<IceServers>,
}

impl TurnParts {
    /// Starts the server, if the settings want one. `entropy` makes the secret where none is set.
    pub(super) fn start(
        config: &Config,
        media: &MediaPlace,
        mut entropy: Entropy,
        clock: Clock,
    ) -> Result<Self> {
        let settings = &config.turn;
        if !settings.is_on() {
            return Ok(Self {
                service: None,
                connections: None,
                ice: Arc::new(IceServers::new(None, config.ice.clone())),
            });
        }
        let issuer = match &settings.secret {
            Some(secret) => Issuer::new(secret.expose().as_bytes()),
            None => {
                let mut secret = [0; 32];
                entropy.fill(&mut secret);
                Issuer::new(&secret)
            }
        };
        let (listen, limits) = (settings.listen, settings.limits);
        let (handle, thread) = turn::start(listen, media, issuer.clone(), limits, entropy, clock)
            .with_context(|| match listen {
            Some(address) => format!("cannot open the TURN port {address}"),
            None => "cannot start the TURN server".into(),
        })?;
        let accepted = settings.tcp.then(|| stream::accept(handle.clone()));
        let (connections, streams) = accepted.unzip();
        let embedded = Embedded {
            issuer,
            urls: settings.urls.clone(),
            udp: match thread.local_addr {
                Some(bound) if config.media.udp => udp_addresses(bound, &media.announced),
                // Who is told of a port that does not answer waits for it.
                _ => Vec::new(),
            },
            tcp: settings.tcp,
            tls: config.tls.is_some(),
        };
        Ok(Self {
            service: Some(TurnService {
                handle,
                thread,
                streams,
            }),
            connections,
            ice: Arc::new(IceServers::new(Some(embedded), config.ice.clone())),
        })
    }

    /// A handle to the server, if there is one.
    pub(super) fn handle(&self) -> Option<TurnHandle> {
        self.service.as_ref().map(|service| service.handle.clone())
    }
}

impl TurnService {
    /// Where it takes datagrams, if it does.
    pub(super) fn local_addr(&self) -> Option<SocketAddr> {
        self.thread.local_addr
    }

    /// Ends it. The port must be closed already.
    pub(super) async fn shutdown(self) {
        self.handle.stop().await;
        if let Some(mut streams) = self.streams {
            // All are closing; one whose client takes nothing would keep the others waiting.
            match tokio::time::timeout(GOOD_BYE, &mut streams).await {
                Ok(ended) => report(ended, "The task of TURN streams"),
                Err(_) => streams.abort(),
            }
        }
        let thread = self.thread;
        let joined = tokio::task::spawn_blocking(move || thread.join());
        report(joined.await, "Waiting for the TURN server");
    }
}

/// Where clients find a socket that is bound to `bound`: one address of each family that it
/// takes, which are those that media is announced at.
fn udp_addresses(bound: SocketAddr, announced: &[SocketAddr]) -> Vec<SocketAddr> {
    let takes = |ip: IpAddr| match bound.ip() {
        IpAddr::V6(any) if any.is_unspecified() => true,
        own => own.is_ipv6() == ip.is_ipv6(),
    };
    let first = |v6| {
        let mut all = announced.iter().map(SocketAddr::ip);
        all.find(|ip| ip.is_ipv6() == v6 && takes(*ip))
    };
    let both = [first(false), first(true)];
    let port = bound.port();
    both.into_iter()
        .flatten()
        .map(|ip| SocketAddr::new(ip, port))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_find_the_turn_port_where_they_find_media() {
        let announced = ["203.0.113.7:1", "203.0.113.8:1", "[2001:db8::7]:1"];
        let announced = announced.map(|text| text.parse().unwrap());
        let check = |bound: &str, expected: &[&str]| {
            let found = udp_addresses(bound.parse().unwrap(), &announced);
            let found: Vec<_> = found.iter().map(ToString::to_string).collect();
            assert_eq!(found, expected, "{bound}");
        };
        check("0.0.0.0:3479", &["203.0.113.7:3479"]);
        check("10.0.0.1:3479", &["203.0.113.7:3479"]);
        check("[::]:3479", &["203.0.113.7:3479", "[2001:db8::7]:3479"]);
        check("[2001:db8::7]:3479", &["[2001:db8::7]:3479"]);
    }
}
