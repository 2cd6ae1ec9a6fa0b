//! The streams of a session and their layout classes (`protocol/rest.md`, 8.1 to 8.4).

use std::borrow::Cow;

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::json;

use super::body::{Asked, Body};
use super::error::ApiError;
use super::openapi::operation::{Gives, Operation};
use super::target::Target;
use crate::hub::call::{Call, StreamSummary};
use crate::model::id::StreamId;
use crate::signaling::channel::VideoSource;

/// Longest list of layout classes, in bytes, with a space between each two: what tokens may have.
const MAX_CLASSES_LEN: usize = 1024;

/// The SDK that cannot read `application/json` when it asks for one stream: it parses the body
/// twice, unless the type is one it does not know (8.2).
const PARSES_TWICE: &str = "OpenTok-Node-SDK/";

/// One strict SDK wants exactly these members.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "StreamList")]
pub struct List {
    /// How many there are.
    count: usize,
    /// In the order in which they were published.
    items: Vec<Item>,
}

/// A stream.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Stream", example = json!({"id": "8b732909-0a06-46a2-8ea8-074e64d43422", "videoType": "camera", "name": "Ana", "layoutClassList": ["full"], "subscriberCount": 1}))]
pub struct Item {
    /// Its id.
    id: StreamId,
    /// Where its pictures come from. Absent if there is only sound.
    #[serde(skip_serializing_if = "Option::is_none")]
    video_type: Option<VideoSource>,
    /// What its publisher called it; may be empty.
    name: String,
    /// How it is laid out in archives and broadcasts.
    layout_class_list: Vec<String>,
    /// How many subscribe to it. Ours; the original does not tell.
    subscriber_count: usize,
}

/// `GET …/session/{session}/stream`.
pub async fn list(target: Target) -> Result<axum::Json<List>, ApiError> {
    let answer = target.call(Call::ListStreams).await?;
    Ok(axum::Json(List::of(answer.into_streams())))
}

/// `GET …/session/{session}/stream/{stream}`.
pub async fn find(target: Target, stream: StreamId, headers: HeaderMap) -> Result<Found, ApiError> {
    let answer = target.call(Call::FindStream(stream)).await?;
    let agent = headers.get(header::USER_AGENT);
    Ok(Found {
        item: only(answer.into_streams())?,
        parsed_twice: agent
            .is_some_and(|agent| agent.as_bytes().starts_with(PARSES_TWICE.as_bytes())),
    })
}

/// One stream, for an SDK that parses it once or twice.
#[derive(Debug)]
pub struct Found {
    item: Item,
    parsed_twice: bool,
}

impl IntoResponse for Found {
    fn into_response(self) -> Response {
        let mut response = axum::Json(self.item).into_response();
        if self.parsed_twice {
            let unknown = HeaderValue::from_static("text/json");
            response.headers_mut().insert(header::CONTENT_TYPE, unknown);
        }
        response
    }
}

impl Gives for Found {
    fn gives(operation: &mut Operation<'_>) {
        axum::Json::<Item>::gives(operation);
    }
}

/// The body of `PUT …/session/{session}/stream`.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "LayoutClasses", example = json!({"items": [{"id": "8b732909-0a06-46a2-8ea8-074e64d43422", "layoutClassList": ["focus", "top"]}]}))]
pub struct Classes {
    /// Which streams get which classes.
    pub items: Vec<ClassesOfOne>,
}

/// The layout classes of one stream.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "LayoutClassesOfStream")]
pub struct ClassesOfOne {
    /// Which stream.
    pub id: StreamId,
    /// All its classes from now on.
    pub layout_class_list: ClassList,
}

/// The body of `PUT …/session/{session}/stream/{stream}`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "LayoutClassesOnly", example = json!({"layoutClassList": ["focus", "top"]}))]
pub struct ClassesOnly {
    /// All classes of the stream from now on.
    pub layout_class_list: ClassList,
}

/// Layout classes: words without white space, at most 1024 bytes with a space between each two.
#[derive(Debug)]
pub struct ClassList(pub Vec<String>);

impl<'de> Deserialize<'de> for ClassList {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let classes = Vec::<String>::deserialize(input)?;
        let is_word = |class: &String| !class.is_empty() && !class.contains(char::is_whitespace);
        if !classes.iter().all(is_word) {
            let what = "must consist of words without white space";
            return Err(de::Error::custom(what));
        }
        let len: usize = classes.iter().map(|class| class.len() + 1).sum();
        if len > MAX_CLASSES_LEN + 1 {
            return Err(de::Error::custom("must have at most 1024 bytes"));
        }
        Ok(Self(classes))
    }
}

impl JsonSchema for ClassList {
    fn schema_name() -> Cow<'static, str> {
        "LayoutClassList".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Words without white space, in all at most 1024 bytes with a space \
                            between each two.",
            "type": "array", "items": {"type": "string", "pattern": "^\\S+$"},
        })
    }
}

impl Asked for Classes {}

impl Asked for ClassesOnly {}

/// `PUT …/session/{session}/stream`: the layout classes of several streams.
pub async fn set_classes(
    target: Target,
    Body(asked): Body<Classes>,
) -> Result<axum::Json<List>, ApiError> {
    let items = asked.items.into_iter();
    let items = items.map(|item| (item.id, item.layout_class_list.0));
    let answer = target.call(Call::SetClassesOfMany(items.collect())).await?;
    Ok(axum::Json(List::of(answer.into_streams())))
}

/// `PUT …/session/{session}/stream/{stream}`: those of one.
pub async fn set_classes_of_one(
    target: Target,
    stream: StreamId,
    Body(asked): Body<ClassesOnly>,
) -> Result<axum::Json<Item>, ApiError> {
    let call = Call::SetClasses(stream, asked.layout_class_list.0);
    let answer = target.call(call).await?;
    Ok(axum::Json(only(answer.into_streams())?))
}

fn only(mut streams: Vec<StreamSummary>) -> Result<Item, ApiError> {
    let stream = streams.pop().ok_or(ApiError::Missing("stream"))?;
    Ok(stream.into())
}

impl List {
    fn of(streams: Vec<StreamSummary>) -> Self {
        let items: Vec<Item> = streams.into_iter().map(Item::from).collect();
        Self {
            count: items.len(),
            items,
        }
    }
}

impl From<StreamSummary> for Item {
    fn from(stream: StreamSummary) -> Self {
        Self {
            id: stream.id,
            video_type: stream.video,
            name: stream.name,
            layout_class_list: stream.layout_classes,
            subscriber_count: stream.subscribers,
        }
    }
}
