//! The real binary, killed in the middle of its work.

use reqwest::Client;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::process::Process;
use super::support::{now_unix_s, sign};
use super::whole::database;

/// How many back ends create sessions at the same time.
const BACK_ENDS: usize = 8;

/// After how many answers the server is killed; others are on their way then.
const ANSWERS: usize = 100;

fn token(ready: &Value) -> String {
    let now = now_unix_s();
    let claims = json!({"iss": ready["api_key"], "ist": "project", "iat": now, "exp": now + 300});
    sign(
        &json!({"alg": "HS256"}),
        &claims,
        ready["api_secret"].as_str().unwrap(),
    )
}

async fn create(http: &Client, url: &str, token: &str) -> Option<String> {
    let request = http
        .post(format!("{url}/session/create"))
        .header("x-opentok-auth", token)
        .header("accept", "application/json");
    let created: Value = request.send().await.ok()?.json().await.ok()?;
    Some(created[0]["session_id"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_create_that_was_answered_is_there_after_a_kill() {
    let postgres = database::postgres().await;
    let url = postgres.as_deref().map(|url| ("PARLOR_DATABASE_URL", url));
    let environment: Vec<_> = url.into_iter().collect();
    let server = Process::start_with(&environment);
    let (answered, mut answers) = mpsc::channel(BACK_ENDS);
    let mut back_ends = JoinSet::new();
    for _ in 0..BACK_ENDS {
        let (answered, token) = (answered.clone(), token(&server.ready));
        let url = server.ready["url"].as_str().unwrap().to_owned();
        back_ends.spawn(async move {
            let http = Client::new();
            // Until the server is gone.
            while let Some(id) = create(&http, &url, &token).await {
                answered.send(id).await.unwrap();
            }
        });
    }
    drop(answered);
    let mut sessions = Vec::new();
    while let Some(id) = answers.recv().await {
        sessions.push(id);
        if sessions.len() == ANSWERS {
            server.signal("KILL");
        }
    }
    back_ends.join_all().await;
    assert!(sessions.len() >= ANSWERS, "{} answers", sessions.len());

    let (_, data) = server.ended();
    let server = Process::start_in(data, &environment);
    let (ready, http) = (&server.ready, Client::new());
    let (url, key) = (
        ready["url"].as_str().unwrap(),
        ready["api_key"].as_str().unwrap(),
    );
    let token = token(ready);
    for id in sessions {
        let streams = http
            .get(format!("{url}/v2/project/{key}/session/{id}/stream"))
            .header("x-opentok-auth", &token);
        assert_eq!(streams.send().await.unwrap().status(), 200, "{id}");
    }
}
