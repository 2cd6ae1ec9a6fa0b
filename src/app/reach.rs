//! Where clients reach this server: its TCP ports, and the addresses that media is announced at.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tracing::info;

use crate::config::{Announce, Config};
use crate::driver::ice::IceAcceptor;
use crate::driver::workers::WorkersHandle;
use crate::http::listener::HttpListener;
use crate::net::announce;
use crate::net::connection::Connection;
use crate::net::port::{CurrentTls, Port, Services};
use crate::net::quota::Quota;
use crate::sfu::path::Candidate;

/// TCP ports that are bound but do not serve yet.
#[derive(Debug)]
pub(super) struct Listeners {
    http: TcpListener,
    /// The port that is for media alone.
    media: Option<TcpListener>,
}

/// The ports, open. Dropping them closes them, and what has not reached its service yet.
#[derive(Debug)]
pub(super) struct Ports {
    http: Port,
    _media: Option<Port>,
    _ice: Option<IceAcceptor>,
}

impl Listeners {
    pub(super) async fn bind(config: &Config) -> Result<Self> {
        let http = bind(config.http.listen).await?;
        let media = match config.media.tcp_listen.filter(|_| config.media.tcp) {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        Ok(Self { http, media })
    }

    /// What clients are told: how to send media by UDP to `udp`, and over TCP to these ports.
    pub(super) fn candidates(&self, config: &Config, udp: &[SocketAddr]) -> Result<Vec<Candidate>> {
        let mut all = Vec::new();
        if config.media.udp {
            all.extend(udp.iter().copied().map(Candidate::Udp));
        }
        match self.media_address(config)? {
            Some(bound) if config.media.tcp => {
                let mut announced = announced(config, bound)?;
                announced.retain(|address| reaches(bound.ip(), address.ip()));
                all.extend(announced.into_iter().map(Candidate::Tcp));
            }
            None if config.media.tcp => {
                info!("A proxy is in front: set media.tcp_listen to offer media over TCP");
            }
            _ => {}
        }
        info!(candidates = ?all, "Clients send media to");
        Ok(all)
    }

    /// Where media over TCP is taken, with the port that clients see. `None` if that is the port
    /// of HTTP and a proxy is in front of it, which passes HTTP on and nothing else.
    fn media_address(&self, config: &Config) -> Result<Option<SocketAddr>> {
        if let Some(listener) = &self.media {
            return Ok(Some(listener.local_addr()?));
        }
        let mut address = self.http.local_addr()?;
        if config.is_behind_proxy() {
            return Ok(None);
        }
        if let Some(url) = &config.http.public_url {
            address.set_port(url.port());
        }
        Ok(Some(address))
    }

    /// Begins to serve: HTTP by the listener that comes back, media by `workers`, TURN by whoever
    /// takes connections out of that queue; inside TLS too, if there is a certificate.
    pub(super) fn open(
        self,
        tls: Option<CurrentTls>,
        config: &Config,
        workers: &WorkersHandle,
        turn: Option<mpsc::Sender<Connection>>,
    ) -> Result<(Ports, HttpListener)> {
        let (http, listener) = HttpListener::new(self.http.local_addr()?, tls.is_some());
        let (ice, acceptor) = match config.media.tcp {
            true => {
                let limits = &config.limits;
                let quota = Quota::new(
                    limits.media_connections,
                    limits.media_connections_per_client,
                );
                let (ice, acceptor) = IceAcceptor::start(workers.clone(), quota);
                (Some(ice), Some(acceptor))
            }
            false => (None, None),
        };
        let media = Services {
            http: None,
            ice,
            turn,
        };
        let http = Services {
            http: Some(http),
            ..media.clone()
        };
        let ports = Ports {
            _media: match self.media {
                Some(listener) => Some(Port::open(listener, tls.clone(), media)?),
                None => None,
            },
            http: Port::open(self.http, tls, http)?,
            _ice: acceptor,
        };
        info!(address = %ports.http(), "Listening");
        Ok((ports, listener))
    }
}

impl Ports {
    /// Where HTTP is served.
    pub(super) fn http(&self) -> SocketAddr {
        self.http.local_addr()
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener> {
    let bound = TcpListener::bind(address).await;
    bound.with_context(|| format!("cannot listen on {address}"))
}

/// The addresses that clients are told of, for a socket bound to `bound`.
pub(super) fn announced(config: &Config, bound: SocketAddr) -> Result<Vec<SocketAddr>> {
    Ok(match &config.media.announce {
        Announce::Addresses(all) => {
            let at = |ip: &IpAddr| SocketAddr::new(*ip, bound.port());
            all.iter().map(at).collect()
        }
        // In a playground the browser may well be on this machine.
        Announce::Auto => announce::reachable(bound, config.dev)
            .context("cannot list the network interfaces; set media.announce")?,
    })
}

/// Whether a port bound to `bound` can be reached at one of the addresses where media is.
fn reaches(bound: IpAddr, announced: IpAddr) -> bool {
    (bound.is_ipv6() || announced.is_ipv4()) && (!bound.is_loopback() || announced.is_loopback())
}
