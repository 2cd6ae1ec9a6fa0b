//! Packets through both ends, against the examples of RFC 7714 and against another implementation.

use proptest::prelude::*;
use rtc::srtp::context::Context;
use rtc::srtp::protection_profile::ProtectionProfile;

use super::cipher::{Cipher, Ciphers};
use super::keys::SessionKeys;
use super::mac::MacQueue;
use super::{MasterKey, Opener, Profile, Sealer, SrtpError};

const PROFILES: [Profile; 2] = [Profile::Aes128CmHmacSha1_80, Profile::AeadAes128Gcm];

const KEY: MasterKey = MasterKey {
    key: *b"sixteen key byte",
    salt: *b"fourteen bytes",
};

/// "Gallia est omnis divisa in partes tres" (RFC 7714, 16).
const RTP: &str = "8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e697320646976697361\
    20696e207061727465732074726573";
/// RFC 7714, 16.1.1.
const SRTP_GCM: &str = "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f\
    42a5f47a51c7d19b36de3adf8833899d7f27beb16a9152cf765ee4390cce";
/// RFC 7714, 17.
const RTCP: &str = "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61deadbeef\
    deadbeefdeadbeefdeadbeefdeadbeef";
/// RFC 7714, 17.1, index 0x5d4.
const SRTCP_GCM: &str = "81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1\
    730d6fda4ce09b4686303ded0bb9275bc84aa45896cf4d2fc5abf87245d9eade800005d4";
/// RFC 7714, 17.3: tagged but not encrypted.
const SRTCP_GCM_TAGGED: &str = "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61\
    deadbeefdeadbeefdeadbeefdeadbeefdeadbeef841dd9683dd78ec92ae58790125f62b3000005d4";

fn unhex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).expect("a hexadecimal digit") as u8;
    text.as_bytes()
        .chunks(2)
        .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
        .collect()
}

/// The session key and salt of RFC 7714's examples, which begin behind the key derivation.
fn example_keys() -> SessionKeys {
    SessionKeys {
        key: std::array::from_fn(|i| i as u8),
        salt: *b"Quid pro quo\0\0",
        auth: [0; 20],
    }
}

fn example_sealer() -> Sealer {
    Sealer::with(example_ciphers())
}

fn example_opener() -> Opener {
    Opener::with(example_ciphers())
}

fn example_ciphers() -> Ciphers {
    let cipher = || Cipher::new(Profile::AeadAes128Gcm, &example_keys());
    Ciphers {
        rtp: cipher(),
        rtcp: cipher(),
    }
}

/// A packet of header and payload, sealed somewhere in the middle of a slab.
fn seal(sealer: &mut Sealer, packet: &[u8], header_len: usize, index: u64) -> Vec<u8> {
    let at = 5;
    let mut slab = vec![0xee; at + packet.len() + 100];
    let mut macs = MacQueue::new();
    slab[at..at + header_len].copy_from_slice(&packet[..header_len]);
    let payload = &packet[header_len..];
    let len = sealer.seal_rtp(&mut slab, at, header_len, payload, index, &mut macs);
    assert_eq!(len, packet.len() + sealer.rtp_overhead());
    macs.finish(&mut slab);
    assert!(
        slab[at + len..].iter().all(|byte| *byte == 0xee),
        "wrote behind the packet"
    );
    slab[at..at + len].to_vec()
}

fn seal_rtcp(sealer: &mut Sealer, packet: &[u8]) -> Vec<u8> {
    let mut out = vec![0xee; packet.len() + 100];
    let len = sealer.seal_rtcp(packet, &mut out);
    assert_eq!(len, packet.len() + sealer.rtcp_overhead());
    out[..len].to_vec()
}

fn open(opener: &mut Opener, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
    let mut packet = packet.to_vec();
    let len = opener.open_rtp(&mut packet)?;
    packet.truncate(len);
    Ok(packet)
}

fn open_rtcp(opener: &mut Opener, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
    let mut packet = packet.to_vec();
    let len = opener.open_rtcp(&mut packet)?;
    packet.truncate(len);
    Ok(packet)
}

/// A packet with a plain header.
fn rtp(ssrc: u32, seq: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, 96];
    packet.extend(seq.to_be_bytes());
    packet.extend(1234_u32.to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend(payload);
    packet
}

fn sealed(profile: Profile, ssrc: u32, index: u64) -> Vec<u8> {
    let packet = rtp(ssrc, index as u16, &index.to_be_bytes());
    seal(&mut Sealer::new(profile, &KEY), &packet, 12, index)
}

fn other(profile: Profile) -> Context {
    let (theirs, salt_len) = match profile {
        Profile::Aes128CmHmacSha1_80 => (ProtectionProfile::Aes128CmHmacSha1_80, 14),
        Profile::AeadAes128Gcm => (ProtectionProfile::AeadAes128Gcm, 12),
    };
    let provider = rtc::srtp::crypto::default_provider().unwrap();
    let salt = &KEY.salt[..salt_len];
    Context::new(&KEY.key, salt, theirs, None, None, provider.crypto()).unwrap()
}

#[test]
fn rtp_is_sealed_and_opened_as_in_rfc_7714() {
    let sealed = seal(&mut example_sealer(), &unhex(RTP), 12, 0xf17b);
    assert_eq!(sealed, unhex(SRTP_GCM));
    assert_eq!(open(&mut example_opener(), &sealed), Ok(unhex(RTP)));
}

#[test]
fn rtcp_is_sealed_and_opened_as_in_rfc_7714() {
    let mut sealer = example_sealer();
    for _ in 0..0x5d4 {
        seal_rtcp(&mut sealer, &unhex(RTCP));
    }
    let sealed = seal_rtcp(&mut sealer, &unhex(RTCP));
    assert_eq!(sealed, unhex(SRTCP_GCM));
    assert_eq!(open_rtcp(&mut example_opener(), &sealed), Ok(unhex(RTCP)));
}

#[test]
fn rtcp_that_is_only_tagged_is_opened_and_still_protected() {
    let tagged = unhex(SRTCP_GCM_TAGGED);
    assert_eq!(open_rtcp(&mut example_opener(), &tagged), Ok(unhex(RTCP)));
    for bit in 16 * 8..tagged.len() * 8 {
        let mut damaged = tagged.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(
            open_rtcp(&mut example_opener(), &damaged).is_err(),
            "bit {bit}"
        );
    }
}

proptest! {
    #[test]
    fn what_we_seal_another_implementation_opens_and_the_reverse(
        gcm: bool,
        csrcs in 0..16_usize,
        extension in proptest::option::of(0..20_usize),
        payload in proptest::collection::vec(any::<u8>(), 0..1400),
        seq: u16,
        ssrc: u32,
    ) {
        let profile = PROFILES[usize::from(gcm)];
        let mut packet = rtp(ssrc, seq, &vec![7; 4 * csrcs]);
        packet[0] |= csrcs as u8;
        if let Some(words) = extension {
            packet[0] |= 0x10;
            packet.extend([0xbe, 0xde, 0, words as u8]);
            packet.extend(vec![0; 4 * words]);
        }
        let header_len = packet.len();
        packet.extend(&payload);

        let ours = seal(&mut Sealer::new(profile, &KEY), &packet, header_len, seq.into());
        let theirs = other(profile).encrypt_rtp(&packet).unwrap();
        prop_assert_eq!(&ours[..], &theirs[..]);
        prop_assert_eq!(&other(profile).decrypt_rtp(&ours).unwrap()[..], &packet[..]);
        prop_assert_eq!(open(&mut Opener::new(profile, &KEY), &theirs), Ok(packet));
    }

    #[test]
    fn rtcp_goes_between_us_and_another_implementation(
        gcm: bool,
        words in 0..100_usize,
        ssrc: u32,
    ) {
        let profile = PROFILES[usize::from(gcm)];
        let mut packet = vec![0x80, 201, 0, words as u8 + 1];
        packet.extend(ssrc.to_be_bytes());
        packet.extend(vec![9; 4 * words]);
        let ours = seal_rtcp(&mut Sealer::new(profile, &KEY), &packet);
        prop_assert_eq!(&other(profile).decrypt_rtcp(&ours).unwrap()[..], &packet[..]);
        let theirs = other(profile).encrypt_rtcp(&packet).unwrap();
        prop_assert_eq!(open_rtcp(&mut Opener::new(profile, &KEY), &theirs), Ok(packet));
    }

    #[test]
    fn noise_is_never_opened(gcm: bool, mut noise in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut opener = Opener::new(PROFILES[usize::from(gcm)], &KEY);
        for first in [0x80, 0x90, 0x9f] {
            if let Some(byte) = noise.first_mut() {
                *byte = first;
            }
            prop_assert!(open(&mut opener, &noise).is_err());
            prop_assert!(open_rtcp(&mut opener, &noise).is_err());
        }
    }
}

#[test]
fn sequence_numbers_roll_over_in_step_with_another_implementation() {
    for profile in PROFILES {
        let (mut sealer, mut opener) = (Sealer::new(profile, &KEY), Opener::new(profile, &KEY));
        let (mut encrypt, mut decrypt) = (other(profile), other(profile));
        for index in (65_000_u64..66_000).chain((66_000..200_000).step_by(500)) {
            let packet = rtp(1, index as u16, &index.to_be_bytes());
            let ours = seal(&mut sealer, &packet, 12, index);
            assert_eq!(
                ours,
                encrypt.encrypt_rtp(&packet).unwrap()[..],
                "index {index}"
            );
            assert_eq!(
                decrypt.decrypt_rtp(&ours).unwrap()[..],
                packet,
                "index {index}"
            );
            assert_eq!(open(&mut opener, &ours), Ok(packet), "index {index}");
        }
    }
}

#[test]
fn packets_reordered_around_a_rollover_are_opened_once_each() {
    for profile in PROFILES {
        let mut opener = Opener::new(profile, &KEY);
        for index in [65_530, 65_537, 65_535, 65_536, 65_531, 65_540, 65_534] {
            let packet = sealed(profile, 1, index);
            assert!(open(&mut opener, &packet).is_ok(), "index {index}");
            assert_eq!(
                open(&mut opener, &packet),
                Err(SrtpError::Replayed),
                "index {index}"
            );
        }
    }
}

#[test]
fn a_forged_packet_moves_no_rollover_counter() {
    for profile in PROFILES {
        let mut opener = Opener::new(profile, &KEY);
        assert!(open(&mut opener, &sealed(profile, 1, 65_000)).is_ok());
        for seq in [100, 20_000, 30_000, 65_001] {
            let mut forged = sealed(profile, 1, 65_536 + seq);
            *forged.last_mut().unwrap() ^= 1;
            assert_eq!(open(&mut opener, &forged), Err(SrtpError::Authentication));
        }
        assert!(open(&mut opener, &sealed(profile, 1, 65_001)).is_ok());
        assert!(open(&mut opener, &sealed(profile, 1, 65_536)).is_ok());
    }
}

#[test]
fn every_damage_to_a_packet_is_noticed() {
    for profile in PROFILES {
        let packet = sealed(profile, 1, 1000);
        for len in 0..packet.len() {
            assert!(
                open(&mut Opener::new(profile, &KEY), &packet[..len]).is_err(),
                "{len} bytes"
            );
        }
        for bit in 0..packet.len() * 8 {
            let mut damaged = packet.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(
                open(&mut Opener::new(profile, &KEY), &damaged).is_err(),
                "bit {bit}"
            );
        }
    }
}

#[test]
fn every_damage_to_rtcp_is_noticed() {
    for profile in PROFILES {
        let packet = seal_rtcp(&mut Sealer::new(profile, &KEY), &unhex(RTCP));
        for len in 0..packet.len() {
            let mut opener = Opener::new(profile, &KEY);
            assert!(
                open_rtcp(&mut opener, &packet[..len]).is_err(),
                "{len} bytes"
            );
        }
        for bit in 0..packet.len() * 8 {
            let mut damaged = packet.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(
                open_rtcp(&mut Opener::new(profile, &KEY), &damaged).is_err(),
                "bit {bit}"
            );
        }
    }
}

#[test]
fn rtcp_is_opened_once() {
    for profile in PROFILES {
        let mut sealer = Sealer::new(profile, &KEY);
        let mut opener = Opener::new(profile, &KEY);
        let packets: Vec<_> = (0..3)
            .map(|_| seal_rtcp(&mut sealer, &unhex(RTCP)))
            .collect();
        for i in [0, 2, 1] {
            assert_eq!(open_rtcp(&mut opener, &packets[i]), Ok(unhex(RTCP)));
            assert_eq!(
                open_rtcp(&mut opener, &packets[i]),
                Err(SrtpError::Replayed)
            );
        }
    }
}

#[test]
fn used_up_rtcp_indices_seal_nothing() {
    let mut sealer = Sealer::new(Profile::AeadAes128Gcm, &KEY);
    sealer.rtcp_index = (1 << 31) - 1;
    let last = seal_rtcp(&mut sealer, &unhex(RTCP));
    assert!(open_rtcp(&mut Opener::new(Profile::AeadAes128Gcm, &KEY), &last).is_ok());
    assert_eq!(sealer.seal_rtcp(&unhex(RTCP), &mut [0; 200]), 0);
}

#[test]
fn ssrcs_are_limited_and_forged_ones_do_not_count() {
    let profile = Profile::AeadAes128Gcm;
    let mut opener = Opener::new(profile, &KEY);
    for ssrc in 0..1000 {
        let mut forged = sealed(profile, ssrc, 1);
        forged[20] ^= 1;
        assert_eq!(open(&mut opener, &forged), Err(SrtpError::Authentication));
    }
    for ssrc in 0..64 {
        assert!(open(&mut opener, &sealed(profile, ssrc, 1)).is_ok());
    }
    assert_eq!(
        open(&mut opener, &sealed(profile, 64, 1)),
        Err(SrtpError::TooManySsrcs)
    );
    assert!(open(&mut opener, &sealed(profile, 63, 2)).is_ok());
}
