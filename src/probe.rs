//! `parlor health`: asks the server on this machine whether it lives, for container platforms.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// How long each step may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Fails unless the server that listens on `address` answers `/healthz`. A server with TLS does so
/// with a redirect, which shows as well that it lives.
pub fn alive(address: SocketAddr) -> Result<()> {
    let answer = ask(address, "/healthz").with_context(|| format!("no answer from {address}"))?;
    match answer.split(' ').nth(1) {
        Some("200" | "308") => Ok(()),
        _ => bail!(
            "{address} says {:?}",
            answer.lines().next().unwrap_or_default()
        ),
    }
}

/// The answer to a GET in the clear from the server that listens on `address`, head included.
///
/// # Errors
///
/// Fails if nobody answers, or not within a few seconds.
pub fn ask(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let address = SocketAddr::new(reachable(address.ip()), address.port());
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.take(4096).read_to_string(&mut answer)?;
    Ok(answer)
}

/// An address on this machine for one that stands for all of them.
fn reachable(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(v4) if v4.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(v6) if v6.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}
