//! The newer kind: a JWT (`protocol/rest.md`, 5.1).

use percent_encoding::percent_decode_str;
use serde::Deserialize;

use super::TokenError;
use super::claims::Claims;
use crate::model::id::ProjectId;
use crate::model::jwt::{self, Issuer, NumericDate};
use crate::model::project::Secret;

/// The claims of a JWT; all others mean nothing to us.
#[derive(Debug, Deserialize)]
struct JwtClaims {
    iss: Issuer,
    ist: Option<String>,
    scope: Option<String>,
    session_id: String,
    role: Option<String>,
    iat: NumericDate,
    exp: Option<NumericDate>,
    connection_data: Option<String>,
    initial_layout_class_list: Option<String>,
    /// How one SDK spells the list.
    initial_layout_list: Option<String>,
}

impl Claims {
    /// Reads a JWT that was signed with this project's secret.
    pub(super) fn from_jwt(
        token: &str,
        project: ProjectId,
        secret: &Secret,
    ) -> Result<Self, TokenError> {
        let (_, claims) = jwt::verify::<JwtClaims>(token, secret)?;
        if claims.iss.0 != project || claims.ist.is_some_and(|ist| ist != "project") {
            return Err(TokenError::Project);
        }
        let classes = claims
            .initial_layout_class_list
            .or(claims.initial_layout_list);
        Ok(Self {
            scope: claims.scope.unwrap_or_default(),
            session: claims.session_id,
            role: claims.role.unwrap_or_default(),
            created_at: claims.iat,
            expires_at: claims.exp,
            data: claims.connection_data.unwrap_or_default(),
            // One SDK encodes the list as in a form.
            layout_classes: form_decode(&classes.unwrap_or_default()),
        })
    }
}

fn form_decode(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}
