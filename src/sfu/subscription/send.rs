//! What leaves for a subscriber: packets, those that are sent again, padding, and reports.

use super::Subscription;
use crate::rtp::rtcp::feedback::Nack;
use crate::rtp::rtcp::report::{SenderInfo, push_cname, push_sender_report};
use crate::sfu::moment::Moment;
use crate::sfu::outbound::{Forwarded, OutboundTrack};
use crate::sfu::outlet::Outlet;
use crate::sfu::publication::Publication;
use crate::sfu::resend::Resend;
use crate::sfu::send_leg::SendLeg;
use crate::sfu::{Leg, MediaKind};

/// Sequence numbers looked at in one NACK; a receiver that misses more needs a key frame.
const MAX_NACKED: usize = 256;

/// Packets sent again in one batch of probing.
const MAX_PADDING: u64 = 32;

/// What forwarding did.
#[derive(Debug, Default, Clone, Copy)]
pub(in crate::sfu) struct Outcome {
    /// RTP packets sent.
    pub(in crate::sfu) packets: u64,
    /// The simulcast layers, as bits, of which the publisher is to be asked for a key frame.
    pub(in crate::sfu) keyframes: u8,
}

impl Subscription {
    /// Forwards one run of packets of the publisher; over `shared`, if it has no leg of its own.
    pub(in crate::sfu) fn forward(
        &mut self,
        publication: &Publication,
        shared: Option<&mut SendLeg>,
        scratch: &mut Vec<u8>,
        at: &Moment,
        outlet: &mut Outlet<'_>,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        let Some(leg) = self.own.as_mut().or(shared) else {
            return outcome;
        };
        let Some(mut way) = leg.way(scratch, outlet) else {
            return outcome;
        };
        for pending in publication.waiting.run() {
            let packet = &pending.packet;
            let mut tracks = self.tracks.iter_mut();
            let Some(track) = tracks.find(|track| track.config.kind == packet.kind) else {
                continue;
            };
            let Some(bytes) = pending.bytes(&publication.tracks) else {
                continue;
            };
            let inbound = &publication.tracks[pending.track];
            match track.forward(packet, inbound, bytes, at, &mut way) {
                Forwarded::Sent => outcome.packets += 1,
                Forwarded::Dropped => {}
                Forwarded::NeedsKeyframe => outcome.keyframes |= 1 << packet.layer,
            }
        }
        outcome
    }

    /// Sends what a NACK asks for and is still there; returns how many packets.
    pub(in crate::sfu) fn resend(
        &mut self,
        nack: &Nack<'_>,
        publication: &Publication,
        shared: Option<&mut SendLeg>,
        [rtx, changed]: &mut [Vec<u8>; 2],
        at: &Moment,
        outlet: &mut Outlet<'_>,
    ) -> u64 {
        let Some(leg) = self.own.as_mut().or(shared) else {
            return 0;
        };
        let (rtt, may_reseal) = (leg.downlink.rtt(), leg.transport.may_reseal());
        let Some(mut way) = leg.way(changed, outlet) else {
            return 0;
        };
        let mut tracks = self.tracks.iter_mut();
        let Some(track) = tracks.find(|track| track.config.ssrc == nack.media_ssrc) else {
            return 0;
        };
        let Some(inbound) = publication.track(track.config.kind) else {
            return 0;
        };
        // What is not sent any more, or begins anew, is not waited for.
        if !track.selector.is_on() {
            return 0;
        }
        let sent = nack.sequences().take(MAX_NACKED).filter(|number| {
            let Some(original) = track.selector.rewriter.original(*number) else {
                return false;
            };
            let stream = inbound.stream(original.source);
            let Some(bytes) = stream.and_then(|stream| stream.cache.get(original.sequence)) else {
                return false;
            };
            let codec = inbound.codec(bytes[1] & 0x7f);
            let resend = Resend {
                original,
                rtt,
                may_reseal,
                codec: codec.map(|codec| codec.codec),
            };
            track.resend(&resend, bytes, inbound, rtx, at, &mut way)
        });
        sent.count() as u64
    }

    /// Sends about `due` bytes again, to find out how much the network carries.
    pub(in crate::sfu) fn pad(
        &mut self,
        mut due: usize,
        publication: &Publication,
        shared: Option<&mut SendLeg>,
        [rtx, changed]: &mut [Vec<u8>; 2],
        at: &Moment,
        outlet: &mut Outlet<'_>,
    ) {
        let leg = self.own.as_mut().or(shared);
        let Some(mut way) = leg.and_then(|leg| leg.way(changed, outlet)) else {
            return;
        };
        let mut tracks = self.tracks.iter_mut();
        let Some(track) = tracks.find(|t| t.config.kind == MediaKind::Video) else {
            return;
        };
        let Some(inbound) = publication.track(MediaKind::Video) else {
            return;
        };
        for back in 0..MAX_PADDING {
            if due == 0 {
                return;
            }
            let selector = &track.selector;
            let recent = selector.rewriter.recent(back);
            let Some(original) = recent.filter(|_| selector.is_on()) else {
                break;
            };
            let stream = inbound.stream(original.source);
            let bytes = stream.and_then(|stream| stream.cache.get(original.sequence));
            if let Some(bytes) = bytes
                && track.pad(original, bytes, rtx, at, &mut way)
            {
                due = due.saturating_sub(bytes.len());
            }
        }
        for _ in 0..MAX_PADDING {
            if due == 0 {
                return;
            }
            due = due.saturating_sub(track.pad_empty(rtx, at, &mut way));
        }
    }

    /// Appends sender reports of its tracks, and measures its sound by the way.
    pub(in crate::sfu) fn push_reports(
        &mut self,
        publication: &Publication,
        at: &Moment,
        out: &mut Vec<u8>,
    ) {
        let sound = self.track(MediaKind::Audio);
        let sent = sound.map(|track| {
            let alone = track.tally.bytes_sent - track.copied_bytes;
            (track.tally.packets_sent, alone)
        });
        self.sound.measure(sent.unwrap_or_default(), at.now);
        let cname = Leg::Publisher(self.publication).to_string();
        for track in self.tracks.iter().filter(|track| track.selector.is_on()) {
            if let Some(info) = sender_info(track, publication, at) {
                push_sender_report(out, track.config.ssrc, &info);
                push_cname(out, &[track.config.ssrc], &cname);
            }
        }
    }
}

/// What we say about an outgoing track: the publisher's own report, moved to now and to our
/// clocks; `None` while the publisher has not reported.
fn sender_info(
    track: &OutboundTrack,
    publication: &Publication,
    at: &Moment,
) -> Option<SenderInfo> {
    let source = track.selector.rewriter.source()?;
    let stream = publication.track(track.config.kind)?.stream(source)?;
    let last = stream.last_sr?;
    let clock = &publication.clock;
    let (ntp, timestamp) = clock.translate(&last, stream.clock_rate, at.epoch, at.now)?;
    Some(SenderInfo {
        ntp,
        rtp_timestamp: timestamp.wrapping_add(track.selector.rewriter.timestamp_offset(source)?),
        packets: track.tally.packets_sent as u32,
        octets: track.tally.bytes_sent as u32,
    })
}
