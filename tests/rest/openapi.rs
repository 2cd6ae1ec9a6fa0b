//! The API's own description: that it is served, and that what it describes is there.

use serde_json::Value;

use super::live::Live;

#[tokio::test]
async fn the_document_is_served_to_everybody() {
    let live = Live::start().await;
    let answer = live.stranger("GET", "/openapi.json").await;
    assert_eq!(answer.status, 200);
    let document = answer.json();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    live.shutdown().await;
}

#[tokio::test]
async fn each_operation_is_there_and_refuses_strangers_as_described() {
    let live = Live::start().await;
    let document = live.stranger("GET", "/openapi.json").await.json();
    let mut signed = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let Some(security) = operation["security"].as_array() else {
                continue;
            };
            signed += 1;
            assert_eq!(security.len(), 1, "{method} {path}");
            let example = |name: &str| match name {
                "session" => live.session.clone(),
                "api_key" => live.key().to_owned(),
                _ => "8b732909-0a06-46a2-8ea8-074e64d43422".to_owned(),
            };
            let filled = fill(path, example);
            let answer = live.stranger(&method.to_ascii_uppercase(), &filled).await;
            assert_eq!(answer.status, 403, "{method} {path}");
            assert!(operation["responses"].get("403").is_some());
            // Clients do not sign, so no operation of theirs is here; all of these are REST.
            let known = ["project", "account"].map(|scheme| security[0].get(scheme).is_some());
            assert_ne!(known, [false, false], "{method} {path}");
        }
    }
    assert!(signed > 50, "{signed}");
    live.shutdown().await;
}

#[tokio::test]
async fn paths_and_methods_that_are_not_there_are_errors_in_json() {
    let live = Live::start().await;
    live.stranger("GET", "/v2/nothing").await.error(404);
    live.stranger("PATCH", "/openapi.json").await.error(405);
    let path = format!("/v2/project/{}/archive/storage", live.key());
    live.ask_at("PATCH", &path, Value::Null).await.error(405);
    live.shutdown().await;
}

/// A path with something in each of its segments.
fn fill(path: &str, example: impl Fn(&str) -> String) -> String {
    let segments = path.split('/').map(|segment| {
        let name = segment
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'));
        name.map_or_else(|| segment.to_owned(), &example)
    });
    segments.collect::<Vec<_>>().join("/")
}
