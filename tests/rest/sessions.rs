//! What session creation accepts, refuses and answers.

use serde_json::{Value, json};

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
async fn wrong_values_and_combinations_are_refused_by_name() {
    let server = TestServer::start().await;
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
