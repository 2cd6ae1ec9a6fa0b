//! What tokens of both kinds say, and the rules that hold for it.

use super::{Grant, TokenError};
use crate::model::id::SessionId;
use crate::model::jwt::NumericDate;
use crate::model::role::Role;

/// Longest connection data, and longest class list, in characters. The documents say 1000, but
/// one SDK lets 1024 through.
const MAX_TEXT: usize = 1024;

/// How long a token without an expiry is good for, in seconds: the documented default.
pub(super) const DEFAULT_LIFETIME_S: i64 = 24 * 60 * 60;

/// The longest lifetime in seconds: the documented 30 days, and a minute for SDKs that ask for
/// the time twice.
const MAX_LIFETIME_S: i64 = 30 * 24 * 60 * 60 + 60;

/// The only scope there is.
pub(super) const SCOPE: &str = "session.connect";

/// What both kinds say once their signature is verified.
#[derive(Debug)]
pub(super) struct Claims {
    pub(super) scope: String,
    pub(super) session: String,
    pub(super) role: String,
    pub(super) created_at: NumericDate,
    pub(super) expires_at: Option<NumericDate>,
    pub(super) data: String,
    pub(super) layout_classes: String,
}

impl Claims {
    /// The rules that hold for both kinds.
    pub(super) fn grant(self, session: &SessionId, now_unix_s: i64) -> Result<Grant, TokenError> {
        let created_at_s = self.created_at.0;
        let expires_at_s = self
            .expires_at
            .map_or(created_at_s + DEFAULT_LIFETIME_S, |at| at.0);
        if self.scope != SCOPE {
            return Err(TokenError::Scope);
        }
        if self.session != session.as_str() {
            return Err(TokenError::Session);
        }
        if expires_at_s <= now_unix_s {
            return Err(TokenError::Expired);
        }
        if expires_at_s - created_at_s > MAX_LIFETIME_S {
            return Err(TokenError::Lifetime);
        }
        if self.data.chars().count() > MAX_TEXT {
            return Err(TokenError::Data);
        }
        if self.layout_classes.chars().count() > MAX_TEXT {
            return Err(TokenError::LayoutClasses);
        }
        Ok(Grant {
            role: match self.role.as_str() {
                "" => Role::default(),
                name => name.parse().map_err(|_| TokenError::Role)?,
            },
            data: self.data,
            layout_classes: self
                .layout_classes
                .split_whitespace()
                .map(str::to_owned)
                .collect(),
            expires_at_s,
        })
    }
}
