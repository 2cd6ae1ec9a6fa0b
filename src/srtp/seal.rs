//! What goes out.

use super::cipher::{Cipher, Ciphers};
use super::mac::MacQueue;
use super::{MasterKey, Profile};

/// Bytes of the E bit and the index behind an SRTCP packet.
const RTCP_INDEX_LEN: usize = 4;

/// The E bit: this packet is encrypted, as all of ours are.
const ENCRYPTED: u32 = 1 << 31;

/// Bytes of an RTCP packet that stay readable: the first header and the sender's SSRC.
const RTCP_HEADER_LEN: usize = 8;

/// Seals what one transport sends. Keeps no rollover counters: those who number the packets do.
pub struct Sealer {
    rtp: Cipher,
    rtcp: Cipher,
    /// One index for all SSRCs: it must only grow within each (RFC 3711, 3.4).
    pub(super) rtcp_index: u32,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer([redacted])")
    }
}

impl Sealer {
    /// Seals with keys derived from `key`.
    pub fn new(profile: Profile, key: &MasterKey) -> Self {
        Self::with(Ciphers::derive(profile, key))
    }

    pub(super) fn with(Ciphers { rtp, rtcp }: Ciphers) -> Self {
        Self {
            rtp,
            rtcp,
            rtcp_index: 0,
        }
    }

    /// Bytes that sealing adds to an RTP packet.
    pub fn rtp_overhead(&self) -> usize {
        self.rtp.tag_len()
    }

    /// Bytes that sealing adds to an RTCP packet.
    pub fn rtcp_overhead(&self) -> usize {
        self.rtcp.tag_len() + RTCP_INDEX_LEN
    }

    /// Encrypts `payload` behind the finished header at `slab[at..at + header_len]`; returns the
    /// packet's length, tag included.
    ///
    /// `index` is the 48-bit packet index (RFC 3711, 3.3.1): rollover counter, then sequence
    /// number. It must never repeat for an SSRC. With HMAC the tag is missing until
    /// [`MacQueue::finish`]. The slab must have room for all of it.
    pub fn seal_rtp(
        &mut self,
        slab: &mut [u8],
        at: usize,
        header_len: usize,
        payload: &[u8],
        index: u64,
        macs: &mut MacQueue,
    ) -> usize {
        let len = header_len + payload.len() + self.rtp.tag_len();
        let (header, rest) = slab[at..at + len].split_at_mut(header_len);
        let (text, tag) = rest.split_at_mut(payload.len());
        let ssrc = ssrc(&header[8..]);
        match &self.rtp {
            Cipher::Cm(cm) => {
                cm.apply_into(ssrc, index, payload, text);
                macs.push(
                    at,
                    header_len + payload.len(),
                    (index >> 16) as u32,
                    &cm.mac,
                );
            }
            Cipher::Gcm(gcm) => {
                text.copy_from_slice(payload);
                tag.copy_from_slice(&gcm.seal(ssrc, index, header, text));
            }
        }
        len
    }

    /// Writes the protected form of the compound packet `plain` to `out`; returns its length.
    ///
    /// `out` must have room for [`Self::rtcp_overhead`] bytes more than `plain`. Returns zero,
    /// having written nothing of use, if `plain` is no RTCP packet, or when 2^31 packets were
    /// sealed and the keys are used up (RFC 3711, 9.2).
    pub fn seal_rtcp(&mut self, plain: &[u8], out: &mut [u8]) -> usize {
        if plain.len() < RTCP_HEADER_LEN || self.rtcp_index >= ENCRYPTED {
            return 0;
        }
        let index = self.rtcp_index;
        self.rtcp_index += 1;
        let word = (ENCRYPTED | index).to_be_bytes();
        let ssrc = ssrc(&plain[4..]);
        let out = &mut out[..plain.len() + self.rtcp_overhead()];
        let (packet, trailer) = out.split_at_mut(plain.len());
        packet.copy_from_slice(plain);
        let (header, text) = packet.split_at_mut(RTCP_HEADER_LEN);
        match &self.rtcp {
            Cipher::Cm(cm) => {
                cm.apply(ssrc, index.into(), text);
                let tag = cm.mac.tag(packet, &word);
                trailer[..4].copy_from_slice(&word);
                trailer[4..].copy_from_slice(&tag);
            }
            Cipher::Gcm(gcm) => {
                let mut aad = [0; RTCP_HEADER_LEN + RTCP_INDEX_LEN];
                aad[..RTCP_HEADER_LEN].copy_from_slice(header);
                aad[RTCP_HEADER_LEN..].copy_from_slice(&word);
                let tag = gcm.seal(ssrc, index.into(), &aad, text);
                trailer[..16].copy_from_slice(&tag);
                trailer[16..].copy_from_slice(&word);
            }
        }
        out.len()
    }
}

/// The SSRC that `bytes` begin with.
fn ssrc(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}
