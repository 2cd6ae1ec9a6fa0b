//! Live output (`protocol/rest.md`, 13). What is asked for is checked; sending itself is not there
//! yet.

use std::fmt;

use axum::Json;
use axum::response::NoContent;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::body::{Asked, Body, Query};
use super::error::ApiError;
use super::later::Answer;
use super::layout::{CurrentLayout, Layout};
use super::start::{Start, Starts};
use super::target::{Caller, PathId};
use super::values::{
    OfSession, Paging, Rtmp, SelectStream, SelectedStream, StreamMode, Text, Uri, Within, invalid,
    something, yes,
};
use crate::model::id::SessionId;
use crate::model::resolution::Resolution;

/// RTMP servers that one broadcast goes to, at most (`protocol/rest.md`, 22).
const MAX_RTMP: usize = 5;

const LATER: ApiError = ApiError::Unsupported("Broadcasting");

/// The body of `POST …/broadcast`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "BroadcastStart", example = json!({"sessionId": "2_MX40NzY2NTk3MX5-MTczOTUzODg5NDk1OX5ROW1jWEcxUXJOM1RJWXU4eStwcHgvZ3N-fn4", "outputs": {"hls": {"dvr": true}, "rtmp": [{"serverUrl": "rtmps://live.example.com/app", "streamName": "key"}]}}))]
pub struct Broadcast {
    /// The session to send.
    pub session_id: SessionId,
    /// Where to.
    pub outputs: Outputs,
    /// When it ends by itself, in seconds.
    pub max_duration: Option<Within<60, 36_000>>,
    /// Bits per second.
    pub max_bitrate: Option<Within<100_000, 6_000_000>>,
    /// How large the pictures are.
    pub resolution: Option<Resolution>,
    /// How they are arranged.
    pub layout: Option<Layout>,
    /// How the streams are chosen that are sent.
    #[serde(default)]
    pub stream_mode: StreamMode,
    /// Send sound.
    #[serde(default = "yes")]
    pub has_audio: bool,
    /// Send pictures.
    #[serde(default = "yes")]
    pub has_video: bool,
    /// Tells apart the broadcasts that a session has at a time.
    pub multi_broadcast_tag: Option<String>,
}

/// Where a broadcast goes: one of both at least.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Outputs {
    /// To whoever fetches the playlist.
    pub hls: Option<Hls>,
    /// To servers that pass it on; at most 5.
    #[serde(default)]
    pub rtmp: Vec<RtmpTarget>,
}

/// HTTP Live Streaming.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Hls {
    /// Let viewers go back in time.
    pub dvr: bool,
    /// Be quicker; excludes `dvr`.
    pub low_latency: bool,
}

/// An RTMP server.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RtmpTarget {
    /// What the application calls it.
    pub id: Option<String>,
    /// The server.
    pub server_url: Uri<Rtmp>,
    /// The stream there, which is often a secret.
    pub stream_name: Text<1, 2048>,
}

impl fmt::Debug for RtmpTarget {
    /// Without the stream key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RtmpTarget").finish_non_exhaustive()
    }
}

/// A broadcast (`protocol/rest.md`, 13.1).
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Broadcast")]
pub struct Item {
    /// Its id.
    pub id: Uuid,
    /// What it is.
    pub event: Event,
    /// Whether it goes on.
    pub status: Status,
    /// The session.
    pub session_id: SessionId,
    /// The project's key: a number, unlike elsewhere.
    pub project_id: i32,
    /// The same.
    pub partner_id: i32,
    /// When it was started, in milliseconds since the Unix epoch.
    pub created_at: i64,
    /// When it changed last.
    pub updated_at: i64,
    /// How large the pictures are.
    pub resolution: Resolution,
    /// When it ends by itself, in seconds.
    pub max_duration: u32,
    /// Bits per second, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bitrate: Option<u32>,
    /// How its streams are chosen.
    pub stream_mode: StreamMode,
    /// What is sent just now, if that is chosen by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub streams: Option<Vec<SelectedStream>>,
    /// Whether it has sound.
    pub has_audio: bool,
    /// Whether it has pictures.
    pub has_video: bool,
    /// Tells it apart from other broadcasts of the session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multi_broadcast_tag: Option<String>,
    /// How it is sent.
    pub settings: Settings,
    /// Where it is to be had; null once it has stopped.
    pub broadcast_urls: Option<Urls>,
}

/// What a broadcast calls itself.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "BroadcastEvent")]
pub enum Event {
    /// Always this.
    Broadcast,
}

/// Whether a broadcast goes on.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "BroadcastStatus")]
pub enum Status {
    /// It does.
    Started,
    /// It has ended.
    Stopped,
}

/// How a broadcast is sent.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "BroadcastSettings")]
pub struct Settings {
    /// Present if it is sent so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hls: Option<HlsSettings>,
}

/// How HTTP Live Streaming is done.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HlsSettings {
    /// Whether viewers can go back in time.
    pub dvr: bool,
    /// Whether it is quicker.
    pub low_latency: bool,
}

/// Where a broadcast is to be had. What was not asked for is absent, and never null.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "BroadcastUrls")]
pub struct Urls {
    /// The playlist.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hls: Option<String>,
    /// How far that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hls_status: Option<HlsStatus>,
    /// The servers that pass it on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtmp: Option<Vec<RtmpState>>,
}

/// How far HTTP Live Streaming is.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "each says what it is")]
pub enum HlsStatus {
    Connecting,
    Ready,
    Live,
    Ended,
    Error,
}

/// How it is with an RTMP server.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RtmpState {
    /// What the application calls it.
    pub id: String,
    /// The server.
    pub server_url: String,
    /// The stream there.
    pub stream_name: String,
    /// How far it is.
    pub status: RtmpStatus,
}

impl fmt::Debug for RtmpState {
    /// Without the stream key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RtmpState").finish_non_exhaustive()
    }
}

/// How far an RTMP server is.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "each says what it is")]
pub enum RtmpStatus {
    Connecting,
    Live,
    Offline,
    Error,
}

/// Broadcasts.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "BroadcastList")]
pub struct List {
    /// How many there are, on all pages.
    pub count: usize,
    /// Those of this page, the newest first.
    pub items: Vec<Item>,
}

impl Starts for Broadcast {
    fn session_id(&self) -> &SessionId {
        &self.session_id
    }
}

impl Asked for Broadcast {
    fn check(&self) -> Result<(), ApiError> {
        something(self.has_audio, self.has_video)?;
        if let Some(layout) = &self.layout {
            layout.check()?;
        }
        let Outputs { hls, rtmp } = &self.outputs;
        if hls.is_none() && rtmp.is_empty() {
            return Err(invalid("outputs must have hls or rtmp"));
        }
        if rtmp.len() > MAX_RTMP {
            return Err(invalid("outputs.rtmp must have at most 5 items"));
        }
        match hls {
            Some(hls) if hls.dvr && hls.low_latency => {
                Err(invalid("dvr and lowLatency exclude each other"))
            }
            _ => Ok(()),
        }
    }
}

/// `POST …/broadcast`.
pub async fn start(start: Start<Broadcast>) -> Answer<Json<Item>> {
    start.somebody().await?;
    Err(LATER)
}

/// `GET …/broadcast`.
pub async fn list(_: Caller, _: Query<Paging>, _: Query<OfSession>) -> Answer<Json<List>> {
    Err(LATER)
}

/// `GET …/broadcast/{id}`.
pub async fn find(_: Caller, _: PathId) -> Answer<Json<Item>> {
    Err(LATER)
}

/// `POST …/broadcast/{id}/stop`. There is nothing to read in the body.
pub async fn stop(_: Caller, _: PathId) -> Answer<Json<Item>> {
    Err(LATER)
}

/// `GET …/broadcast/{id}/layout`.
pub async fn layout(_: Caller, _: PathId) -> Answer<Json<CurrentLayout>> {
    Err(LATER)
}

/// `PUT …/broadcast/{id}/layout`.
pub async fn set_layout(_: Caller, _: PathId, _: Body<Layout>) -> Answer<Json<Item>> {
    Err(LATER)
}

/// `PATCH …/broadcast/{id}/streams`.
pub async fn select_stream(_: Caller, _: PathId, _: Body<SelectStream>) -> Answer<NoContent> {
    Err(LATER)
}
