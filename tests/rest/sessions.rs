//! What session creation accepts, refuses and answers.

use serde_json::{Value, json};

use super::live::Live;
use super::support::{MAX_BODY, TestServer};

#[tokio::test]
async fn the_answer_has_the_members_of_the_original_in_its_order() {
    let server = TestServer::start().await;
    let answer = server.create("p2p.preference=disabled").await;
    let session = &answer.json()[0];
    let key = server.project.id.to_string();
    assert_eq!(session["project_id"], key);
    assert_eq!(session["partner_id"], key);
    assert_eq!(session["ice_credential_expiration"], 86_100);
    assert!(
        session["session_segment_id"]
            .as_str()
            .unwrap()
            .parse::<uuid::Uuid>()
            .is_ok()
    );
    let date = session["create_dt"].as_str().unwrap();
    let shape: Vec<usize> = date.split(' ').map(str::len).collect();
    assert_eq!(shape, [3, 3, 2, 8, 3, 4], "{date}");

    let null = [
        "session_status",
        "status_invalid",
        "media_server_hostname",
        "messaging_server_url",
        "messaging_url",
        "symphony_address",
        "properties",
        "ice_server",
        "ice_servers",
    ];
    for member in null {
        assert_eq!(session.get(member), Some(&Value::Null), "{member}");
    }
    assert_eq!(session.as_object().unwrap().len(), 15);
    assert!(answer.body.starts_with("[{\"session_id\":"));
}

#[tokio::test]
async fn the_segment_is_another_each_time() {
    let server = TestServer::start().await;
    let mut answers = Vec::new();
    for _ in 0..2 {
        answers.push(server.create("").await.json()[0].clone());
    }
    assert_ne!(answers[0]["session_id"], answers[1]["session_id"]);
    assert_ne!(
        answers[0]["session_segment_id"],
        answers[1]["session_segment_id"]
    );
}

#[tokio::test]
async fn json_is_accepted_in_any_spelling() {
    let server = TestServer::start().await;
    let head = format!(
        "POST /session/create HTTP/1.1\nX-OPENTOK-AUTH: {}\nAccept: application/json\n\
         Content-Type: application/json; charset=utf-8",
        server.token()
    );
    let body = json!({
        "ArchiveMode": "always", "p2p.preference": "disabled", "archive_name": "x",
        "location": null, "e2ee": false, "max_connections": 25, "video_codecs": "h264,VP8", "unknown": {"a": [1]},
    });
    let id = server
        .exchange(&head, &body.to_string())
        .await
        .session_id()
        .parse()
        .unwrap();
    let session = server.db.sessions().find_any(&id).await.unwrap().unwrap();
    assert_eq!(session.archive_name.as_deref(), Some("x"));
    assert_eq!(session.max_connections, Some(25));
    assert_eq!(session.video_codecs, "h264,vp8".parse().ok());

    for empty in ["", "{}", "[]"] {
        server.exchange(&head, empty).await.session_id();
    }
    for wrong in ["{", "[1]", "true"] {
        server.exchange(&head, wrong).await.error(400);
    }
}

#[tokio::test]
async fn no_body_and_no_type_is_a_session_with_all_defaults() {
    let server = TestServer::start().await;
    let head = format!(
        "POST /session/create HTTP/1.1\nX-OPENTOK-AUTH: {}",
        server.token()
    );
    server.exchange(&head, "").await.session_id();
}

#[tokio::test]
async fn a_session_is_created_under_every_name_of_the_operation_and_any_page_may_read_it() {
    let live = Live::start().await;
    for path in [
        "/session/create",
        "/session",
        "/hl/session/create",
        "//session/create/",
    ] {
        let created = live.ask_at("POST", path, Value::Null).await;
        created.session_id();
        assert_eq!(
            created.header("access-control-allow-origin"),
            Some("*"),
            "{path}"
        );
    }
    live.shutdown().await;
}

#[tokio::test]
async fn a_body_of_a_mebibyte_is_taken_and_a_longer_one_is_not() {
    let live = Live::start().await;
    let frame = json!({"unknown": ""}).to_string().len();
    for (len, status) in [(1 << 20, 200), ((1 << 20) + 1, 413)] {
        let body = json!({"unknown": "a".repeat(len - frame)});
        let answer = live.ask_at("POST", "/session/create", body).await;
        assert_eq!(answer.status, status);
    }
    live.shutdown().await;
}

#[tokio::test]
async fn what_cannot_be_a_session_is_told_from_what_is_none() {
    let live = Live::start().await;
    let project = format!("/v2/project/{}", live.key());
    let long = "2_".to_owned() + &"MX4x".repeat(64);
    // The last one is of the right shape, and of nobody.
    let unknown = "2_MX4xfn4xNzM5NTM4ODk0OTU5flE5bWNYRzFRclJOM1RJWXU4eXBweGdzTn5-fg";
    for (session, status) in [
        (long.as_str(), 400),
        ("2_", 400),
        ("2_!", 400),
        (unknown, 404),
    ] {
        for list in ["stream", "connection", "statistics"] {
            let path = format!("{project}/session/{session}/{list}");
            live.ask_at("GET", &path, Value::Null).await.error(status);
        }
    }
    // The body is looked at before the session.
    let body = json!({"sessionId": unknown, "hasAudio": 7});
    live.ask_project("POST", "/archive", body).await.error(400);
    live.shutdown().await;
}

#[tokio::test]
async fn wrong_values_and_combinations_are_refused_by_name() {
    let server = TestServer::start().await;
    let always = "archiveMode=always&archiveName=";
    let long_name = format!("{always}{}", "x".repeat(81));
    let longest_name = format!("{always}{}", "x".repeat(80));
    server.create(&longest_name).await.session_id();
    let refused = [
        ("p2p.preference=maybe", "p2p.preference"),
        ("archiveMode=sometimes", "archiveMode"),
        ("archiveMode=always&p2p.preference=enabled", "archiveMode"),
        ("archiveMode=always&p2p.preference=adaptive", "archiveMode"),
        ("archiveName=x", "archiveName"),
        (
            "archiveMode=manual&archiveResolution=640x480",
            "archiveResolution",
        ),
        (
            "archiveMode=always&archiveResolution=1x1",
            "archiveResolution",
        ),
        ("location=localhost", "location"),
        ("location=%3A%3A1", "location"),
        (&long_name, "archiveName"),
        ("e2ee=1", "e2ee"),
        ("e2ee=true&p2p.preference=enabled", "e2ee"),
        ("e2ee=true&archiveMode=always", "e2ee"),
        ("maxConnections=0", "maxConnections"),
        ("maxConnections=100001", "maxConnections"),
        ("maxConnections=many", "maxConnections"),
        ("videoCodecs=h265", "videoCodecs"),
        ("videoCodecs=vp8,vp8", "videoCodecs"),
    ];
    for (form, named) in refused {
        let message = server.create(form).await.error(400);
        assert!(message.contains(named), "{form}: {message}");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let server = TestServer::start().await;
    let form = format!("unknown={}", "a".repeat(MAX_BODY));
    server.create(&form).await.error(413);
    let form = format!("unknown={}", "a".repeat(MAX_BODY - 100));
    server.create(&form).await.session_id();
}

#[tokio::test]
async fn unknown_paths_and_methods_are_errors_in_json() {
    let server = TestServer::start().await;
    server
        .exchange("GET /session/creates HTTP/1.1", "")
        .await
        .error(404);
    server
        .exchange("GET /session/create HTTP/1.1", "")
        .await
        .error(405);
}

#[tokio::test]
async fn a_closed_database_is_a_503_that_tells_nothing() {
    let server = TestServer::start().await;
    server.db.close().await;
    assert_eq!(server.create("").await.error(503), "Service unavailable");
}
