//! What back ends are told, and where they may be.

use std::time::Duration;

use super::values::Reader;
use crate::net::outbound::Patience;
use crate::webhook::address::AddressPolicy;
use crate::webhook::target::TargetUrl;

/// Webhooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookConfig {
    /// Who is told of everything in all projects, besides those who registered.
    pub url: Option<TargetUrl>,
    /// Whom the server may call.
    pub addresses: AddressPolicy,
    /// How long a request may take.
    pub patience: Patience,
    /// Most webhooks stored for one project.
    pub queue: i64,
}

impl WebhookConfig {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let url = reader.optional("webhooks.url", "\"https://example.com/events\"");
        let allowed = reader.networks("webhooks.allow_networks", "[\"10.1.0.0/16\"]");
        let connect = reader.duration("webhooks.connect_timeout", "\"5s\"");
        let total = reader.duration("webhooks.timeout", "\"15s\"");
        let queue: Option<u32> = reader.count("webhooks.queue", "10000");
        let (connect, total): (Duration, Duration) = (connect?, total?);
        Some(Self {
            url: url?,
            addresses: AddressPolicy::new(allowed),
            patience: Patience { connect, total },
            queue: queue?.into(),
        })
    }
}
