//! How a receiver knows that a webhook comes from here (`protocol/rest.md`, 19.7): a JWT in
//! `Authorization: Bearer …`, signed with the project's secret.

use ring::digest;
use serde::Serialize;
use uuid::Uuid;

use crate::model::id::ProjectId;
use crate::model::jwt;
use crate::model::project::Secret;

/// What the original says. It is no API key, so that nobody can use the JWT to call us.
const ISSUER: &str = "Vonage";

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    /// Seconds since the Unix epoch.
    iat: i64,
    /// The webhook's id: the same however often it is sent.
    jti: Uuid,
    api_key: String,
    /// SHA-256 of the body in lower-case hexadecimal.
    payload_hash: String,
}

/// Signs the sending of one webhook. `now_unix_s` is in seconds.
pub fn sign(project: ProjectId, secret: &Secret, id: Uuid, body: &str, now_unix_s: i64) -> String {
    let hash = digest::digest(&digest::SHA256, body.as_bytes());
    let claims = Claims {
        iss: ISSUER,
        iat: now_unix_s,
        jti: id,
        api_key: project.to_string(),
        payload_hash: hash
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect(),
    };
    jwt::sign(&claims, secret)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::entropy::Entropy;

    #[test]
    fn the_signature_covers_the_body_and_names_the_webhook() {
        let secret = Secret::generate(&mut Entropy::from_seed(1));
        let project = ProjectId::new(123_456).unwrap();
        let token = sign(project, &secret, Uuid::from_u128(7), "abc", 1000);
        let (_, claims) = jwt::verify::<Value>(&token, &secret).unwrap();
        let expected = json!({
            "iss": "Vonage", "iat": 1000, "jti": "00000000-0000-0000-0000-000000000007",
            "api_key": "123456",
            // FIPS 180-2, B.1.
            "payload_hash": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        });
        assert_eq!(claims, expected);
        assert_eq!(
            jwt::claimed_issuer(&token),
            None,
            "it is of no use as a REST token"
        );
    }
}
