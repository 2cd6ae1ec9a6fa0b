//! Certificates that the server orders itself (ACME, RFC 8555) and renews in time. That it is
//! whom it says it is, it shows on its own port, inside TLS (TLS-ALPN-01, RFC 8737).
//!
//! Nobody waits for it: until there is a certificate, TLS handshakes fail and everything else
//! works.

mod cache;
mod keys;
mod order;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_rustls::rustls::ServerConfig;
use tracing::{error, info, warn};

use super::Status;
use crate::clock::Clock;
use crate::config::AcmeConfig;
use crate::net::dial::Dialer;
use crate::net::port::CurrentTls;
use crate::net::trust;
use cache::Cache;
use keys::Keys;

pub use cache::{Issued, stored};

/// Pauses after an order that failed: doubled from the first to the last. Authorities count
/// failures; Let's Encrypt allows five an hour.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
const LAST_PAUSE: Duration = Duration::from_secs(6 * 3600);

/// Longest sleep: a machine may have been asleep meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

/// Orders certificates as long as anybody uses them.
#[derive(Debug)]
pub struct Acme {
    config: AcmeConfig,
    cache: Cache,
    dialer: Dialer,
    clock: Clock,
    keys: Keys,
    /// The certificate in use is renewed from then on, in seconds since the Unix epoch.
    renew_at_s: Option<i64>,
    current: watch::Sender<Arc<ServerConfig>>,
    status: watch::Sender<Status>,
}

impl Acme {
    /// Begins with the certificate that was stored, if it is what the settings ask for.
    pub(super) fn new(
        config: AcmeConfig,
        clock: Clock,
        status: watch::Sender<Status>,
    ) -> Result<(Self, CurrentTls)> {
        let roots = match &config.directory_ca_file {
            Some(file) => trust::file(file)?,
            None => trust::system(),
        };
        let cache = Cache::open(&config.dir)?;
        let (current, configs) = watch::channel(Keys::default().server_config());
        let mut this = Self {
            config,
            cache,
            dialer: Dialer::new(roots),
            clock,
            keys: Keys::default(),
            renew_at_s: None,
            current,
            status,
        };
        match this.cache.certificate() {
            Ok(Some(issued)) if issued.is_for(&this.config) => {
                if let Err(error) = this.install(&issued) {
                    warn!(%error, "The stored certificate cannot be used");
                }
            }
            Ok(_) => {}
            Err(error) => warn!(%error, "The stored certificate cannot be read"),
        }
        Ok((this, configs))
    }

    /// Orders a certificate whenever one is due, until nobody uses them any more.
    pub(super) async fn run(mut self) {
        let users = self.current.clone();
        tokio::select! {
            () = users.closed() => {}
            () = self.renew_forever() => {}
        }
    }

    async fn renew_forever(&mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let wait = self.due_in();
            if !wait.is_zero() {
                sleep(wait.min(LONGEST_SLEEP)).await;
                continue;
            }
            info!(domains = ?self.config.domains, "Ordering a certificate");
            match self.renew().await {
                Ok(()) => {
                    pause = FIRST_PAUSE;
                    self.status.send_modify(|status| status.renewed += 1);
                    info!("A new certificate is in use");
                }
                Err(error) => {
                    self.status.send_modify(|status| status.failed += 1);
                    let error = format!("{error:#}");
                    error!(%error, again_in = ?pause, "No certificate could be had");
                    sleep(pause).await;
                    pause = (pause * 2).min(LAST_PAUSE);
                }
            }
        }
    }

    /// How long the certificate in use will do.
    fn due_in(&self) -> Duration {
        let now_s = self.clock.unix_ms() / 1000;
        let left_s = self.renew_at_s.map_or(0, |at| at.saturating_sub(now_s));
        Duration::from_secs(u64::try_from(left_s).unwrap_or_default())
    }

    async fn renew(&mut self) -> Result<()> {
        let issued = self.order().await;
        // Whether it went well or not, nobody asks any more.
        self.keys.challenges.clear();
        self.publish();
        let issued = issued?;
        self.install(&issued)?;
        self.cache.store_certificate(&issued)
    }

    fn install(&mut self, issued: &Issued) -> Result<()> {
        let (certificate, (from_s, until_s)) = issued.certified()?;
        self.keys.certificate = Some(certificate);
        // After two thirds of its life, as authorities advise.
        self.renew_at_s = Some(until_s - (until_s - from_s) / 3);
        let expires_at_s = Some(until_s);
        self.status
            .send_modify(|status| status.expires_at_s = expires_at_s);
        self.publish();
        Ok(())
    }

    /// New handshakes use what there is now.
    fn publish(&self) {
        self.current.send_replace(self.keys.server_config());
    }
}
