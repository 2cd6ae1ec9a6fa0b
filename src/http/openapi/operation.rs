//! What an operation takes and gives, told by the types of its handler.

use std::collections::BTreeMap;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::NoContent;
use schemars::JsonSchema;
use serde_json::{Map, Value, json};

use super::schemas::Schemas;
use crate::http::error::{self, ApiError};

/// One operation of the document, as its handler's types describe it.
#[derive(Debug)]
pub struct Operation<'a> {
    schemas: &'a mut Schemas,
    parameters: Vec<Value>,
    body: Option<Value>,
    answers: BTreeMap<u16, Value>,
    /// Messages with their bodies, by status.
    refusals: BTreeMap<u16, BTreeMap<String, Value>>,
    refuses_in_xml: bool,
    not_there_yet: bool,
    credentials: Option<Credentials>,
}

/// Whose key and secret sign a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credentials {
    /// A project's.
    Project,
    /// An account's.
    Account,
}

/// Describes itself as an argument of a handler.
pub trait Takes {
    /// Adds parameters, body, and what can be wrong with them.
    fn takes(_operation: &mut Operation<'_>) {}
}

/// Describes itself as what a handler comes back with.
pub trait Gives {
    /// Adds the answers.
    fn gives(operation: &mut Operation<'_>);
}

/// A handler whose types tell what it takes and gives; `T` is as in axum's `Handler`.
pub trait Documented<T> {
    /// Tells it.
    fn describe(operation: &mut Operation<'_>);
}

impl<'a> Operation<'a> {
    pub(super) fn new(schemas: &'a mut Schemas) -> Self {
        Self {
            schemas,
            parameters: Vec::new(),
            body: None,
            answers: BTreeMap::new(),
            refusals: BTreeMap::new(),
            refuses_in_xml: false,
            not_there_yet: false,
            credentials: None,
        }
    }

    /// Takes a part of the path, on routes that have one of this name.
    pub fn segment<T: JsonSchema>(&mut self, name: &str, description: &str) {
        let schema = self.schemas.asked::<T>();
        self.parameters.push(json!({
            "name": name, "in": "path", "required": true, "description": description,
            "schema": schema,
        }));
    }

    /// Takes the members of `T` behind the question mark.
    pub fn query<T: JsonSchema>(&mut self) {
        for (name, mut schema, required) in self.schemas.members::<T>() {
            let description = schema
                .as_object_mut()
                .and_then(|it| it.remove("description"));
            self.parameters.push(json!({
                "name": name, "in": "query", "required": required, "description": description,
                "schema": schema,
            }));
        }
    }

    /// Takes a body in one of these media types.
    pub fn body<T: JsonSchema>(&mut self, media_types: &[&str]) {
        let (schema, required) = self.schemas.asked_in_body::<T>();
        self.body = Some(json!({"content": content(media_types, &schema), "required": required}));
    }

    /// Comes back with this status and one of these bodies: media types and their schemas.
    pub fn answer(&mut self, status: u16, description: &str, bodies: &[(&str, Value)]) {
        let mut answer = json!({"description": description});
        if !bodies.is_empty() {
            let bodies = bodies.iter();
            let bodies =
                bodies.map(|(kind, schema)| ((*kind).to_owned(), json!({"schema": schema})));
            answer["content"] = bodies.collect();
        }
        self.answers.insert(status, answer);
    }

    /// The schema of an answer.
    pub fn schema_of<T: JsonSchema>(&mut self) -> Value {
        self.schemas.answered::<T>()
    }

    /// Says no for this reason, among others.
    pub fn refuses(&mut self, error: &ApiError) {
        let body = error::example(error);
        let of_status = self.refusals.entry(error.status().as_u16()).or_default();
        of_status.insert(error.to_string(), body);
    }

    /// Says no in XML to whoever does not ask for JSON.
    pub fn refuses_in_xml(&mut self) {
        self.refuses_in_xml = true;
    }

    /// Refuses whatever is good: its answers are those of the future.
    pub fn not_there_yet(&mut self) {
        self.not_there_yet = true;
    }

    /// Needs these credentials.
    pub fn signed_by(&mut self, credentials: Credentials) {
        self.credentials = Some(credentials);
    }

    /// The operation at this path.
    pub(super) fn finish(mut self, path: &str) -> Value {
        let is_here = |parameter: &Value| {
            let name = parameter["name"].as_str().unwrap_or_default();
            parameter["in"] != "path" || path.contains(&format!("{{{name}}}"))
        };
        self.parameters.retain(is_here);
        for name in segments(path) {
            let is_known = |known: &Value| known["in"] == "path" && known["name"] == name;
            if !self.parameters.iter().any(is_known) {
                self.segment::<String>(name, "Anything; nobody looks at it.");
            }
        }
        let error = self.schemas.answered::<error::Body>();
        let mut responses: Map<String, Value> = Map::new();
        for (status, reasons) in &self.refusals {
            responses.insert(status.to_string(), self.refusal(*status, reasons, &error));
        }
        for (status, mut answer) in self.answers {
            if self.not_there_yet {
                answer["description"] = json!("Not there yet: this is what will be answered.");
            }
            responses.insert(status.to_string(), answer);
        }
        let mut operation = json!({"parameters": self.parameters, "responses": responses});
        if let Some(body) = self.body {
            operation["requestBody"] = body;
        }
        if self.not_there_yet {
            operation[NOT_THERE_YET] = json!(true);
        }
        if let Some(credentials) = self.credentials {
            operation["security"] = json!([{credentials.scheme(): []}]);
        }
        operation
    }

    fn refusal(&self, status: u16, reasons: &BTreeMap<String, Value>, error: &Value) -> Value {
        let named = reasons.iter();
        let examples = named.map(|(message, body)| (message.clone(), json!({"value": body})));
        let examples: Map<_, _> = examples.collect();
        let reasons: Vec<_> = reasons.keys().map(String::as_str).collect();
        let mut refusal = json!({
            "description": reasons.join(" · "),
            "content": {"application/json": {"schema": error, "examples": examples}},
        });
        if self.refuses_in_xml {
            refusal["content"]["application/xml"] = json!({"schema": {"type": "string"}});
        }
        if ApiError::TooManyRequests.status() == status {
            let schema = json!({"type": "integer", "minimum": 1});
            let wait = json!({"description": "Seconds to wait.", "schema": schema});
            refusal["headers"] = json!({"Retry-After": wait});
        }
        refusal
    }
}

/// The member of an operation that is described and answers 501 to whatever is good.
pub(super) const NOT_THERE_YET: &str = "x-not-there-yet";

/// The names in a path.
fn segments(path: &str) -> impl Iterator<Item = &str> {
    let parts = path.split('/');
    parts.filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

/// The same schema in several media types.
fn content(media_types: &[&str], schema: &Value) -> Value {
    let media_types = media_types.iter();
    media_types
        .map(|kind| ((*kind).to_owned(), json!({"schema": schema})))
        .collect()
}

impl Credentials {
    fn scheme(self) -> &'static str {
        match self {
            Self::Project => "project",
            Self::Account => "account",
        }
    }
}

/// How calls are signed.
pub(super) fn security_schemes() -> Value {
    let scheme = |whose: &str, ist: &str| {
        json!({
            "type": "apiKey", "in": "header", "name": "X-OPENTOK-AUTH",
            "description": format!(
                "A JWT, signed with {whose} secret (HS256). Claims: `iss` is the key, `ist` is \
                 `{ist}`, `iat` and `exp` are seconds since the Unix epoch and at most five \
                 minutes apart."
            ),
        })
    };
    json!({
        "project": scheme("a project's", "project"),
        "account": scheme("an account's", "account"),
    })
}

impl<T> Takes for State<T> {}

impl<T> Takes for Extension<T> {}

impl Takes for HeaderMap {}

impl<T: JsonSchema> Gives for axum::Json<T> {
    fn gives(operation: &mut Operation<'_>) {
        let schema = operation.schema_of::<T>();
        operation.answer(200, "Done.", &[("application/json", schema)]);
    }
}

impl Gives for NoContent {
    fn gives(operation: &mut Operation<'_>) {
        operation.answer(204, "Done; there is nothing to say.", &[]);
    }
}

impl Gives for StatusCode {
    fn gives(operation: &mut Operation<'_>) {
        operation.answer(200, "Done.", &[]);
    }
}

impl<T: Gives> Gives for Result<T, ApiError> {
    fn gives(operation: &mut Operation<'_>) {
        T::gives(operation);
        operation.refuses(&ApiError::Busy);
        operation.refuses(&ApiError::Unavailable(Box::from("")));
        operation.refuses(&ApiError::Internal(Box::from("")));
    }
}

impl<F, R> Documented<((),)> for F
where
    F: Fn() -> R,
    R: Future<Output: Gives>,
{
    fn describe(operation: &mut Operation<'_>) {
        R::Output::gives(operation);
    }
}

/// For handlers with so many arguments; the first parameter of axum's tuple is a marker.
macro_rules! documented {
    ($($argument:ident)+) => {
        impl<F, R, M, $($argument,)+> Documented<(M, $($argument,)+)> for F
        where
            F: Fn($($argument,)+) -> R,
            R: Future<Output: Gives>,
            $($argument: Takes,)+
        {
            fn describe(operation: &mut Operation<'_>) {
                $($argument::takes(operation);)+
                R::Output::gives(operation);
            }
        }
    };
}

documented!(A);
documented!(A B);
documented!(A B C);
documented!(A B C D);
documented!(A B C D E);
documented!(A B C D E G);
