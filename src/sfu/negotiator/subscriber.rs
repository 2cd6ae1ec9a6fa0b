//! Our offers to a subscriber, its answers, and its own offers when it restarts ICE.

use super::extension;
use super::publisher::Track;
use super::transport::{Local, Remote, Transport};
use crate::entropy::Entropy;
use crate::sfu::command::{
    Codec, IceCredentials, LocalEndpoint, OutboundTrackConfig, PayloadTypeMap, SubscriptionConfig,
    TransportConfig,
};
use crate::sfu::sdp::{
    Direction, Extension, Feedback, Format, Section, SessionDescription, Setup, SsrcGroup,
};
use crate::sfu::{CloseReason, MediaKind, PublicationId, SubscriptionId, Wanted};

/// What was offered to, or agreed with, one subscriber.
#[derive(Debug)]
pub(super) struct Subscription {
    publication: PublicationId,
    wanted: Wanted,
    state: State,
    outgoing: Vec<Outgoing>,
}

#[derive(Debug)]
enum State {
    /// Our offer is out; the engine knows nothing yet.
    Offered(Local),
    /// The engine has the subscription.
    Answered(Transport),
}

/// One section of ours.
#[derive(Debug)]
struct Outgoing {
    kind: MediaKind,
    /// As offered; after the answer, as agreed. Without transport.
    section: Section,
    /// The payload types in `section`.
    payload_types: Vec<PayloadTypeMap>,
    ssrc: u32,
    rtx_ssrc: Option<u32>,
}

impl Subscription {
    /// Offers what a publication has.
    pub(super) fn create(
        publication: PublicationId,
        tracks: &[Track],
        wanted: Wanted,
        endpoint: &LocalEndpoint,
        entropy: &mut Entropy,
    ) -> Result<(Self, String), CloseReason> {
        let mut local = Local::new(endpoint.worker, entropy);
        let mut numbers = Numbers::new(entropy);
        let outgoing: Vec<_> = tracks
            .iter()
            .enumerate()
            .map(|(index, track)| Outgoing::offer(index, track, &mut numbers))
            .filter(|outgoing| !outgoing.payload_types.is_empty())
            .collect();
        if outgoing.is_empty() {
            return Err(CloseReason::NothingInCommon);
        }
        let sections = outgoing.iter().map(|o| o.section.clone()).collect();
        let offer = local.describe(sections, true, Setup::ActPass, endpoint);
        let subscription = Self {
            publication,
            wanted,
            state: State::Offered(local),
            outgoing,
        };
        Ok((subscription, offer))
    }

    /// Takes the answer to our offer. What it refused, or left out, is not sent.
    pub(super) fn take_answer(
        &mut self,
        id: SubscriptionId,
        sdp: &str,
    ) -> Result<SubscriptionConfig, CloseReason> {
        let answer = SessionDescription::parse(sdp).map_err(|_| CloseReason::MalformedSdp)?;
        self.outgoing.retain_mut(|outgoing| {
            section(&answer, outgoing).is_some_and(|answered| outgoing.narrow(answered))
        });
        let head = self
            .outgoing
            .first()
            .and_then(|first| section(&answer, first));
        let head = head.ok_or(CloseReason::NothingInCommon)?;
        if head.setup == Some(Setup::Passive) {
            // Somebody must begin the handshake, and we do not.
            return Err(CloseReason::NothingInCommon);
        }
        let transport = self.connect(Remote::of(head)?)?;
        Ok(SubscriptionConfig {
            id,
            publication: self.publication,
            transport,
            wanted: self.wanted,
            tracks: self.outgoing.iter().map(Outgoing::config).collect(),
        })
    }

    /// Answers the subscriber's own offer (`protocol/signaling.md`, 13.7). Mids, payload types,
    /// SSRCs, certificate and DTLS role stay; new credentials, if it restarts ICE.
    pub(super) fn take_offer(
        &mut self,
        sdp: &str,
        endpoint: &LocalEndpoint,
        entropy: &mut Entropy,
    ) -> Result<(String, Option<IceCredentials>), CloseReason> {
        let State::Answered(transport) = &mut self.state else {
            return Err(CloseReason::Unknown);
        };
        let offer = SessionDescription::parse(sdp).map_err(|_| CloseReason::MalformedSdp)?;
        let mut sections = Vec::new();
        for offered in &offer.sections {
            let ours = self.outgoing.iter().find(|o| o.section.mid == offered.mid);
            sections.push(match ours {
                Some(outgoing) if !offered.rejected => outgoing.answer(offered),
                _ => offered.refused(),
            });
        }
        let head = sections.iter().position(|section| !section.rejected);
        let head = head.ok_or(CloseReason::NothingInCommon)?;
        let head = &offer.sections[head];
        let restarted = transport.renew(Remote::of(head)?, entropy)?;
        let bundle = offer.bundle.contains(&head.mid);
        let answer = transport
            .local
            .describe(sections, bundle, Setup::Passive, endpoint);
        Ok((answer, restarted))
    }

    pub(super) fn want(&mut self, wanted: Wanted) {
        self.wanted = wanted;
    }

    pub(super) fn publication(&self) -> PublicationId {
        self.publication
    }

    pub(super) fn is_answered(&self) -> bool {
        matches!(self.state, State::Answered(_))
    }

    fn connect(&mut self, remote: Remote) -> Result<TransportConfig, CloseReason> {
        let State::Offered(local) = &self.state else {
            return Err(CloseReason::Unknown);
        };
        let transport = Transport::new(local.clone(), remote);
        let config = transport.config();
        self.state = State::Answered(transport);
        Ok(config)
    }
}

impl Outgoing {
    fn offer(index: usize, track: &Track, numbers: &mut Numbers<'_>) -> Self {
        let kind = track.config.kind;
        let video = kind == MediaKind::Video;
        let mut formats = Vec::new();
        let mut payload_types = Vec::new();
        for (codec, format) in track.config.codecs.iter().zip(&track.formats) {
            let Some(outbound) = numbers.payload_type() else {
                break;
            };
            let outbound_rtx = if video { numbers.payload_type() } else { None };
            formats.push(Format {
                pt: outbound,
                fmtp: parameters(codec.codec, format, &payload_types),
                feedback: feedback(codec.codec, kind),
                ..format.clone()
            });
            formats.extend(outbound_rtx.map(|pt| rtx(pt, outbound)));
            payload_types.push(PayloadTypeMap {
                inbound: codec.pt,
                outbound,
                outbound_rtx,
            });
        }
        let ssrc = numbers.ssrc();
        let rtx_ssrc = video.then(|| numbers.ssrc());
        let stream = numbers.stream.clone();
        let media = if video { "video" } else { "audio" };
        Self {
            kind,
            section: Section {
                media: media.to_owned(),
                protocol: "UDP/TLS/RTP/SAVPF".to_owned(),
                mid: index.to_string(),
                direction: Direction::SendOnly,
                rtcp_mux: true,
                rtcp_rsize: true,
                formats,
                extensions: extension::offered(kind),
                msid: Some((stream.clone(), format!("{stream}-{media}"))),
                cname: stream,
                ssrcs: std::iter::once(ssrc).chain(rtx_ssrc).collect(),
                ssrc_groups: rtx_ssrc.map(|rtx| fid(ssrc, rtx)).into_iter().collect(),
                ..Section::default()
            },
            payload_types,
            ssrc,
            rtx_ssrc,
        }
    }

    /// Keeps what the answer keeps; whether anything is left to send.
    fn narrow(&mut self, answer: &Section) -> bool {
        self.section.formats = common_formats(&self.section, answer);
        self.section.extensions = common_extensions(&self.section, answer);
        let agreed = |pt: u8| self.section.formats.iter().any(|format| format.pt == pt);
        self.payload_types.retain(|map| agreed(map.outbound));
        for map in &mut self.payload_types {
            map.outbound_rtx = map.outbound_rtx.filter(|pt| agreed(*pt));
        }
        if self.payload_types.iter().all(|m| m.outbound_rtx.is_none()) {
            self.rtx_ssrc = None;
            self.section.ssrcs.truncate(1);
            self.section.ssrc_groups.clear();
        }
        !self.payload_types.is_empty()
    }

    /// Our half of a section that the subscriber offers again.
    fn answer(&self, offered: &Section) -> Section {
        let formats = common_formats(&self.section, offered);
        if formats.is_empty() {
            return offered.refused();
        }
        Section {
            direction: match offered.direction.receives() {
                true => Direction::SendOnly,
                false => Direction::Inactive,
            },
            formats,
            extensions: common_extensions(&self.section, offered),
            ..self.section.clone()
        }
    }

    fn config(&self) -> OutboundTrackConfig {
        OutboundTrackConfig {
            kind: self.kind,
            mid: self.section.mid.clone(),
            ssrc: self.ssrc,
            rtx_ssrc: self.rtx_ssrc,
            payload_types: self.payload_types.clone(),
            extensions: extension::map(&self.section.extensions),
        }
    }
}

/// The answer's counterpart of a section of ours, if it wants to receive.
fn section<'a>(answer: &'a SessionDescription, outgoing: &Outgoing) -> Option<&'a Section> {
    let wants = |s: &&Section| {
        s.mid == outgoing.section.mid && !s.rejected && s.rtcp_mux && s.direction.receives()
    };
    answer.sections.iter().find(wants)
}

/// Our formats that the other side lists under the same number and name; RTX only with its media.
fn common_formats(ours: &Section, theirs: &Section) -> Vec<Format> {
    let listed = |format: &Format| {
        theirs
            .formats
            .iter()
            .any(|other| other.pt == format.pt && other.name.eq_ignore_ascii_case(&format.name))
    };
    let mut common: Vec<Format> = ours.formats.iter().filter(|f| listed(f)).cloned().collect();
    let kept: Vec<u8> = common.iter().map(|format| format.pt).collect();
    common.retain(|format| match format.parameter("apt").map(str::parse) {
        Some(Ok(pt)) => kept.contains(&pt),
        _ => true,
    });
    common
}

fn common_extensions(ours: &Section, theirs: &Section) -> Vec<Extension> {
    let ours = ours.extensions.iter();
    ours.filter(|e| theirs.extensions.contains(e))
        .cloned()
        .collect()
}

fn fid(media: u32, rtx: u32) -> SsrcGroup {
    SsrcGroup {
        semantics: "FID".to_owned(),
        ssrcs: vec![media, rtx],
    }
}

fn rtx(pt: u8, media: u8) -> Format {
    Format {
        pt,
        name: "rtx".to_owned(),
        clock_rate: 90_000,
        channels: 1,
        fmtp: Some(format!("apt={media}")),
        feedback: Vec::new(),
    }
}

/// The publisher's own parameters: they describe the bits that we forward. RED lists payload
/// types in them, which need our numbers.
fn parameters(codec: Codec, format: &Format, known: &[PayloadTypeMap]) -> Option<String> {
    let text = format.fmtp.as_deref()?;
    if codec != Codec::Red {
        return Some(text.to_owned());
    }
    let renumbered: Option<Vec<String>> = text
        .split('/')
        .map(|pt| {
            let map = known
                .iter()
                .find(|map| pt.trim().parse() == Ok(map.inbound));
            map.map(|map| map.outbound.to_string())
        })
        .collect();
    renumbered.map(|pts| pts.join("/"))
}

fn feedback(codec: Codec, kind: MediaKind) -> Vec<Feedback> {
    match (kind, codec) {
        (MediaKind::Video, _) => Feedback::ALL.to_vec(),
        (MediaKind::Audio, Codec::Opus) => vec![Feedback::TransportCc],
        (MediaKind::Audio, _) => Vec::new(),
    }
}

/// Hands out what must be unique within one leg.
struct Numbers<'a> {
    entropy: &'a mut Entropy,
    payload_types: std::iter::Chain<std::ops::RangeInclusive<u8>, std::ops::RangeInclusive<u8>>,
    ssrcs: Vec<u32>,
    /// Canonical name and stream id.
    stream: String,
}

impl<'a> Numbers<'a> {
    fn new(entropy: &'a mut Entropy) -> Self {
        let stream = entropy.uuid().to_string();
        Self {
            entropy,
            // The dynamic range first, then what RFC 3551 leaves unassigned; 64 to 95 would be
            // taken for RTCP (RFC 5761, 4).
            payload_types: (96..=127).chain(35..=63),
            ssrcs: Vec::new(),
            stream,
        }
    }

    fn payload_type(&mut self) -> Option<u8> {
        self.payload_types.next()
    }

    fn ssrc(&mut self) -> u32 {
        loop {
            let ssrc = self.entropy.u32();
            if ssrc != 0 && !self.ssrcs.contains(&ssrc) {
                self.ssrcs.push(ssrc);
                return ssrc;
            }
        }
    }
}
