//! Session creation byte for byte as each official SDK asks for it (`protocol/rest.md`, 1, 7, 23).

use serde_json::json;

use parlor::model::resolution::Resolution;
use parlor::model::session::{ArchiveMode, MediaMode, Session};

use super::support::{Answer, TestServer, claims, sign};

async fn stored(server: &TestServer, answer: &Answer) -> Session {
    let id = answer.session_id().parse().unwrap();
    let sessions = server.db.sessions().of(server.project.id);
    sessions
        .find(&id)
        .await
        .unwrap()
        .expect("an answered session is stored")
}

#[tokio::test]
async fn node_gets_json() {
    let server = TestServer::start().await;
    let head = format!(
        "POST /session/create HTTP/1.1\nUser-Agent: OpenTok-Node-SDK/2.23.2\n\
         X-OPENTOK-AUTH: {}\nAccept: application/json\nheaders: [object Object]\n\
         Content-type: application/x-www-form-urlencoded",
        server.token()
    );
    let answer = server
        .exchange(&head, "archiveMode=manual&p2p.preference=enabled")
        .await;
    assert_eq!(answer.json().as_array().unwrap().len(), 1);
    assert_eq!(
        stored(&server, &answer).await.media_mode,
        MediaMode::Relayed
    );
}

#[tokio::test]
async fn python_gets_json_with_exactly_the_type_it_compares_with() {
    let server = TestServer::start().await;
    let token = server.token_with(json!({"jti": "0.4237"}));
    let head = format!(
        "POST /session/create HTTP/1.1\nUser-Agent: OpenTok-Python-SDK/3.15.0 python/3.12\n\
         X-OPENTOK-AUTH: {token}\nAccept: application/json\n\
         Content-Type: application/x-www-form-urlencoded"
    );
    let form = "p2p.preference=disabled&archiveMode=manual&e2ee=True";
    let answer = server.exchange(&head, form).await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert!(stored(&server, &answer).await.e2ee);
}

#[tokio::test]
async fn java_gets_an_array_of_one() {
    let server = TestServer::start().await;
    let claims = claims(&server.project);
    let token = sign(
        &json!({"alg": "HS256"}),
        &claims,
        server.project.secret.reveal(),
    );
    let head = format!(
        "POST /session/create HTTP/1.1\nUser-Agent: Opentok-Java-SDK/4.17.0 JRE/21\n\
         X-OPENTOK-AUTH: {token}\nAccept: application/json\n\
         Content-Type: application/x-www-form-urlencoded; charset=utf-8"
    );
    let form = "p2p.preference=disabled&location=12.34.56.78&archiveMode=always\
                &archiveName=lesson&archiveResolution=1280x720";
    let answer = server.exchange(&head, form).await;
    assert_eq!(answer.json().as_array().unwrap().len(), 1);
    let session = stored(&server, &answer).await;
    assert_eq!(session.archive_mode, ArchiveMode::Always);
    assert_eq!(session.archive_name.as_deref(), Some("lesson"));
    assert_eq!(session.archive_resolution, Some(Resolution::HdLandscape));
    assert_eq!(session.location.as_deref(), Some("12.34.56.78"));
}

#[tokio::test]
async fn ruby_gets_xml_though_it_names_itself_in_the_token_header() {
    let server = TestServer::start().await;
    let mut claims = claims(&server.project);
    claims.as_object_mut().unwrap().remove("ist");
    let header = json!({"alg": "HS256", "ist": "project"});
    let token = sign(&header, &claims, server.project.secret.reveal());
    let head = format!(
        "POST /session/create HTTP/1.1\nUser-Agent: OpenTok-Ruby-SDK/4.9.0-Ruby-Version-3.3\n\
         X-Opentok-Auth: {token}\nAccept: */*\nContent-Type: application/x-www-form-urlencoded"
    );
    let answer = server
        .exchange(&head, "p2p.preference=enabled&archiveMode=manual")
        .await;
    assert_eq!(answer.header("content-type"), Some("text/xml"));
    let begin = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\
                 <sessions><Session><session_id>";
    assert!(answer.body.starts_with(begin), "{answer:?}");
    assert!(answer.body.ends_with("</Session></sessions>"), "{answer:?}");
    stored(&server, &answer).await;
}

#[tokio::test]
async fn php_gets_xml_and_may_send_its_key_along() {
    let server = TestServer::start().await;
    let head = |token: &str| {
        format!(
            "POST /session/create HTTP/1.1\nUser-Agent: OpenTok-PHP-SDK/4.15.0 php/8.3\n\
             X-OPENTOK-AUTH: {token}\nContent-Type: application/x-www-form-urlencoded"
        )
    };
    let form =
        |key: &str| format!("archiveMode=manual&p2p.preference=disabled&e2ee=false&api_key={key}");
    let key = server.project.id.to_string();
    // PHP forwards the key in whatever type the application has it.
    for iss in [json!(key), json!(server.project.id.get())] {
        let token = server.token_with(json!({"iss": iss, "jti": "6a2c"}));
        let answer = server.exchange(&head(&token), &form(&key)).await;
        assert_eq!(answer.header("content-type"), Some("text/xml"));
        assert_eq!(stored(&server, &answer).await.media_mode, MediaMode::Routed);
    }
    let other = server.exchange(&head(&server.token()), &form("1")).await;
    assert_eq!(other.status, 403);
    assert_eq!(other.header("content-type"), Some("application/xml"));
}

#[tokio::test]
async fn dotnet_gets_xml_for_empty_parameters_at_a_doubled_slash() {
    let server = TestServer::start().await;
    let head = format!(
        "POST //session/create HTTP/1.1\nUser-Agent: Opentok-DotNet-SDK/3.22.0\n\
         X-OPENTOK-AUTH: {}\nX-TB-VERSION: 1\nExpect: 100-continue\n\
         Content-Type: application/x-www-form-urlencoded",
        server.token()
    );
    let form = "location=&p2p.preference=disabled&archiveMode=always&e2ee=False\
                &archiveResolution=640x480&archiveName=";
    let answer = server.exchange(&head, form).await;
    assert_eq!(answer.xml("partner_id"), server.project.id.to_string());
    let session = stored(&server, &answer).await;
    assert_eq!((session.archive_name, session.location), (None, None));
    assert_eq!(session.archive_resolution, Some(Resolution::SdLandscape));
}
