//! The streams of a session and their layout classes (`protocol/rest.md`, 8.1 to 8.4).

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Deserializer, Serialize, de};

use super::body::{Asked, Body};
use super::error::ApiError;
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
#[derive(Debug, Serialize)]
pub struct List {
    count: usize,
    items: Vec<Item>,
}

/// A stream.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    id: StreamId,
    /// Absent if there is only sound.
    #[serde(skip_serializing_if = "Option::is_none")]
    video_type: Option<VideoSource>,
    name: String,
    layout_class_list: Vec<String>,
    /// Ours; the original does not tell.
    subscriber_count: usize,
}

/// `GET …/session/{session}/stream`.
pub async fn list(target: Target) -> Result<axum::Json<List>, ApiError> {
    let answer = target.call(Call::ListStreams).await?;
    Ok(axum::Json(List::of(answer.into_streams())))
}

/// `GET …/session/{session}/stream/{stream}`.
pub async fn find(
    target: Target,
    stream: StreamId,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let answer = target.call(Call::FindStream(stream)).await?;
    let mut response = axum::Json(only(answer.into_streams())?).into_response();
    let agent = headers.get(header::USER_AGENT);
    if agent.is_some_and(|agent| agent.as_bytes().starts_with(PARSES_TWICE.as_bytes())) {
        let unknown = HeaderValue::from_static("text/json");
        response.headers_mut().insert(header::CONTENT_TYPE, unknown);
    }
    Ok(response)
}

/// The body of `PUT …/session/{session}/stream`.
#[derive(Debug, Deserialize)]
pub struct Classes {
    /// Which streams get which classes.
    pub items: Vec<ClassesOfOne>,
}

/// The layout classes of one stream.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClassesOfOne {
    /// Which stream.
    pub id: StreamId,
    /// All its classes from now on.
    pub layout_class_list: ClassList,
}

/// The body of `PUT …/session/{session}/stream/{stream}`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
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
