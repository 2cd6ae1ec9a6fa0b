//! The command line: what it answers, and what of it a running server and its clients notice.

use serde_json::{Value, json};

use super::process::{Process, eventually, parlor, try_parlor};
use super::support::{Site, TestClient};
use super::{joined, site};

/// What a command answers with `--json`.
fn answer(process: &Process, words: &[&str]) -> Value {
    let text = parlor(process, &[words, &["--json"]].concat());
    serde_json::from_str(&text).unwrap()
}

/// What a command complains about, which must be one thing in one line.
fn complaint(process: &Process, words: &[&str]) -> String {
    let complaint = try_parlor(process, words).unwrap_err();
    let line = complaint.strip_prefix("parlor: ").unwrap_or(&complaint);
    line.lines().next().unwrap().to_owned()
}

/// A new project: its key and secret.
fn create(process: &Process, more: &[&str]) -> (String, String) {
    let words = [&["project", "create", "Shop"], more].concat();
    let project = answer(process, &words);
    let text = |member: &str| project[member].as_str().unwrap().to_owned();
    (text("api_key"), text("api_secret"))
}

#[tokio::test]
async fn projects_are_created_listed_changed_and_deleted() {
    let process = Process::start();
    let limits = ["--max-connections", "50", "--video-codecs", "h264,vp8"];
    let (key, secret) = create(&process, &limits);
    let shown = answer(&process, &["project", "show", &key]);
    assert_eq!(shown["name"], "Shop");
    assert_eq!(shown["status"], "ACTIVE");
    assert_eq!(shown["api_secret"], secret);
    assert_eq!(shown["max_connections"], 50);
    assert_eq!(shown["video_codecs"], "h264,vp8");
    let text = parlor(&process, &["project", "show", &key]);
    assert_eq!(
        text,
        format!("API key     {key}\nAPI secret  {secret}\nName        Shop\nStatus      ACTIVE\n")
    );
    let listed = answer(&process, &["project", "list"]);
    assert!(listed.as_array().unwrap().contains(&shown), "{listed}");
    let table = parlor(&process, &["project", "list"]);
    assert!(
        table.starts_with("API KEY     STATUS     CREATED"),
        "{table}"
    );
    assert!(!table.contains(&secret), "a list shows no secrets: {table}");

    let new = answer(&process, &["project", "refresh-secret", &key]);
    assert_ne!(new["api_secret"], secret);
    let newer = answer(&process, &["project", "refresh-secret", &key, "--at-once"]);
    assert_ne!(newer["api_secret"], new["api_secret"]);

    assert_eq!(parlor(&process, &["project", "delete", &key]), "");
    let missing = "there is no such project";
    for word in ["show", "delete", "suspend", "resume", "refresh-secret"] {
        assert_eq!(complaint(&process, &["project", word, &key]), missing);
    }
    let nonsense = complaint(&process, &["project", "show", "nonsense"]);
    assert!(nonsense.starts_with("this is no API key"), "{nonsense}");
    for words in [["--max-connections", "0"], ["--video-codecs", "vp8,mpeg2"]] {
        let words = [&["project", "create", "Shop"], &words[..]].concat();
        assert!(complaint(&process, &words).contains(words[3]));
    }
}

#[tokio::test]
async fn an_account_made_on_the_command_line_manages_projects_over_rest() {
    let process = Process::start();
    let text = parlor(&process, &["account", "create"]);
    let word = |line: usize| text.lines().nth(line).unwrap().split_whitespace().last();
    let (key, secret) = (word(0).unwrap(), word(1).unwrap());
    let listed = parlor(&process, &["account", "list"]);
    assert!(listed.lines().any(|line| line == key), "{listed}");
    assert!(!listed.contains(secret));
    let now = parlor::clock::Clock::system().unix_ms() / 1000;
    let claims = json!({"iss": key, "ist": "account", "iat": now, "exp": now + 60});
    let token = parlor::model::jwt::sign(&claims, &secret.parse().unwrap());
    let request = reqwest::Client::new()
        .get(format!("http://{}/v2/project", process.addr))
        .header("x-opentok-auth", token);
    assert_eq!(request.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_token_from_the_command_line_lets_a_client_in() {
    let process = Process::start();
    let site = site(&process);
    let (session, _) = site.join("room").await;
    let words = ["token", "create", &session, "--role", "moderator"];
    let words = [
        &words[..],
        &["--connection-data", "Ana", "--lifetime", "60"],
    ]
    .concat();
    let token = parlor(&process, &words);
    let mut ana = TestClient::open(&site, &session, token.trim()).await;
    let (status, state) = ana.join(token.trim()).await;
    assert_eq!(status, "200");
    assert!(state.to_string().contains("\"Ana\""), "{state}");

    let role = ["token", "create", &session, "--role", "king"];
    assert!(complaint(&process, &role).contains("role"));
    let unknown = complaint(&process, &["token", "create", "2_unknown"]);
    assert_eq!(unknown, "there is no such session");
    let nonsense = complaint(&process, &["token", "create", "no session"]);
    assert!(nonsense.starts_with("this is no session id"), "{nonsense}");
}

#[tokio::test]
async fn sessions_are_listed_shown_and_ended() {
    let process = Process::start();
    let site = site(&process);
    let mut ana = joined(&site, "room").await;
    let ben = joined(&site, "room").await;
    let (session, _) = site.join("room").await;
    let listed = answer(&process, &["session", "list", &site.key]);
    assert_eq!(listed[0]["session_id"], session);
    let one = answer(&process, &["session", "list", &site.key, "--limit", "1"]);
    assert_eq!(one.as_array().unwrap().len(), 1);
    let shown = answer(&process, &["session", "show", &session]);
    let connections = shown["connections"].as_array().unwrap();
    let ids = [&ana, &ben].map(|client| client.id.to_string());
    for id in &ids {
        let is_there = connections.iter().any(|c| c["connectionId"] == *id);
        assert!(is_there, "{id}: {shown}");
    }
    let text = parlor(&process, &["session", "show", &session]);
    assert!(text.contains(&format!("Connection  {}", ids[0])), "{text}");

    assert_eq!(
        answer(&process, &["session", "end", &session]),
        json!({"disconnected": 2})
    );
    let (_, event) = ana
        .event("deleted", &format!("/connection/{}", ids[0]))
        .await;
    assert_eq!(event["reason"], "forceDisconnected");
    assert_eq!(
        parlor(&process, &["session", "end", &session]),
        "Put out 0\n"
    );

    let nobody = ["session", "end", &session, "--server", "127.0.0.1:1"];
    let complaint_of_nobody = complaint(&process, &nobody);
    assert!(
        complaint_of_nobody.contains("--server"),
        "{complaint_of_nobody}"
    );
    let unknown = complaint(&process, &["session", "show", "2_unknown"]);
    assert_eq!(unknown, "there is no such session");
}

/// What a client is told that asks to come in.
async fn told(site: &Site, session: &str, token: &str) -> Value {
    site.session_info("", session, token).await[0].clone()
}

#[tokio::test]
async fn whoever_is_in_a_project_that_is_suspended_or_deleted_is_put_out() {
    let process = Process::start();
    let site = site(&process);
    let (session, token) = site.join("room").await;
    let mut ana = joined(&site, "room").await;
    let path = format!("/connection/{}", ana.id);
    parlor(&process, &["project", "suspend", &site.key]);
    let (_, event) = ana.event("deleted", &path).await;
    assert_eq!(event["reason"], "forceDisconnected");
    assert_eq!(told(&site, &session, &token).await["error"]["code"], 403);
    let refused = complaint(&process, &["session", "show", &session]);
    assert!(refused.contains("Project is suspended"), "{refused}");

    parlor(&process, &["project", "resume", &site.key]);
    assert_eq!(told(&site, &session, &token).await["session_id"], session);
    let mut ben = joined(&site, "room").await;
    let path = format!("/connection/{}", ben.id);
    parlor(&process, &["project", "delete", &site.key]);
    ben.event("deleted", &path).await;
    eventually("the log says why", || {
        process
            .log()
            .contains("reason=\"forceDisconnected\"")
            .then_some(())
    });
}
