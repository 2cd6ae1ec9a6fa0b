//! The API's description as an OpenAPI document, made from what runs: paths and methods from the
//! route table ([`routes`]), what an operation takes and gives from the types of its handler
//! ([`operation`]), what can be asked next from [`links`], the words from [`texts`].

pub mod links;
pub mod operation;
pub mod routes;
pub mod schemas;
pub mod texts;

use std::sync::{Arc, OnceLock};

use axum::Extension;
use axum::body::Bytes;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use self::operation::{Gives, Operation};
use self::routes::Route;
use self::schemas::Schemas;
use self::texts::Texts;

/// The document, as it is served. All clones are the same.
#[derive(Debug, Clone)]
pub struct Document(Arc<Described>);

/// Made when it is first asked for: making it takes eight megabytes, which few servers are ever in
/// need of.
#[derive(Debug)]
struct Described {
    routes: Vec<Route>,
    json: OnceLock<Bytes>,
}

impl Document {
    /// Describes these routes.
    pub fn of(routes: Vec<Route>) -> Self {
        let json = OnceLock::new();
        Self(Arc::new(Described { routes, json }))
    }

    fn json(&self) -> Bytes {
        let Described { routes, json } = &*self.0;
        json.get_or_init(|| describe(routes).to_string().into())
            .clone()
    }
}

impl IntoResponse for Document {
    fn into_response(self) -> Response {
        let json = HeaderValue::from_static("application/json");
        ([(header::CONTENT_TYPE, json)], self.json()).into_response()
    }
}

impl Gives for Document {
    fn gives(operation: &mut Operation<'_>) {
        let any = json!({"type": "object"});
        operation.answer(200, "The document.", &[("application/json", any)]);
    }
}

/// `GET /openapi.json`.
pub async fn document(Extension(document): Extension<Document>) -> Document {
    document
}

/// The document as JSON.
pub fn describe(routes: &[Route]) -> Value {
    let texts = Texts::load();
    let mut schemas = Schemas::default();
    let mut paths: Map<String, Value> = Map::new();
    for (at, route) in routes.iter().enumerate() {
        // Where a handler comes again, it is under another name of the same operation.
        let before = routes[..at].iter();
        let same: Vec<_> = before
            .filter(|known| known.handler == route.handler)
            .collect();
        let mut operation = Operation::new(&mut schemas);
        (route.describe)(&mut operation);
        let mut operation = operation.finish(&route.path);
        introduce(&mut operation, &texts, route, &same);
        links::add(&mut operation, route.handler);
        let methods = paths.entry(route.path.clone()).or_insert_with(|| json!({}));
        methods[route.method] = operation;
    }
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Parlor",
            "version": env!("CARGO_PKG_VERSION"),
            "description": texts.introduction,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "This server"}],
        "tags": tags(&texts),
        "paths": paths,
        "components": {
            "schemas": schemas.into_definitions(),
            "securitySchemes": operation::security_schemes(),
        },
    });
    unwrap_lines(&mut document);
    document
}

/// Joins the lines of descriptions that are doc comments; paragraphs stay apart.
fn unwrap_lines(value: &mut Value) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(text)) = members.get_mut("description") {
                let paragraphs = text.split("\n\n").map(|lines| lines.replace('\n', " "));
                *text = paragraphs.collect::<Vec<_>>().join("\n\n");
            }
            members.values_mut().for_each(unwrap_lines);
        }
        Value::Array(items) => items.iter_mut().for_each(unwrap_lines),
        _ => {}
    }
}

fn tags(texts: &Texts) -> Value {
    let groups = texts.groups.iter();
    let tag = |group: &texts::Group| json!({"name": group.name, "description": group.description});
    groups.map(tag).collect()
}

/// Adds who it is and the words. `same` are routes of the same handler that come before.
fn introduce(operation: &mut Value, texts: &Texts, route: &Route, same: &[&Route]) {
    let (module, _) = route.handler.split_once("::").unwrap_or_default();
    let group = texts.group(module).map(|group| group.name.as_str());
    operation["tags"] = group.into_iter().collect();
    let id = route.handler.replace("::", ".");
    match same.first() {
        None => {
            let text = texts.of(route.handler);
            operation["operationId"] = json!(id);
            operation["summary"] = json!(text.map(|text| &text.summary));
            let more = text.map_or("", |text| text.description.trim());
            let later = match operation[operation::NOT_THERE_YET] == true {
                true => "**Not there yet**: a request that is good is answered with 501.",
                false => "",
            };
            let description = [later, more].join(" ");
            if !description.trim().is_empty() {
                operation["description"] = json!(description.trim());
            }
        }
        Some(original) => {
            let method = original.method.to_ascii_uppercase();
            let summary = format!("The same as `{method} {}`", original.path);
            operation["operationId"] = json!(format!("{id}.{}", same.len() + 1));
            operation["summary"] = json!(summary);
            operation["deprecated"] = json!(true);
        }
    }
}
