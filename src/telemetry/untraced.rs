//! What [`super::traces`] is in a build without the feature `otel`: nothing.

use std::io;

use hyper::HeaderMap;
use tracing::Span;
use tracing_subscriber::Registry;
use tracing_subscriber::layer::{Identity, Layer};

use crate::config::TracesConfig;

/// Nothing is sent. Nobody can have asked for it: the settings refuse that.
#[derive(Debug)]
pub struct Traces;

/// Nothing is known of causes.
#[derive(Debug, Clone)]
pub struct Cause;

impl Traces {
    pub(super) fn start(_: &TracesConfig) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn layer(&self) -> impl Layer<Registry> + Send + Sync + use<> {
        Identity::new()
    }

    /// Nothing waits.
    pub fn finish(self) {}
}

impl Cause {
    /// Nothing.
    pub fn current() -> Self {
        Self
    }

    /// Nothing.
    pub fn remote(_: &HeaderMap) -> Self {
        Self
    }

    /// Does nothing.
    pub fn lead_to(&self, _: &Span) {}
}
