//! Nonces that prove themselves, so that nothing is remembered of strangers: a time and a MAC of
//! it for one client. As short as they can be, since strangers are answered with them.

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use subtle::ConstantTimeEq;

use super::Client;
use crate::entropy::Entropy;

/// Characters of a nonce.
pub(super) const LEN: usize = 8;

/// How exactly a nonce knows its age.
const SLOT: Duration = Duration::from_secs(300);

/// Slots for which a nonce is good: an hour (RFC 8489, 9.2 leaves it open; RFC 8656, 5 recommends
/// at least once an hour).
const GOOD_FOR: u64 = 12;

/// Bytes behind the time. Enough: a nonce that was guessed still needs a credential; it only keeps
/// what others have sent from being sent again.
const MAC_LEN: usize = 4;

/// Makes and checks nonces. Does not print.
pub(super) struct Nonces(hmac::Key);

impl std::fmt::Debug for Nonces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Nonces")
    }
}

impl Nonces {
    pub(super) fn new(entropy: &mut Entropy) -> Self {
        let mut key = [0; 32];
        entropy.fill(&mut key);
        Self(hmac::Key::new(hmac::HMAC_SHA256, &key))
    }

    /// A nonce for a client; `now` since the Unix epoch.
    pub(super) fn issue(&self, client: Client, now: Duration) -> [u8; LEN] {
        self.of_slot(client, slot(now))
    }

    /// Whether this client got this nonce within the last hour.
    pub(super) fn is_good(&self, nonce: &[u8], client: Client, now: Duration) -> bool {
        let mut bytes = [0; 2 + MAC_LEN];
        if nonce.len() != LEN || URL_SAFE_NO_PAD.decode_slice(nonce, &mut bytes).is_err() {
            return false;
        }
        let now = slot(now);
        let age = (now as u16).wrapping_sub(u16::from_be_bytes([bytes[0], bytes[1]]));
        let (age, expected) = (u64::from(age), |slot| self.of_slot(client, slot));
        age <= GOOD_FOR
            && now
                .checked_sub(age)
                .is_some_and(|at| expected(at).ct_eq(nonce).into())
    }

    fn of_slot(&self, client: Client, slot: u64) -> [u8; LEN] {
        let mut context = hmac::Context::with_key(&self.0);
        match client.address.ip() {
            IpAddr::V4(ip) => context.update(&ip.octets()),
            IpAddr::V6(ip) => context.update(&ip.octets()),
        }
        context.update(&client.address.port().to_be_bytes());
        if let Some(stream) = client.stream {
            context.update(&stream.0.to_be_bytes());
        }
        context.update(&slot.to_be_bytes());
        let mut bytes = [0; 2 + MAC_LEN];
        bytes[..2].copy_from_slice(&(slot as u16).to_be_bytes());
        bytes[2..].copy_from_slice(&context.sign().as_ref()[..MAC_LEN]);
        let mut nonce = [0; LEN];
        let written = URL_SAFE_NO_PAD.encode_slice(bytes, &mut nonce);
        debug_assert_eq!(written, Ok(LEN));
        nonce
    }
}

fn slot(now: Duration) -> u64 {
    now.as_secs() / SLOT.as_secs()
}

#[cfg(test)]
mod tests {
    use super::super::StreamId;
    use super::*;

    const NOW: Duration = Duration::from_secs(1_800_000_000);

    #[test]
    fn a_nonce_is_good_for_an_hour_and_for_whoever_got_it() {
        let nonces = Nonces::new(&mut Entropy::from_seed(1));
        let client = Client::udp("192.0.2.1:1000".parse().unwrap());
        let nonce = nonces.issue(client, NOW);
        let after = |minutes: u64| NOW + Duration::from_secs(60 * minutes);
        assert!(nonces.is_good(&nonce, client, after(0)));
        assert!(nonces.is_good(&nonce, client, after(60)));
        assert!(!nonces.is_good(&nonce, client, after(66)));
        // The time in a nonce comes again after 2^16 slots; the nonce does not.
        assert!(!nonces.is_good(&nonce, client, after(5 << 16)));
        for other in [
            Client::udp("192.0.2.1:1001".parse().unwrap()),
            Client::udp("192.0.2.2:1000".parse().unwrap()),
            Client::stream(client.address, StreamId(1)),
        ] {
            assert!(!nonces.is_good(&nonce, other, NOW));
        }
        let others = Nonces::new(&mut Entropy::from_seed(2));
        assert!(!others.is_good(&nonce, client, NOW));
    }

    #[test]
    fn no_other_text_is_a_nonce() {
        let nonces = Nonces::new(&mut Entropy::from_seed(1));
        let client = Client::udp("[2001:db8::1]:1000".parse().unwrap());
        let nonce = nonces.issue(client, NOW);
        for at in 0..LEN {
            let mut changed = nonce;
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert!(!nonces.is_good(&changed, client, NOW), "{at}");
        }
        for bad in [&nonce[..7], b"", b"========", b"12345678"] {
            assert!(!nonces.is_good(bad, client, NOW));
        }
    }
}
