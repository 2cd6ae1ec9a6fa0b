//! Our offers to a subscriber, its answers, and its own offers when it restarts ICE.

use super::extension;
use super::publisher::Track;
use super::transport::{Local, Remote, Transport};
use crate::entropy::Entropy;
use crate::sfu::command::{
    Codec, IceCredentials, LocalEndpoint, OutboundTrackConfig, PayloadTypeMap, SubscriptionConfig,
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
    numbers: Numbers,
    /// One for each `m=` line, in order.
    outgoing: Vec<Outgoing>,
    /// What a later offer that is out says, to take its place.
    proposed: Option<Vec<Outgoing>>,
    /// Why the answer is not the end of it.
    next: Next,
}

#[derive(Debug)]
enum State {
    /// Our offer is out; the engine knows nothing yet.
    Offered(Local),
    /// The engine has the subscription.
    Answered(Transport),
}

/// What is to be done once the offer that is out has been answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    Nothing,
    /// The publisher's tracks have changed meanwhile.
    Adapt,
    /// The subscriber wanted to restart ICE, and gave that up for our offer.
    Restart,
}

/// One section of ours.
#[derive(Debug, Clone)]
struct Outgoing {
    kind: MediaKind,
    /// As offered, without transport.
    section: Section,
    /// The payload types in `section`.
    payload_types: Vec<PayloadTypeMap>,
    ssrc: u32,
    rtx_ssrc: Option<u32>,
    standing: Standing,
    /// Whether the publisher has such a track now. Without, the section stays and is silent: its
    /// SSRC must not begin anew under the same key.
    live: bool,
}

/// What became of a section.
#[derive(Debug, Clone)]
enum Standing {
    Offered,
    Agreed {
        formats: Vec<Format>,
        extensions: Vec<Extension>,
    },
    Refused,
}

/// What follows from a change of the publisher's tracks.
#[derive(Debug)]
pub(super) enum Adapted {
    /// Nothing, or nothing yet.
    Unchanged,
    /// Only the publisher's numbers are others.
    Renumbered(SubscriptionConfig),
    /// The subscriber has to agree to this.
    Offer(String),
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
        let outgoing = plan(&[], tracks, &mut numbers, entropy);
        if outgoing.is_empty() {
            return Err(CloseReason::NothingInCommon);
        }
        let offer = local.describe(sections(&outgoing), true, Setup::ActPass, endpoint);
        let subscription = Self {
            publication,
            wanted,
            state: State::Offered(local),
            numbers,
            outgoing,
            proposed: None,
            next: Next::Nothing,
        };
        Ok((subscription, offer))
    }

    /// Goes along with the publisher's tracks as they are now. One offer is out at a time; what
    /// changes meanwhile waits for its answer.
    pub(super) fn adapt(
        &mut self,
        id: SubscriptionId,
        tracks: &[Track],
        endpoint: &LocalEndpoint,
        entropy: &mut Entropy,
    ) -> Adapted {
        if self.awaits_answer() {
            self.next = self.next.max(Next::Adapt);
            return Adapted::Unchanged;
        }
        let next = std::mem::replace(&mut self.next, Next::Nothing);
        let planned = plan(&self.outgoing, tracks, &mut self.numbers, entropy);
        let State::Answered(transport) = &mut self.state else {
            return Adapted::Unchanged;
        };
        if next == Next::Restart {
            transport.local.restart(entropy);
        } else if sections(&planned) == sections(&self.outgoing) {
            let renumbered = payload_types(&planned) != payload_types(&self.outgoing);
            self.outgoing = planned;
            return match self.config(id) {
                Some(config) if renumbered => Adapted::Renumbered(config),
                _ => Adapted::Unchanged,
            };
        }
        let offer = transport
            .local
            .describe(sections(&planned), true, Setup::ActPass, endpoint);
        self.proposed = Some(planned);
        Adapted::Offer(offer)
    }

    /// Takes the answer to our offer. What it refused, or left out, is not sent.
    pub(super) fn take_answer(
        &mut self,
        id: SubscriptionId,
        sdp: &str,
    ) -> Result<SubscriptionConfig, CloseReason> {
        let answer = SessionDescription::parse(sdp).map_err(|_| CloseReason::MalformedSdp)?;
        if let Some(proposed) = self.proposed.take() {
            self.outgoing = proposed;
        }
        for outgoing in &mut self.outgoing {
            outgoing.settle(section(&answer, outgoing));
        }
        let mut answered = self.outgoing.iter().filter(|o| o.is_agreed());
        let head = answered.find_map(|outgoing| section(&answer, outgoing));
        let head = head.ok_or(CloseReason::NothingInCommon)?;
        if head.setup == Some(Setup::Passive) {
            // Somebody must begin the handshake, and we do not.
            return Err(CloseReason::NothingInCommon);
        }
        let remote = Remote::of(head)?;
        match &mut self.state {
            State::Offered(local) => {
                self.state = State::Answered(Transport::new(local.clone(), remote));
            }
            State::Answered(transport) => transport.agree(remote)?,
        }
        self.config(id).ok_or(CloseReason::Unknown)
    }

    /// Answers the subscriber's own offer (`protocol/signaling.md`, 13.7). Mids, payload types,
    /// SSRCs, certificate and DTLS role stay; new credentials, if it restarts ICE.
    ///
    /// There is no answer while an offer of ours is out: the subscriber gives up its own for it
    /// (RFC 8829, 4.1.10.2), so ICE is restarted by our next one.
    pub(super) fn take_offer(
        &mut self,
        sdp: &str,
        endpoint: &LocalEndpoint,
        entropy: &mut Entropy,
    ) -> Result<Option<(String, Option<IceCredentials>)>, CloseReason> {
        let awaits_answer = self.awaits_answer();
        let State::Answered(transport) = &mut self.state else {
            return Err(CloseReason::Unknown);
        };
        let offer = SessionDescription::parse(sdp).map_err(|_| CloseReason::MalformedSdp)?;
        if awaits_answer {
            self.next = Next::Restart;
            return Ok(None);
        }
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
        Ok(Some((answer, restarted)))
    }

    pub(super) fn want(&mut self, wanted: Wanted) {
        self.wanted = wanted;
    }

    pub(super) fn publication(&self) -> PublicationId {
        self.publication
    }

    /// Whether the engine has it.
    pub(super) fn is_answered(&self) -> bool {
        matches!(self.state, State::Answered(_))
    }

    /// Whether an offer of ours is out.
    pub(super) fn awaits_answer(&self) -> bool {
        self.proposed.is_some() || !self.is_answered()
    }

    /// Whether the next answer, or the last one, leaves something to do.
    pub(super) fn is_unfinished(&self) -> bool {
        self.next != Next::Nothing
    }

    fn config(&self, id: SubscriptionId) -> Option<SubscriptionConfig> {
        let State::Answered(transport) = &self.state else {
            return None;
        };
        Some(SubscriptionConfig {
            id,
            publication: self.publication,
            transport: transport.config(),
            wanted: self.wanted,
            tracks: self.outgoing.iter().filter_map(Outgoing::config).collect(),
        })
    }
}

/// The sections to offer for `tracks`, of which `before` were offered already: same lines, same
/// order, new ones behind them.
fn plan(
    before: &[Outgoing],
    tracks: &[Track],
    numbers: &mut Numbers,
    entropy: &mut Entropy,
) -> Vec<Outgoing> {
    let mut planned = before.to_vec();
    for outgoing in &mut planned {
        outgoing.live = false;
    }
    for track in tracks {
        let kind = track.config.kind;
        let known = planned.iter_mut().find(|o| o.kind == kind);
        let (formats, payload_types) = numbers.formats(track);
        match known {
            // Refused once, it is as good as the same again.
            Some(outgoing) if outgoing.is_refused() && outgoing.section.formats == formats => {}
            Some(outgoing) if outgoing.is_refused() => {
                *outgoing = Outgoing::new(kind, formats, payload_types, numbers, entropy);
            }
            Some(outgoing) => outgoing.revise(formats, payload_types),
            None if payload_types.is_empty() => {}
            None => planned.push(Outgoing::new(
                kind,
                formats,
                payload_types,
                numbers,
                entropy,
            )),
        }
    }
    planned
}

/// What to write into an offer.
fn sections(outgoing: &[Outgoing]) -> Vec<Section> {
    let offered = |outgoing: &Outgoing| match outgoing.is_refused() {
        true => Section {
            format_list: "0".to_owned(),
            ..outgoing.section.refused()
        },
        false => Section {
            direction: outgoing.direction(),
            ..outgoing.section.clone()
        },
    };
    outgoing.iter().map(offered).collect()
}

fn payload_types(outgoing: &[Outgoing]) -> Vec<PayloadTypeMap> {
    let all = outgoing.iter().flat_map(|o| &o.payload_types);
    all.copied().collect()
}

impl Outgoing {
    fn new(
        kind: MediaKind,
        formats: Vec<Format>,
        payload_types: Vec<PayloadTypeMap>,
        numbers: &mut Numbers,
        entropy: &mut Entropy,
    ) -> Self {
        let video = kind == MediaKind::Video;
        let ssrc = numbers.ssrc(entropy);
        let rtx_ssrc = video.then(|| numbers.ssrc(entropy));
        let stream = numbers.stream.clone();
        let media = if video { "video" } else { "audio" };
        Self {
            kind,
            section: Section {
                media: media.to_owned(),
                protocol: "UDP/TLS/RTP/SAVPF".to_owned(),
                mid: numbers.mid(),
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
            standing: Standing::Offered,
            live: true,
        }
    }

    /// Takes over what the publisher now has.
    fn revise(&mut self, formats: Vec<Format>, payload_types: Vec<PayloadTypeMap>) {
        self.live = !payload_types.is_empty();
        if self.live {
            self.section.formats = formats;
            self.payload_types = payload_types;
        }
    }

    /// Keeps what an answer keeps.
    fn settle(&mut self, answer: Option<&Section>) {
        let agreed = answer.map(|answer| {
            let formats = common_formats(&self.section, answer);
            (formats, common_extensions(&self.section, answer))
        });
        self.standing = match agreed {
            Some((formats, extensions)) if !formats.is_empty() => Standing::Agreed {
                formats,
                extensions,
            },
            _ => Standing::Refused,
        };
    }

    /// Our half of a section that the subscriber offers again.
    fn answer(&self, offered: &Section) -> Section {
        let Standing::Agreed {
            formats,
            extensions,
        } = &self.standing
        else {
            return offered.refused();
        };
        let agreed = Section {
            formats: formats.clone(),
            extensions: extensions.clone(),
            ..self.section.clone()
        };
        let formats = common_formats(&agreed, offered);
        if formats.is_empty() {
            return offered.refused();
        }
        let resends = formats.iter().any(|format| format.name == "rtx");
        Section {
            direction: match offered.direction.receives() {
                true => self.direction(),
                false => Direction::Inactive,
            },
            formats,
            extensions: common_extensions(&agreed, offered),
            ssrcs: match resends {
                true => agreed.ssrcs.clone(),
                false => vec![self.ssrc],
            },
            ssrc_groups: match resends {
                true => agreed.ssrc_groups.clone(),
                false => Vec::new(),
            },
            ..agreed
        }
    }

    /// What the engine must know, if the subscriber has agreed.
    fn config(&self) -> Option<OutboundTrackConfig> {
        let Standing::Agreed {
            formats,
            extensions,
        } = &self.standing
        else {
            return None;
        };
        let agreed = |pt: u8| formats.iter().any(|format| format.pt == pt);
        let kept = self.payload_types.iter().filter(|map| agreed(map.outbound));
        let payload_types: Vec<_> = kept
            .map(|map| PayloadTypeMap {
                outbound_rtx: map.outbound_rtx.filter(|pt| agreed(*pt)),
                ..*map
            })
            .collect();
        let resends = payload_types.iter().any(|map| map.outbound_rtx.is_some());
        Some(OutboundTrackConfig {
            kind: self.kind,
            mid: self.section.mid.clone(),
            ssrc: self.ssrc,
            rtx_ssrc: self.rtx_ssrc.filter(|_| resends),
            payload_types,
            extensions: extension::map(extensions),
        })
    }

    fn direction(&self) -> Direction {
        match self.live {
            true => Direction::SendOnly,
            false => Direction::Inactive,
        }
    }

    fn is_agreed(&self) -> bool {
        matches!(self.standing, Standing::Agreed { .. })
    }

    fn is_refused(&self) -> bool {
        matches!(self.standing, Standing::Refused)
    }
}

/// The answer's counterpart of a section of ours, if it wants to receive, or there is nothing yet
/// to receive.
fn section<'a>(answer: &'a SessionDescription, outgoing: &Outgoing) -> Option<&'a Section> {
    let wants = |s: &&Section| {
        let receives = s.direction.receives() || !outgoing.live;
        s.mid == outgoing.section.mid && !s.rejected && s.rtcp_mux && receives
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

/// Hands out what must be unique within one leg. What has been numbered once keeps its number.
#[derive(Debug)]
struct Numbers {
    /// Formats as publishers described them, under our number and that of their retransmissions.
    known: Vec<(Format, u8, Option<u8>)>,
    payload_types: std::iter::Chain<std::ops::RangeInclusive<u8>, std::ops::RangeInclusive<u8>>,
    ssrcs: Vec<u32>,
    mids: u32,
    /// Canonical name and stream id.
    stream: String,
}

impl Numbers {
    fn new(entropy: &mut Entropy) -> Self {
        Self {
            known: Vec::new(),
            // The dynamic range first, then what RFC 3551 leaves unassigned; 64 to 95 would be
            // taken for RTCP (RFC 5761, 4).
            payload_types: (96..=127).chain(35..=63),
            ssrcs: Vec::new(),
            mids: 0,
            stream: entropy.uuid().to_string(),
        }
    }

    /// A publisher's formats in our numbers. What there are no numbers left for is left out.
    fn formats(&mut self, track: &Track) -> (Vec<Format>, Vec<PayloadTypeMap>) {
        let kind = track.config.kind;
        let mut formats = Vec::new();
        let mut payload_types = Vec::new();
        for (codec, format) in track.config.codecs.iter().zip(&track.formats) {
            let Some((outbound, outbound_rtx)) = self.payload_type(format, kind) else {
                continue;
            };
            // A publisher may describe one format twice.
            if formats.iter().all(|known: &Format| known.pt != outbound) {
                formats.push(Format {
                    pt: outbound,
                    fmtp: parameters(codec.codec, format, &payload_types),
                    feedback: feedback(codec.codec, kind),
                    ..format.clone()
                });
                formats.extend(outbound_rtx.map(|pt| rtx(pt, outbound)));
            }
            payload_types.push(PayloadTypeMap {
                inbound: codec.pt,
                outbound,
                outbound_rtx,
            });
        }
        (formats, payload_types)
    }

    fn payload_type(&mut self, format: &Format, kind: MediaKind) -> Option<(u8, Option<u8>)> {
        let same = |known: &Format| {
            known.name.eq_ignore_ascii_case(&format.name)
                && (known.clock_rate, known.channels) == (format.clock_rate, format.channels)
                && known.fmtp == format.fmtp
        };
        if let Some((_, pt, rtx)) = self.known.iter().find(|(known, ..)| same(known)) {
            return Some((*pt, *rtx));
        }
        let pt = self.payload_types.next()?;
        let rtx = match kind {
            MediaKind::Video => self.payload_types.next(),
            MediaKind::Audio => None,
        };
        self.known.push((format.clone(), pt, rtx));
        Some((pt, rtx))
    }

    fn ssrc(&mut self, entropy: &mut Entropy) -> u32 {
        loop {
            let ssrc = entropy.u32();
            if ssrc != 0 && !self.ssrcs.contains(&ssrc) {
                self.ssrcs.push(ssrc);
                return ssrc;
            }
        }
    }

    fn mid(&mut self) -> String {
        self.mids += 1;
        (self.mids - 1).to_string()
    }
}
