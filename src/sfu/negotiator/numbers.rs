//! What must be unique within one peer connection: payload types, SSRCs, mids.

use super::publisher::Track;
use crate::entropy::Entropy;
use crate::sfu::MediaKind;
use crate::sfu::command::{Codec, PayloadTypeMap};
use crate::sfu::sdp::{Feedback, Format};

/// Hands out what must be unique within one leg. What has been numbered once keeps its number.
#[derive(Debug)]
pub(super) struct Numbers {
    /// Formats as they were first described, in our numbers, and the number of their
    /// retransmissions.
    known: Vec<(Format, Option<u8>)>,
    payload_types: std::iter::Chain<std::ops::RangeInclusive<u8>, std::ops::RangeInclusive<u8>>,
    ssrcs: Vec<u32>,
    mids: u32,
    style: MidStyle,
}

/// What mids look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MidStyle {
    /// `0`, `1` and so on.
    Plain,
    /// `0a`, `1v` and so on: the official client tells audio from video by them where all of its
    /// subscriptions share a peer connection (`protocol/signaling.md`, 13.9).
    Typed,
}

impl Numbers {
    pub(super) fn new(style: MidStyle) -> Self {
        Self {
            known: Vec::new(),
            // The dynamic range first, then what RFC 3551 leaves unassigned; 64 to 95 would be
            // taken for RTCP (RFC 5761, 4).
            payload_types: (96..=127).chain(35..=63),
            ssrcs: Vec::new(),
            mids: 0,
            style,
        }
    }

    /// A publisher's formats in our numbers. What there are no numbers left for is left out.
    pub(super) fn formats(&mut self, track: &Track) -> (Vec<Format>, Vec<PayloadTypeMap>) {
        let kind = track.config.kind;
        let mut formats = Vec::new();
        let mut payload_types = Vec::new();
        for (codec, format) in track.config.codecs.iter().zip(&track.formats) {
            // It is taken apart where it comes in.
            if codec.codec == Codec::Red && !track.config.encrypted {
                continue;
            }
            let described = Format {
                fmtp: parameters(codec.codec, format, &payload_types),
                feedback: feedback(codec.codec, kind),
                ..format.clone()
            };
            let Some((format, outbound_rtx)) = self.number(described, kind) else {
                continue;
            };
            let outbound = format.pt;
            // A publisher may describe one format twice.
            if formats.iter().all(|known: &Format| known.pt != outbound) {
                formats.push(format);
                formats.extend(outbound_rtx.map(|pt| rtx(pt, outbound)));
            }
            payload_types.push(PayloadTypeMap {
                inbound: codec.pt,
                outbound,
                outbound_rtx,
            });
        }
        if track.repeats {
            let opus = track
                .config
                .codecs
                .iter()
                .position(|c| c.codec == Codec::Opus);
            let opus = opus.map(|index| track.config.codecs[index].pt);
            let known = payload_types.iter().find(|map| Some(map.inbound) == opus);
            let red = known.and_then(|opus| self.number(red(opus.outbound), kind));
            formats.extend(red.map(|(red, _)| red));
        }
        (formats, payload_types)
    }

    /// A format under the number that it has, or gets, and the number of its retransmissions.
    fn number(&mut self, described: Format, kind: MediaKind) -> Option<(Format, Option<u8>)> {
        let known = self
            .known
            .iter()
            .find(|(known, _)| alike(known, &described));
        if let Some(known) = known {
            return Some(known.clone());
        }
        let pt = self.payload_types.next()?;
        let rtx = match kind {
            MediaKind::Video => self.payload_types.next(),
            MediaKind::Audio => None,
        };
        let numbered = (Format { pt, ..described }, rtx);
        self.known.push(numbered.clone());
        Some(numbered)
    }

    pub(super) fn ssrc(&mut self, entropy: &mut Entropy) -> u32 {
        loop {
            let ssrc = entropy.u32();
            if ssrc != 0 && !self.ssrcs.contains(&ssrc) {
                self.ssrcs.push(ssrc);
                return ssrc;
            }
        }
    }

    pub(super) fn mid(&mut self, kind: MediaKind) -> String {
        let number = self.mids;
        self.mids += 1;
        match (self.style, kind) {
            (MidStyle::Plain, _) => number.to_string(),
            (MidStyle::Typed, MediaKind::Audio) => format!("{number}a"),
            (MidStyle::Typed, MediaKind::Video) => format!("{number}v"),
        }
    }
}

/// Whether two descriptions mean the same, whatever the number. The order of parameters means
/// nothing: the official client's first offer has another one than its later ones.
fn alike(one: &Format, other: &Format) -> bool {
    let parameters = |format: &Format| {
        let all = format.fmtp.as_deref().unwrap_or_default().split(';');
        let mut all: Vec<_> = all.map(|parameter| parameter.trim().to_owned()).collect();
        all.sort_unstable();
        all
    };
    one.name.eq_ignore_ascii_case(&other.name)
        && (one.clock_rate, one.channels) == (other.clock_rate, other.channels)
        && parameters(one) == parameters(other)
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

/// RED around Opus of this number (RFC 2198, 5).
fn red(opus: u8) -> Format {
    Format {
        pt: 0,
        name: "red".to_owned(),
        clock_rate: 48_000,
        channels: 2,
        fmtp: Some(format!("{opus}/{opus}")),
        feedback: Vec::new(),
    }
}

/// The publisher's own parameters: they describe the bits that we forward. RED lists payload
/// types in them, which need our numbers; so it is another format once one of these is: browsers
/// do not let a number change its meaning (RFC 3264, 8.3.2).
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
        (MediaKind::Audio, Codec::Opus) => vec![Feedback::TransportCc, Feedback::Nack],
        (MediaKind::Audio, _) => Vec::new(),
    }
}
