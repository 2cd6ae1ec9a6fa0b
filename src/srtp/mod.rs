//! SRTP for the packet path (RFC 3711, RFC 7714): no allocation, no copy beside the encryption.
//!
//! [`Opener`] is what comes in, [`Sealer`] what goes out; both belong to one transport.
//! Packets sealed with HMAC-SHA1 get their tags later, several side by side, from [`mac::MacQueue`].

mod cipher;
mod keys;
pub mod mac;
mod open;
mod replay;
mod seal;
mod sha1;
#[cfg(test)]
mod tests;

pub use open::Opener;
pub use seal::Sealer;

/// The protection profiles we speak, named as in DTLS-SRTP (RFC 5764, RFC 7714).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// `SRTP_AES128_CM_HMAC_SHA1_80`: 10-byte tag on RTP and RTCP.
    Aes128CmHmacSha1_80,
    /// `SRTP_AEAD_AES_128_GCM`: 16-byte tag.
    AeadAes128Gcm,
}

/// One direction's master key and salt; AEAD uses the first 12 bytes of the salt.
#[derive(Clone)]
pub struct MasterKey {
    /// Key.
    pub key: [u8; 16],
    /// Salt.
    pub salt: [u8; 14],
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey([redacted])")
    }
}

/// Why a packet was not let in. Ordinary input: count it and drop it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SrtpError {
    /// Not a whole RTP or RTCP packet.
    #[error("malformed packet")]
    Malformed,
    /// The tag does not verify.
    #[error("authentication failed")]
    Authentication,
    /// Seen before, or older than the window.
    #[error("replayed packet")]
    Replayed,
    /// More SSRCs than one transport may bring.
    #[error("too many SSRCs")]
    TooManySsrcs,
}
