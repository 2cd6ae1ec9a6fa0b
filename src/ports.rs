//! `parlor ports`: what a firewall must let in.

use std::fmt::Write;
use std::net::SocketAddr;

use crate::config::Config;

/// One port.
#[derive(Debug, Clone, Copy)]
pub struct Port {
    /// Where it listens.
    pub address: SocketAddr,
    /// `tcp` or `udp`.
    pub protocol: &'static str,
    /// What it is for.
    pub purpose: &'static str,
    /// Whether clients use it; otherwise it is for the operator and stays closed.
    pub open: bool,
}

/// All ports of a server with these settings.
pub fn ports(config: &Config) -> Vec<Port> {
    let own = config.media.tcp_listen.filter(|_| config.media.tcp);
    let http = match (&config.tls, config.media.tcp && own.is_none()) {
        (Some(_), true) => "REST, signaling and pages, over TLS; media of clients without UDP",
        (Some(_), false) => "REST, signaling and pages, over TLS",
        (None, _) => "REST, signaling and pages; behind a proxy, open only the proxy's port",
    };
    let mut ports = vec![
        Port {
            address: config.http.listen,
            protocol: "tcp",
            purpose: http,
            open: true,
        },
        Port {
            address: config.media.listen,
            protocol: "udp",
            purpose: match config.media.udp {
                true => "media of all clients",
                false => "media; clients are not told",
            },
            open: config.media.udp,
        },
    ];
    ports.extend(own.map(|address| Port {
        address,
        protocol: "tcp",
        purpose: "media of clients without UDP",
        open: true,
    }));
    ports.extend(config.turn.listen.map(|address| Port {
        address,
        protocol: "udp",
        purpose: "TURN, for clients that can send to no other port",
        open: true,
    }));
    ports.extend(config.metrics.map(|address| Port {
        address,
        protocol: "tcp",
        purpose: "metrics and probes; for the operator only",
        open: false,
    }));
    ports
}

/// The table of ports, and the same as lines for nftables and ufw. Ports that listen on loopback
/// only need nothing.
pub fn describe(config: &Config) -> String {
    let ports = ports(config);
    let mut out = String::from("port        address            what\n");
    for port in &ports {
        let number = format!("{}/{}", port.address.port(), port.protocol);
        let ip = port.address.ip();
        writeln!(out, "{number:<12}{ip:<19}{}", port.purpose).expect("a string takes everything");
    }
    let open = ports
        .iter()
        .filter(|port| port.open && !port.address.ip().is_loopback());
    let open: Vec<_> = open
        .map(|port| (port.protocol, port.address.port()))
        .collect();
    let mut lines = |title: &str, line: &dyn Fn(&str, u16) -> String| {
        write!(out, "\n# {title}\n").expect("a string takes everything");
        for (protocol, port) in &open {
            out.push_str(&line(protocol, *port));
            out.push('\n');
        }
    };
    lines(
        "nftables, into the chain of your input hook",
        &|protocol, port| format!("nft add rule inet filter input {protocol} dport {port} accept"),
    );
    lines("ufw", &|protocol, port| {
        format!("ufw allow {port}/{protocol}")
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    #[test]
    fn only_what_clients_use_is_opened() {
        let config = Config::load(&Sources {
            files: vec!["config/production.toml".into()],
            environment: vec![
                ("PARLOR_METRICS_LISTEN".into(), "10.0.0.1:9464".into()),
                ("PARLOR_TURN_LISTEN".into(), "0.0.0.0:3479".into()),
                ("PARLOR_MEDIA_TCP_LISTEN".into(), "0.0.0.0:3478".into()),
            ],
            ..Sources::default()
        });
        let text = describe(&config.unwrap());
        for line in [
            "3478/tcp    0.0.0.0            media of clients without UDP",
            "nft add rule inet filter input tcp dport 3478 accept",
            "9464/tcp    10.0.0.1           metrics and probes; for the operator only",
            "nft add rule inet filter input tcp dport 8080 accept",
            "nft add rule inet filter input udp dport 3478 accept",
            "ufw allow 3478/udp",
            "ufw allow 3479/udp",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(!text.contains("ufw allow 9464"));
    }
}
