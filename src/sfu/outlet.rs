//! Where datagrams leave: straight into the send slab, sent when it is full or the turn is over.

use super::MediaKind;
use super::counters::Traffic;
use super::datagram::{SLOT_LEN, SendSlab, Transmit};
use super::path::Path;
use crate::rtp::header::{self, Outgoing};
use crate::srtp::Sealer;
use crate::srtp::mac::MacQueue;

/// Bytes of the send slab: small enough to stay in the second-level cache.
const SLAB_LEN: usize = 256 * 1024;

/// Most bytes that one datagram may need: a received payload, a new header, and a tag.
const MAX_DATAGRAM: usize = SLOT_LEN + header::MAX_LEN + 64;

/// RTCP bytes per datagram: fits every path's MTU with the tag and the headers below.
const MAX_RTCP: usize = 1_100;

/// The engine's send slab and the tags that are still to be computed in it.
#[derive(Debug)]
pub(super) struct Buffers {
    slab: SendSlab,
    macs: MacQueue,
    traffic: Traffic,
}

impl Buffers {
    pub(super) fn new() -> Self {
        Self {
            slab: SendSlab::new(SLAB_LEN),
            macs: MacQueue::new(),
            traffic: Traffic::default(),
        }
    }

    /// What was counted so far.
    pub(super) fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// Opens the way out for one turn; close it with [`Outlet::flush`].
    pub(super) fn outlet<'a>(&'a mut self, net: &'a mut dyn Transmit) -> Outlet<'a> {
        Outlet {
            slab: &mut self.slab,
            macs: &mut self.macs,
            traffic: &mut self.traffic,
            net,
            pads: false,
            sent: 0,
        }
    }
}

/// The way out.
pub(super) struct Outlet<'a> {
    slab: &'a mut SendSlab,
    macs: &'a mut MacQueue,
    /// Counts what leaves, and what else happens on the way.
    pub(super) traffic: &'a mut Traffic,
    net: &'a mut dyn Transmit,
    /// Whether the payloads that follow end with padding.
    pub(super) pads: bool,
    /// Datagrams that left so far.
    pub(super) sent: usize,
}

impl Outlet<'_> {
    /// Sends one RTP packet: the header is written and the payload encrypted in place. Returns
    /// the length of the datagram.
    pub(super) fn rtp(
        &mut self,
        header: &Outgoing<'_>,
        payload: &[u8],
        index: u64,
        sealer: &mut Sealer,
        (kind, to): (MediaKind, Path),
    ) -> usize {
        self.make_room();
        let header_len = header.write(self.slab.spare_mut());
        let at = self.slab.position();
        let bytes = self.slab.bytes_mut();
        bytes[at] |= u8::from(self.pads) << 5;
        let len = sealer.seal_rtp(bytes, at, header_len, payload, index, self.macs);
        self.slab.commit_media(kind, len, to);
        self.sent += 1;
        len
    }

    /// Sends RTCP packets, whole ones together up to [`MAX_RTCP`] bytes per datagram.
    pub(super) fn rtcp(&mut self, mut plain: &[u8], sealer: &mut Sealer, to: Path) {
        while !plain.is_empty() {
            let (datagram, rest) = plain.split_at(packets_len(plain));
            self.make_room();
            let len = sealer.seal_rtcp(datagram, self.slab.spare_mut());
            if len > 0 {
                self.slab.commit(len, to);
                self.sent += 1;
            }
            plain = rest;
        }
    }

    /// Sends one datagram that `write` writes; nothing if it writes nothing.
    pub(super) fn plain(&mut self, to: Path, write: impl FnOnce(&mut [u8]) -> usize) {
        self.make_room();
        let len = write(self.slab.spare_mut());
        if len > 0 {
            self.slab.commit(len, to);
            self.sent += 1;
        }
    }

    /// Sends everything.
    pub(super) fn flush(&mut self) {
        if self.slab.is_empty() {
            return;
        }
        self.traffic.sent_bytes += self.slab.position() as u64;
        self.macs.finish(self.slab.bytes_mut());
        self.net.transmit(self.slab);
        self.slab.clear();
    }

    fn make_room(&mut self) {
        if self.slab.room() < MAX_DATAGRAM {
            self.flush();
        }
    }
}

/// Bytes of as many whole RTCP packets as fit into a datagram; at least one.
fn packets_len(plain: &[u8]) -> usize {
    let mut len = 0;
    while let Some(head) = plain[len..].first_chunk::<4>() {
        let next = 4 + 4 * usize::from(u16::from_be_bytes([head[2], head[3]]));
        if len > 0 && len + next > MAX_RTCP {
            return len;
        }
        len = plain.len().min(len + next);
    }
    plain.len().min(len.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::rtcp::feedback::push_nack;

    #[test]
    fn rtcp_is_split_between_packets() {
        let mut plain = Vec::new();
        let scattered: Vec<u16> = (0..120).map(|n| n * 40).collect();
        for _ in 0..4 {
            push_nack(&mut plain, 1, 2, &scattered);
        }
        let one = plain.len() / 4;
        assert_eq!(packets_len(&plain), 2 * one);
        assert_eq!(packets_len(&plain[2 * one..]), 2 * one);
        assert_eq!(packets_len(&plain[..one]), one);
    }
}
