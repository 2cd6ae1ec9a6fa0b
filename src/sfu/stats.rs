//! Statistics of publications and subscriptions, named as in W3C's "Identifiers for WebRTC's Statistics API"
//! (`RTCInboundRtpStreamStats` and its like).

use std::time::Duration;

use super::command::Codec;
use super::{Leg, MediaKind};
use crate::rtp::codec::Size;

/// What is known of one publication or subscription.
#[derive(Debug, Clone, PartialEq)]
pub struct LegStats {
    /// Which; a subscription by its own name, whichever leg it goes over.
    pub leg: Leg,
    /// The streams that come in, for a publisher.
    pub inbound: Vec<InboundRtp>,
    /// The streams that go out, for a subscriber.
    pub outbound: Vec<OutboundRtp>,
    /// What the network to a subscriber is believed to carry, in bits per second, if it is known
    /// (`availableOutgoingBitrate` of its candidate pair).
    pub available_outgoing_bitrate: Option<u64>,
}

/// One stream from a publisher: `inbound-rtp`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InboundRtp {
    /// `kind`.
    pub kind: MediaKind,
    /// `ssrc`.
    pub ssrc: u32,
    /// The codec of the packet that came last (`mimeType` of its codec), if any came.
    pub codec: Option<Codec>,
    /// The simulcast layer it carries, or the lowest of its spatial layers; 0 the lowest.
    pub layer: usize,
    /// `packetsReceived`, without retransmissions.
    pub packets_received: u64,
    /// `packetsLost`, as the publisher is told.
    pub packets_lost: i64,
    /// `jitter`.
    pub jitter: Duration,
    /// What was counted on the way in.
    pub tally: InboundTally,
    /// `frameWidth` and `frameHeight`, of its largest layer, as far as known.
    pub size: Option<Size>,
}

/// What is counted of one incoming stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InboundTally {
    /// `bytesReceived`: payloads.
    pub bytes_received: u64,
    /// `framesReceived`.
    pub frames_received: u64,
    /// Key frames among these (`keyFramesDecoded` of who decodes).
    pub key_frames_received: u64,
    /// `retransmittedPacketsReceived`: packets that were missing and came.
    pub retransmitted_packets_received: u64,
    /// `packetsDiscarded`: those that came twice or too late.
    pub packets_discarded: u64,
    /// `nackCount`.
    pub nack_count: u64,
    /// `pliCount`. FIRs are never sent.
    pub pli_count: u64,
    pub(super) timestamp: Option<u32>,
}

impl InboundTally {
    /// Takes note of a packet.
    pub(super) fn receive(&mut self, len: usize, timestamp: u32, keyframe: bool) {
        self.bytes_received += len as u64;
        self.key_frames_received += u64::from(keyframe);
        if self.timestamp.replace(timestamp) != Some(timestamp) {
            self.frames_received += 1;
        }
    }
}

/// One stream to a subscriber: `outbound-rtp`, and what it says of it: `remote-inbound-rtp`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OutboundRtp {
    /// `kind`.
    pub kind: MediaKind,
    /// `ssrc`.
    pub ssrc: u32,
    /// The simulcast or highest spatial layer that is sent, and the highest temporal one; `None`
    /// while nothing is.
    pub layers: Option<(usize, u8)>,
    /// What was counted on the way out.
    pub tally: OutboundTally,
    /// What the subscriber reported last.
    pub remote: Option<RemoteInboundRtp>,
}

/// What is counted of one outgoing stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutboundTally {
    /// `packetsSent`, without retransmissions.
    pub packets_sent: u64,
    /// `bytesSent`: payloads of these.
    pub bytes_sent: u64,
    /// `framesSent`.
    pub frames_sent: u64,
    /// `retransmittedPacketsSent`.
    pub retransmitted_packets_sent: u64,
    /// `nackCount`.
    pub nack_count: u64,
    /// `pliCount`.
    pub pli_count: u64,
    /// `firCount`.
    pub fir_count: u64,
}

/// A subscriber's last report about one stream: `remote-inbound-rtp`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RemoteInboundRtp {
    /// `packetsLost`.
    pub packets_lost: i32,
    /// `fractionLost`, 0 to 1.
    pub fraction_lost: f32,
    /// `jitter`.
    pub jitter: Duration,
    /// `roundTripTime`, once there was one.
    pub round_trip_time: Option<Duration>,
}
