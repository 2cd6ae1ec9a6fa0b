//! Live output (`protocol/rest.md`, 13). What is asked for is checked; sending itself is not there
//! yet.

use std::convert::Infallible;

use serde::Deserialize;

use super::body::{Body, Query};
use super::error::ApiError;
use super::layout::Layout;
use super::target::{Caller, PathId};
use super::values::{
    Paging, Resolution, Rtmp, SelectStream, StreamMode, Text, Uri, Within, invalid, something, yes,
};
use crate::model::id::SessionId;

/// RTMP servers that one broadcast goes to, at most (`protocol/rest.md`, 22).
const MAX_RTMP: usize = 5;

/// What the operations here answer, until they can do what they are asked.
type Answer = Result<Infallible, ApiError>;

const LATER: Answer = Err(ApiError::Unsupported("Broadcasting"));

/// The body of `POST …/broadcast`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "parsed is checked; sending will read the rest")]
pub struct Start {
    session_id: SessionId,
    outputs: Outputs,
    /// Seconds.
    max_duration: Option<Within<60, 36_000>>,
    /// Bits per second.
    max_bitrate: Option<Within<100_000, 6_000_000>>,
    resolution: Option<Resolution>,
    layout: Option<Layout>,
    #[serde(default)]
    stream_mode: StreamMode,
    #[serde(default = "yes")]
    has_audio: bool,
    #[serde(default = "yes")]
    has_video: bool,
    multi_broadcast_tag: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Outputs {
    hls: Option<Hls>,
    #[serde(default)]
    rtmp: Vec<RtmpTarget>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Hls {
    dvr: bool,
    low_latency: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "parsed is checked; sending will read it")]
struct RtmpTarget {
    id: Option<String>,
    server_url: Uri<Rtmp>,
    stream_name: Text<1, 2048>,
}

impl Start {
    /// The rules between the members.
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
pub async fn start(caller: Caller, Body(asked): Body<Start>) -> Answer {
    asked.check()?;
    caller.media_session(&asked.session_id).await?;
    if caller.connections(&asked.session_id).await?.is_empty() {
        return Err(invalid("No clients are connected to the session"));
    }
    LATER
}

/// `GET …/broadcast`.
pub async fn list(_: Caller, _: Query<Paging>) -> Answer {
    LATER
}

/// `GET …/broadcast/{id}`.
pub async fn find(_: Caller, _: PathId) -> Answer {
    LATER
}

/// `POST …/broadcast/{id}/stop`. There is nothing to read in the body.
pub async fn stop(_: Caller, _: PathId) -> Answer {
    LATER
}

/// `GET …/broadcast/{id}/layout`.
pub async fn layout(_: Caller, _: PathId) -> Answer {
    LATER
}

/// `PUT …/broadcast/{id}/layout`.
pub async fn set_layout(_: Caller, _: PathId, Body(layout): Body<Layout>) -> Answer {
    layout.check()?;
    LATER
}

/// `PATCH …/broadcast/{id}/streams`.
pub async fn select_stream(_: Caller, _: PathId, Body(asked): Body<SelectStream>) -> Answer {
    asked.check()?;
    LATER
}
