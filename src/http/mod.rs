//! Everything that is asked over HTTP: REST, what clients fetch before they open a websocket, and
//! pages.

pub mod auth;
pub mod error;
pub mod normalize;
pub mod params;
pub mod sessions;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::entropy::Entropy;

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
