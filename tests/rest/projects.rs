//! Managing projects, and what suspending, deleting and new secrets mean for everybody else.

use serde_json::{Value, json};

use super::live::Live;
use super::support::{now_unix_s, sign};

/// What a project's back end would sign its requests with.
fn token(key: &str, secret: &str) -> String {
    let now = now_unix_s();
    let claims = json!({"iss": key, "ist": "project", "iat": now, "exp": now + 300});
    sign(&json!({"alg": "HS256"}), &claims, secret)
}

/// A new project: its key and secret.
async fn create(live: &Live, name: &str) -> (String, String) {
    let created = live
        .manage("POST", "/v2/project", json!({"name": name}))
        .await;
    assert_eq!(created.status, 200, "{created:?}");
    let text = |member: &str| created.json()[member].as_str().unwrap().to_owned();
    (text("id"), text("secret"))
}

async fn create_session(live: &Live, token: &str) -> u16 {
    let created = live.ask_as(token, "POST", "/session/create", Value::Null);
    created.await.status
}

#[tokio::test]
async fn a_project_is_created_listed_and_deleted_with_the_members_of_the_original() {
    let live = Live::start().await;
    let created = live
        .manage("POST", "/v2/project", json!({"name": "Acme"}))
        .await;
    assert_eq!(created.status, 200);
    let project = created.json();
    assert_eq!(project["name"], "Acme");
    assert_eq!(project["status"], "ACTIVE");
    assert_eq!(project["environment"], "standard");
    assert_eq!(project["environmentName"], "default");
    assert_eq!(project["secret"].as_str().unwrap().len(), 40);
    assert!(project["createdAt"].is_i64());
    let path = format!("/v2/project/{}", project["id"].as_str().unwrap());
    let nameless = live.manage("POST", "/v2/project", Value::Null).await;
    assert_eq!(nameless.json()["name"], "");

    let listed = live.manage("GET", "/v2/project", Value::Null).await.json();
    assert!(listed.as_array().unwrap().contains(&project), "{listed}");
    let found = live.manage("GET", &path, Value::Null).await.json();
    assert_eq!(found, project);

    let deleted = live.manage("DELETE", &path, Value::Null).await;
    assert_eq!((deleted.status, deleted.body.as_str()), (204, ""));
    for method in ["GET", "DELETE"] {
        live.manage(method, &path, Value::Null).await.error(404);
    }
    let refresh = format!("{path}/refreshSecret");
    live.manage("POST", &refresh, Value::Null).await.error(404);
    let body = json!({"status": "SUSPENDED"});
    live.manage("PUT", &path, body).await.error(404);
    let listed = live.manage("GET", "/v2/project", Value::Null).await.json();
    assert!(!listed.as_array().unwrap().contains(&project), "{listed}");
    live.shutdown().await;
}

#[tokio::test]
async fn accounts_and_projects_cannot_stand_in_for_each_other() {
    let live = Live::start().await;
    let path = format!("/v2/project/{}", live.key());
    for (method, path) in [
        ("GET", "/v2/project"),
        ("POST", "/v2/project"),
        ("GET", &path),
        ("PUT", &path),
        ("DELETE", &path),
        ("POST", &format!("{path}/refreshSecret")),
    ] {
        live.ask_at(method, path, Value::Null).await.error(403);
        live.stranger(method, path).await.error(403);
    }
    let sessions = "/session/create";
    live.manage("POST", sessions, Value::Null).await.error(403);
    live.shutdown().await;
}

#[tokio::test]
async fn a_suspended_project_is_refused_until_it_is_resumed_and_its_clients_are_put_out() {
    let live = Live::start().await;
    let mut ana = live.join().await;
    let path = format!("/v2/project/{}", live.key());
    for body in [json!({"status": "GONE"}), json!({})] {
        live.manage("PUT", &path, body).await.error(400);
    }
    let suspended = live
        .manage("PUT", &path, json!({"status": "SUSPENDED"}))
        .await;
    assert_eq!(suspended.json()["status"], "SUSPENDED");
    let (_, event) = ana
        .event("deleted", &format!("/connection/{}", ana.id))
        .await;
    assert_eq!(event["reason"], "forceDisconnected");
    let refused = live.ask_at("POST", "/session/create", Value::Null).await;
    assert_eq!(refused.error(403), "Project is suspended");
    assert_eq!(live.session_info().await["error"]["code"], 403);

    let resumed = live.manage("PUT", &path, json!({"status": "ACTIVE"})).await;
    assert_eq!(resumed.json()["status"], "ACTIVE");
    assert_eq!(create_session(&live, &live.auth()).await, 200);
    assert_eq!(live.session_info().await["session_id"], live.session);
    live.shutdown().await;
}

#[tokio::test]
async fn a_new_secret_is_good_at_once_and_the_old_one_for_a_while() {
    let live = Live::start().await;
    let (key, first) = create(&live, "Acme").await;
    let refresh = format!("/v2/project/{key}/refreshSecret");
    let mut secrets = vec![first];
    for _ in 0..2 {
        let refreshed = live.manage("POST", &refresh, Value::Null).await;
        assert_eq!(refreshed.status, 200);
        secrets.push(refreshed.json()["secret"].as_str().unwrap().to_owned());
    }
    let mut statuses = Vec::new();
    for secret in &secrets {
        statuses.push(create_session(&live, &token(&key, secret)).await);
    }
    // The one before the last is good, the one before that is not.
    assert_eq!(statuses, [403, 200, 200]);

    // Clients with tokens of the old secret come in, too.
    let path = format!("/v2/project/{}/refreshSecret", live.key());
    assert_eq!(live.manage("POST", &path, Value::Null).await.status, 200);
    live.join().await;
    assert_eq!(live.manage("POST", &path, Value::Null).await.status, 200);
    assert_eq!(live.session_info().await["error"]["code"], 403);
    live.shutdown().await;
}
