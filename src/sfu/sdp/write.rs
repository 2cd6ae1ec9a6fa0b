//! Model to text: the lines a browser needs, in the order browsers use.

use std::fmt;
use std::net::IpAddr;

use super::{Format, Section, SessionDescription};
use crate::sfu::command::{Fingerprint, FingerprintAlgorithm};
use crate::sfu::path::Candidate;

impl fmt::Display for SessionDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "v=0\r\no=- {} {} IN IP4 0.0.0.0\r\n",
            self.id, self.version
        )?;
        f.write_str("s=-\r\nt=0 0\r\n")?;
        if !self.bundle.is_empty() {
            write!(f, "a=group:BUNDLE {}\r\n", self.bundle.join(" "))?;
        }
        f.write_str("a=extmap-allow-mixed\r\na=msid-semantic: WMS *\r\n")?;
        if self.ice_lite {
            f.write_str("a=ice-lite\r\n")?;
        }
        transport(f, &self.candidates, &self.ice_ufrag, &self.ice_pwd)?;
        self.sections.iter().try_for_each(|section| section.fmt(f))
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.media_line(f)?;
        if !self.mid.is_empty() {
            write!(f, "a=mid:{}\r\n", self.mid)?;
        }
        if !self.rejected {
            self.transport(f)?;
        }
        write!(f, "a={}\r\n", self.direction.as_str())?;
        for extension in &self.extensions {
            write!(f, "a=extmap:{} {}\r\n", extension.id, extension.uri)?;
        }
        if let Some((stream, track)) = &self.msid {
            write!(f, "a=msid:{}\r\n", format!("{stream} {track}").trim_end())?;
        }
        if self.rtcp_mux {
            f.write_str("a=rtcp-mux\r\n")?;
        }
        if self.rtcp_rsize {
            f.write_str("a=rtcp-rsize\r\n")?;
        }
        self.formats.iter().try_for_each(|format| format.fmt(f))?;
        self.sources(f)?;
        self.simulcast(f)
    }
}

impl Section {
    fn media_line(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Port 9 says nothing: the candidates do (RFC 8840, 4.1.1).
        let port = if self.rejected { 0 } else { 9 };
        write!(f, "m={} {port} {}", self.media, self.protocol)?;
        if self.formats.is_empty() {
            write!(f, " {}", self.format_list)?;
        }
        for format in &self.formats {
            write!(f, " {}", format.pt)?;
        }
        f.write_str("\r\nc=IN IP4 0.0.0.0\r\n")
    }

    fn transport(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        transport(f, &self.candidates, &self.ice_ufrag, &self.ice_pwd)?;
        if let Some(fingerprint) = &self.fingerprint {
            write!(f, "a=fingerprint:{fingerprint}\r\n")?;
        }
        if let Some(setup) = self.setup {
            write!(f, "a=setup:{}\r\n", setup.as_str())?;
        }
        Ok(())
    }

    fn sources(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for group in &self.ssrc_groups {
            write!(f, "a=ssrc-group:{}", group.semantics)?;
            for ssrc in &group.ssrcs {
                write!(f, " {ssrc}")?;
            }
            f.write_str("\r\n")?;
        }
        for ssrc in &self.ssrcs {
            write!(f, "a=ssrc:{ssrc} cname:{}\r\n", self.cname)?;
            if let Some((stream, track)) = &self.msid {
                write!(f, "a=ssrc:{ssrc} msid:{stream} {track}\r\n")?;
            }
        }
        Ok(())
    }

    fn simulcast(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for rid in &self.rids {
            write!(f, "a=rid:{} {}\r\n", rid.id, rid.direction.as_str())?;
        }
        if let Some((direction, list)) = &self.simulcast {
            write!(f, "a=simulcast:{} {list}\r\n", direction.as_str())?;
        }
        Ok(())
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            pt,
            name,
            clock_rate,
            ..
        } = self;
        write!(f, "a=rtpmap:{pt} {name}/{clock_rate}")?;
        if self.channels != 1 {
            write!(f, "/{}", self.channels)?;
        }
        f.write_str("\r\n")?;
        for feedback in &self.feedback {
            write!(f, "a=rtcp-fb:{pt} {}\r\n", feedback.as_str())?;
        }
        if let Some(parameters) = &self.fmtp {
            write!(f, "a=fmtp:{pt} {parameters}\r\n")?;
        }
        Ok(())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.algorithm {
            FingerprintAlgorithm::Sha256 => "sha-256",
            FingerprintAlgorithm::Sha384 => "sha-384",
            FingerprintAlgorithm::Sha512 => "sha-512",
        })?;
        for (index, byte) in self.digest.iter().enumerate() {
            write!(f, "{}{byte:02X}", if index == 0 { ' ' } else { ':' })?;
        }
        Ok(())
    }
}

fn transport(
    f: &mut fmt::Formatter<'_>,
    candidates: &[Candidate],
    ufrag: &str,
    pwd: &str,
) -> fmt::Result {
    for (index, announced) in candidates.iter().enumerate() {
        candidate(f, index, *announced)?;
    }
    if !candidates.is_empty() {
        f.write_str("a=end-of-candidates\r\n")?;
    }
    if !ufrag.is_empty() {
        write!(f, "a=ice-ufrag:{ufrag}\r\n")?;
    }
    if !pwd.is_empty() {
        write!(f, "a=ice-pwd:{pwd}\r\n")?;
    }
    Ok(())
}

/// A host candidate of component 1 (RFC 8839, 5.1; RFC 6544, 4.5). Earlier ones are preferred: the
/// local preference counts down. Each has a foundation of its own (RFC 8445, 5.1.1.3).
fn candidate(f: &mut fmt::Formatter<'_>, index: usize, announced: Candidate) -> fmt::Result {
    /// Type preferences: of host candidates (RFC 8445, 5.1.2.2), and for TCP one that even a
    /// client's reflexive UDP candidates exceed (RFC 6544, 4.2).
    const HOST: u32 = 126;
    const TCP_HOST: u32 = 90;
    /// What passive TCP adds to the local preference: a direction preference of 4 (RFC 6544, 4.2).
    const PASSIVE: u32 = 4 << 13;
    let later = u32::try_from(index).unwrap_or(u32::MAX);
    let (transport, preference, local, address, suffix) = match announced {
        Candidate::Udp(at) => ("udp", HOST, 65_535_u32.saturating_sub(later), at, ""),
        Candidate::Tcp(at) => {
            let local = PASSIVE + 8_191_u32.saturating_sub(later);
            ("tcp", TCP_HOST, local, at, " tcptype passive")
        }
    };
    let priority = (preference << 24) | (local << 8) | (256 - 1);
    // An IPv4 address in IPv6 clothes would not match the client's family.
    let ip: IpAddr = address.ip().to_canonical();
    let (foundation, port) = (index + 1, address.port());
    write!(
        f,
        "a=candidate:{foundation} 1 {transport} {priority} {ip} {port} typ host{suffix}\r\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_are_numbered_and_ranked_in_order() {
        let section = Section {
            media: "audio".into(),
            protocol: "UDP/TLS/RTP/SAVPF".into(),
            format_list: "0".into(),
            candidates: vec![
                Candidate::Udp("203.0.113.7:4000".parse().unwrap()),
                Candidate::Udp("[2001:db8::7]:4000".parse().unwrap()),
                Candidate::Udp("[::ffff:192.0.2.1]:4001".parse().unwrap()),
                Candidate::Tcp("203.0.113.7:443".parse().unwrap()),
            ],
            ..Section::default()
        };
        let text = section.to_string();
        let lines: Vec<_> = text.lines().filter(|l| l.contains("candidate")).collect();
        assert_eq!(
            lines,
            [
                "a=candidate:1 1 udp 2130706431 203.0.113.7 4000 typ host",
                "a=candidate:2 1 udp 2130706175 2001:db8::7 4000 typ host",
                "a=candidate:3 1 udp 2130705919 192.0.2.1 4001 typ host",
                "a=candidate:4 1 tcp 1520434431 203.0.113.7 443 typ host tcptype passive",
                "a=end-of-candidates",
            ]
        );
    }
}
