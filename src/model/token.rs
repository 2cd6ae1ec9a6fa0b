//! Client tokens: what lets a browser into a session, made by the application, verified here.
//!
//! Both kinds that the SDKs make are accepted (`protocol/rest.md`, section 5): JWT, and the
//! older T1, an HMAC over a query string.

use std::fmt::Write;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use percent_encoding::percent_decode_str;
use ring::hmac;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use super::id::{ProjectId, SessionId};
use super::jwt::{self, Issuer, JwtError, NumericDate};
use super::project::{Project, Secret};
use super::role::Role;

/// Longest token in bytes: the longest connection data and class list, every byte of them
/// percent-encoded, then base64.
const MAX_LEN: usize = 24 * 1024;

/// Longest connection data, and longest class list, in characters. The documents say 1000, but
/// one SDK lets 1024 through.
const MAX_TEXT: usize = 1024;

/// How long a token without an expiry is good for, in seconds: the documented default.
const DEFAULT_LIFETIME_S: i64 = 24 * 60 * 60;

/// The longest lifetime in seconds: the documented 30 days, and a minute for SDKs that ask for
/// the time twice.
const MAX_LIFETIME_S: i64 = 30 * 24 * 60 * 60 + 60;

/// The only scope there is.
const SCOPE: &str = "session.connect";

/// What a T1 token begins with.
const T1: &str = "T1==";

/// What a good token lets its bearer do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// As what to join.
    pub role: Role,
    /// Connection data; empty if the token has none.
    pub data: String,
    /// Layout classes of streams that the bearer publishes.
    pub layout_classes: Vec<String>,
    /// When the token expires, in seconds since the Unix epoch. It need not be valid any longer
    /// than it takes to join.
    pub expires_at_s: i64,
}

/// Why a token was not good enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Neither a JWT nor a T1 token, or one with parts that are not what they should be.
    #[error("malformed token")]
    Malformed,
    /// More than any application has a use for.
    #[error("token too long")]
    TooLong,
    /// A JWT with any other algorithm than HS256.
    #[error("unacceptable token algorithm")]
    Algorithm,
    /// Not signed with the project's secret.
    #[error("wrong token signature")]
    Signature,
    /// Another project's, or not a project's.
    #[error("token of another project")]
    Project,
    /// A token, but not one to connect with.
    #[error("wrong token scope")]
    Scope,
    /// For another session.
    #[error("token for another session")]
    Session,
    /// Too late.
    #[error("token expired")]
    Expired,
    /// Good for more than 30 days.
    #[error("token lifetime too long")]
    Lifetime,
    /// No such role.
    #[error("unknown role in token")]
    Role,
    /// More than 1024 characters.
    #[error("connection data too long")]
    Data,
    /// More than 1024 characters.
    #[error("layout class list too long")]
    LayoutClasses,
}

/// Whether `token` is one of this project's for this session, and what it grants.
pub fn verify(
    token: &str,
    project: &Project,
    session: &SessionId,
    now_unix_s: i64,
) -> Result<Grant, TokenError> {
    if token.len() > MAX_LEN {
        return Err(TokenError::TooLong);
    }
    for secret in project.secrets(now_unix_s * 1000) {
        let read = match token.strip_prefix(T1) {
            Some(body) => Claims::from_t1(body, project.id, secret),
            None => Claims::from_jwt(token, project.id, secret),
        };
        match read {
            Err(TokenError::Signature) => {}
            read => return read?.grant(session, now_unix_s),
        }
    }
    Err(TokenError::Signature)
}

/// Makes a JWT as the SDKs do, for pages of our own and the command line. Good for a day, or else
/// for `lifetime_s` seconds.
pub fn issue(
    project: &Project,
    session: &SessionId,
    role: &str,
    data: &str,
    now_unix_s: i64,
    lifetime_s: Option<i64>,
) -> String {
    #[derive(Serialize)]
    struct Issued<'a> {
        iss: String,
        ist: &'a str,
        scope: &'a str,
        session_id: &'a str,
        role: &'a str,
        connection_data: &'a str,
        iat: i64,
        exp: i64,
    }
    let claims = Issued {
        iss: project.id.to_string(),
        ist: "project",
        scope: SCOPE,
        session_id: session.as_str(),
        role,
        connection_data: data,
        iat: now_unix_s,
        exp: now_unix_s + lifetime_s.unwrap_or(DEFAULT_LIFETIME_S),
    };
    jwt::sign(&claims, &project.secret)
}

/// What both kinds say once their signature is verified.
#[derive(Debug)]
struct Claims {
    scope: String,
    session: String,
    role: String,
    created_at: NumericDate,
    expires_at: Option<NumericDate>,
    data: String,
    layout_classes: String,
}

impl Claims {
    /// The rules that hold for both kinds.
    fn grant(self, session: &SessionId, now_unix_s: i64) -> Result<Grant, TokenError> {
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

    /// `protocol/rest.md`, 5.1.
    fn from_jwt(token: &str, project: ProjectId, secret: &Secret) -> Result<Self, TokenError> {
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

    /// `protocol/rest.md`, 5.2.
    fn from_t1(body: &str, project: ProjectId, secret: &Secret) -> Result<Self, TokenError> {
        let decoded = decode_t1(body).ok_or(TokenError::Malformed)?;
        let text = std::str::from_utf8(&decoded).map_err(|_| TokenError::Malformed)?;
        // What is signed begins behind the first colon and is taken as it is: SDKs differ in
        // order and escaping.
        let (head, signed) = text.split_once(':').ok_or(TokenError::Malformed)?;
        let head = Fields::parse(head)?;
        let partner: ProjectId = head.required("partner_id")?.parse()?;
        if partner != project {
            return Err(TokenError::Project);
        }
        if !t1_signature_matches(head.required("sig")?, signed, secret) {
            return Err(TokenError::Signature);
        }
        Fields::parse(signed)?.claims()
    }
}

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

impl From<JwtError> for TokenError {
    fn from(error: JwtError) -> Self {
        match error {
            JwtError::Malformed => Self::Malformed,
            JwtError::Algorithm => Self::Algorithm,
            JwtError::Signature => Self::Signature,
        }
    }
}

impl From<super::id::InvalidId> for TokenError {
    fn from(_: super::id::InvalidId) -> Self {
        Self::Malformed
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
fn decode_t1(body: &str) -> Option<Vec<u8>> {
    const EITHER_PADDING: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, EITHER_PADDING);
    BASE64.decode(body.replace('-', "+").replace('_', "/")).ok()
}

/// Whether `sig` is the hexadecimal HMAC-SHA1 of `signed`; compares in constant time.
fn t1_signature_matches(sig: &str, signed: &str, secret: &Secret) -> bool {
    t1_signature(signed, secret)
        .as_bytes()
        .ct_eq(sig.as_bytes())
        .into()
}

fn t1_signature(signed: &str, secret: &Secret) -> String {
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

fn form_decode(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
    use serde_json::{Value, json};

    use super::*;
    use crate::entropy::Entropy;

    const NOW: i64 = 1_739_538_900;
    const DAY: i64 = 24 * 60 * 60;

    fn project() -> Project {
        let mut project = Project::generate("shop", 0, &mut Entropy::from_seed(1));
        project.id = ProjectId::new(47_665_971).unwrap();
        project
    }

    fn session() -> SessionId {
        "2_MX40NzY2NTk3MX5-".parse().unwrap()
    }

    fn check(token: &str) -> Result<Grant, TokenError> {
        verify(token, &project(), &session(), NOW)
    }

    /// The claims of an ordinary token, changed by `change`; null removes nothing, as in PHP.
    fn jwt(change: Value) -> String {
        let mut claims = json!({
            "iss": "47665971", "ist": "project", "scope": SCOPE, "session_id": session().as_str(),
            "role": "publisher", "iat": NOW - 10, "exp": NOW + DAY, "nonce": 417_233,
        });
        let object = claims.as_object_mut().unwrap();
        object.extend(change.as_object().unwrap().clone());
        jwt::sign(&claims, &project().secret)
    }

    fn jwt_without(claim: &str) -> String {
        let mut claims: Value = serde_json::from_slice(&decoded_claims(&jwt(json!({})))).unwrap();
        claims.as_object_mut().unwrap().remove(claim).unwrap();
        jwt::sign(&claims, &project().secret)
    }

    fn decoded_claims(token: &str) -> Vec<u8> {
        BASE64_URL_SAFE_NO_PAD
            .decode(token.split('.').nth(1).unwrap())
            .unwrap()
    }

    /// A T1 token with this query string.
    fn t1(data: &str) -> String {
        t1_signed(data, &t1_signature(data, &project().secret), "47665971")
    }

    fn t1_signed(data: &str, sig: &str, key: &str) -> String {
        let clear = format!("partner_id={key}&sig={sig}:{data}");
        format!("T1=={}", BASE64_STANDARD.encode(clear))
    }

    fn t1_data(more: &str) -> String {
        format!(
            "session_id={}&create_time={}&nonce=0.5{more}",
            session(),
            NOW - 10
        )
    }

    #[test]
    fn a_jwt_grants_what_it_says() {
        let claims = json!({
            "role": "moderator", "connection_data": "name=Ana", "initial_layout_class_list": "focus full",
        });
        let grant = check(&jwt(claims)).unwrap();
        assert_eq!(grant.role, Role::Moderator);
        assert_eq!(grant.data, "name=Ana");
        assert_eq!(grant.layout_classes, ["focus", "full"]);
        assert_eq!(grant.expires_at_s, NOW + DAY);
    }

    #[test]
    fn a_jwt_may_leave_out_what_has_a_default() {
        for claim in ["ist", "role", "exp", "nonce"] {
            let grant = check(&jwt_without(claim)).unwrap();
            assert_eq!(grant.role, Role::Publisher, "without {claim}");
        }
        assert_eq!(
            check(&jwt_without("exp")).unwrap().expires_at_s,
            NOW - 10 + DAY
        );
        for claim in ["iss", "scope", "session_id", "iat"] {
            assert!(check(&jwt_without(claim)).is_err(), "without {claim}");
        }
    }

    #[test]
    fn the_oddities_of_each_sdk_are_accepted_in_a_jwt() {
        let ok = |change| check(&jwt(change)).unwrap();
        // PHP: an issuer of whatever type, nulls, an encoded class list.
        let php = json!({
            "iss": 47_665_971, "data": null, "expireTime": null, "exp": null,
            "connection_data": null, "role": null, "initial_layout_class_list": "focus+full%20wide",
        });
        assert_eq!(ok(php).layout_classes, ["focus", "full", "wide"]);
        // Java: a negative nonce and an id.
        ok(json!({"nonce": -1_234_567, "jti": "b2f5"}));
        // Node: times twice, nonce a fraction.
        ok(
            json!({"create_time": NOW, "expire_time": NOW + DAY, "nonce": 0.123, "iat": 1_739_538_890.5}),
        );
        // .NET: the class list under another name; Python: an empty one.
        assert_eq!(
            ok(json!({"initial_layout_list": "focus"})).layout_classes,
            ["focus"]
        );
        assert!(
            ok(json!({"initial_layout_class_list": ""}))
                .layout_classes
                .is_empty()
        );
    }

    #[test]
    fn each_role_is_known_by_its_name() {
        let role = |name: &str| check(&jwt(json!({ "role": name }))).map(|grant| grant.role);
        assert_eq!(role("subscriber"), Ok(Role::Subscriber));
        assert_eq!(role("publisher"), Ok(Role::Publisher));
        assert_eq!(role("publisheronly"), Ok(Role::PublisherOnly));
        assert_eq!(role("moderator"), Ok(Role::Moderator));
        assert_eq!(role("admin"), Err(TokenError::Role));
        assert_eq!(role("Moderator"), Err(TokenError::Role));
    }

    #[test]
    fn a_jwt_that_breaks_a_rule_is_refused_for_it() {
        let refused = |change: Value, error| {
            assert_eq!(check(&jwt(change.clone())), Err(error), "{change}");
        };
        refused(json!({"iss": "47665972"}), TokenError::Project);
        refused(json!({"iss": 47_665_972}), TokenError::Project);
        refused(json!({"iss": "047665971"}), TokenError::Malformed);
        refused(json!({"ist": "account"}), TokenError::Project);
        refused(
            json!({"scope": "session.connect archive"}),
            TokenError::Scope,
        );
        refused(json!({"scope": null}), TokenError::Scope);
        refused(
            json!({"session_id": "2_MX40NzY2NTk3MX4-"}),
            TokenError::Session,
        );
        refused(
            json!({"session_id": ["2_MX40NzY2NTk3MX5-"]}),
            TokenError::Malformed,
        );
        refused(json!({"exp": NOW}), TokenError::Expired);
        refused(json!({"exp": null, "iat": NOW - DAY}), TokenError::Expired);
        refused(json!({"exp": NOW + 31 * DAY}), TokenError::Lifetime);
        refused(json!({"exp": "never"}), TokenError::Malformed);
        refused(json!({"exp": -1}), TokenError::Malformed);
        refused(json!({"exp": 1e300}), TokenError::Malformed);
        refused(
            json!({"connection_data": {"name": "Ana"}}),
            TokenError::Malformed,
        );
    }

    #[test]
    fn a_token_lives_for_thirty_days_at_most() {
        assert!(check(&jwt(json!({"iat": NOW, "exp": NOW + 30 * DAY}))).is_ok());
        assert!(check(&jwt(json!({"iat": NOW, "exp": NOW + 30 * DAY + 61}))).is_err());
        let data = format!("{}&expire_time={}", t1_data(""), NOW + 31 * DAY);
        assert_eq!(check(&t1(&data)), Err(TokenError::Lifetime));
    }

    #[test]
    fn texts_have_at_most_1024_characters() {
        let (fits, long) = ("é".repeat(1024), "é".repeat(1025));
        assert_eq!(
            check(&jwt(json!({"connection_data": fits}))).unwrap().data,
            fits
        );
        assert_eq!(
            check(&jwt(json!({"connection_data": long}))),
            Err(TokenError::Data)
        );
        let classes = json!({"initial_layout_class_list": long});
        assert_eq!(check(&jwt(classes)), Err(TokenError::LayoutClasses));

        // The longest T1 token there can be: four bytes a character, all of them escaped.
        let escaped: String =
            form_urlencoded::byte_serialize("🦀".repeat(1024).as_bytes()).collect();
        let data = t1_data(&format!("&connection_data={escaped}"));
        assert_eq!(check(&t1(&data)).unwrap().data.chars().count(), 1024);
        assert_eq!(check(&"a".repeat(MAX_LEN + 1)), Err(TokenError::TooLong));
    }

    #[test]
    fn a_t1_token_grants_what_it_says() {
        let expire_time = NOW + 60;
        let more = format!("&role=subscriber&expire_time={expire_time}&scope=session.connect");
        let lists = "&connection_data=name%3DAna+B%26c&initial_layout_class_list=focus full";
        let grant = check(&t1(&t1_data(&format!("{more}{lists}")))).unwrap();
        assert_eq!(grant.role, Role::Subscriber);
        assert_eq!(grant.data, "name=Ana B&c");
        assert_eq!(grant.layout_classes, ["focus", "full"]);
        assert_eq!(grant.expires_at_s, expire_time);
    }

    /// Made with another implementation of HMAC and base64 than ours.
    #[test]
    fn a_t1_token_made_elsewhere_is_accepted() {
        let token = "T1==cGFydG5lcl9pZD00NzY2NTk3MSZzaWc9MjFhYzBhZDZjOTlmZTJkM2JhMzA5YjgyNWUyZDE3NDYyNzE2\
            MzJlYzpzZXNzaW9uX2lkPTJfTVg0ME56WTJOVGszTVg1LSZjcmVhdGVfdGltZT0xNzM5NTM4ODkwJnJvbGU9\
            bW9kZXJhdG9yJm5vbmNlPTE3Mzk1Mzg4OTAuMTQxNzIzMyZjb25uZWN0aW9uX2RhdGE9bmFtZSUzREFuYQ==";
        let secret = "0123456789abcdef0123456789abcdef01234567".parse().unwrap();
        let project = Project {
            secret,
            ..project()
        };
        let grant = verify(token, &project, &session(), NOW).unwrap();
        assert_eq!(
            (grant.role, grant.data.as_str()),
            (Role::Moderator, "name=Ana")
        );
    }

    #[test]
    fn a_t1_token_may_leave_out_what_has_a_default() {
        let grant = check(&t1(&t1_data("&initial_layout_class_list="))).unwrap();
        assert_eq!((grant.role, grant.data.as_str()), (Role::Publisher, ""));
        assert_eq!(grant.expires_at_s, NOW - 10 + DAY);
    }

    /// The signature is computed over what stands there, in whatever order; one SDK uses the
    /// URL-safe alphabet, some pad.
    #[test]
    fn a_t1_token_may_be_written_in_either_base64() {
        let data = format!(
            "role=moderator&create_time={NOW}&connection_data=%7e~%C3%BF%3e>>??&session_id={}",
            session()
        );
        let token = t1(&data);
        let url_safe = token[T1.len()..].replace('+', "-").replace('/', "_");
        assert_ne!(
            url_safe,
            token[T1.len()..],
            "the example has a letter that differs"
        );
        for body in [
            &url_safe,
            url_safe.trim_end_matches('='),
            token[T1.len()..].trim_end_matches('='),
        ] {
            assert_eq!(check(&format!("T1=={body}")).unwrap().role, Role::Moderator);
        }
    }

    #[test]
    fn a_t1_token_that_breaks_a_rule_is_refused_for_it() {
        let refused = |token: String, error| assert_eq!(check(&token), Err(error), "{token}");
        let data = t1_data("");
        let good = t1_signature(&data, &project().secret);
        refused(t1_signed(&data, &good, "47665972"), TokenError::Project);
        refused(
            t1_signed(&data, &good.to_uppercase(), "47665971"),
            TokenError::Signature,
        );
        refused(
            t1_signed(&data, &good[1..], "47665971"),
            TokenError::Signature,
        );
        refused(t1_signed(&data, "", "47665971"), TokenError::Malformed);
        refused(
            t1_signed(&t1_data("&role=moderator"), &good, "47665971"),
            TokenError::Signature,
        );
        refused(
            t1(&t1_data("&role=moderator&role=publisher")),
            TokenError::Malformed,
        );
        refused(t1(&t1_data("&scope=account")), TokenError::Scope);
        refused(t1(&t1_data("&expire_time=1")), TokenError::Expired);
        refused(t1(&t1_data("&expire_time=NaN")), TokenError::Malformed);
        refused(t1(&t1_data("&expire_time=-1e9")), TokenError::Malformed);
        refused(
            t1(&data.replace("create_time", "time")),
            TokenError::Malformed,
        );
        refused(t1(&data.replace("session_id", "id")), TokenError::Malformed);
        refused(t1(&data.replace("2_MX", "1_MX")), TokenError::Session);
    }

    #[test]
    fn garbage_is_malformed() {
        for token in [
            "", "T1==", "T1==!", "T1==YQ==", "T1==/w==", "T2==YQ==", "a.b.c", "💥",
        ] {
            assert_eq!(check(token), Err(TokenError::Malformed), "{token}");
        }
    }

    #[test]
    fn every_changed_character_spoils_a_token() {
        for token in [jwt(json!({})), t1(&t1_data("&role=publisher"))] {
            for at in 0..token.len() {
                let mut changed = token.clone().into_bytes();
                changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
                let changed = String::from_utf8(changed).unwrap();
                assert!(check(&changed).is_err(), "{at}: {changed}");
            }
        }
    }

    #[test]
    fn what_we_issue_we_accept() {
        let token = issue(&project(), &session(), "moderator", "ana", NOW, None);
        let grant = check(&token).unwrap();
        assert_eq!((grant.role, grant.data.as_str()), (Role::Moderator, "ana"));
    }
}
