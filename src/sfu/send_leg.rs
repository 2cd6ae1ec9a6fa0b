//! A peer connection on which media goes out: of one subscription, or of all that a client has.

use std::time::{Duration, Instant};

use super::command::TransportConfig;
use super::downlink::Downlink;
use super::loss::LossWatch;
use super::outbound::Way;
use super::outlet::Outlet;
use super::publication::Refused;
use super::transport::Transport;

/// Time between sender reports.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Its transport, and what its receiver says about the way.
#[derive(Debug)]
pub(super) struct SendLeg {
    pub(super) transport: Transport,
    pub(super) downlink: Downlink,
    pub(super) losses: LossWatch,
    report_at: Instant,
}

impl SendLeg {
    /// `number`, the first transport-wide one, is random.
    pub(super) fn new(config: TransportConfig, number: u16, now: Instant) -> Self {
        Self {
            transport: Transport::new(config, now),
            downlink: Downlink::new(number, now),
            losses: LossWatch::default(),
            report_at: now,
        }
    }

    /// Decrypts a datagram of RTCP in place; returns its length.
    pub(super) fn open_rtcp(
        &mut self,
        datagram: &mut [u8],
        now: Instant,
    ) -> Result<usize, Refused> {
        let opened = self.transport.open_rtcp(datagram, now);
        opened.ok_or(Refused::Media)
    }

    /// The way out, once it is open.
    pub(super) fn way<'a, 'n>(
        &'a mut self,
        scratch: &'a mut Vec<u8>,
        outlet: &'a mut Outlet<'n>,
    ) -> Option<Way<'a, 'n>> {
        let (to, sealer, era) = self.transport.outgoing()?;
        Some(Way {
            to,
            sealer,
            era,
            downlink: &mut self.downlink,
            scratch,
            outlet,
        })
    }

    /// Whether sender reports are due; they count as sent.
    pub(super) fn reports_due(&mut self, now: Instant) -> bool {
        let due = self.is_open() && self.report_at <= now;
        if due {
            self.report_at = now + REPORT_INTERVAL;
        }
        due
    }

    /// When reports are due, or the leg is to be given up.
    pub(super) fn poll_timeout(&self) -> Instant {
        let consent = self.transport.consent_until();
        match self.is_open() {
            true => consent.min(self.report_at),
            false => consent,
        }
    }

    fn is_open(&self) -> bool {
        self.transport.path().is_some() && self.transport.srtp.is_some()
    }
}
