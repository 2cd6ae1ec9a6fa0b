//! What comes in.

use subtle::ConstantTimeEq;

use super::cipher::{Cipher, Ciphers, Cm, GCM_TAG_LEN, Gcm, HMAC_TAG_LEN};
use super::replay::ReplayWindow;
use super::{MasterKey, Profile, SrtpError};

/// SSRCs one transport may bring, for RTP and for RTCP each. Browsers bring a handful.
const MAX_SSRCS: usize = 64;

/// Bytes of the fixed RTP header (RFC 3550, 5.1).
const RTP_HEADER_LEN: usize = 12;

/// Bytes of an RTCP packet that are never encrypted (RFC 3711, 3.4).
const RTCP_HEADER_LEN: usize = 8;

/// Bytes of the E bit and the index behind an SRTCP packet.
const RTCP_INDEX_LEN: usize = 4;

/// The E bit, in front of the 31 bits of the index.
const ENCRYPTED: u32 = 1 << 31;

/// Opens what one transport receives.
pub struct Opener {
    rtp: Cipher,
    rtcp: Cipher,
    /// Whether SSRCs may be on the way already.
    joins: bool,
    rtp_windows: Windows,
    rtcp_windows: Windows,
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Opener([redacted])")
    }
}

impl Opener {
    /// Opens with keys derived from `key`.
    pub fn new(profile: Profile, key: &MasterKey) -> Self {
        Self::with(Ciphers::derive(profile, key))
    }

    pub(super) fn with(Ciphers { rtp, rtcp }: Ciphers) -> Self {
        Self {
            rtp,
            rtcp,
            joins: false,
            rtp_windows: Windows::default(),
            rtcp_windows: Windows::default(),
        }
    }

    /// For keys that replace others in the middle of streams. Numbers may then roll over soon after
    /// the first; should all before that be lost, those behind it have a rollover that nobody has
    /// seen.
    pub fn joining(self) -> Self {
        Self {
            joins: true,
            ..self
        }
    }

    /// Verifies and decrypts an RTP packet in place; returns its length without the tag.
    ///
    /// After an error the packet's bytes are undefined, and nothing was learned from it.
    pub fn open_rtp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let header_len = rtp_header_len(packet).ok_or(SrtpError::Malformed)?;
        if packet.len() < header_len + self.rtp.tag_len() {
            return Err(SrtpError::Malformed);
        }
        let seq = u16::from_be_bytes([packet[2], packet[3]]);
        let ssrc = u32_at(packet, 8);
        let slot = self.rtp_windows.find(ssrc)?;
        let index = self.rtp_windows.estimate(slot, seq);
        self.rtp_windows.check(slot, index)?;
        let is_first = self.rtp_windows.is_new(slot);
        let (index, len) = if self.joins && is_first && seq < 1 << 15 {
            let mut copy = packet.to_vec();
            match self.decrypt_rtp(ssrc, index, header_len, packet) {
                Ok(len) => (index, len),
                Err(_) => {
                    let index = index + (1 << 16);
                    let len = self.decrypt_rtp(ssrc, index, header_len, &mut copy)?;
                    packet.copy_from_slice(&copy);
                    (index, len)
                }
            }
        } else {
            (index, self.decrypt_rtp(ssrc, index, header_len, packet)?)
        };
        self.rtp_windows.insert(slot, ssrc, index);
        Ok(len)
    }

    fn decrypt_rtp(
        &self,
        ssrc: u32,
        index: u64,
        header_len: usize,
        packet: &mut [u8],
    ) -> Result<usize, SrtpError> {
        match &self.rtp {
            Cipher::Cm(cm) => open_rtp_cm(cm, ssrc, index, header_len, packet),
            Cipher::Gcm(gcm) => open_rtp_gcm(gcm, ssrc, index, header_len, packet),
        }
    }

    /// Verifies and decrypts an RTCP packet in place; returns its length without index and tag.
    ///
    /// After an error the packet's bytes are undefined, and nothing was learned from it.
    pub fn open_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let overhead = RTCP_INDEX_LEN + self.rtcp.tag_len();
        if packet.len() < RTCP_HEADER_LEN + overhead || packet[0] >> 6 != 2 {
            return Err(SrtpError::Malformed);
        }
        let len = packet.len() - overhead;
        // The index is in front of an HMAC tag, but behind an AEAD tag (RFC 7714, 9.2).
        let word = match &self.rtcp {
            Cipher::Cm(_) => u32_at(packet, len),
            Cipher::Gcm(_) => u32_at(packet, len + GCM_TAG_LEN),
        };
        let ssrc = u32_at(packet, 4);
        let index = u64::from(word & !ENCRYPTED);
        let slot = self.rtcp_windows.find(ssrc)?;
        self.rtcp_windows.check(slot, index)?;
        let encrypted = word & ENCRYPTED != 0;
        match &self.rtcp {
            Cipher::Cm(cm) => open_rtcp_cm(cm, ssrc, index, encrypted, packet),
            Cipher::Gcm(gcm) => open_rtcp_gcm(gcm, ssrc, index, encrypted, packet),
        }?;
        self.rtcp_windows.insert(slot, ssrc, index);
        Ok(len)
    }
}

fn open_rtp_cm(
    cm: &Cm,
    ssrc: u32,
    index: u64,
    header_len: usize,
    packet: &mut [u8],
) -> Result<usize, SrtpError> {
    let len = packet.len() - HMAC_TAG_LEN;
    let (message, tag) = packet.split_at_mut(len);
    let roc = (index >> 16) as u32;
    verify(tag, &cm.mac.tag(message, &roc.to_be_bytes()))?;
    cm.apply(ssrc, index, &mut message[header_len..]);
    Ok(len)
}

fn open_rtp_gcm(
    gcm: &Gcm,
    ssrc: u32,
    index: u64,
    header_len: usize,
    packet: &mut [u8],
) -> Result<usize, SrtpError> {
    let len = packet.len() - GCM_TAG_LEN;
    let (header, text) = packet.split_at_mut(header_len);
    if !gcm.open(ssrc, index, header, text) {
        return Err(SrtpError::Authentication);
    }
    Ok(len)
}

fn open_rtcp_cm(
    cm: &Cm,
    ssrc: u32,
    index: u64,
    encrypted: bool,
    packet: &mut [u8],
) -> Result<(), SrtpError> {
    let (message, tag) = packet.split_at_mut(packet.len() - HMAC_TAG_LEN);
    verify(tag, &cm.mac.tag(message, &[]))?;
    if encrypted {
        let len = message.len() - RTCP_INDEX_LEN;
        cm.apply(ssrc, index, &mut message[RTCP_HEADER_LEN..len]);
    }
    Ok(())
}

fn open_rtcp_gcm(
    gcm: &Gcm,
    ssrc: u32,
    index: u64,
    encrypted: bool,
    packet: &mut [u8],
) -> Result<(), SrtpError> {
    let word_at = packet.len() - RTCP_INDEX_LEN;
    let opened = if encrypted {
        let mut aad = [0; RTCP_HEADER_LEN + RTCP_INDEX_LEN];
        aad[..RTCP_HEADER_LEN].copy_from_slice(&packet[..RTCP_HEADER_LEN]);
        aad[RTCP_HEADER_LEN..].copy_from_slice(&packet[word_at..]);
        gcm.open(ssrc, index, &aad, &mut packet[RTCP_HEADER_LEN..word_at])
    } else {
        // All is associated data, the index included: bring it in front of the tag.
        let tag_at = packet.len() - GCM_TAG_LEN;
        packet[word_at - GCM_TAG_LEN..].rotate_left(GCM_TAG_LEN);
        let (aad, tag) = packet.split_at_mut(tag_at);
        gcm.open(ssrc, index, aad, tag)
    };
    if opened {
        Ok(())
    } else {
        Err(SrtpError::Authentication)
    }
}

fn verify(tag: &[u8], expected: &[u8; HMAC_TAG_LEN]) -> Result<(), SrtpError> {
    if bool::from(tag.ct_eq(expected)) {
        Ok(())
    } else {
        Err(SrtpError::Authentication)
    }
}

/// Bytes up to the payload: fixed header, CSRCs and extension (RFC 3550, 5.1 and 5.3.1).
fn rtp_header_len(packet: &[u8]) -> Option<usize> {
    let first = *packet.first()?;
    if first >> 6 != 2 || packet.len() < RTP_HEADER_LEN {
        return None;
    }
    let mut len = RTP_HEADER_LEN + 4 * usize::from(first & 0x0f);
    if first & 0x10 != 0 {
        let words = packet.get(len + 2..len + 4)?;
        len += 4 + 4 * usize::from(u16::from_be_bytes([words[0], words[1]]));
    }
    (len <= packet.len()).then_some(len)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The replay windows of all SSRCs. Entries are made only for packets that verified.
#[derive(Default)]
struct Windows {
    /// Kept apart from the windows, so that a search stays within a few cache lines.
    ssrcs: Vec<u32>,
    windows: Vec<ReplayWindow>,
}

impl Windows {
    /// Where the window of `ssrc` is or would be.
    fn find(&self, ssrc: u32) -> Result<usize, SrtpError> {
        match self.ssrcs.iter().position(|known| *known == ssrc) {
            Some(slot) => Ok(slot),
            None if self.ssrcs.len() < MAX_SSRCS => Ok(self.ssrcs.len()),
            None => Err(SrtpError::TooManySsrcs),
        }
    }

    fn is_new(&self, slot: usize) -> bool {
        slot >= self.windows.len()
    }

    /// The index meant by `seq`. A new SSRC begins without rollovers (RFC 3711, 3.3.1).
    fn estimate(&self, slot: usize, seq: u16) -> u64 {
        self.windows
            .get(slot)
            .map_or(u64::from(seq), |window| window.estimate(seq))
    }

    fn check(&self, slot: usize, index: u64) -> Result<(), SrtpError> {
        match self.windows.get(slot) {
            Some(window) if !window.accepts(index) => Err(SrtpError::Replayed),
            _ => Ok(()),
        }
    }

    fn insert(&mut self, slot: usize, ssrc: u32, index: u64) {
        if let Some(window) = self.windows.get_mut(slot) {
            window.insert(index);
        } else {
            self.ssrcs.push(ssrc);
            self.windows.push(ReplayWindow::starting_at(index));
        }
    }
}
