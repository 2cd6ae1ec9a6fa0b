//! Which of the payload formats in a description are codecs that we forward.

use crate::model::codec::{VideoCodec, VideoCodecs};
use crate::sfu::MediaKind;
use crate::sfu::command::Codec;
use crate::sfu::sdp::{Format, Section};

/// A codec, and the retransmission format that belongs to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Supported<'a> {
    pub(super) codec: Codec,
    pub(super) format: &'a Format,
    pub(super) rtx: Option<&'a Format>,
}

/// The codecs of a section that we forward, in its order of preference.
pub(super) fn supported(section: &Section) -> impl Iterator<Item = Supported<'_>> {
    let kind = section.kind();
    section.formats.iter().filter_map(move |format| {
        let codec = codec(kind?, format)?;
        if codec == Codec::Red && !carries_opus(section, format) {
            return None;
        }
        Some(Supported {
            codec,
            format,
            rtx: rtx_of(section, format.pt),
        })
    })
}

/// Leaves only `allowed` codecs in a section of video, in that order.
pub(super) fn restrict(section: &mut Section, allowed: &VideoCodecs) {
    if section.kind() != Some(MediaKind::Video) {
        return;
    }
    let rank = |format: &Format| {
        let codec = match codec(MediaKind::Video, format)? {
            Codec::Vp8 => VideoCodec::Vp8,
            Codec::Vp9 => VideoCodec::Vp9,
            Codec::H264 => VideoCodec::H264,
            Codec::Av1 => VideoCodec::Av1,
            Codec::Opus | Codec::Red => return None,
        };
        allowed.rank(codec)
    };
    let is_other = |format: &Format| codec(MediaKind::Video, format).is_none();
    // What is no codec, such as retransmissions, stands behind all of them.
    let formats = &mut section.formats;
    formats.retain(|format| is_other(format) || rank(format).is_some());
    formats.sort_by_key(|format| rank(format).unwrap_or(usize::MAX));
}

fn codec(kind: MediaKind, format: &Format) -> Option<Codec> {
    let name = format.name.to_ascii_lowercase();
    match (kind, name.as_str(), format.clock_rate) {
        (MediaKind::Audio, "opus", 48_000) => Some(Codec::Opus),
        (MediaKind::Audio, "red", 48_000) => Some(Codec::Red),
        (MediaKind::Video, "vp8", 90_000) => Some(Codec::Vp8),
        (MediaKind::Video, "vp9", 90_000) => Some(Codec::Vp9),
        (MediaKind::Video, "h264", 90_000) => Some(Codec::H264),
        (MediaKind::Video, "av1", 90_000) => Some(Codec::Av1),
        _ => None,
    }
}

/// RED names the formats inside it, as in `111/111` (RFC 2198, 5).
fn carries_opus(section: &Section, red: &Format) -> bool {
    let is_opus = |pt: &str| {
        section.formats.iter().any(|format| {
            pt.trim().parse() == Ok(format.pt)
                && codec(MediaKind::Audio, format) == Some(Codec::Opus)
        })
    };
    red.fmtp
        .as_deref()
        .is_some_and(|inside| inside.split('/').all(is_opus))
}

fn rtx_of(section: &Section, pt: u8) -> Option<&Format> {
    section.formats.iter().find(|format| {
        format.name.eq_ignore_ascii_case("rtx")
            && format.parameter("apt").and_then(|apt| apt.parse().ok()) == Some(pt)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sfu::sdp::SessionDescription;

    fn codecs(lines: &str) -> Vec<(Codec, u8, Option<u8>)> {
        let sdp = SessionDescription::parse(&format!("v=0\n{lines}")).unwrap();
        supported(&sdp.sections[0])
            .map(|s| (s.codec, s.format.pt, s.rtx.map(|rtx| rtx.pt)))
            .collect()
    }

    #[test]
    fn codecs_are_found_in_the_offered_order_with_their_retransmissions() {
        let video = "m=video 9 UDP/TLS/RTP/SAVPF 99 98 97 96\na=rtpmap:96 vp8/90000\n\
                     a=rtpmap:97 rtx/90000\na=fmtp:97 apt=99\na=rtpmap:98 H263/90000\na=rtpmap:99 H264/90000\n";
        assert_eq!(
            codecs(video),
            [(Codec::H264, 99, Some(97)), (Codec::Vp8, 96, None)]
        );
    }

    #[test]
    fn a_list_of_codecs_restricts_and_orders_video() {
        let video = "m=video 9 UDP/TLS/RTP/SAVPF 96 97 98 99 100\na=rtpmap:96 VP8/90000\n\
                     a=rtpmap:97 rtx/90000\na=fmtp:97 apt=99\na=rtpmap:98 VP9/90000\n\
                     a=rtpmap:99 H264/90000\na=rtpmap:100 H264/90000\n";
        let sdp = SessionDescription::parse(&format!("v=0\n{video}")).unwrap();
        let mut section = sdp.sections[0].clone();
        restrict(&mut section, &"h264,vp8".parse().unwrap());
        let kept = supported(&section).map(|s| (s.codec, s.format.pt, s.rtx.map(|rtx| rtx.pt)));
        assert_eq!(
            kept.collect::<Vec<_>>(),
            [
                (Codec::H264, 99, Some(97)),
                (Codec::H264, 100, None),
                (Codec::Vp8, 96, None)
            ]
        );
    }

    #[test]
    fn red_counts_only_around_opus() {
        let audio = "m=audio 9 UDP/TLS/RTP/SAVPF 111 63 0\na=rtpmap:111 opus/48000/2\n\
                     a=rtpmap:63 red/48000/2\na=rtpmap:0 PCMU/8000\n";
        let only_opus = [(Codec::Opus, 111, None)];
        assert_eq!(codecs(audio), only_opus);
        assert_eq!(codecs(&format!("{audio}a=fmtp:63 0/0\n")), only_opus);
        assert_eq!(
            codecs(&format!("{audio}a=fmtp:63 111/111\n")),
            [(Codec::Opus, 111, None), (Codec::Red, 63, None)]
        );
    }
}
