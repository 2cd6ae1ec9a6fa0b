//! Who may call, and that everybody else gets 403 whatever they try.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use parlor::entropy::Entropy;
use parlor::http::auth::AuthPolicy;
use parlor::http::rate::Rates;
use parlor::model::project::Project;
use serde_json::{Value, json};

use super::live::Live;
use super::support::{Answer, TestServer, claims, now_unix_s, sign};

async fn create_as(server: &TestServer, credentials: &str) -> Answer {
    let head = format!(
        "POST /session/create HTTP/1.1\nAccept: application/json\n\
         Content-Type: application/x-www-form-urlencoded\n{credentials}"
    );
    server.exchange(&head, "p2p.preference=disabled").await
}

async fn create_with_token(server: &TestServer, token: &str) -> Answer {
    create_as(server, &format!("X-OPENTOK-AUTH: {token}")).await
}

#[tokio::test]
async fn forged_tokens_are_refused() {
    let server = TestServer::start().await;
    let other = Project::generate("other", 0, &mut Entropy::from_seed(2));
    server.db.projects().insert(&other).await.unwrap();
    let secret = server.project.secret.reveal();
    let hs256 = json!({"alg": "HS256", "typ": "JWT"});
    let good = server.token();
    let claims = claims(&server.project);
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let with_alg = |alg: Value| sign(&json!({"alg": alg, "typ": "JWT"}), &claims, secret);
    let (message, signature) = good.rsplit_once('.').unwrap();
    let unsigned = format!("{}.{}.", part(&json!({"alg": "none"})), part(&claims));
    let claims_of_other = json!({"iss": other.id.to_string()});

    let forged = [
        ("nothing", String::new()),
        ("a word", "forged".to_owned()),
        ("only dots", "..".to_owned()),
        ("with a scheme", format!("Bearer {good}")),
        ("without signature", format!("{message}.")),
        ("signature cut", good[..good.len() - 2].to_owned()),
        ("four parts", format!("{good}.{signature}")),
        ("padded", format!("{good}=")),
        (
            "another secret",
            sign(&hs256, &claims, other.secret.reveal()),
        ),
        (
            "the secret in capitals",
            sign(&hs256, &claims, &secret.to_uppercase()),
        ),
        ("an empty secret", sign(&hs256, &claims, "")),
        ("alg none", unsigned.clone()),
        ("alg none, but signed", with_alg(json!("none"))),
        (
            "alg None with a signature",
            format!("{unsigned}{signature}"),
        ),
        ("alg HS512", with_alg(json!("HS512"))),
        ("alg RS256", with_alg(json!("RS256"))),
        ("alg a list", with_alg(json!(["HS256"]))),
        ("no alg", sign(&json!({"typ": "JWT"}), &claims, secret)),
        (
            "claims exchanged",
            format!("{}.{}.{signature}", part(&hs256), part(&claims_of_other)),
        ),
        (
            "another issuer",
            server.token_with(json!({"iss": other.id.to_string()})),
        ),
        ("an unknown issuer", server.token_with(json!({"iss": "1"}))),
        ("issuer 0", server.token_with(json!({"iss": 0}))),
        (
            "issuer not a key",
            server.token_with(json!({"iss": "1 OR 1=1"})),
        ),
        ("issuer null", server.token_with(json!({"iss": null}))),
        ("an account", server.token_with(json!({"ist": "account"}))),
        (
            "a header with crit",
            sign(&json!({"alg": "HS256", "crit": ["x"]}), &claims, secret),
        ),
        (
            "a key of its own in the header",
            sign(
                &json!({"alg": "HS256", "jwk": {"kty": "oct", "k": part(&json!("mine"))}}),
                &claims,
                "mine",
            ),
        ),
        (
            "a file for a key",
            sign(&json!({"alg": "HS256", "kid": "/dev/null"}), &claims, ""),
        ),
        (
            "the key for a secret",
            sign(&hs256, &claims, &server.project.id.to_string()),
        ),
        (
            "a signature of zeroes",
            format!("{message}.{}", "A".repeat(43)),
        ),
        (
            "a signature in hexadecimal",
            format!("{message}.{}", "0".repeat(64)),
        ),
        (
            "claims that are a list",
            sign(&hs256, &json!([claims]), secret),
        ),
        (
            "claims that are a token",
            sign(&hs256, &json!(good), secret),
        ),
        (
            "a header that is a text",
            sign(&json!("HS256"), &claims, secret),
        ),
        (
            "five parts, as if encrypted",
            format!("{good}.{signature}.{signature}"),
        ),
        ("two at once", format!("{good},{good}")),
        (
            "not yet good",
            server.token_with(json!({"nbf": now_unix_s() + 200})),
        ),
        (
            "a list of issuers",
            server.token_with(json!({"iss": [claims["iss"]]})),
        ),
        (
            "a kind that is none",
            server.token_with(json!({"ist": "root"})),
        ),
        (
            "a client's token",
            server.token_with(json!({"scope": "session.connect"})),
        ),
    ];
    for (what, token) in forged {
        let answer = create_with_token(&server, &token).await;
        assert!(!answer.error(403).is_empty(), "{what}");
    }
    create_with_token(&server, &good).await.session_id();
}

#[tokio::test]
async fn times_are_checked_with_some_slack() {
    let server = TestServer::start().await;
    let now = now_unix_s();
    // Each some seconds away from its limit, so that the test may be slow.
    let times = [
        (json!({"iat": now, "exp": now + 300}), 200),
        (json!({"iat": now + 40, "exp": now + 340}), 200),
        (json!({"iat": now - 1, "exp": now + 300}), 200),
        (json!({"iat": now, "exp": now}), 403),
        (json!({"iat": now - 400, "exp": now - 100}), 403),
        (json!({"iat": now + 100, "exp": now + 400}), 403),
        (json!({"iat": now, "exp": now + 331}), 403),
        (json!({"iat": now, "exp": now + 3600}), 403),
        (json!({"iat": now, "exp": null}), 403),
        (json!({"iat": null, "exp": now + 300}), 403),
        (json!({"iat": now, "exp": (now + 300).to_string()}), 403),
    ];
    for (claims, status) in times {
        let answer = create_with_token(&server, &server.token_with(claims.clone())).await;
        assert_eq!(answer.status, status, "{claims} at {now}");
    }
}

#[tokio::test]
async fn what_some_sdks_leave_out_is_not_asked_for() {
    let server = TestServer::start().await;
    let mut claims = claims(&server.project);
    claims.as_object_mut().unwrap().remove("ist");
    let secret = server.project.secret.reveal();
    let token = sign(&json!({"alg": "HS256"}), &claims, secret);
    create_with_token(&server, &token).await.session_id();
    // What is said in the claims counts more than what is said in the header.
    claims["ist"] = json!("project");
    let token = sign(&json!({"alg": "HS256", "ist": "account"}), &claims, secret);
    create_with_token(&server, &token).await.session_id();
}

#[tokio::test]
async fn whoever_does_not_ask_for_json_is_refused_in_xml() {
    let server = TestServer::start().await;
    let token = server.token_with(json!({"iss": "1"}));
    let head = format!("POST /session/create HTTP/1.1\nX-OPENTOK-AUTH: {token}");
    let answer = server.exchange(&head, "").await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (403, Some("application/xml"))
    );
    assert_eq!(
        answer.body,
        "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?><errorPayload>\
         <code>-1</code><message>Issuer not found</message>\
         <description>Issuer not found</description></errorPayload>"
    );
}

#[tokio::test]
async fn two_tokens_are_not_better_than_none() {
    let server = TestServer::start().await;
    let token = server.token();
    let twice = format!("X-OPENTOK-AUTH: {token}\nX-OPENTOK-AUTH: {token}");
    create_as(&server, &twice).await.error(403);
    create_as(&server, "X-Unrelated: 1").await.error(403);
}

#[tokio::test]
async fn the_secret_in_clear_counts_only_where_it_is_switched_on() {
    let refusing = TestServer::start().await;
    let accepting = TestServer::start_with(AuthPolicy {
        legacy_header: true,
        ..AuthPolicy::default()
    })
    .await;
    let header = |server: &TestServer| {
        format!(
            "X-TB-PARTNER-AUTH: {}:{}",
            server.project.id,
            server.project.secret.reveal()
        )
    };
    create_as(&refusing, &header(&refusing)).await.error(403);
    create_as(&accepting, &header(&accepting))
        .await
        .session_id();
    for wrong in [
        "",
        ":",
        "1:x",
        &format!("{}:", accepting.project.id),
        &header(&refusing)[19..],
    ] {
        create_as(&accepting, &format!("X-TB-PARTNER-AUTH: {wrong}"))
            .await
            .error(403);
    }
    // A bad token is not made good by the secret next to it.
    let both = format!("X-OPENTOK-AUTH: bad\n{}", header(&accepting));
    create_as(&accepting, &both).await.error(403);
}

#[tokio::test]
async fn the_key_in_the_path_must_be_the_callers() {
    let server = TestServer::start().await;
    let other = Project::generate("other", 0, &mut Entropy::from_seed(2));
    server.db.projects().insert(&other).await.unwrap();
    let ask = async |key: &str| {
        let token = server.token();
        let head = format!("GET /v2/project/{key}/session/ HTTP/1.1\nX-OPENTOK-AUTH: {token}");
        server.exchange(&head, "").await
    };
    assert_eq!(ask(&server.project.id.to_string()).await.body, "mine");
    let expected = "Id in the token does not match the one in the url";
    for key in [
        other.id.to_string().as_str(),
        "1",
        "x",
        &format!("0{}", server.project.id),
    ] {
        assert_eq!(ask(key).await.error(403), expected);
    }
}

#[tokio::test]
async fn another_projects_session_does_not_exist() {
    let live = Live::start().await;
    let stream = {
        let mut client = live.join().await;
        live.publish_camera(&mut client, "front").await
    };
    let created = live
        .manage("POST", "/v2/project", json!({"name": "other"}))
        .await
        .json();
    let (key, secret) = (&created["id"], created["secret"].as_str().unwrap());
    let now = now_unix_s();
    let claims = json!({"iss": key, "ist": "project", "iat": now, "exp": now + 300});
    let token = sign(&json!({"alg": "HS256"}), &claims, secret);
    let own = format!("/v2/project/{}", key.as_str().unwrap());
    let session = format!("/session/{}", live.session);
    let data = json!({"data": "x"});
    let calls = [
        ("GET", format!("{session}/stream"), Value::Null),
        ("GET", format!("{session}/stream/{stream}"), Value::Null),
        ("GET", format!("{session}/connection"), Value::Null),
        ("POST", format!("{session}/signal"), data),
        ("POST", format!("{session}/mute"), json!({"active": true})),
        (
            "POST",
            format!("{session}/stream/{stream}/mute"),
            Value::Null,
        ),
        (
            "POST",
            "/archive".into(),
            json!({"sessionId": live.session}),
        ),
    ];
    for (method, path, body) in calls {
        let mine = format!("{own}{path}");
        let answer = live.ask_as(&token, method, &mine, body.clone()).await;
        answer.error(404);
        let theirs = format!("/v2/project/{}{path}", live.key());
        let answer = live.ask_as(&token, method, &theirs, body).await;
        answer.error(403);
    }
    // Nor does a token of the one let into a session of the other.
    let claims = json!({"iss": key, "ist": "project", "scope": "session.connect", "nonce": 1,
        "session_id": live.session, "iat": now, "exp": now + 300});
    let token = sign(&json!({"alg": "HS256"}), &claims, secret);
    assert_eq!(live.session_info_with(&token).await["error"]["code"], 403);
    live.shutdown().await;
}

#[tokio::test]
async fn a_project_that_calls_too_often_is_told_when_to_come_back() {
    let server = TestServer::start_with(AuthPolicy {
        // So slow that the test may be slow, too.
        rates: Rates::new(1),
        ..AuthPolicy::default()
    })
    .await;
    let mut answers = Vec::new();
    for _ in 0..20 {
        // Strangers cannot use a project's calls up.
        create_with_token(&server, "forged").await.error(403);
        answers.push(create_with_token(&server, &server.token()).await);
    }
    assert_eq!(answers[0].status, 200);
    let refused = answers.iter().find(|answer| answer.status != 200).unwrap();
    assert_eq!(refused.error(429), "Too many requests");
    assert_eq!(refused.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn the_paths_of_before_2017_are_there_only_where_they_are_switched_on() {
    for on in [true, false] {
        let live = Live::start_with(|config| config.auth.legacy_header = on).await;
        let path = format!("/v2/partner/{}/session/{}/stream", live.key(), live.session);
        let answer = live.ask_at("GET", &path, Value::Null).await;
        assert_eq!(answer.status, if on { 200 } else { 404 });
        live.shutdown().await;
    }
}
