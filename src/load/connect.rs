//! Where a server is: its URL, in the clear or over TLS, below which everything is found.

use anyhow::{Context, Result, ensure};
use url::Url;

use crate::net::dial::{Dialer, Stream};
use crate::net::trust;

/// A server's URL.
#[derive(Debug, Clone)]
pub(super) struct Site {
    url: Url,
    dialer: Dialer,
}

impl Site {
    /// Reads a URL such as `http://127.0.0.1:8080`. Over TLS, what the system trusts is trusted.
    pub(super) fn new(url: &str) -> Result<Self> {
        let url: Url = url.parse().context("the server's URL is none")?;
        let known = ["http", "https"].contains(&url.scheme());
        ensure!(
            known,
            "the server's URL must begin with http:// or https://"
        );
        let dialer = Dialer::new(trust::system());
        Ok(Self { url, dialer })
    }

    /// The URL of a path below it.
    pub(super) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url.as_str().trim_end_matches('/'))
    }

    /// The URL of a websocket below it.
    pub(super) fn websocket(&self, path: &str) -> String {
        // `http` becomes `ws` and `https` becomes `wss`.
        self.at(path).replacen("http", "ws", 1)
    }

    /// Opens a connection to it.
    pub(super) async fn open(&self) -> Result<Stream> {
        let opened = self.dialer.open(&self.url).await;
        opened.with_context(|| format!("no connection to {}", self.url))
    }

    pub(super) fn dialer(&self) -> &Dialer {
        &self.dialer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_may_live_below_a_path() {
        let site = Site::new("https://video.example.com/parlor/").unwrap();
        assert_eq!(site.at("/x"), "https://video.example.com/parlor/x");
        let site = Site::new("http://[::1]:8080").unwrap();
        assert_eq!(site.websocket("/x?y=1"), "ws://[::1]:8080/x?y=1");
        assert!(Site::new("video.example.com").is_err());
        assert!(Site::new("ftp://video.example.com").is_err());
    }
}
