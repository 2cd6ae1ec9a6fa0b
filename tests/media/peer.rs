//! One browser's stand-in: a peer connection of webrtc-rs without IO, driven on virtual time.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rtc::interceptor::Registry;
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::configuration::interceptor_registry::register_default_interceptors;
use rtc::peer_connection::configuration::media_engine::MediaEngine;
use rtc::peer_connection::configuration::setting_engine::SettingEngineBuilder;
use rtc::peer_connection::event::RTCPeerConnectionEvent;
use rtc::peer_connection::message::RTCMessage;
use rtc::peer_connection::sdp::RTCSessionDescription;
use rtc::peer_connection::state::RTCPeerConnectionState;
use rtc::peer_connection::transport::{
    CandidateConfig, CandidateHostConfig, RTCDtlsRole, RTCIceCandidate, RTCIceCandidateInit,
};
use rtc::peer_connection::{RTCPeerConnection, RTCPeerConnectionBuilder};
use rtc::rtp::{header::Header, packet::Packet};
use rtc::rtp_transceiver::RTCRtpSenderId;
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind,
};
use rtc::sansio::Protocol;
use rtc::shared::{TaggedBytesMut, TransportContext, TransportProtocol};

use super::simnet::SimNet;

/// A VP8 payload descriptor that starts a partition (RFC 7741, 4.2).
const VP8_START: u8 = 0x10;

/// A peer and what it has received.
pub struct Peer {
    pc: RTCPeerConnection,
    addr: SocketAddr,
    unplugged: bool,
    pub connected: bool,
    pub audio: Track,
    pub video: Track,
    /// Key frame requests that came in and wait for the next frame.
    pub key_frame_wanted: bool,
    /// The numbers of the first packets of the key frames sent.
    pub key_frames_sent: Vec<u32>,
}

/// One kind of media of one peer.
#[derive(Debug, Default)]
pub struct Track {
    sender: Option<RTCRtpSenderId>,
    ssrc: u32,
    payload_type: u8,
    next: u16,
    pub sent: u32,
    /// When each packet was sent, by its number.
    pub sent_at: Vec<Instant>,
    /// The numbers that the sender wrote into the payloads, and when they came first.
    pub received: BTreeMap<u32, Instant>,
    /// Packets that came more than once.
    pub repeated: u32,
}

impl Peer {
    pub fn new(addr: SocketAddr, now: Instant) -> Self {
        let mut codecs = MediaEngine::default();
        codecs.register_default_codecs().unwrap();
        // Browsers send audio again when they are asked to.
        codecs.register_feedback(
            RTCPFeedback {
                typ: "nack".into(),
                parameter: String::new(),
            },
            RtpCodecKind::Audio,
        );
        let interceptors = register_default_interceptors(Registry::new(), &mut codecs).unwrap();
        let settings = SettingEngineBuilder::new()
            .with_answering_dtls_role(RTCDtlsRole::Client)
            .build();
        let mut pc = RTCPeerConnectionBuilder::new()
            .with_media_engine(codecs)
            .with_setting_engine(settings)
            .with_interceptor_registry(interceptors)
            .build(now)
            .unwrap();
        pc.add_local_candidate(candidate(addr)).unwrap();
        Self {
            pc,
            addr,
            unplugged: false,
            connected: false,
            audio: Track::default(),
            video: Track::default(),
            key_frame_wanted: true,
            key_frames_sent: Vec::new(),
        }
    }

    /// Loses its network: what it sends goes nowhere, until it has another address and is told to
    /// restart ICE.
    pub fn unplug(&mut self) {
        self.unplugged = true;
    }

    /// A subscriber's answer, from another address, to the SFU's offer to restart ICE.
    pub fn restart(&mut self, sdp: String, addr: SocketAddr, now: Instant) -> String {
        (self.addr, self.unplugged) = (addr, false);
        let offer = RTCSessionDescription::offer(sdp).unwrap();
        self.pc.set_remote_description(now, offer).unwrap();
        self.pc.add_local_candidate(candidate(addr)).unwrap();
        let answer = self.pc.create_answer(None).unwrap();
        self.pc.set_local_description(now, answer).unwrap();
        self.pc.local_description().unwrap().sdp
    }

    /// A publisher's offer of Opus and VP8.
    pub fn offer(&mut self, now: Instant) -> String {
        self.audio.sender = Some(self.add_track(RtpCodecKind::Audio, "audio/opus", 48_000, 11));
        self.audio.ssrc = 11;
        self.video.sender = Some(self.add_track(RtpCodecKind::Video, "video/VP8", 90_000, 22));
        self.video.ssrc = 22;
        let offer = self.pc.create_offer(None).unwrap();
        self.pc.set_local_description(now, offer).unwrap();
        self.pc.local_description().unwrap().sdp
    }

    fn add_track(
        &mut self,
        kind: RtpCodecKind,
        mime: &str,
        rate: u32,
        ssrc: u32,
    ) -> RTCRtpSenderId {
        let encoding = RTCRtpEncodingParameters {
            rtp_coding_parameters: RTCRtpCodingParameters {
                ssrc: Some(ssrc),
                ..Default::default()
            },
            codec: RTCRtpCodec {
                mime_type: mime.into(),
                clock_rate: rate,
                channels: if rate == 48_000 { 2 } else { 0 },
                ..Default::default()
            },
            ..Default::default()
        };
        let id = format!("{kind:?}");
        self.pc
            .add_track(MediaStreamTrack::new(
                "stream".into(),
                id.clone(),
                id,
                kind,
                vec![encoding],
            ))
            .unwrap()
    }

    /// The SFU's answer to [`Self::offer`].
    pub fn take_answer(&mut self, sdp: String, now: Instant) {
        let answer = RTCSessionDescription::answer(sdp).unwrap();
        self.pc.set_remote_description(now, answer).unwrap();
        for (track, codec) in [(&mut self.audio, "opus"), (&mut self.video, "VP8")] {
            let mut sender = self.pc.rtp_sender(track.sender.unwrap()).unwrap();
            let codecs = sender.get_parameters().rtp_parameters.codecs.clone();
            let codec = codecs
                .iter()
                .find(|c| c.rtp_codec.mime_type.ends_with(codec));
            track.payload_type = codec.expect("the SFU takes this codec").payload_type;
        }
    }

    /// A subscriber's answer to the SFU's offer.
    pub fn answer(&mut self, sdp: String, now: Instant) -> String {
        let offer = RTCSessionDescription::offer(sdp).unwrap();
        self.pc.set_remote_description(now, offer).unwrap();
        let answer = self.pc.create_answer(None).unwrap();
        self.pc.set_local_description(now, answer).unwrap();
        self.pc.local_description().unwrap().sdp
    }

    /// Sends one Opus packet with its number in it.
    pub fn send_audio(&mut self, now: Instant) {
        let timestamp = self.audio.sent.wrapping_mul(960);
        let number = self.audio.sent;
        self.send(RtpCodecKind::Audio, timestamp, true, &[0xfc], number, now);
    }

    /// Sends one video frame of `packets` packets with their numbers in them.
    pub fn send_frame(&mut self, packets: u32, timestamp: u32, now: Instant) {
        let key = std::mem::take(&mut self.key_frame_wanted);
        self.key_frames_sent.extend(key.then_some(self.video.sent));
        for index in 0..packets {
            // The first byte of a VP8 frame header says inter frame in its lowest bit.
            let start = [
                VP8_START,
                u8::from(!key),
                0,
                0,
                0x9d,
                0x01,
                0x2a,
                0x40,
                1,
                0xf0,
                0,
            ];
            let head = if index == 0 { &start[..] } else { &[0] };
            let number = self.video.sent;
            self.send(
                RtpCodecKind::Video,
                timestamp,
                index + 1 == packets,
                head,
                number,
                now,
            );
        }
    }

    fn send(
        &mut self,
        kind: RtpCodecKind,
        timestamp: u32,
        marker: bool,
        head: &[u8],
        number: u32,
        now: Instant,
    ) {
        let track = if kind == RtpCodecKind::Audio {
            &mut self.audio
        } else {
            &mut self.video
        };
        let mut payload = vec![
            0x55;
            if kind == RtpCodecKind::Audio {
                80
            } else {
                1000
            }
        ];
        payload[..head.len()].copy_from_slice(head);
        let end = payload.len();
        payload[end - 4..].copy_from_slice(&number.to_be_bytes());
        let header = Header {
            version: 2,
            marker,
            payload_type: track.payload_type,
            sequence_number: track.next,
            timestamp,
            ssrc: track.ssrc,
            ..Default::default()
        };
        track.next = track.next.wrapping_add(1);
        track.sent += 1;
        track.sent_at.push(now);
        let packet = Packet {
            header,
            payload: Bytes::from(payload),
        };
        let mut sender = self.pc.rtp_sender(track.sender.unwrap()).unwrap();
        sender.write_rtp(now, packet).unwrap();
    }

    pub fn receive(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) {
        let transport = TransportContext {
            local_addr: self.addr,
            peer_addr: from,
            ecn: None,
            transport_protocol: TransportProtocol::UDP,
        };
        let message = BytesMut::from(bytes);
        // What cannot be read is lost, as on any network.
        let _ = self.pc.handle_read(TaggedBytesMut {
            now,
            transport,
            message,
        });
    }

    /// Lets the peer do what is due and sends what it wants to send.
    pub fn run(&mut self, now: Instant, net: &mut SimNet) {
        if self.pc.poll_timeout().is_some_and(|at| at <= now) {
            self.pc.handle_timeout(now).unwrap();
        }
        while let Some(event) = self.pc.poll_event() {
            if let RTCPeerConnectionEvent::OnConnectionStateChangeEvent(state) = event {
                self.connected = state == RTCPeerConnectionState::Connected;
            }
        }
        while let Some(tagged) = self.pc.poll_read() {
            match tagged.message {
                RTCMessage::RtpPacket(_, packet) => self.count(&packet, now),
                RTCMessage::RtcpPacket(_, packets) => {
                    let pli = |p: &dyn rtc::rtcp::Packet| {
                        p.as_any().is::<rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication>()
                    };
                    self.key_frame_wanted |= packets.iter().any(|p| pli(&**p));
                }
                _ => {}
            }
        }
        while let Some(out) = self.pc.poll_write() {
            if self.unplugged {
                continue;
            }
            net.send(now, self.addr, out.transport.peer_addr, &out.message);
        }
    }

    fn count(&mut self, packet: &Packet, now: Instant) {
        let end = packet.payload.len();
        let Some(number) = end.checked_sub(4).map(|at| &packet.payload[at..]) else {
            return;
        };
        let number = u32::from_be_bytes(number.try_into().expect("four bytes"));
        let track = if end < 200 {
            &mut self.audio
        } else {
            &mut self.video
        };
        match track.received.entry(number) {
            Entry::Vacant(entry) => {
                entry.insert(now);
            }
            Entry::Occupied(_) => track.repeated += 1,
        }
    }
}

fn candidate(addr: SocketAddr) -> RTCIceCandidateInit {
    let candidate = CandidateHostConfig {
        base_config: CandidateConfig {
            network: "udp".into(),
            address: addr.ip().to_string(),
            port: addr.port(),
            component: 1,
            ..Default::default()
        },
        ..Default::default()
    };
    let candidate = RTCIceCandidate::from(&candidate.new_candidate_host().unwrap());
    candidate.to_json().unwrap()
}

/// How often everything gets its turn.
pub const TICK: Duration = Duration::from_millis(1);
