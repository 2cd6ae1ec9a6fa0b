//! Session descriptions (RFC 8866) as far as WebRTC uses them (RFC 8829): one model that is read
//! from clients' text and written as ours.
//!
//! Reading is tolerant: what is unknown or senseless is skipped, because browsers add lines all
//! the time. It is also bounded, see [`SessionDescription::parse`].

mod parse;
mod write;

pub use parse::SdpError;

use super::MediaKind;
use super::command::Fingerprint;
use super::path::Candidate;

/// An offer or an answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SessionDescription {
    /// Session id in `o=`.
    pub id: u64,
    /// Session version in `o=`; grows with each description of one session.
    pub version: u64,
    /// `a=ice-lite`.
    pub ice_lite: bool,
    /// Mids of the first `a=group:BUNDLE`.
    pub bundle: Vec<String>,
    /// `a=ice-ufrag` for all sections, only written; empty: each has its own.
    pub ice_ufrag: String,
    /// `a=ice-pwd` for all sections, only written; empty: each has its own.
    pub ice_pwd: String,
    /// `a=candidate` above all sections, only written.
    pub candidates: Vec<Candidate>,
    /// The `m=` sections.
    pub sections: Vec<Section>,
}

/// One `m=` section. What a description gives once for all sections is repeated in each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Section {
    /// First word of the `m=` line: `audio`, `video`, `application`.
    pub media: String,
    /// Port zero: refused, or no longer used.
    pub rejected: bool,
    /// Third word of the `m=` line.
    pub protocol: String,
    /// The rest of the `m=` line.
    pub format_list: String,
    /// `a=mid`; empty if missing.
    pub mid: String,
    /// `a=sendrecv` and its like.
    pub direction: Direction,
    /// `a=ice-ufrag`; empty if missing.
    pub ice_ufrag: String,
    /// `a=ice-pwd`; empty if missing.
    pub ice_pwd: String,
    /// The strongest `a=fingerprint`.
    pub fingerprint: Option<Fingerprint>,
    /// `a=setup`.
    pub setup: Option<Setup>,
    /// `a=candidate`, only written: a lite agent does not need the peer's (RFC 8445, 2.5).
    pub candidates: Vec<Candidate>,
    /// `a=rtcp-mux`.
    pub rtcp_mux: bool,
    /// `a=rtcp-rsize`.
    pub rtcp_rsize: bool,
    /// Payload formats that have an `a=rtpmap`, in the order of the `m=` line.
    pub formats: Vec<Format>,
    /// `a=extmap`, in order.
    pub extensions: Vec<Extension>,
    /// `a=msid`: stream and track.
    pub msid: Option<(String, String)>,
    /// SSRCs that have an `a=ssrc` line, in order.
    pub ssrcs: Vec<u32>,
    /// `a=ssrc:… cname:`, the same for all, only written.
    pub cname: String,
    /// `a=ssrc-group`.
    pub ssrc_groups: Vec<SsrcGroup>,
    /// `a=rid`, in order.
    pub rids: Vec<Rid>,
    /// `a=simulcast:send` or `recv`: the text behind that word.
    pub simulcast: Option<(RidDirection, String)>,
}

impl Section {
    /// Whether this is audio or video over DTLS-SRTP, or neither.
    pub fn kind(&self) -> Option<MediaKind> {
        if !self.protocol.contains("RTP/SAVP") {
            return None;
        }
        match self.media.as_str() {
            "audio" => Some(MediaKind::Audio),
            "video" => Some(MediaKind::Video),
            _ => None,
        }
    }

    /// What to answer when this section is not, or no longer, used.
    pub fn refused(&self) -> Self {
        Self {
            media: self.media.clone(),
            rejected: true,
            protocol: self.protocol.clone(),
            format_list: self.format_list.clone(),
            mid: self.mid.clone(),
            direction: Direction::Inactive,
            ..Self::default()
        }
    }
}

/// Which way media flows, seen by whoever wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// Both ways; the default (RFC 8866, 6.7).
    #[default]
    SendRecv,
    /// From the writer.
    SendOnly,
    /// To the writer.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// Whether the writer may send.
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the writer may receive.
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }
}

/// Who begins the DTLS handshake (RFC 8842).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    /// The writer.
    Active,
    /// The reader.
    Passive,
    /// Whoever the answer says.
    ActPass,
}

impl Setup {
    fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
            Self::ActPass => "actpass",
        }
    }
}

/// A payload type and all that is said about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    /// Payload type, 0 to 127.
    pub pt: u8,
    /// Encoding name of `a=rtpmap`, as spelled.
    pub name: String,
    /// Clock rate in Hz.
    pub clock_rate: u32,
    /// Audio channels; 1 when not given.
    pub channels: u8,
    /// Everything behind the payload type in `a=fmtp`.
    pub fmtp: Option<String>,
    /// `a=rtcp-fb`, those we know.
    pub feedback: Vec<Feedback>,
}

impl Format {
    /// The value of `name` among the `;`-separated parameters of `a=fmtp`.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.fmtp.as_deref()?.split(';').find_map(|parameter| {
            let (key, value) = parameter.split_once('=')?;
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// RTCP feedback (RFC 4585, RFC 5104) that we understand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feedback {
    /// `goog-remb`.
    Remb,
    /// `transport-cc`.
    TransportCc,
    /// `ccm fir`.
    Fir,
    /// `nack`.
    Nack,
    /// `nack pli`.
    Pli,
}

impl Feedback {
    /// Every kind, in the order in which browsers write them.
    pub const ALL: [Self; 5] = [
        Self::Remb,
        Self::TransportCc,
        Self::Fir,
        Self::Nack,
        Self::Pli,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Remb => "goog-remb",
            Self::TransportCc => "transport-cc",
            Self::Fir => "ccm fir",
            Self::Nack => "nack",
            Self::Pli => "nack pli",
        }
    }
}

/// A header extension (RFC 8285).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    /// Its number in packets.
    pub id: u8,
    /// What it means.
    pub uri: String,
}

/// `a=ssrc-group` (RFC 5576, 4.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SsrcGroup {
    /// `FID` for media and its retransmissions, `SIM` for simulcast, lowest layer first.
    pub semantics: String,
    /// The members.
    pub ssrcs: Vec<u32>,
}

/// A simulcast encoding (RFC 8851).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rid {
    /// Its name.
    pub id: String,
    /// Whether the writer sends or receives it.
    pub direction: RidDirection,
}

/// Which way an encoding flows, seen by whoever wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RidDirection {
    /// From the writer.
    Send,
    /// To the writer.
    Recv,
}

impl RidDirection {
    fn as_str(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Recv => "recv",
        }
    }
}
