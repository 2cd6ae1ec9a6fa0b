//! The little SDP that a load client speaks: one section of VP8, in one direction.

use std::net::SocketAddr;

use anyhow::{Context, Result};

use crate::entropy::Entropy;
use crate::sfu::command::Fingerprint;
use crate::sfu::sdp::{Direction, Extension, Feedback, Format, Section, SessionDescription, Setup};

/// Payload type of everything a publisher sends.
pub(super) const VP8: u8 = 96;

/// Number of the transport-wide sequence number in a publisher's packets.
pub(super) const TRANSPORT_CC_ID: u8 = 3;

const TRANSPORT_CC: &str =
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

/// ICE credentials of one side.
#[derive(Debug, Clone)]
pub(super) struct Ice {
    pub(super) ufrag: String,
    pub(super) pwd: String,
}

impl Ice {
    /// New ones, of the lengths that browsers use.
    pub(super) fn draw(entropy: &mut Entropy) -> Self {
        Self {
            ufrag: entropy.alphanumeric(4),
            pwd: entropy.alphanumeric(22),
        }
    }
}

/// What the server's description says of where and how to reach it.
#[derive(Debug, Clone)]
pub(super) struct Remote {
    pub(super) ice: Ice,
    pub(super) address: SocketAddr,
    /// Number of the transport-wide sequence number in its packets, if it writes one.
    pub(super) transport_cc: Option<u8>,
}

/// A publisher's offer.
pub(super) fn offer(ice: &Ice, fingerprint: Fingerprint, ssrc: u32) -> String {
    let format = Format {
        pt: VP8,
        name: "VP8".to_owned(),
        clock_rate: 90_000,
        channels: 1,
        fmtp: None,
        feedback: Feedback::ALL.to_vec(),
    };
    let extension = Extension {
        id: TRANSPORT_CC_ID,
        uri: TRANSPORT_CC.to_owned(),
    };
    let section = Section {
        media: "video".to_owned(),
        protocol: "UDP/TLS/RTP/SAVPF".to_owned(),
        mid: "0".to_owned(),
        formats: vec![format],
        extensions: vec![extension],
        ssrcs: vec![ssrc],
        cname: "load".to_owned(),
        msid: Some(("load".to_owned(), "video".to_owned())),
        ..Section::default()
    };
    describe(vec![with_transport(
        section,
        ice,
        fingerprint,
        Setup::ActPass,
    )])
}

/// A subscriber's answer: takes what is offered, except for retransmissions.
pub(super) fn answer(offer: &str, ice: &Ice, fingerprint: &Fingerprint) -> Result<String> {
    let offer = SessionDescription::parse(offer).context("the server's offer")?;
    let sections = offer.sections.iter().map(|offered| {
        let formats = offered.formats.iter().filter(|format| format.name == "VP8");
        let extensions = offered.extensions.iter();
        let section = Section {
            media: offered.media.clone(),
            protocol: offered.protocol.clone(),
            format_list: offered.format_list.clone(),
            mid: offered.mid.clone(),
            direction: Direction::RecvOnly,
            formats: formats.cloned().collect(),
            extensions: extensions
                .filter(|e| e.uri == TRANSPORT_CC)
                .cloned()
                .collect(),
            ..Section::default()
        };
        with_transport(section, ice, fingerprint.clone(), Setup::Active)
    });
    Ok(describe(sections.collect()))
}

/// Reads where the server is.
pub(super) fn remote(text: &str) -> Result<Remote> {
    let description = SessionDescription::parse(text).context("the server's description")?;
    let section = description.sections.first().context("no media section")?;
    let transport_cc = section.extensions.iter().find(|e| e.uri == TRANSPORT_CC);
    Ok(Remote {
        ice: Ice {
            ufrag: section.ice_ufrag.clone(),
            pwd: section.ice_pwd.clone(),
        },
        address: candidate(text).context("no UDP candidate")?,
        transport_cc: transport_cc.map(|extension| extension.id),
    })
}

/// The first UDP candidate that is an address (RFC 8839, 5.1).
fn candidate(text: &str) -> Option<SocketAddr> {
    let candidates = text
        .lines()
        .filter_map(|line| line.strip_prefix("a=candidate:"));
    candidates
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace().skip(2);
            let udp = words.next()?.eq_ignore_ascii_case("udp");
            let ip = words.nth(1)?.parse().ok()?;
            let port = words.next()?.parse().ok()?;
            udp.then(|| SocketAddr::new(ip, port))
        })
        .next()
}

fn with_transport(section: Section, ice: &Ice, fingerprint: Fingerprint, setup: Setup) -> Section {
    Section {
        ice_ufrag: ice.ufrag.clone(),
        ice_pwd: ice.pwd.clone(),
        fingerprint: Some(fingerprint),
        setup: Some(setup),
        rtcp_mux: true,
        rtcp_rsize: true,
        ..section
    }
}

fn describe(sections: Vec<Section>) -> String {
    SessionDescription {
        id: 1,
        version: 1,
        bundle: sections.iter().map(|section| section.mid.clone()).collect(),
        sections,
        ..SessionDescription::default()
    }
    .to_string()
}
