//! Puts clients out of projects that were suspended or deleted elsewhere: on the command line, or
//! over REST of another server.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tracing::debug;

use super::hub::HubHandle;
use crate::db::Db;

/// How often to look. Nobody joins such a project from the moment on when it is in the store.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Looks until there is no hub any more.
pub async fn follow(db: Db, hub: HubHandle) {
    let mut looks = interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        match db.projects().closed().await {
            Ok(closed) if closed.is_empty() => {}
            Ok(closed) => {
                if hub.end_sessions(closed).await.is_err() {
                    return;
                }
            }
            Err(error) => debug!(%error, "Cannot see which projects are suspended"),
        }
    }
}
