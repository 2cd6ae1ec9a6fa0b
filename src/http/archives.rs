//! Archives (`protocol/rest.md`, 11 and 12). What is asked for is checked; recording itself is not
//! there yet.

use std::convert::Infallible;

use serde::Deserialize;

use super::body::{Body, Query};
use super::error::ApiError;
use super::layout::Layout;
use super::target::{Caller, PathId};
use super::values::{
    Paging, Resolution, SelectStream, StreamMode, Text, Uri, Web, Within, invalid, something, yes,
};
use crate::model::id::SessionId;

/// What the operations here answer, until they can do what they are asked.
type Answer = Result<Infallible, ApiError>;

const LATER: Answer = Err(ApiError::Unsupported("Archiving"));

/// The body of `POST …/archive`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "parsed is checked; recording will read the rest")]
pub struct Start {
    session_id: SessionId,
    #[serde(default)]
    name: String,
    #[serde(default = "yes")]
    has_audio: bool,
    #[serde(default = "yes")]
    has_video: bool,
    #[serde(default)]
    output_mode: OutputMode,
    resolution: Option<Resolution>,
    #[serde(default)]
    stream_mode: StreamMode,
    layout: Option<Layout>,
    multi_archive_tag: Option<String>,
    /// Bits per second.
    max_bitrate: Option<Within<100_000, 6_000_000>>,
    quantization_parameter: Option<Within<15, 40>>,
    #[serde(default)]
    has_transcription: bool,
    transcription_properties: Option<Transcription>,
}

/// One file, or one for each stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum OutputMode {
    #[default]
    Composed,
    Individual,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(dead_code, reason = "parsed is checked; transcribing will read it")]
struct Transcription {
    primary_language_code: Text<2, 35>,
    has_summary: bool,
}

impl Default for Transcription {
    fn default() -> Self {
        Self {
            primary_language_code: Text("en-US".to_owned()),
            has_summary: false,
        }
    }
}

impl Start {
    /// The rules between the members.
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
pub async fn start(caller: Caller, Body(asked): Body<Start>) -> Answer {
    asked.check()?;
    caller.media_session(&asked.session_id).await?;
    if caller.connections(&asked.session_id).await?.is_empty() {
        return Err(invalid("No clients are connected to the session"));
    }
    LATER
}

/// `GET …/archive`.
pub async fn list(_: Caller, _: Query<Paging>) -> Answer {
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
pub async fn set_layout(_: Caller, _: PathId, Body(layout): Body<Layout>) -> Answer {
    layout.check()?;
    LATER
}

/// `PATCH …/archive/{id}/streams`. One SDK removes streams from broadcasts here.
pub async fn select_stream(_: Caller, _: PathId, Body(asked): Body<SelectStream>) -> Answer {
    asked.check()?;
    LATER
}

/// The body of `PUT …/archive/storage`: where finished archives go.
#[derive(Debug, Deserialize)]
pub struct Storage {
    #[serde(rename = "type")]
    kind: StorageKind,
    #[serde(default)]
    config: StorageConfig,
    #[serde(default, rename = "fallback")]
    _fallback: Fallback,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StorageKind {
    S3,
    Azure,
    /// On this machine; ours.
    Local,
}

/// What happens to an archive that cannot be uploaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Fallback {
    #[default]
    None,
    Opentok,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct StorageConfig {
    access_key: String,
    secret_key: String,
    bucket: String,
    #[serde(rename = "endpoint")]
    _endpoint: Option<Uri<Web>>,
    account_name: String,
    account_key: String,
    container: String,
    #[serde(rename = "domain")]
    _domain: Option<String>,
}

impl std::fmt::Debug for StorageConfig {
    /// Nothing of it: it holds keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StorageConfig").finish_non_exhaustive()
    }
}

impl Storage {
    fn check(&self) -> Result<(), ApiError> {
        let config = &self.config;
        let needed: &[(&str, &String)] = match self.kind {
            StorageKind::S3 => &[
                ("accessKey", &config.access_key),
                ("secretKey", &config.secret_key),
                ("bucket", &config.bucket),
            ],
            StorageKind::Azure => &[
                ("accountName", &config.account_name),
                ("accountKey", &config.account_key),
                ("container", &config.container),
            ],
            StorageKind::Local => &[],
        };
        match needed.iter().find(|(_, value)| value.is_empty()) {
            Some((name, _)) => Err(ApiError::Invalid(format!("config.{name} is missing"))),
            None => Ok(()),
        }
    }
}

/// `PUT …/archive/storage`.
pub async fn set_storage(_: Caller, Body(asked): Body<Storage>) -> Answer {
    asked.check()?;
    LATER
}

/// `DELETE …/archive/storage`.
pub async fn delete_storage(_: Caller) -> Answer {
    LATER
}
