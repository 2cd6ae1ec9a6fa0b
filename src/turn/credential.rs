//! Credentials that hold for a while and need no memory, as "A REST API For Access To TURN
//! Services" (draft-uberti-behave-turn-rest) has them: the user name says until when and for whom,
//! and the password is its MAC. Servers that share the secret believe each other's.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use ring::hmac;

/// How long a credential is good. Clients of OpenTok keep what they were told for a day less five
/// minutes, and only then ask again (`protocol/signaling.md`, 2.4).
pub const CREDENTIAL_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// What makes passwords of user names. Does not print.
#[derive(Clone)]
pub struct Issuer(hmac::Key);

/// A user name and its password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// `expiry:connection`; the expiry in seconds since the Unix epoch.
    pub username: String,
    /// A secret.
    pub password: String,
}

/// What a user name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim<'a> {
    /// Seconds since the Unix epoch.
    pub expires_at_s: u64,
    /// Whose it is: a connection.
    pub connection: &'a str,
}

/// What messages are signed with: MD5 of user name, realm and password (RFC 8489, 9.2.2).
pub type LongTermKey = [u8; 16];

impl Issuer {
    /// An issuer with this secret.
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret))
    }

    /// A credential for a connection.
    pub fn issue(&self, expires_at_s: u64, connection: &str) -> Credential {
        let username = format!("{expires_at_s}:{connection}");
        let password = self.password(&username);
        Credential { username, password }
    }

    /// The key of a user name.
    pub fn key(&self, username: &str, realm: &str) -> LongTermKey {
        let password = self.password(username);
        Md5::digest(format!("{username}:{realm}:{password}")).into()
    }

    fn password(&self, username: &str) -> String {
        STANDARD.encode(hmac::sign(&self.0, username.as_bytes()))
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Issuer")
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({:?})", self.username)
    }
}

impl<'a> Claim<'a> {
    /// Takes a user name apart.
    pub fn parse(username: &'a str) -> Option<Self> {
        let (expiry, connection) = username.split_once(':')?;
        let expires_at_s = expiry.parse().ok()?;
        Some(Self {
            expires_at_s,
            connection,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_the_one_that_other_servers_compute() {
        // printf 1700000000:ana | openssl dgst -sha1 -hmac north -binary | base64
        let credential = Issuer::new(b"north").issue(1_700_000_000, "ana");
        assert_eq!(credential.username, "1700000000:ana");
        assert_eq!(credential.password, "/V6vMibmvRAPIMy3tyPu2GxFkDI=");
        assert!(!format!("{credential:?}").contains(&credential.password));
    }

    #[test]
    fn the_key_is_that_of_rfc_8489() {
        let issuer = Issuer::new(b"north");
        let password = issuer.password("user");
        let expected: LongTermKey = Md5::digest(format!("user:realm:{password}")).into();
        assert_eq!(issuer.key("user", "realm"), expected);
        assert_ne!(issuer.key("user", "other"), expected);
    }

    #[test]
    fn a_user_name_is_an_expiry_and_a_connection() {
        let claim = Claim::parse("17:a:b").unwrap();
        assert_eq!((claim.expires_at_s, claim.connection), (17, "a:b"));
        for bad in ["", "ana", ":ana", "-1:ana", "99999999999999999999:ana"] {
            assert_eq!(Claim::parse(bad), None, "{bad}");
        }
    }
}
