//! Session keys from a master key (RFC 3711, 4.3, with a key derivation rate of zero).

use aes::Aes128Enc;
use aes::cipher::KeyInit;

use super::cipher::apply_keystream;
use super::{MasterKey, Profile};

/// What packets of one direction and one kind, RTP or RTCP, are protected with.
pub(super) struct SessionKeys {
    pub(super) key: [u8; 16],
    /// For AEAD only the first 12 bytes count.
    pub(super) salt: [u8; 14],
    /// Unused with AEAD.
    pub(super) auth: [u8; 20],
}

/// Which packets the keys are for; the value is the first of three labels: key, auth, salt.
#[derive(Debug, Clone, Copy)]
pub(super) enum Use {
    Rtp = 0,
    Rtcp = 3,
}

impl SessionKeys {
    /// Derives the keys of one use.
    pub(super) fn derive(profile: Profile, master: &MasterKey, purpose: Use) -> Self {
        let aes = Aes128Enc::new(&master.key.into());
        let mut salt = master.salt;
        if profile == Profile::AeadAes128Gcm {
            // A 96-bit master salt is extended by zeros (RFC 7714, 11).
            salt[12..].fill(0);
        }
        let label = purpose as u8;
        Self {
            key: expand(&aes, salt, label),
            auth: expand(&aes, salt, label + 1),
            salt: expand(&aes, salt, label + 2),
        }
    }
}

/// The AES-CM generator (RFC 3711, 4.3.3): the keystream that begins at the salted label.
fn expand<const N: usize>(aes: &Aes128Enc, salt: [u8; 14], label: u8) -> [u8; N] {
    let mut iv = [0; 16];
    iv[..14].copy_from_slice(&salt);
    iv[7] ^= label;
    let mut out = [0; N];
    apply_keystream(aes, iv, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_derived_as_in_rfc_3711_b_3() {
        let master = MasterKey {
            key: 0xE1F97A0D3E018BE0D64FA32C06DE4139_u128.to_be_bytes(),
            salt: [
                0x0E, 0xC6, 0x75, 0xAD, 0x49, 0x8A, 0xFE, 0xEB, 0xB6, 0x96, 0x0B, 0x3A, 0xAB, 0xE6,
            ],
        };
        let keys = SessionKeys::derive(Profile::Aes128CmHmacSha1_80, &master, Use::Rtp);
        assert_eq!(
            u128::from_be_bytes(keys.key),
            0xC61E7A93744F39EE10734AFE3FF7A087
        );
        assert_eq!(
            keys.salt,
            [
                0x30, 0xCB, 0xBC, 0x08, 0x86, 0x3D, 0x8C, 0x85, 0xD4, 0x9D, 0xB3, 0x4A, 0x9A, 0xE1
            ]
        );
        assert_eq!(
            keys.auth,
            [
                0xCE, 0xBE, 0x32, 0x1F, 0x6F, 0xF7, 0x71, 0x6B, 0x6F, 0xD4, 0xAB, 0x49, 0xAF, 0x25,
                0x6A, 0x15, 0x6D, 0x38, 0xBA, 0xA4
            ]
        );
    }
}
