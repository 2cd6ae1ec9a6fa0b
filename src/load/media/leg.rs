//! One peer connection of a load client: ICE checks, a handshake, then packets one way.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::dtls::Handshake;
use super::sdp::{Ice, Remote, TRANSPORT_CC_ID, VP8};
use super::totals::Totals;
use crate::clock::Clock;
use crate::net::udp::BatchSocket;
use crate::rtp::header::{Header, MAX_LEN, Outgoing};
use crate::rtp::rtcp::report::{ReportBlock, push_receiver_report};
use crate::rtp::rtcp::transport_cc::push_transport_feedback;
use crate::rtp::rtcp::{Compound, Rtcp};
use crate::rtp::seq::Extender;
use crate::sfu::datagram::{ReceiveSlab, SendSlab, Transmit};
use crate::sfu::dtls::Certificate;
use crate::sfu::stun;
use crate::srtp::mac::MacQueue;
use crate::srtp::{Opener, Profile, Sealer};

/// Time between checks until one is answered, and from then on (RFC 7675 wants 5 s).
const CHECK_INTERVAL: Duration = Duration::from_millis(100);
const CONSENT_INTERVAL: Duration = Duration::from_secs(2);

/// How often a receiver reports what it received.
const FEEDBACK_INTERVAL: Duration = Duration::from_millis(100);

/// Datagrams per receive call.
pub(super) const BATCH_LEN: usize = 64;

/// One packet in so many is decrypted and its delay looked at.
const SAMPLE: u64 = 16;

/// Bytes that a VP8 key frame begins with, descriptor included (RFC 7741; RFC 6386, 9.1):
/// 640 by 480. In other frames only the first two mean anything.
const FRAME_START: [u8; 11] = [0x10, 0, 0, 0, 0x9d, 1, 0x2a, 0x80, 2, 0xe0, 1];

/// Where in a payload the time of sending is, in nanoseconds since the start of the program.
const STAMP_AT: usize = 16;

/// Which way packets go.
#[derive(Debug)]
pub(super) enum Way {
    Out(Publisher),
    In(Box<Subscriber>),
}

/// What is sent.
#[derive(Debug)]
pub(super) struct Publisher {
    pub(super) ssrc: u32,
    pub(super) next_frame: Instant,
    index: u64,
    timestamp: u32,
    key_frame: bool,
}

impl Publisher {
    pub(super) fn new(ssrc: u32, first_frame: Instant) -> Self {
        Self {
            ssrc,
            next_frame: first_frame,
            index: 1,
            timestamp: 0,
            key_frame: true,
        }
    }
}

/// What is received.
#[derive(Debug, Default)]
pub(super) struct Subscriber {
    ssrc: u32,
    sequence: Extender,
    received: u64,
    /// Transport-wide numbers and times in microseconds that are not reported yet.
    arrivals: Vec<(u64, i64)>,
    transport: Extender,
    counter: u8,
    report_at: Option<Instant>,
}

/// How frames look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Video {
    pub(super) interval: Duration,
    pub(super) packets: usize,
    pub(super) packet_len: usize,
}

/// One peer connection.
pub(super) struct Leg {
    socket: BatchSocket,
    local: Ice,
    remote: Remote,
    way: Way,
    /// When it was asked for; joining lasts until the handshake is complete.
    begun: Instant,
    check_at: Instant,
    answered: bool,
    handshake: Option<Handshake>,
    keys: Option<(Opener, Sealer)>,
}

impl Leg {
    pub(super) fn new(local: Ice, remote: Remote, way: Way, begun: Instant) -> Result<Self> {
        let any = match remote.address.is_ipv4() {
            true => "0.0.0.0:0",
            false => "[::]:0",
        };
        let any = any.parse().context("an address")?;
        let mut socket = BatchSocket::bind(any)?;
        socket.note_arrivals()?;
        Ok(Self {
            socket,
            local,
            remote,
            way,
            begun,
            check_at: begun,
            answered: false,
            handshake: None,
            keys: None,
        })
    }

    pub(super) fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    pub(super) fn is_up(&self) -> bool {
        self.keys.is_some()
    }

    pub(super) fn is_answered(&self) -> bool {
        self.answered
    }

    /// Where the server is.
    pub(super) fn server(&self) -> SocketAddr {
        self.remote.address
    }

    /// When the next frame is due, if this leg sends.
    pub(super) fn next_frame(&self) -> Option<Instant> {
        match &self.way {
            Way::Out(publisher) if self.is_up() => Some(publisher.next_frame),
            _ => None,
        }
    }

    /// Checks, retransmissions and reports that are due.
    pub(super) fn handle_timeout(
        &mut self,
        now: Instant,
        epoch: Instant,
        slab: &mut SendSlab,
    ) -> Result<()> {
        if self.check_at <= now {
            self.check_at = now
                + if self.answered {
                    CONSENT_INTERVAL
                } else {
                    CHECK_INTERVAL
                };
            let username = format!("{}:{}", self.remote.ice.ufrag, self.local.ufrag);
            let nanos = now.saturating_duration_since(epoch).as_nanos() as u64;
            let len = stun::write_request(nanos, &username, &self.remote.ice.pwd, slab.spare_mut());
            slab.commit(len, self.remote.address);
        }
        if let Some(handshake) = &mut self.handshake {
            handshake.handle_timeout(now)?;
            self.pass_on(slab);
        }
        self.report(now, slab);
        self.flush(slab);
        Ok(())
    }

    /// Takes everything that has arrived.
    pub(super) fn receive(
        &mut self,
        certificate: &Certificate,
        profile: Profile,
        clock: Clock,
        (received, slab): (&mut ReceiveSlab, &mut SendSlab),
        totals: &mut Totals,
    ) -> Result<()> {
        // An error is that there is nothing, or an ICMP message: the next datagram may be good.
        while let Ok(count) = self.socket.receive(received) {
            let moment = clock.moment();
            let now = moment.instant;
            for index in 0..count {
                // Not now: what waits for this thread is no delay of the server's.
                let arrival = self.socket.arrival(index);
                let at = arrival.map_or(now, |at| moment.instant_of(at));
                let (bytes, _) = received.datagram_mut(index);
                match bytes {
                    [1, 1, ..] if !self.answered => {
                        self.answered = true;
                        self.check_at = now + CONSENT_INTERVAL;
                        self.handshake = Some(Handshake::begin(certificate, profile, now)?);
                        self.pass_on(slab);
                    }
                    [20..=63, ..] => self.shake(bytes, now, slab, totals)?,
                    [128..=191, 192..=223, ..] => self.feedback(bytes),
                    [128..=191, ..] => self.media(bytes, at, clock.epoch().instant, totals),
                    _ => {}
                }
            }
            if count < BATCH_LEN {
                break;
            }
        }
        self.flush(slab);
        Ok(())
    }

    fn shake(
        &mut self,
        bytes: &[u8],
        now: Instant,
        slab: &mut SendSlab,
        totals: &mut Totals,
    ) -> Result<()> {
        let Some(handshake) = &mut self.handshake else {
            return Ok(());
        };
        if let Some(keys) = handshake.handle_datagram(bytes, now)? {
            self.keys = Some(keys);
            totals.joined.add(now.saturating_duration_since(self.begun));
            if let Way::Out(publisher) = &mut self.way {
                publisher.next_frame = publisher.next_frame.max(now);
            }
        }
        self.pass_on(slab);
        Ok(())
    }

    /// Sends what the handshake has to say.
    fn pass_on(&mut self, slab: &mut SendSlab) {
        while let Some(bytes) = self.handshake.as_mut().and_then(Handshake::poll_transmit) {
            slab.spare_mut()[..bytes.len()].copy_from_slice(&bytes);
            slab.commit(bytes.len(), self.remote.address);
        }
    }

    /// Requests for key frames are all that a publisher listens to.
    fn feedback(&mut self, bytes: &mut [u8]) {
        let (Way::Out(publisher), Some((opener, _))) = (&mut self.way, &mut self.keys) else {
            return;
        };
        if let Ok(len) = opener.open_rtcp(bytes) {
            let wanted = |packet| matches!(packet, Rtcp::Pli { .. } | Rtcp::Fir(_));
            publisher.key_frame |= Compound::new(&bytes[..len]).any(wanted);
        }
    }

    /// Counts a packet that came at this moment by its header; decrypts a few.
    fn media(&mut self, bytes: &mut [u8], at: Instant, epoch: Instant, totals: &mut Totals) {
        let (Way::In(subscriber), Some((opener, _))) = (&mut self.way, &mut self.keys) else {
            return;
        };
        let Some(header) = Header::parse(bytes) else {
            return;
        };
        let since = at.saturating_duration_since(epoch);
        subscriber.count(&header, totals);
        if let Some(id) = self.remote.transport_cc {
            let mut elements = header.elements(bytes);
            if let Some((_, &[a, b])) = elements.find(|(element, _)| *element == id) {
                subscriber.arrived(u16::from_be_bytes([a, b]), since);
            }
        }
        if subscriber.received % SAMPLE == 1 {
            let stamp_at = header.payload.start + STAMP_AT;
            match opener.open_rtp(bytes) {
                Ok(len) => {
                    let stamp = bytes[..len]
                        .get(stamp_at..)
                        .and_then(|rest| rest.first_chunk());
                    let sent = stamp.map(|stamp| Duration::from_nanos(u64::from_be_bytes(*stamp)));
                    if let Some(sent) = sent.filter(|sent| !sent.is_zero()) {
                        totals.delay.add(since.saturating_sub(sent));
                    }
                }
                Err(_) => totals.damaged += 1,
            }
        }
    }

    /// Sends a frame if one is due.
    pub(super) fn send(
        &mut self,
        video: Video,
        now: Instant,
        stamp: Duration,
        slab: &mut SendSlab,
        totals: &mut Totals,
    ) {
        let (Way::Out(publisher), Some((_, sealer))) = (&mut self.way, &mut self.keys) else {
            return;
        };
        if publisher.next_frame > now {
            return;
        }
        publisher.next_frame += video.interval;
        let mut payload = vec![0x5a; video.packet_len];
        payload[STAMP_AT..STAMP_AT + 8].copy_from_slice(&(stamp.as_nanos() as u64).to_be_bytes());
        let mut macs = MacQueue::new();
        for number in 0..video.packets {
            if number == 0 {
                payload[..FRAME_START.len()].copy_from_slice(&FRAME_START);
                payload[1] = u8::from(!std::mem::take(&mut publisher.key_frame));
            } else {
                payload[0] = 0;
            }
            let transport = (publisher.index as u16).to_be_bytes();
            let outgoing = Outgoing {
                marker: number + 1 == video.packets,
                payload_type: VP8,
                sequence: publisher.index as u16,
                timestamp: publisher.timestamp,
                ssrc: publisher.ssrc,
                elements: &[(TRANSPORT_CC_ID, &transport)],
            };
            if slab.room() < MAX_LEN + video.packet_len + sealer.rtp_overhead() {
                macs.finish(slab.bytes_mut());
                self.socket.transmit(slab);
                slab.clear();
            }
            let at = slab.position();
            let header_len = outgoing.write(slab.spare_mut());
            let text = &payload[..video.packet_len - header_len - sealer.rtp_overhead()];
            let len = sealer.seal_rtp(
                slab.bytes_mut(),
                at,
                header_len,
                text,
                publisher.index,
                &mut macs,
            );
            slab.commit(len, self.remote.address);
            publisher.index += 1;
        }
        publisher.timestamp = publisher
            .timestamp
            .wrapping_add((video.interval.as_secs_f64() * 90_000.0) as u32);
        totals.sent += video.packets as u64;
        macs.finish(slab.bytes_mut());
        self.flush(slab);
    }

    /// A subscriber's receiver report and transport-wide feedback.
    fn report(&mut self, now: Instant, slab: &mut SendSlab) {
        let (Way::In(subscriber), Some((_, sealer))) = (&mut self.way, &mut self.keys) else {
            return;
        };
        if subscriber.report_at.is_some_and(|at| at > now)
            || subscriber.sequence.highest().is_none()
        {
            return;
        }
        subscriber.report_at = Some(now + FEEDBACK_INTERVAL);
        let mut plain = Vec::with_capacity(256);
        let block = ReportBlock {
            ssrc: subscriber.ssrc,
            highest: subscriber.sequence.highest().unwrap_or(0) as u32,
            ..ReportBlock::default()
        };
        push_receiver_report(&mut plain, 1, &[block]);
        subscriber.arrivals.sort_unstable();
        subscriber.arrivals.dedup_by_key(|(number, _)| *number);
        push_transport_feedback(
            &mut plain,
            1,
            subscriber.ssrc,
            &mut subscriber.counter,
            &subscriber.arrivals,
        );
        subscriber.arrivals.clear();
        let len = sealer.seal_rtcp(&plain, slab.spare_mut());
        slab.commit(len, self.remote.address);
    }

    fn flush(&mut self, slab: &mut SendSlab) {
        if !slab.messages().is_empty() {
            self.socket.transmit(slab);
        }
        slab.clear();
    }
}

impl Subscriber {
    fn count(&mut self, header: &Header, totals: &mut Totals) {
        if self.ssrc != header.ssrc {
            self.ssrc = header.ssrc;
            self.sequence = Extender::default();
        }
        self.received += 1;
        totals.received += 1;
        let before = self.sequence.highest();
        let number = self.sequence.extend(header.sequence);
        totals.expected += before.map_or(1, |before| number.saturating_sub(before));
    }

    fn arrived(&mut self, number: u16, since: Duration) {
        let number = self.transport.extend(number);
        self.arrivals.push((number, since.as_micros() as i64));
    }
}
