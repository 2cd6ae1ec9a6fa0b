//! Live output (`protocol/rest.md`, 13). What is asked for is checked; sending itself is not there
//! yet.

use std::fmt;

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
    OfSession, Paging, Rtmp, SelectStream, StreamMode, Text, Uri, Within, invalid, something, yes,
};
use crate::model::id::SessionId;
use crate::model::resolution::Resolution;

/// RTMP servers that one broadcast goes to, at most (`protocol/rest.md`, 22).
const MAX_RTMP: usize = 5;

const LATER: Answer = later("Broadcasting");

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
pub async fn start(start: Start<Broadcast>) -> Answer {
    start.somebody().await?;
    LATER
}

/// `GET …/broadcast`.
pub async fn list(_: Caller, _: Query<Paging>, _: Query<OfSession>) -> Answer {
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
pub async fn set_layout(_: Caller, _: PathId, _: Body<Layout>) -> Answer {
    LATER
}

/// `PATCH …/broadcast/{id}/streams`.
pub async fn select_stream(_: Caller, _: PathId, _: Body<SelectStream>) -> Answer {
    LATER
}
