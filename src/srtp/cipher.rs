//! The two ways to protect one packet whose index is known already.

use aes::Aes128Enc;
use aes::cipher::{InnerIvInit, KeyInit, StreamCipher, StreamCipherCoreWrapper};
use ctr::CtrCore;
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use super::keys::{SessionKeys, Use};
use super::mac::HmacSha1;
use super::{MasterKey, Profile};

/// Bytes of an `SRTP_AES128_CM_HMAC_SHA1_80` tag.
pub(super) const HMAC_TAG_LEN: usize = 10;

/// Bytes of an AEAD tag (RFC 7714, 13).
pub(super) const GCM_TAG_LEN: usize = 16;

/// Keys of one use under one profile, with everything computed that does not depend on a packet.
/// Boxed: a leg has room for eight, of which four come with its handshake.
pub(super) enum Cipher {
    Cm(Box<Cm>),
    Gcm(Box<Gcm>),
}

impl Cipher {
    pub(super) fn new(profile: Profile, keys: &SessionKeys) -> Self {
        match profile {
            Profile::Aes128CmHmacSha1_80 => Self::Cm(Box::new(Cm::new(keys))),
            Profile::AeadAes128Gcm => Self::Gcm(Box::new(Gcm::new(keys))),
        }
    }

    pub(super) fn tag_len(&self) -> usize {
        match self {
            Self::Cm(_) => HMAC_TAG_LEN,
            Self::Gcm(_) => GCM_TAG_LEN,
        }
    }
}

/// Both uses of one direction.
pub(super) struct Ciphers {
    pub(super) rtp: Cipher,
    pub(super) rtcp: Cipher,
}

impl Ciphers {
    /// With keys derived from `key`.
    pub(super) fn derive(profile: Profile, key: &MasterKey) -> Self {
        let [rtp, rtcp] = [Use::Rtp, Use::Rtcp]
            .map(|used| Cipher::new(profile, &SessionKeys::derive(profile, key, used)));
        Self { rtp, rtcp }
    }
}

/// AES in counter mode with HMAC-SHA1 (RFC 3711, 4.1.1 and 4.2.1).
pub(super) struct Cm {
    aes: Aes128Enc,
    salt: [u8; 14],
    pub(super) mac: HmacSha1,
}

impl Cm {
    pub(super) fn new(keys: &SessionKeys) -> Self {
        Self {
            aes: Aes128Enc::new(&keys.key.into()),
            salt: keys.salt,
            mac: HmacSha1::new(&keys.auth),
        }
    }

    /// Encrypts or decrypts in place.
    pub(super) fn apply(&self, ssrc: u32, index: u64, bytes: &mut [u8]) {
        apply_keystream(&self.aes, self.iv(ssrc, index), bytes);
    }

    /// Encrypts `plain` into `out`, which has the same length.
    pub(super) fn apply_into(&self, ssrc: u32, index: u64, plain: &[u8], out: &mut [u8]) {
        keystream(&self.aes, self.iv(ssrc, index)).apply_keystream_b2b(plain, out);
    }

    /// `salt * 2^16 XOR ssrc * 2^64 XOR index * 2^16`; the low 16 bits count blocks.
    fn iv(&self, ssrc: u32, index: u64) -> [u8; 16] {
        let mut iv = [0; 16];
        iv[..14].copy_from_slice(&self.salt);
        xor(&mut iv[4..8], &ssrc.to_be_bytes());
        xor(&mut iv[8..14], &index.to_be_bytes()[2..]);
        iv
    }
}

/// AES-GCM (RFC 7714).
pub(super) struct Gcm {
    key: LessSafeKey,
    salt: [u8; 12],
}

impl Gcm {
    pub(super) fn new(keys: &SessionKeys) -> Self {
        let key = UnboundKey::new(&AES_128_GCM, &keys.key).expect("the key has 16 bytes");
        let mut salt = [0; 12];
        salt.copy_from_slice(&keys.salt[..12]);
        Self {
            key: LessSafeKey::new(key),
            salt,
        }
    }

    /// Encrypts in place and returns the tag.
    pub(super) fn seal(&self, ssrc: u32, index: u64, aad: &[u8], text: &mut [u8]) -> [u8; 16] {
        let tag = self
            .key
            .seal_in_place_separate_tag(self.nonce(ssrc, index), Aad::from(aad), text)
            .expect("a packet is shorter than what GCM can seal");
        tag.as_ref().try_into().expect("a GCM tag has 16 bytes")
    }

    /// Verifies and decrypts `text`, whose last 16 bytes are the tag. False if it does not verify;
    /// `text` is then undefined.
    pub(super) fn open(&self, ssrc: u32, index: u64, aad: &[u8], text: &mut [u8]) -> bool {
        self.key
            .open_in_place(self.nonce(ssrc, index), Aad::from(aad), text)
            .is_ok()
    }

    /// RFC 7714, 8.1 and 9.1: both forms put a 48-bit index behind the SSRC, since an SRTCP index
    /// has 31 bits.
    fn nonce(&self, ssrc: u32, index: u64) -> Nonce {
        let mut nonce = self.salt;
        xor(&mut nonce[2..6], &ssrc.to_be_bytes());
        xor(&mut nonce[6..], &index.to_be_bytes()[2..]);
        Nonce::assume_unique_for_key(nonce)
    }
}

/// XORs the keystream that begins at `iv` over `bytes`.
pub(super) fn apply_keystream(aes: &Aes128Enc, iv: [u8; 16], bytes: &mut [u8]) {
    keystream(aes, iv).apply_keystream(bytes);
}

/// Borrows the key schedule, so that starting a packet costs nothing.
///
/// A counter of 32 bits is the cheapest; only its low 16 bits may change (RFC 3711, 4.1.1), and
/// they begin at zero and count less than a megabyte.
fn keystream(
    aes: &Aes128Enc,
    iv: [u8; 16],
) -> StreamCipherCoreWrapper<CtrCore<&Aes128Enc, ctr::flavors::Ctr32BE>> {
    StreamCipherCoreWrapper::from_core(CtrCore::inner_iv_init(aes, &iv.into()))
}

fn xor(bytes: &mut [u8], with: &[u8]) {
    for (byte, with) in bytes.iter_mut().zip(with) {
        *byte ^= with;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keystream_is_that_of_rfc_3711_b_2() {
        let cm = Cm::new(&SessionKeys {
            key: 0x2B7E151628AED2A6ABF7158809CF4F3C_u128.to_be_bytes(),
            salt: [
                0xF0, 0xF1, 0xF2, 0xF3, 0xF4, 0xF5, 0xF6, 0xF7, 0xF8, 0xF9, 0xFA, 0xFB, 0xFC, 0xFD,
            ],
            auth: [0; 20],
        });
        let mut bytes = vec![0; 0xff02 * 16];
        cm.apply(0, 0, &mut bytes);
        let block = |n: usize| {
            u128::from_be_bytes(bytes[n * 16..n * 16 + 16].try_into().expect("16 bytes"))
        };
        assert_eq!(block(0), 0xE03EAD0935C95E80E166B16DD92B4EB4);
        assert_eq!(block(1), 0xD23513162B02D0F72A43A2FE4A5F97AB);
        assert_eq!(block(2), 0x41E95B3BB0A2E8DD477901E4FCA894C0);
        assert_eq!(block(0xfeff), 0xEC8CDF7398607CB0F2D21675EA9EA1E4);
        assert_eq!(block(0xff00), 0x362B7C3C6773516318A077D7FC5073AE);
        assert_eq!(block(0xff01), 0x6A2CC3787889374FBEB4C81B17BA6C44);
    }
}
