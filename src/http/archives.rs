//! Archives (`protocol/rest.md`, 11 and 12). What is asked for is checked; recording itself is not
//! there yet.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::body::{Asked, Body, Query};
use super::error::ApiError;
use super::later::{Answer, later};
use super::layout::Layout;
use super::start::{Start, Starts};
use super::target::{Caller, PathId};
use super::values::{
    OfSession, Paging, SelectStream, StreamMode, Text, Within, invalid, something, yes,
};
use crate::model::id::SessionId;
use crate::model::resolution::Resolution;

const LATER: Answer = later("Archiving");

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
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
pub async fn start(start: Start<Archive>) -> Answer {
    start.somebody().await?;
    LATER
}

/// `GET …/archive`.
pub async fn list(_: Caller, _: Query<Paging>, _: Query<OfSession>) -> Answer {
    LATER
}

/// `GET …/archive/{id}`.
pub async fn find(_: Caller, _: PathId) -> Answer {
    LATER
}

/// `DELETE …/archive/{id}`.
pub async fn delete(_: Caller, _: PathId) -> Answer {
    LATER
}

/// `POST …/archive/{id}/stop`. There is nothing to read in the body.
pub async fn stop(_: Caller, _: PathId) -> Answer {
    LATER
}

/// `GET …/archive/{id}/layout`.
pub async fn layout(_: Caller, _: PathId) -> Answer {
    LATER
}

/// `PUT …/archive/{id}/layout`.
pub async fn set_layout(_: Caller, _: PathId, _: Body<Layout>) -> Answer {
    LATER
}

/// `PATCH …/archive/{id}/streams`. One SDK removes streams from broadcasts here.
pub async fn select_stream(_: Caller, _: PathId, _: Body<SelectStream>) -> Answer {
    LATER
}
