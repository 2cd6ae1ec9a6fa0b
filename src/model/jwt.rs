//! JSON Web Tokens signed with a project's secret: HS256 (RFC 7518, 3.2) and nothing else.
//!
//! Says whether a signature is good; what the claims have to be is up to whoever reads them.
//! The library comes without cryptography of its own, so that the provider below is the only
//! one in the process and no other algorithm can be talked into.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::signature::{self, Signer, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Validation};
use ring::hmac;
use serde::de::{DeserializeOwned, Error as _, Unexpected};
use serde::{Deserialize, Deserializer, Serialize};

use super::id::ProjectId;
use super::project::Secret;

pub use jsonwebtoken::Header;

/// Why a JWT was not good enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JwtError {
    /// Not three parts of base64url, or not the JSON that was expected in them.
    #[error("malformed")]
    Malformed,
    /// Any `alg` but HS256, in particular `none`, or a `crit` header, which we cannot honour.
    #[error("not an HS256 token")]
    Algorithm,
    /// Signed with something else than this secret.
    #[error("wrong signature")]
    Signature,
}

/// Verifies the signature and reads the claims.
pub fn verify<T: DeserializeOwned>(token: &str, secret: &Secret) -> Result<(Header, T), JwtError> {
    install_provider();
    let mut validation = Validation::new(Algorithm::HS256);
    // The library would ask the system what time it is; times are checked by our callers.
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let key = DecodingKey::from_secret(secret.reveal().as_bytes());
    let data = jsonwebtoken::decode(token, &key, &validation).map_err(|e| match e.kind() {
        ErrorKind::InvalidAlgorithm => JwtError::Algorithm,
        ErrorKind::InvalidSignature => JwtError::Signature,
        _ => JwtError::Malformed,
    })?;
    match data.header.crit {
        None => Ok((data.header, data.claims)),
        Some(_) => Err(JwtError::Algorithm),
    }
}

/// What a token says without proof, to find out whose secret must verify it.
pub fn claimed_issuer(token: &str) -> Option<ProjectId> {
    #[derive(Deserialize)]
    struct Claims {
        iss: Issuer,
    }
    let claims: Claims = jsonwebtoken::dangerous::insecure_decode_claims(token).ok()?;
    Some(claims.iss.0)
}

/// Signs `claims`.
pub fn sign<T: Serialize>(claims: &T, secret: &Secret) -> String {
    install_provider();
    let key = EncodingKey::from_secret(secret.reveal().as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &key)
        .expect("claims are JSON, and HMAC takes keys of any length")
}

/// An API key in `iss`: a string, or a number as some SDKs pass on what they were given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Issuer(pub ProjectId);

impl<'de> Deserialize<'de> for Issuer {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Key {
            Text(String),
            Number(i32),
        }
        let id = match Key::deserialize(from)? {
            Key::Text(text) => text.parse().ok(),
            Key::Number(number) => ProjectId::new(number),
        };
        id.map(Self)
            .ok_or_else(|| D::Error::custom("not an API key"))
    }
}

/// Seconds since the Unix epoch; fractions are dropped (RFC 7519, `NumericDate`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NumericDate(pub i64);

impl NumericDate {
    /// The largest time that is taken: 2^53, exact as a double and far from overflowing.
    const MAX: f64 = 9_007_199_254_740_992.0;

    /// The time, if the number can be one.
    pub fn from_f64(seconds: f64) -> Option<Self> {
        (0.0..=Self::MAX)
            .contains(&seconds)
            .then_some(Self(seconds as i64))
    }
}

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(from)?;
        Self::from_f64(seconds)
            .ok_or_else(|| D::Error::invalid_value(Unexpected::Float(seconds), &"a time"))
    }
}

/// Makes [`PROVIDER`] the library's; all but the first call find it there already.
fn install_provider() {
    let _ = PROVIDER.install_default();
}

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| match algorithm {
        Algorithm::HS256 => Ok(Box::new(Hs256::new(key.as_bytes()))),
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    },
    verifier_factory: |algorithm, key| match algorithm {
        Algorithm::HS256 => Ok(Box::new(Hs256::new(key.try_get_as_bytes()?))),
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    },
    // For JWKs, which are never asked for.
    key_utils: KeyUtils::new_unimplemented(),
};

/// HMAC with SHA-256.
struct Hs256(hmac::Key);

impl Hs256 {
    fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }
}

impl Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        Ok(hmac::sign(&self.0, message).as_ref().to_vec())
    }
}

impl Verifier<Vec<u8>> for Hs256 {
    fn verify(&self, message: &[u8], tag: &Vec<u8>) -> Result<(), signature::Error> {
        hmac::verify(&self.0, message, tag).map_err(|_| signature::Error::new())
    }
}

impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
    use serde_json::{Value, json};

    use super::*;
    use crate::entropy::Entropy;

    /// RFC 7515, A.1: the library on our provider gives the answer of the standard's example.
    #[test]
    fn the_signature_is_that_of_rfc_7515() {
        let key = BASE64
            .decode("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
            .unwrap();
        let message = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let tag = Hs256::new(&key).sign(message.as_bytes());
        assert_eq!(
            BASE64.encode(tag),
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
        );
    }

    #[test]
    fn what_was_signed_is_read_with_the_same_secret_only() {
        let [mine, other] = [1, 2].map(|seed| Secret::generate(&mut Entropy::from_seed(seed)));
        let token = sign(&json!({"iss": "47665971", "n": 1}), &mine);
        let (_, claims) = verify::<Value>(&token, &mine).unwrap();
        assert_eq!(claims["n"], 1);
        assert_eq!(
            verify::<Value>(&token, &other).unwrap_err(),
            JwtError::Signature
        );
        assert_eq!(claimed_issuer(&token), ProjectId::new(47_665_971));
    }

    #[test]
    fn no_algorithm_but_hs256_is_accepted() {
        let secret = Secret::generate(&mut Entropy::from_seed(1));
        let refused = |header: Value| {
            let part = |value: &Value| BASE64.encode(value.to_string());
            let message = format!("{}.{}", part(&header), part(&json!({"iss": "1"})));
            let tag = Hs256::new(secret.reveal().as_bytes()).sign(message.as_bytes());
            // Correctly signed, then without a signature.
            for tag in [BASE64.encode(tag), String::new()] {
                let token = format!("{message}.{tag}");
                assert!(verify::<Value>(&token, &secret).is_err(), "{header}");
            }
        };
        for alg in [
            "none", "None", "hs256", "HS384", "HS512", "RS256", "ES256", "EdDSA", "",
        ] {
            refused(json!({ "alg": alg }));
        }
        refused(json!({}));
        refused(json!({"alg": ["HS256"]}));
        refused(json!({"alg": "HS256", "crit": ["b64"], "b64": false}));
    }

    #[test]
    fn garbage_is_malformed() {
        let secret = Secret::generate(&mut Entropy::from_seed(1));
        for token in [
            "", ".", "..", "...", "a.b.c", "a.b.c.d", "e30.e30.", "💥", "T1==abc",
        ] {
            assert!(verify::<Value>(token, &secret).is_err(), "{token}");
            assert_eq!(claimed_issuer(token), None, "{token}");
        }
    }

    #[test]
    fn times_are_numbers_within_reason() {
        let date = |text: &str| serde_json::from_str::<NumericDate>(text).ok().map(|d| d.0);
        assert_eq!(date("1739538894"), Some(1_739_538_894));
        assert_eq!(date("1739538894.9"), Some(1_739_538_894));
        for bad in [
            "-1",
            "1e300",
            "\"1739538894\"",
            "null",
            "18446744073709551615",
        ] {
            assert_eq!(date(bad), None, "{bad}");
        }
    }
}
