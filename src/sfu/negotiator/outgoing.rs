//! One section of ours: what a subscriber is offered of one track, and what it agreed to.

use super::extension;
use super::numbers::Numbers;
use super::publisher::Track;
use crate::entropy::Entropy;
use crate::sfu::MediaKind;
use crate::sfu::command::{OutboundTrackConfig, PayloadTypeMap, Redundancy};
use crate::sfu::sdp::{Direction, Extension, Format, Section, SessionDescription, SsrcGroup};

/// One section of ours.
#[derive(Debug, Clone)]
pub(super) struct Outgoing {
    kind: MediaKind,
    /// As offered, without transport.
    pub(super) section: Section,
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
    /// Another one has taken its place. Its SSRC must not begin anew under the same key.
    Retired,
}

/// The sections to offer for `tracks`, of which `before` were offered already: same lines, same
/// order, new ones behind them.
pub(super) fn plan(
    before: &[Outgoing],
    tracks: &[Track],
    stream: &str,
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
                let formats = (formats, payload_types);
                *outgoing = Outgoing::new(kind, formats, stream, numbers, entropy);
            }
            Some(outgoing) => outgoing.revise(formats, payload_types),
            None if payload_types.is_empty() => {}
            None => {
                let formats = (formats, payload_types);
                planned.push(Outgoing::new(kind, formats, stream, numbers, entropy));
            }
        }
    }
    // It stays for as long as the leg, and sections are large.
    planned.shrink_to_fit();
    planned
}

/// The sections for `tracks` where none that was offered before may change, as on a shared peer
/// connection: what the old ones cannot carry gets new ones.
pub(super) fn extend(
    before: &[Outgoing],
    tracks: &[Track],
    stream: &str,
    numbers: &mut Numbers,
    entropy: &mut Entropy,
) -> Vec<Outgoing> {
    let mut planned = before.to_vec();
    for outgoing in &mut planned {
        outgoing.live = false;
    }
    for track in tracks {
        let kind = track.config.kind;
        let (formats, payload_types) = numbers.formats(track);
        if payload_types.is_empty() {
            continue;
        }
        let mut known = planned.iter_mut().filter(|outgoing| outgoing.kind == kind);
        if known.any(|outgoing| outgoing.keep(&formats, &payload_types)) {
            continue;
        }
        for outgoing in planned.iter_mut().filter(|outgoing| outgoing.kind == kind) {
            outgoing.standing = Standing::Retired;
        }
        let formats = (formats, payload_types);
        planned.push(Outgoing::new(kind, formats, stream, numbers, entropy));
    }
    planned
}

/// What to write into an offer.
pub(super) fn sections<'a>(outgoing: impl IntoIterator<Item = &'a Outgoing>) -> Vec<Section> {
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
    outgoing.into_iter().map(offered).collect()
}

pub(super) fn payload_types(outgoing: &[Outgoing]) -> Vec<PayloadTypeMap> {
    let all = outgoing.iter().flat_map(|o| &o.payload_types);
    all.copied().collect()
}

impl Outgoing {
    fn new(
        kind: MediaKind,
        (formats, payload_types): (Vec<Format>, Vec<PayloadTypeMap>),
        stream: &str,
        numbers: &mut Numbers,
        entropy: &mut Entropy,
    ) -> Self {
        let video = kind == MediaKind::Video;
        let ssrc = numbers.ssrc(entropy);
        let rtx_ssrc = video.then(|| numbers.ssrc(entropy));
        let stream = stream.to_owned();
        let media = if video { "video" } else { "audio" };
        Self {
            kind,
            section: Section {
                media: media.to_owned(),
                protocol: "UDP/TLS/RTP/SAVPF".to_owned(),
                mid: numbers.mid(kind),
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

    /// Goes on for a publisher's track with these formats, if it can; whether it does.
    fn keep(&mut self, formats: &[Format], payload_types: &[PayloadTypeMap]) -> bool {
        match &self.standing {
            Standing::Offered | Standing::Retired => false,
            // Refused once, it is as good as the same again.
            Standing::Refused => self.section.formats == formats,
            Standing::Agreed { formats, .. } => {
                let carried = |map: &&PayloadTypeMap| formats.iter().any(|f| f.pt == map.outbound);
                let carried: Vec<_> = payload_types.iter().filter(carried).copied().collect();
                self.live = !carried.is_empty();
                if self.live {
                    self.payload_types = carried;
                }
                self.live
            }
        }
    }

    /// Keeps what an answer keeps.
    pub(super) fn settle(&mut self, answer: Option<&Section>) {
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
    pub(super) fn answer(&self, offered: &Section) -> Section {
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
    pub(super) fn config(&self) -> Option<OutboundTrackConfig> {
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
            redundancy: redundancy(formats, &payload_types),
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

    /// Whether it waits for its first answer.
    pub(super) fn is_new(&self) -> bool {
        matches!(self.standing, Standing::Offered)
    }

    /// Whether it is part of the peer connection.
    pub(super) fn is_present(&self) -> bool {
        !matches!(self.standing, Standing::Refused | Standing::Retired)
    }

    pub(super) fn is_agreed(&self) -> bool {
        matches!(self.standing, Standing::Agreed { .. })
    }

    fn is_refused(&self) -> bool {
        matches!(self.standing, Standing::Refused)
    }
}

/// The answer's counterpart of a section of ours, if it wants to receive, or there is nothing yet
/// to receive.
pub(super) fn section<'a>(
    answer: &'a SessionDescription,
    outgoing: &Outgoing,
) -> Option<&'a Section> {
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

/// RED that was agreed, if it is not the publisher's own, as of one that encrypts.
fn redundancy(formats: &[Format], payload_types: &[PayloadTypeMap]) -> Option<Redundancy> {
    let carries = |pt: u8| payload_types.iter().any(|map| map.outbound == pt);
    let ours = |format: &&Format| format.name.eq_ignore_ascii_case("red") && !carries(format.pt);
    let red = formats.iter().find(ours)?;
    let inside = red
        .fmtp
        .as_deref()?
        .split('/')
        .next()?
        .trim()
        .parse()
        .ok()?;
    carries(inside).then_some(Redundancy {
        outbound: red.pt,
        inside,
    })
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
