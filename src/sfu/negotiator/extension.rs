//! Header extensions (RFC 8285): which we know, and how we number them ourselves.

use crate::sfu::MediaKind;
use crate::sfu::command::ExtensionMap;
use crate::sfu::sdp::Extension;

/// Numbers above 14 need the two-byte form, which no client needs for what we know.
const MAX_ID: u8 = 14;

const ABS_SEND_TIME: &str = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time";
const AUDIO_LEVEL: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";
const DEPENDENCY_DESCRIPTOR: &str =
    "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension";
const MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
const PLAYOUT_DELAY: &str = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay";
const REPAIRED_RID: &str = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id";
const RID: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";
const TOFFSET: &str = "urn:ietf:params:rtp-hdrext:toffset";
const TRANSPORT_CC: &str =
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
const VIDEO_ORIENTATION: &str = "urn:3gpp:video-orientation";

/// What we offer to subscribers. A number means the same in every section of every leg.
const OFFERED: [(u8, &str, Option<MediaKind>); 7] = [
    (1, AUDIO_LEVEL, Some(MediaKind::Audio)),
    (2, ABS_SEND_TIME, None),
    (3, TRANSPORT_CC, None),
    (4, MID, None),
    (5, PLAYOUT_DELAY, Some(MediaKind::Video)),
    (6, VIDEO_ORIENTATION, Some(MediaKind::Video)),
    (7, DEPENDENCY_DESCRIPTOR, Some(MediaKind::Video)),
];

/// The extensions we offer to a subscriber of this kind.
pub(super) fn offered(kind: MediaKind) -> Vec<Extension> {
    OFFERED
        .into_iter()
        .filter(|(_, _, only)| only.is_none_or(|only| only == kind))
        .map(|(id, uri, _)| Extension {
            id,
            uri: uri.to_owned(),
        })
        .collect()
}

/// The part of what was offered that we know; of two with one number or meaning, the first.
pub(super) fn known(offered: &[Extension]) -> Vec<Extension> {
    let mut map = ExtensionMap::default();
    let mut ids = 0_u16;
    offered
        .iter()
        .filter(|extension| {
            let Some(field) = field(&mut map, &extension.uri) else {
                return false;
            };
            let fits = (1..=MAX_ID).contains(&extension.id)
                && field.is_none()
                && ids & (1 << extension.id) == 0;
            if fits {
                *field = Some(extension.id);
                ids |= 1 << extension.id;
            }
            fits
        })
        .cloned()
        .collect()
}

/// The same by meaning.
pub(super) fn map(extensions: &[Extension]) -> ExtensionMap {
    let mut map = ExtensionMap::default();
    for extension in extensions {
        if let Some(field) = field(&mut map, &extension.uri) {
            *field = Some(extension.id);
        }
    }
    map
}

fn field<'a>(map: &'a mut ExtensionMap, uri: &str) -> Option<&'a mut Option<u8>> {
    Some(match uri {
        ABS_SEND_TIME => &mut map.abs_send_time,
        AUDIO_LEVEL => &mut map.audio_level,
        DEPENDENCY_DESCRIPTOR => &mut map.dependency_descriptor,
        MID => &mut map.mid,
        PLAYOUT_DELAY => &mut map.playout_delay,
        REPAIRED_RID => &mut map.repaired_rid,
        RID => &mut map.rid,
        TOFFSET => &mut map.toffset,
        TRANSPORT_CC => &mut map.transport_cc,
        VIDEO_ORIENTATION => &mut map.video_orientation,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_doubled_and_unusable_extensions_are_left_out() {
        let offer = [
            (4, MID),
            (5, "urn:example:unknown"),
            (4, RID),
            (6, MID),
            (0, TOFFSET),
            (15, TRANSPORT_CC),
            (255, AUDIO_LEVEL),
            (7, ABS_SEND_TIME),
        ]
        .map(|(id, uri)| Extension {
            id,
            uri: uri.to_owned(),
        });
        let kept = known(&offer);
        assert_eq!(kept.iter().map(|e| e.id).collect::<Vec<_>>(), [4, 7]);
        let expected = ExtensionMap {
            mid: Some(4),
            abs_send_time: Some(7),
            ..ExtensionMap::default()
        };
        assert_eq!(map(&kept), expected);
    }
}
