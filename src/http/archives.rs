//! Archives (`protocol/rest.md`, 11 and 12). What is asked for is checked; recording itself is not
//! there yet.

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
    OfSession, Paging, SelectStream, SelectedStream, StreamMode, Text, Within, invalid, something,
    yes,
};
use crate::model::id::SessionId;
use crate::model::resolution::Resolution;

const LATER: ApiError = ApiError::Unsupported("Archiving");

/// The body of `POST …/archive`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ArchiveStart", example = json!({"sessionId": "2_MX40NzY2NTk3MX5-MTczOTUzODg5NDk1OX5ROW1jWEcxUXJOM1RJWXU4eStwcHgvZ3N-fn4", "name": "Lesson 1", "resolution": "1280x720", "layout": {"type": "pip"}}))]
pub struct Archive {
    /// The session to record.
    pub session_id: SessionId,
    /// What to call the archive.
    #[serde(default)]
    pub name: String,
    /// Record sound.
    #[serde(default = "yes")]
    pub has_audio: bool,
    /// Record pictures.
    #[serde(default = "yes")]
    pub has_video: bool,
    /// One file, or one for each stream.
    #[serde(default)]
    pub output_mode: OutputMode,
    /// How large the composed pictures are.
    pub resolution: Option<Resolution>,
    /// How the recorded streams are chosen.
    #[serde(default)]
    pub stream_mode: StreamMode,
    /// How the composed pictures are arranged.
    pub layout: Option<Layout>,
    /// Tells apart the archives that a session has at a time.
    pub multi_archive_tag: Option<String>,
    /// Bits per second of the composed pictures.
    pub max_bitrate: Option<Within<100_000, 6_000_000>>,
    /// Quality of the composed pictures instead of a bit rate; less is better.
    pub quantization_parameter: Option<Within<15, 40>>,
    /// Write down what is said.
    #[serde(default)]
    pub has_transcription: bool,
    /// How.
    pub transcription_properties: Option<Transcription>,
}

/// One file, or one for each stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OutputMode {
    /// All streams in one picture.
    #[default]
    Composed,
    /// Each stream as it came.
    Individual,
}

/// How what is said is written down.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Transcription {
    /// The language, as in BCP 47.
    pub primary_language_code: Text<2, 35>,
    /// Sum it up as well.
    pub has_summary: bool,
}

impl Default for Transcription {
    fn default() -> Self {
        Self {
            primary_language_code: Text("en-US".to_owned()),
            has_summary: false,
        }
    }
}

/// An archive (`protocol/rest.md`, 11.1). SDKs parse it strictly: numbers are never null, `reason`
/// neither, and a status is one of these.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Archive")]
pub struct Item {
    /// Its id.
    pub id: Uuid,
    /// What it is.
    pub event: Event,
    /// How far it is.
    pub status: Status,
    /// What the application calls it; may be empty.
    pub name: String,
    /// Why it is so; empty if there is nothing to say.
    pub reason: String,
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
    /// Bytes of the file; 0 until there is one.
    pub size: u64,
    /// Seconds; 0 while it is being recorded.
    pub duration: u64,
    /// One file, or one for each stream.
    pub output_mode: OutputMode,
    /// How its streams are chosen.
    pub stream_mode: StreamMode,
    /// Whether it has sound.
    pub has_audio: bool,
    /// Whether it has pictures.
    pub has_video: bool,
    /// Whether what is said is written down.
    pub has_transcription: bool,
    /// How large composed pictures are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolution: Option<Resolution>,
    /// Where the file is for the next ten minutes, while it is `available`.
    pub url: Option<String>,
    /// Base64 of the file's SHA-256; empty until there is one.
    pub sha256sum: String,
    /// Always empty.
    pub password: String,
    /// Tells it apart from other archives of the session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multi_archive_tag: Option<String>,
    /// Bits per second of the composed pictures, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bitrate: Option<u32>,
    /// Their quality, if that was asked for instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantization_parameter: Option<u32>,
    /// What is recorded just now, if that is chosen by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub streams: Option<Vec<SelectedStream>>,
    /// How far the transcription is, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transcription: Option<TranscriptionState>,
}

/// What an archive calls itself.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "ArchiveEvent")]
pub enum Event {
    /// Always this.
    Archive,
}

/// How far an archive is.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "ArchiveStatus")]
pub enum Status {
    /// It is being recorded.
    Started,
    /// Nobody publishes just now.
    Paused,
    /// The file is being made.
    Stopped,
    /// The file is where the project wants it.
    Uploaded,
    /// The file can be downloaded.
    Available,
    /// The file was deleted after its time.
    Expired,
    /// There is no file.
    Failed,
    /// The file was deleted.
    Deleted,
}

/// A transcription of an archive.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TranscriptionState {
    /// How far it is.
    pub status: TranscriptionStatus,
    /// Where it is.
    pub url: String,
    /// Why it is so; empty if there is nothing to say.
    pub reason: String,
    /// The language, as in BCP 47.
    pub primary_language_code: String,
    /// Whether it is summed up as well.
    pub has_summary: bool,
}

/// How far a transcription is.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "each says what it is")]
pub enum TranscriptionStatus {
    Requested,
    Started,
    Completed,
    Available,
    Uploaded,
    Failed,
}

/// Archives. One strict SDK wants exactly these members.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ArchiveList")]
pub struct List {
    /// How many there are, on all pages.
    pub count: usize,
    /// Those of this page, the newest first.
    pub items: Vec<Item>,
}

impl Starts for Archive {
    fn session_id(&self) -> &SessionId {
        &self.session_id
    }
}

impl Asked for Archive {
    fn check(&self) -> Result<(), ApiError> {
        something(self.has_audio, self.has_video)?;
        if let Some(layout) = &self.layout {
            layout.check()?;
        }
        let composing = [
            ("resolution", self.resolution.is_some()),
            ("layout", self.layout.is_some()),
            ("maxBitrate", self.max_bitrate.is_some()),
            (
                "quantizationParameter",
                self.quantization_parameter.is_some(),
            ),
        ];
        let needless = composing.iter().find(|(_, given)| *given);
        match (self.output_mode, needless) {
            (OutputMode::Individual, Some((name, _))) => {
                let reason = format!("{name} needs outputMode composed");
                Err(ApiError::Invalid(reason))
            }
            _ if self.max_bitrate.is_some() && self.quantization_parameter.is_some() => Err(
                invalid("maxBitrate and quantizationParameter exclude each other"),
            ),
            _ => Ok(()),
        }
    }
}

/// `POST …/archive`.
pub async fn start(start: Start<Archive>) -> Answer<Json<Item>> {
    start.somebody().await?;
    Err(LATER)
}

/// `GET …/archive`.
pub async fn list(_: Caller, _: Query<Paging>, _: Query<OfSession>) -> Answer<Json<List>> {
    Err(LATER)
}

/// `GET …/archive/{id}`.
pub async fn find(_: Caller, _: PathId) -> Answer<Json<Item>> {
    Err(LATER)
}

/// `DELETE …/archive/{id}`.
pub async fn delete(_: Caller, _: PathId) -> Answer<NoContent> {
    Err(LATER)
}

/// `POST …/archive/{id}/stop`. There is nothing to read in the body.
pub async fn stop(_: Caller, _: PathId) -> Answer<Json<Item>> {
    Err(LATER)
}

/// `GET …/archive/{id}/layout`.
pub async fn layout(_: Caller, _: PathId) -> Answer<Json<CurrentLayout>> {
    Err(LATER)
}

/// `PUT …/archive/{id}/layout`.
pub async fn set_layout(_: Caller, _: PathId, _: Body<Layout>) -> Answer<Json<Item>> {
    Err(LATER)
}

/// `PATCH …/archive/{id}/streams`. One SDK removes streams from broadcasts here.
pub async fn select_stream(_: Caller, _: PathId, _: Body<SelectStream>) -> Answer<NoContent> {
    Err(LATER)
}
