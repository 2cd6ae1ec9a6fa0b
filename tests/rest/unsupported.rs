//! What the server does not have yet says so, to those who may ask.

use serde_json::{Value, json};

use super::live::Live;

const ID: &str = "8b732909-0a06-46a2-8ea8-074e64d43422";

/// Every such operation that an SDK has a method for (`protocol/rest.md`, 6), and the aliases.
const OPERATIONS: [&str; 33] = [
    "POST /session/{s}/play-dtmf",
    "POST /session/{s}/connection/{id}/play-dtmf",
    "POST /archive",
    "GET /archive",
    "GET /archive/{id}",
    "DELETE /archive/{id}",
    "POST /archive/{id}/stop",
    "PUT /archive/{id}/layout",
    "PATCH /archive/{id}/streams",
    "PUT /archive/storage",
    "DELETE /archive/storage",
    "POST /broadcast",
    "GET /broadcast",
    "GET /broadcast/{id}",
    "POST /broadcast/{id}/stop",
    "PUT /broadcast/{id}/layout",
    "PATCH /broadcast/{id}/streams",
    "POST /dial",
    "POST /call",
    "POST /render",
    "GET /render",
    "GET /render/{id}",
    "POST /render/{id}",
    "DELETE /render/{id}",
    "POST /connect",
    "POST /connect/{id}/stop",
    "POST /captions",
    "POST /captions/{id}/stop",
    "POST /callback",
    "GET /callback",
    "DELETE /callback/{id}",
    "GET /archive/?offset=0&count=50",
    "GET /archive/{id}/layout",
];

#[tokio::test]
async fn every_other_operation_is_refused_with_a_reason() {
    let live = Live::start().await;
    for operation in OPERATIONS {
        let (method, path) = operation.split_once(' ').unwrap();
        let path = path.replace("{s}", &live.session).replace("{id}", ID);
        for root in ["/v2/project", "/v2/partner"] {
            let path = format!("{root}/{}{path}", live.key());
            let answer = live
                .ask_at(method, &path, json!({"sessionId": live.session}))
                .await;
            assert_eq!(answer.status, 501, "{operation}");
            let message = answer.error(501);
            assert!(
                message.ends_with("is not supported by this server"),
                "{message}"
            );
            assert_eq!(
                live.stranger(method, &path).await.status,
                403,
                "{operation}"
            );
        }
    }
    let path = format!("/v2/project/{}/dial", live.key());
    live.ask_at("GET", &path, Value::Null).await.error(405);
    let path = format!("/v2/project/{}/unknown", live.key());
    live.ask_at("GET", &path, Value::Null).await.error(404);
    live.shutdown().await;
}
