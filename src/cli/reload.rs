//! SIGHUP: the settings are read again. The log's level is what can change while the server runs;
//! of anything else it is said that it needs a restart.

use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use super::Settings;
use crate::config::Config;
use crate::telemetry::LogHandle;

/// Does so at every SIGHUP, until dropped; fails only if signals cannot be had.
pub(super) async fn follow(
    settings: &Settings,
    mut config: Config,
    log: &LogHandle,
) -> anyhow::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    loop {
        if hangup.recv().await.is_none() {
            // There will be no more of them.
            std::future::pending().await
        }
        match Config::load(&settings.sources(config.dev)) {
            Ok(new) => take_up(&mut config, new, log),
            Err(error) => warn!(%error, "SIGHUP: the settings stay as they were"),
        }
    }
}

fn take_up(config: &mut Config, new: Config, log: &LogHandle) {
    let level = new.log.level.clone();
    match log.set_level(&level) {
        Ok(()) => info!(level, "SIGHUP: the settings were read again"),
        Err(error) => warn!(%error, "SIGHUP: the log stays as it was"),
    }
    config.log.level = level;
    if *config != new {
        warn!("Settings other than log.level have changed: they need a restart");
    }
}
