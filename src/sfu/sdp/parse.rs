//! Text to model.

use super::{
    Direction, Extension, Feedback, Format, Rid, RidDirection, Section, SessionDescription, Setup,
    SsrcGroup,
};
use crate::sfu::command::{Fingerprint, FingerprintAlgorithm};

/// Longest description we read, in bytes. A browser's with every codec has about 10 kB.
const MAX_LEN: usize = 64 * 1024;

/// Most `m=` sections; the official client writes two.
const MAX_SECTIONS: usize = 16;

/// Most lines of one repeatable kind (extensions, SSRCs, groups, rids) per section; further ones
/// are skipped. Three simulcast layers with retransmissions need six SSRCs.
const MAX_REPEATS: usize = 64;

/// Longest value that we keep, in bytes; longer ones are skipped. ICE allows 256 (RFC 8839, 5.4).
const MAX_VALUE_LEN: usize = 256;

/// Why a description could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// More than 64 kB.
    #[error("session description too long")]
    TooLong,
    /// More than 16 `m=` sections.
    #[error("too many media sections")]
    TooManySections,
    /// Does not begin with `v=0`, or has control characters, or a broken `m=` line.
    #[error("not a session description")]
    Malformed,
}

impl SessionDescription {
    /// Reads a description of at most 64 kB and 16 sections.
    ///
    /// # Errors
    ///
    /// Only if it is no description at all, or beyond those limits; odd lines are skipped.
    pub fn parse(text: &str) -> Result<Self, SdpError> {
        if text.len() > MAX_LEN {
            return Err(SdpError::TooLong);
        }
        let mut lines = text
            .split('\n')
            .map(|line| line.strip_suffix('\r').unwrap_or(line));
        if lines.next() != Some("v=0") {
            return Err(SdpError::Malformed);
        }
        let mut parser = Parser::default();
        for line in lines {
            // Values end up in descriptions for others: nothing may smuggle a line in.
            if line.chars().any(|c| c.is_control() && c != '\t') {
                return Err(SdpError::Malformed);
            }
            parser.line(line)?;
        }
        Ok(parser.finish())
    }
}

#[derive(Default)]
struct Parser {
    session: SessionDescription,
    /// Attributes before the first `m=` line: defaults for every section.
    defaults: Section,
}

impl Parser {
    fn line(&mut self, line: &str) -> Result<(), SdpError> {
        match line.split_once('=') {
            Some(("m", media)) => self.media(media),
            Some(("o", origin)) => {
                self.origin(origin);
                Ok(())
            }
            Some(("a", attribute)) => {
                self.attribute(attribute);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn origin(&mut self, origin: &str) {
        let mut words = origin.split(' ').skip(1).map(str::parse);
        if let (Some(Ok(id)), Some(Ok(version))) = (words.next(), words.next()) {
            (self.session.id, self.session.version) = (id, version);
        }
    }

    fn media(&mut self, media: &str) -> Result<(), SdpError> {
        if self.session.sections.len() == MAX_SECTIONS {
            return Err(SdpError::TooManySections);
        }
        let mut words = media.splitn(4, ' ');
        let (Some(media), Some(port), Some(protocol), Some(format_list)) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(SdpError::Malformed);
        };
        self.session.sections.push(Section {
            media: media.to_owned(),
            rejected: port == "0",
            protocol: protocol.to_owned(),
            format_list: format_list.to_owned(),
            ..self.defaults.clone()
        });
        Ok(())
    }

    fn attribute(&mut self, attribute: &str) {
        let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
        match self.session.sections.last_mut() {
            Some(section) => section_attribute(section, name, value),
            None => match name {
                "group" => self.group(value),
                "ice-lite" => self.session.ice_lite = true,
                _ => section_attribute(&mut self.defaults, name, value),
            },
        }
    }

    fn group(&mut self, value: &str) {
        let mut words = value.split_ascii_whitespace();
        if words.next() == Some("BUNDLE") && self.session.bundle.is_empty() {
            self.session.bundle = words.take(MAX_SECTIONS).map(str::to_owned).collect();
        }
    }

    fn finish(mut self) -> SessionDescription {
        for section in &mut self.session.sections {
            // `a=rtpmap` lines come in any order; the order of the `m=` line is the preference.
            let order: Vec<u8> = payload_types(&section.format_list).collect();
            let rank = |format: &Format| order.iter().position(|pt| *pt == format.pt);
            section.formats.retain(|format| {
                rank(format).is_some() && !format.name.is_empty() && format.clock_rate > 0
            });
            section.formats.sort_by_key(|format| rank(format));
        }
        self.session
    }
}

fn section_attribute(section: &mut Section, name: &str, value: &str) {
    match name {
        "mid" => keep(&mut section.mid, value),
        "ice-ufrag" => keep(&mut section.ice_ufrag, value),
        "ice-pwd" => keep(&mut section.ice_pwd, value),
        "fingerprint" => fingerprint(section, value),
        "setup" => section.setup = setup(value),
        "rtcp-mux" => section.rtcp_mux = true,
        "rtcp-rsize" => section.rtcp_rsize = true,
        "sendrecv" => section.direction = Direction::SendRecv,
        "sendonly" => section.direction = Direction::SendOnly,
        "recvonly" => section.direction = Direction::RecvOnly,
        "inactive" => section.direction = Direction::Inactive,
        "rtpmap" => rtpmap(section, value),
        "fmtp" => fmtp(section, value),
        "rtcp-fb" => rtcp_fb(section, value),
        "extmap" => extmap(section, value),
        "msid" => msid(section, value),
        "ssrc" => ssrc(section, value),
        "ssrc-group" => ssrc_group(section, value),
        "rid" => rid(section, value),
        "simulcast" => simulcast(section, value),
        _ => {}
    }
}

fn keep(field: &mut String, value: &str) {
    if value.len() <= MAX_VALUE_LEN {
        value.clone_into(field);
    }
}

fn push<T>(list: &mut Vec<T>, item: T) {
    if list.len() < MAX_REPEATS {
        list.push(item);
    }
}

fn payload_types(format_list: &str) -> impl Iterator<Item = u8> + '_ {
    format_list
        .split_ascii_whitespace()
        .filter_map(|word| word.parse().ok())
        .filter(|pt| *pt < 128)
}

/// What is known of `pt` so far; created by whichever line mentions it first.
fn format(section: &mut Section, pt: u8) -> &mut Format {
    let index = match section.formats.iter().position(|format| format.pt == pt) {
        Some(index) => index,
        None => {
            section.formats.push(Format {
                pt,
                name: String::new(),
                clock_rate: 0,
                channels: 1,
                fmtp: None,
                feedback: Vec::new(),
            });
            section.formats.len() - 1
        }
    };
    &mut section.formats[index]
}

fn numbered(value: &str) -> Option<(u8, &str)> {
    let (pt, rest) = value.split_once(' ')?;
    let pt = pt.parse().ok().filter(|pt| *pt < 128)?;
    Some((pt, rest.trim()))
}

fn rtpmap(section: &mut Section, value: &str) {
    let Some((pt, mapping)) = numbered(value) else {
        return;
    };
    let mut parts = mapping.split('/');
    let (Some(name), Some(Ok(clock_rate))) = (parts.next(), parts.next().map(str::parse)) else {
        return;
    };
    let format = format(section, pt);
    keep(&mut format.name, name);
    format.clock_rate = clock_rate;
    format.channels = parts.next().and_then(|n| n.parse().ok()).unwrap_or(1);
}

fn fmtp(section: &mut Section, value: &str) {
    if let Some((pt, parameters)) = numbered(value)
        && parameters.len() <= MAX_VALUE_LEN
    {
        format(section, pt).fmtp = Some(parameters.to_owned());
    }
}

fn rtcp_fb(section: &mut Section, value: &str) {
    let Some((pt, kind)) = value.split_once(' ') else {
        return;
    };
    let Some(feedback) = Feedback::ALL
        .into_iter()
        .find(|f| f.as_str() == kind.trim())
    else {
        return;
    };
    let add = |format: &mut Format| {
        if !format.feedback.contains(&feedback) {
            format.feedback.push(feedback);
        }
    };
    if pt == "*" {
        let all: Vec<u8> = payload_types(&section.format_list).collect();
        all.into_iter().for_each(|pt| add(format(section, pt)));
    } else if let Some(pt) = pt.parse().ok().filter(|pt| *pt < 128) {
        add(format(section, pt));
    }
}

fn extmap(section: &mut Section, value: &str) {
    let Some((id, rest)) = value.split_once(' ') else {
        return;
    };
    // The number may carry a direction ("3/recvonly"), the URI may be followed by parameters.
    let id = id.split('/').next().and_then(|id| id.parse().ok());
    let uri = rest.split_ascii_whitespace().next();
    if let (Some(id), Some(uri)) = (id, uri)
        && uri.len() <= MAX_VALUE_LEN
    {
        let uri = uri.to_owned();
        push(&mut section.extensions, Extension { id, uri });
    }
}

fn fingerprint(section: &mut Section, value: &str) {
    let Some((name, hex)) = value.split_once(' ') else {
        return;
    };
    let (algorithm, len) = match name.to_ascii_lowercase().as_str() {
        "sha-256" => (FingerprintAlgorithm::Sha256, 32),
        "sha-384" => (FingerprintAlgorithm::Sha384, 48),
        "sha-512" => (FingerprintAlgorithm::Sha512, 64),
        _ => return,
    };
    let digest: Option<Vec<u8>> = hex
        .trim()
        .split(':')
        .map(|byte| {
            (byte.len() == 2)
                .then(|| u8::from_str_radix(byte, 16).ok())
                .flatten()
        })
        .collect();
    let Some(digest) = digest.filter(|digest| digest.len() == len) else {
        return;
    };
    let known = section.fingerprint.as_ref().map_or(0, |f| f.digest.len());
    if digest.len() >= known {
        section.fingerprint = Some(Fingerprint { algorithm, digest });
    }
}

fn setup(value: &str) -> Option<Setup> {
    [Setup::Active, Setup::Passive, Setup::ActPass]
        .into_iter()
        .find(|setup| setup.as_str() == value.trim())
}

fn msid(section: &mut Section, value: &str) {
    let (stream, track) = value.split_once(' ').unwrap_or((value, ""));
    if value.len() <= MAX_VALUE_LEN && section.msid.is_none() {
        section.msid = Some((stream.to_owned(), track.to_owned()));
    }
}

fn ssrc(section: &mut Section, value: &str) {
    let number = value.split(' ').next().and_then(|n| n.parse().ok());
    if let Some(ssrc) = number
        && !section.ssrcs.contains(&ssrc)
    {
        push(&mut section.ssrcs, ssrc);
    }
}

fn ssrc_group(section: &mut Section, value: &str) {
    let mut words = value.split_ascii_whitespace();
    let Some(semantics) = words.next().filter(|word| word.len() <= MAX_VALUE_LEN) else {
        return;
    };
    let group = SsrcGroup {
        semantics: semantics.to_owned(),
        ssrcs: words
            .filter_map(|word| word.parse().ok())
            .take(MAX_REPEATS)
            .collect(),
    };
    push(&mut section.ssrc_groups, group);
}

fn rid_direction(word: &str) -> Option<RidDirection> {
    [RidDirection::Send, RidDirection::Recv]
        .into_iter()
        .find(|direction| direction.as_str() == word)
}

fn rid(section: &mut Section, value: &str) {
    let mut words = value.split_ascii_whitespace();
    if let (Some(id), Some(direction)) = (words.next(), words.next().and_then(rid_direction))
        && id.len() <= MAX_VALUE_LEN
    {
        let id = id.to_owned();
        push(&mut section.rids, Rid { id, direction });
    }
}

fn simulcast(section: &mut Section, value: &str) {
    if let Some((direction, list)) = value.trim().split_once(' ')
        && let Some(direction) = rid_direction(direction)
        && list.len() <= MAX_VALUE_LEN
        && !list.contains(' ')
    {
        section.simulcast = Some((direction, list.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OFFER: &str = include_str!("../../../tests/fixtures/sdp/publisher-offer.sdp");
    const RID: &str = include_str!("../../../tests/fixtures/sdp/publisher-simulcast-rid-offer.sdp");
    const SIM: &str =
        include_str!("../../../tests/fixtures/sdp/publisher-simulcast-ssrc-offer.sdp");

    #[test]
    fn the_official_clients_offer_is_read() {
        let offer = SessionDescription::parse(OFFER).unwrap();
        assert_eq!((offer.id, offer.version), (2041028775746444104, 2));
        assert_eq!(offer.bundle, ["0", "1"]);
        let [audio, video] = offer.sections.as_slice() else {
            panic!("two sections");
        };
        assert_eq!((audio.media.as_str(), audio.mid.as_str()), ("audio", "0"));
        assert_eq!(video.ice_ufrag, "y6iR");
        assert_eq!(video.setup, Some(Setup::ActPass));
        assert_eq!(
            video.fingerprint.as_ref().unwrap().digest[..2],
            [0xD5, 0xB0]
        );
        assert_eq!(audio.formats[0].parameter("useinbandfec"), Some("1"));
        assert_eq!(audio.formats[0].channels, 2);
        assert_eq!(video.formats[1].parameter("apt"), Some("96"));
        assert_eq!(video.formats[0].feedback, Feedback::ALL);
        assert_eq!(video.extensions[0].id, 14);
        assert_eq!(video.ssrc_groups[0].ssrcs, [2373253636, 1384964296]);
    }

    #[test]
    fn both_kinds_of_simulcast_are_read() {
        let rid = SessionDescription::parse(RID).unwrap();
        let video = &rid.sections[1];
        let ids: Vec<_> = video.rids.iter().map(|rid| rid.id.as_str()).collect();
        assert_eq!(ids, ["f", "h", "q"]);
        assert_eq!(
            video.simulcast,
            Some((RidDirection::Send, "f;h;q".to_owned()))
        );
        let sim = SessionDescription::parse(SIM).unwrap();
        assert_eq!(sim.sections[1].ssrc_groups[0].semantics, "SIM");
        assert_eq!(sim.sections[1].ssrcs.len(), 6);
    }

    #[test]
    fn session_level_transport_attributes_hold_for_every_section() {
        let text = "v=0\na=ice-ufrag:abcd\na=setup:active\na=recvonly\n\
                    m=audio 9 UDP/TLS/RTP/SAVPF 0\nm=video 9 UDP/TLS/RTP/SAVPF 96\na=sendonly\n";
        let sdp = SessionDescription::parse(text).unwrap();
        assert!(sdp.sections.iter().all(|s| s.ice_ufrag == "abcd"));
        assert_eq!(sdp.sections[0].direction, Direction::RecvOnly);
        assert_eq!(sdp.sections[1].direction, Direction::SendOnly);
    }

    #[test]
    fn limits_hold() {
        let section = "m=audio 9 UDP/TLS/RTP/SAVPF 0\n";
        let parse = SessionDescription::parse;
        assert_eq!(
            parse(&format!("v=0\n{}", section.repeat(17))),
            Err(SdpError::TooManySections)
        );
        assert!(parse(&format!("v=0\n{}", section.repeat(16))).is_ok());
        assert_eq!(parse(&" ".repeat(MAX_LEN + 1)), Err(SdpError::TooLong));
        assert_eq!(parse("hello"), Err(SdpError::Malformed));
        assert_eq!(parse("v=0\na=mid:0\rm=x"), Err(SdpError::Malformed));
        let many = (0..4000).fold(format!("v=0\n{section}"), |text, n| {
            text + &format!("a=ssrc:{n}\n")
        });
        assert_eq!(parse(&many).unwrap().sections[0].ssrcs.len(), MAX_REPEATS);
    }

    #[test]
    fn weak_and_broken_fingerprints_are_skipped() {
        for bad in ["sha-1 00:11", "sha-256 00:11", "sha-256 zz", "md5"] {
            let text = format!("v=0\na=fingerprint:{bad}\nm=audio 9 X 0\n");
            let sdp = SessionDescription::parse(&text).unwrap();
            assert_eq!(sdp.sections[0].fingerprint, None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_does_no_harm(text in any::<String>()) {
            let _ = SessionDescription::parse(&text);
            let _ = SessionDescription::parse(&format!("v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na={text}"));
        }

        #[test]
        fn what_is_written_is_read_back(which in 0..3_usize, cut in 0..6000_usize) {
            let text = [OFFER, RID, SIM][which];
            let text = text.get(..cut.min(text.len())).unwrap_or(text);
            if let Ok(mut sdp) = SessionDescription::parse(text) {
                for section in &mut sdp.sections {
                    section.format_list.clear();
                }
                let mut again = SessionDescription::parse(&sdp.to_string()).unwrap();
                for section in &mut again.sections {
                    section.format_list.clear();
                }
                prop_assert_eq!(sdp, again);
            }
        }
    }
}
