//! Who calls: the project whose secret signed the request (`protocol/rest.md`, section 2).

use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;
use serde::Deserialize;
use tracing::Span;
use tracing::field::display;

use super::error::ApiError;
use super::openapi::operation::{Credentials as Signed, Operation, Takes};
use super::rate::Rates;
use super::target::segment;
use crate::clock::Clock;
use crate::db::Db;
use crate::model::id::ProjectId;
use crate::model::jwt::{self, Issuer, JwtError, NumericDate};
use crate::model::project::{Account, Project, ProjectStatus, Secret};

/// Header with a JWT signed by the caller.
const TOKEN: &str = "x-opentok-auth";

/// Header with key and secret in clear, as SDKs before 2017 sent it.
const LEGACY: &str = "x-tb-partner-auth";

/// How far a caller's clock may be ahead of ours, in seconds (our choice).
const SKEW_S: i64 = 60;

/// How long a caller's JWT may live, in seconds: the documented five minutes, and some for SDKs
/// that ask for the time twice.
const MAX_LIFETIME_S: i64 = 300 + 30;

/// Name of the path parameter that must be the caller's key, on routes that have one.
pub(super) const PATH_KEY: &str = "api_key";

/// The project that makes this request. Extracting it fails with 403, for whatever reason.
#[derive(Debug, Clone)]
pub struct AuthProject(pub Project);

/// Which credentials are good enough, and how often.
#[derive(Debug, Clone, Default)]
pub struct AuthPolicy {
    /// Accept `X-TB-PARTNER-AUTH`, which sends the secret itself.
    pub legacy_header: bool,
    /// What each project may call.
    pub rates: Rates,
}

impl<S> FromRequestParts<S> for AuthProject
where
    Db: FromRef<S>,
    Clock: FromRef<S>,
    AuthPolicy: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let db = Db::from_ref(state);
        let (policy, clock) = (AuthPolicy::from_ref(state), Clock::from_ref(state));
        let now_ms = clock.unix_ms();
        let project = match credentials(parts, &policy)? {
            Credentials::Token(token) => by_token(&db, token, now_ms).await?,
            Credentials::Secret(key, secret) => by_secret(&db, key, secret, now_ms).await?,
        };
        if project.status == ProjectStatus::Suspended {
            return Err(SUSPENDED);
        }
        match segment(parts, PATH_KEY).await {
            Some(key) if key != project.id.to_string() => Err(OTHER_PROJECT),
            _ if !policy.rates.take(project.id, clock.now()) => Err(ApiError::TooManyRequests),
            _ => {
                Span::current().record("project.id", display(project.id));
                Ok(Self(project))
            }
        }
    }
}

impl Takes for AuthProject {
    fn takes(operation: &mut Operation<'_>) {
        operation.signed_by(Signed::Project);
        operation.segment::<ProjectId>(PATH_KEY, "The key of the project that calls.");
        for reason in [INVALID, UNKNOWN_PROJECT, OTHER_PROJECT, SUSPENDED] {
            operation.refuses(&reason);
        }
        operation.refuses(&ApiError::TooManyRequests);
    }
}

/// The account that makes this request. Extracting it fails with 403, for whatever reason.
#[derive(Debug, Clone)]
pub struct AuthAccount(pub Account);

impl<S> FromRequestParts<S> for AuthAccount
where
    Db: FromRef<S>,
    Clock: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let token = only_value(parts, TOKEN)?.ok_or(INVALID)?;
        let key = jwt::claimed_issuer(token).ok_or(INVALID)?;
        let db = Db::from_ref(state);
        let account = db.accounts().find(key).await?.ok_or(UNKNOWN_PROJECT)?;
        let now_ms = Clock::from_ref(state).unix_ms();
        check_token(token, "account", [&account.secret].into_iter(), key, now_ms)?;
        Ok(Self(account))
    }
}

impl Takes for AuthAccount {
    fn takes(operation: &mut Operation<'_>) {
        operation.signed_by(Signed::Account);
        for reason in [INVALID, UNKNOWN_PROJECT] {
            operation.refuses(&reason);
        }
    }
}

const SUSPENDED: ApiError = ApiError::Forbidden("Project is suspended");
/// What the original says.
const UNKNOWN_PROJECT: ApiError = ApiError::Forbidden("Issuer not found");
/// What the original says.
const OTHER_PROJECT: ApiError =
    ApiError::Forbidden("Id in the token does not match the one in the url");
const INVALID: ApiError = ApiError::Forbidden("Invalid token");

enum Credentials<'a> {
    Token(&'a str),
    Secret(&'a str, &'a str),
}

fn credentials<'a>(parts: &'a Parts, policy: &AuthPolicy) -> Result<Credentials<'a>, ApiError> {
    if let Some(token) = only_value(parts, TOKEN)? {
        return Ok(Credentials::Token(token));
    }
    let legacy = if policy.legacy_header {
        only_value(parts, LEGACY)?
    } else {
        None
    };
    let (key, secret) = legacy
        .and_then(|pair| pair.split_once(':'))
        .ok_or(INVALID)?;
    Ok(Credentials::Secret(key, secret))
}

/// A header's value; there must not be two.
fn only_value<'a>(parts: &'a Parts, name: &str) -> Result<Option<&'a str>, ApiError> {
    let mut values = parts.headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    match (value.to_str(), values.next()) {
        (Ok(text), None) => Ok(Some(text.trim())),
        _ => Err(INVALID),
    }
}

async fn by_token(db: &Db, token: &str, now_ms: i64) -> Result<Project, ApiError> {
    let key = jwt::claimed_issuer(token).ok_or(INVALID)?;
    let project = db.projects().find(key).await?.ok_or(UNKNOWN_PROJECT)?;
    check_token(token, "project", project.secrets(now_ms), key, now_ms)?;
    Ok(project)
}

async fn by_secret(db: &Db, key: &str, secret: &str, now_ms: i64) -> Result<Project, ApiError> {
    let key: ProjectId = key.parse().map_err(|_| INVALID)?;
    let project = db.projects().find(key).await?.ok_or(UNKNOWN_PROJECT)?;
    let good = project.secrets(now_ms).any(|good| good.matches(secret));
    if good { Ok(project) } else { Err(INVALID) }
}

#[derive(Deserialize)]
struct Claims {
    iss: Issuer,
    ist: Option<String>,
    iat: NumericDate,
    exp: NumericDate,
    nbf: Option<NumericDate>,
    scope: Option<String>,
}

/// Whether one of these secrets has signed the token, and whether it is one of this kind and key.
fn check_token<'a>(
    token: &str,
    kind: &str,
    mut secrets: impl Iterator<Item = &'a Secret>,
    key: ProjectId,
    now_ms: i64,
) -> Result<(), ApiError> {
    let now_unix_s = now_ms / 1000;
    let verified = secrets.find_map(|secret| match jwt::verify::<Claims>(token, secret) {
        Err(JwtError::Signature) => None,
        verified => Some(verified),
    });
    let (header, claims) = verified.ok_or(INVALID)?.map_err(|_| INVALID)?;
    // One SDK puts it into the header.
    let ist = match claims.ist {
        Some(ist) => Some(ist),
        None => header.extras.get::<String>("ist").map_err(|_| INVALID)?,
    };
    let lifetime_s = claims.exp.0 - claims.iat.0;
    let good = claims.iss.0 == key
        && ist.as_deref().unwrap_or("project") == kind
        // That would be a client's.
        && claims.scope.is_none()
        && claims.nbf.is_none_or(|nbf| nbf.0 <= now_unix_s + SKEW_S)
        && claims.iat.0 <= now_unix_s + SKEW_S
        && claims.exp.0 > now_unix_s
        && lifetime_s <= MAX_LIFETIME_S;
    if good { Ok(()) } else { Err(INVALID) }
}
