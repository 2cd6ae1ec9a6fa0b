//! Tokens of both kinds, good ones and bad ones.

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::*;
use crate::entropy::Entropy;
use crate::model::id::ProjectId;

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
    signed::sign(&claims, &project().secret)
}

fn jwt_without(claim: &str) -> String {
    let mut claims: Value = serde_json::from_slice(&decoded_claims(&jwt(json!({})))).unwrap();
    claims.as_object_mut().unwrap().remove(claim).unwrap();
    signed::sign(&claims, &project().secret)
}

fn decoded_claims(token: &str) -> Vec<u8> {
    BASE64_URL_SAFE_NO_PAD
        .decode(token.split('.').nth(1).unwrap())
        .unwrap()
}

/// A T1 token with this query string.
fn t1(data: &str) -> String {
    t1_signed(data, &t1::signature(data, &project().secret), "47665971")
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
    let escaped: String = form_urlencoded::byte_serialize("🦀".repeat(1024).as_bytes()).collect();
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
    let good = t1::signature(&data, &project().secret);
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
