//! The older kind, T1: an HMAC over a query string, both in base64 (`protocol/rest.md`, 5.2).

use std::fmt::Write;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use ring::hmac;
use subtle::ConstantTimeEq;

use super::TokenError;
use super::claims::{Claims, SCOPE};
use crate::model::id::ProjectId;
use crate::model::jwt::NumericDate;
use crate::model::project::Secret;

impl Claims {
    /// Reads what stands behind `T1==`, signed with this project's secret.
    pub(super) fn from_t1(
        body: &str,
        project: ProjectId,
        secret: &Secret,
    ) -> Result<Self, TokenError> {
        let decoded = decode(body).ok_or(TokenError::Malformed)?;
        let text = std::str::from_utf8(&decoded).map_err(|_| TokenError::Malformed)?;
        // What is signed begins behind the first colon and is taken as it is: SDKs differ in
        // order and escaping.
        let (head, signed) = text.split_once(':').ok_or(TokenError::Malformed)?;
        let head = Fields::parse(head)?;
        let partner: ProjectId = head.required("partner_id")?.parse()?;
        if partner != project {
            return Err(TokenError::Project);
        }
        if !signature_matches(head.required("sig")?, signed, secret) {
            return Err(TokenError::Signature);
        }
        Fields::parse(signed)?.claims()
    }
}

/// The parameters of a query string.
///
/// No name may come twice: an application that pastes user input into a token unescaped must
/// not let users append a role.
struct Fields(Vec<(String, String)>);

impl Fields {
    fn parse(query: &str) -> Result<Self, TokenError> {
        let pairs = form_urlencoded::parse(query.as_bytes()).into_owned();
        let mut fields: Vec<(String, String)> = pairs.collect();
        fields.sort();
        let twice = fields.windows(2).any(|pair| pair[0].0 == pair[1].0);
        if twice {
            Err(TokenError::Malformed)
        } else {
            Ok(Self(fields))
        }
    }

    /// A parameter; one that is empty counts as absent.
    fn get(&self, name: &str) -> Option<&str> {
        let field = self
            .0
            .iter()
            .find(|(known, value)| known == name && !value.is_empty());
        field.map(|(_, value)| value.as_str())
    }

    fn required(&self, name: &str) -> Result<&str, TokenError> {
        self.get(name).ok_or(TokenError::Malformed)
    }

    fn text(&self, name: &str) -> String {
        self.get(name).unwrap_or_default().to_owned()
    }

    /// A time in seconds, with or without a fraction.
    fn date(&self, name: &str) -> Result<Option<NumericDate>, TokenError> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        let seconds = text.parse().ok().and_then(NumericDate::from_f64);
        seconds.map(Some).ok_or(TokenError::Malformed)
    }

    fn claims(&self) -> Result<Claims, TokenError> {
        Ok(Claims {
            scope: self.get("scope").unwrap_or(SCOPE).to_owned(),
            session: self.required("session_id")?.to_owned(),
            role: self.text("role"),
            created_at: self.date("create_time")?.ok_or(TokenError::Malformed)?,
            expires_at: self.date("expire_time")?,
            data: self.text("connection_data"),
            layout_classes: self.text("initial_layout_class_list"),
        })
    }
}

/// Base64 in either alphabet, padded or not: SDKs do both.
fn decode(body: &str) -> Option<Vec<u8>> {
    const EITHER_PADDING: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, EITHER_PADDING);
    BASE64.decode(body.replace('-', "+").replace('_', "/")).ok()
}

/// Whether `sig` is the hexadecimal HMAC-SHA1 of `signed`; compares in constant time.
fn signature_matches(sig: &str, signed: &str, secret: &Secret) -> bool {
    signature(signed, secret)
        .as_bytes()
        .ct_eq(sig.as_bytes())
        .into()
}

pub(super) fn signature(signed: &str, secret: &Secret) -> String {
    let key = hmac::Key::new(
        hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        secret.reveal().as_bytes(),
    );
    let tag = hmac::sign(&key, signed.as_bytes());
    tag.as_ref()
        .iter()
        .fold(String::with_capacity(40), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}"); // a String takes everything
            hex
        })
}
