//! Everything that is asked over HTTP: REST, what clients fetch before they open a websocket, and
//! pages.

pub mod archives;
pub mod auth;
pub mod body;
pub mod bootstrap;
pub mod broadcasts;
pub mod callbacks;
pub mod captions;
pub mod connect;
pub mod connections;
pub mod demo;
pub mod error;
pub mod forwarded;
pub mod health;
pub mod later;
pub mod layout;
pub mod lenient;
pub mod limits;
pub mod listener;
pub mod log_level;
pub mod metrics;
pub mod moderation;
pub mod network_test;
pub mod normalize;
pub mod openapi;
pub mod pace;
pub mod page;
pub mod projects;
pub mod rate;
pub mod renders;
pub mod requests;
pub mod router;
pub mod serve;
pub mod session_info;
pub mod sessions;
pub mod signals;
pub mod sip;
pub mod start;
pub mod statistics;
pub mod storage;
pub mod streams;
pub mod target;
pub mod values;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::FromRef;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::auth::AuthPolicy;
use self::forwarded::Client;
use self::rate::Rates;
use self::serve::Connections;
use crate::clock::Clock;
use crate::config::Config;
use crate::db::Db;
use crate::driver::admission::Admissions;
use crate::driver::hub::HubHandle;
use crate::driver::turn::TurnHandle;
use crate::driver::webhook::WebhookHandle;
use crate::driver::workers::WorkersHandle;
use crate::entropy::Entropy;
use crate::model::signal::SignalLimits;
use crate::telemetry::LogHandle;
use crate::turn::ice_servers::IceServers;
use crate::{tls, ws};

/// What every handler can reach. Cheap to clone; holds no live state, only handles to it.
#[derive(Debug, Clone)]
pub struct AppState {
    /// The settings.
    pub config: Arc<Config>,
    /// Projects and sessions.
    pub db: Db,
    /// Decides who may join.
    pub admissions: Admissions,
    /// Knows what is going on in sessions.
    pub hub: HubHandle,
    /// Forwards media.
    pub media: WorkersHandle,
    /// Asks how well media gets through.
    pub statistics: statistics::Asking,
    /// Tells back ends.
    pub webhooks: WebhookHandle,
    /// Changes what is logged.
    pub log: LogHandle,
    /// Accepts websockets.
    pub websockets: ws::Endpoint,
    /// How it is with the certificate, if there is TLS.
    pub certificate: Option<watch::Receiver<tls::Status>>,
    /// Cancelled when nobody may come any more.
    pub draining: CancellationToken,
    /// The connections over which HTTP is spoken.
    pub connections: Connections,
    /// Counts what is asked.
    pub requests: requests::Requests,
    /// How often projects may call.
    pub rates: Rates,
    /// Tells the time.
    pub clock: Clock,
    /// Draws ids and secrets.
    pub entropy: SharedEntropy,
    /// What goes on on the page `/test`.
    pub network_tests: network_test::NetworkTests,
    /// The demo page's sessions; `None` on a real server.
    pub demo: Option<demo::Demo>,
    /// The TURN server, if there is one.
    pub turn: Option<TurnHandle>,
    /// What clients are told to find a way with.
    pub ice: Arc<IceServers>,
}

impl AppState {
    /// How clients reach us: as configured, or else as this one did.
    pub fn base_url(&self, client: &Client) -> String {
        if let Some(url) = &self.config.http.public_url {
            return url.to_string();
        }
        let scheme = match client.secure {
            Some(true) => "https",
            Some(false) => "http",
            None => self.config.scheme(),
        };
        match &client.host {
            Some(host) => format!("{scheme}://{host}"),
            None => format!("{scheme}://{}", self.config.http.listen),
        }
    }
}

impl FromRef<AppState> for Db {
    fn from_ref(state: &AppState) -> Self {
        state.db.clone()
    }
}

impl FromRef<AppState> for HubHandle {
    fn from_ref(state: &AppState) -> Self {
        state.hub.clone()
    }
}

impl FromRef<AppState> for Clock {
    fn from_ref(state: &AppState) -> Self {
        state.clock
    }
}

impl FromRef<AppState> for SignalLimits {
    fn from_ref(state: &AppState) -> Self {
        state.config.limits.hub.signal
    }
}

impl FromRef<AppState> for SharedEntropy {
    fn from_ref(state: &AppState) -> Self {
        state.entropy.clone()
    }
}

impl FromRef<AppState> for statistics::Asking {
    fn from_ref(state: &AppState) -> Self {
        state.statistics.clone()
    }
}

impl FromRef<AppState> for AuthPolicy {
    fn from_ref(state: &AppState) -> Self {
        Self {
            legacy_header: state.config.auth.legacy_header,
            rates: state.rates.clone(),
        }
    }
}

/// One generator for all handlers, each of which holds it only while it draws a number.
#[derive(Debug, Clone)]
pub struct SharedEntropy(Arc<Mutex<Entropy>>);

impl SharedEntropy {
    /// Shares a generator.
    pub fn new(entropy: Entropy) -> Self {
        Self(Arc::new(Mutex::new(entropy)))
    }

    /// The generator; let go of it before waiting for anything.
    pub fn lock(&self) -> MutexGuard<'_, Entropy> {
        // A generator is as good after a panic as before.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
