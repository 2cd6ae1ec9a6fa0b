//! How well the media of a session gets through. Ours; the members are named as in W3C's
//! "Identifiers for WebRTC's Statistics API", durations are in seconds.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use tokio::sync::Semaphore;

use super::error::ApiError;
use super::target::Target;
use crate::clock::Clock;
use crate::driver::workers::WorkersHandle;
use crate::hub::call::{Call, StreamMedia};
use crate::model::id::{ConnectionId, StreamId};
use crate::sfu::stats::{InboundRtp, LegStats, OutboundRtp, RemoteInboundRtp};
use crate::sfu::{Leg, MediaKind};

/// Asks those who forward media. One call at a time, since they forward nothing meanwhile.
#[derive(Debug, Clone)]
pub struct Asking {
    media: WorkersHandle,
    free: Arc<Semaphore>,
}

impl Asking {
    /// Asks these.
    pub fn new(media: WorkersHandle) -> Self {
        let free = Arc::new(Semaphore::new(1));
        Self { media, free }
    }

    /// What is known of these legs, by leg.
    async fn about(&self, legs: &[Leg]) -> Result<HashMap<Leg, LegStats>, ApiError> {
        let permit = self.free.try_acquire();
        let _permit = permit.map_err(|_| ApiError::TooManyRequests)?;
        let stats = self.media.stats(legs).await;
        let stats = stats.map_err(|stopped| ApiError::Unavailable(stopped.into()))?;
        Ok(stats.into_iter().map(|stats| (stats.leg, stats)).collect())
    }
}

/// All streams of a session.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "StatisticsList", example = json!({"timestamp": 1_739_538_894_959_i64, "count": 0, "items": []}))]
pub struct List {
    /// When it was so, in milliseconds since the Unix epoch.
    timestamp: i64,
    /// How many streams there are.
    count: usize,
    /// In the order in which they were published.
    items: Vec<Item>,
}

/// A stream on its way from its publisher to its subscribers.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "StreamStatistics")]
struct Item {
    /// Its id.
    id: StreamId,
    /// What its publisher called it; may be empty.
    name: String,
    /// Who publishes it.
    connection_id: ConnectionId,
    route: Route,
    /// What comes from the publisher: audio, and each simulcast layer of video.
    inbound: Vec<Inbound>,
    /// What each subscriber gets.
    subscribers: Vec<Subscriber>,
}

/// Which way the media of a stream goes.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "MediaRoute")]
enum Route {
    /// Through this server.
    Routed,
    /// From browser to browser, so that nothing is known of it here.
    Relayed,
}

/// One subscriber of a stream.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SubscriberStatistics")]
struct Subscriber {
    /// Who subscribes.
    connection_id: ConnectionId,
    /// What its network is believed to carry for all that it subscribes to, in bits per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    available_outgoing_bitrate: Option<u64>,
    /// What goes there: audio and video. Empty while nothing goes through this server.
    outbound: Vec<Outbound>,
}

/// What comes in under one SSRC (`inbound-rtp`).
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "InboundRtp")]
struct Inbound {
    kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    mime_type: Option<&'static str>,
    ssrc: u32,
    /// The simulcast layer; 0 is the smallest.
    layer: usize,
    packets_received: u64,
    bytes_received: u64,
    packets_lost: i64,
    jitter: f64,
    frames_received: u64,
    key_frames_received: u64,
    retransmitted_packets_received: u64,
    packets_discarded: u64,
    nack_count: u64,
    pli_count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    frame_width: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frame_height: Option<u16>,
}

/// What goes out under one SSRC (`outbound-rtp`).
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "OutboundRtp")]
struct Outbound {
    kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    mime_type: Option<&'static str>,
    ssrc: u32,
    /// The simulcast or spatial layer that is sent; 0 is the smallest. Absent while none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    layer: Option<usize>,
    /// The highest temporal layer that is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    temporal_layer: Option<u8>,
    packets_sent: u64,
    bytes_sent: u64,
    frames_sent: u64,
    retransmitted_packets_sent: u64,
    nack_count: u64,
    pli_count: u64,
    fir_count: u64,
    /// What the subscriber says of it. Absent before its first report.
    #[serde(skip_serializing_if = "Option::is_none")]
    remote: Option<Remote>,
}

/// What a receiver last said of a stream (`remote-inbound-rtp`).
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RemoteInboundRtp")]
struct Remote {
    packets_lost: i32,
    /// From 0 to 1, since the report before.
    fraction_lost: f32,
    jitter: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    round_trip_time: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "MediaKind")]
enum Kind {
    Audio,
    Video,
}

/// `GET …/session/{session}/statistics`.
pub async fn list(
    State(asking): State<Asking>,
    State(clock): State<Clock>,
    target: Target,
) -> Result<axum::Json<List>, ApiError> {
    let media = target.call(Call::ListMedia).await?.into_media();
    let mut stats = asking.about(&legs(&media)).await?;
    let items: Vec<_> = media
        .into_iter()
        .map(|stream| Item::of(stream, &mut stats))
        .collect();
    Ok(axum::Json(List {
        timestamp: clock.unix_ms(),
        count: items.len(),
        items,
    }))
}

/// All that is known of in the SFU.
fn legs(media: &[StreamMedia]) -> Vec<Leg> {
    let of_one = |stream: &StreamMedia| {
        let publication = stream.publication.map(Leg::Publisher);
        let subscriptions = stream.subscribers.iter();
        let subscriptions = subscriptions.filter_map(|(_, id)| id.map(Leg::Subscriber));
        publication
            .into_iter()
            .chain(subscriptions)
            .collect::<Vec<_>>()
    };
    media.iter().flat_map(of_one).collect()
}

impl Item {
    fn of(stream: StreamMedia, stats: &mut HashMap<Leg, LegStats>) -> Self {
        let publication = stream.publication.map(Leg::Publisher);
        let inbound = publication.and_then(|leg| stats.remove(&leg));
        let inbound: Vec<_> = inbound
            .iter()
            .flat_map(|stats| &stats.inbound)
            .map(Inbound::of)
            .collect();
        let subscribers = stream.subscribers.into_iter();
        let subscribers = subscribers.map(|(connection_id, id)| {
            let stats = id.and_then(|id| stats.remove(&Leg::Subscriber(id)));
            let outbound = stats.iter().flat_map(|stats| &stats.outbound);
            Subscriber {
                connection_id,
                available_outgoing_bitrate: stats
                    .as_ref()
                    .and_then(|stats| stats.available_outgoing_bitrate),
                outbound: outbound.map(|sent| Outbound::of(sent, &inbound)).collect(),
            }
        });
        Self {
            id: stream.id,
            name: stream.name,
            connection_id: stream.owner,
            route: match stream.publication {
                Some(_) => Route::Routed,
                None => Route::Relayed,
            },
            subscribers: subscribers.collect(),
            inbound,
        }
    }
}

impl Inbound {
    fn of(stats: &InboundRtp) -> Self {
        let tally = stats.tally;
        Self {
            kind: stats.kind.into(),
            mime_type: stats.codec.map(|codec| codec.mime_type()),
            ssrc: stats.ssrc,
            layer: stats.layer,
            packets_received: stats.packets_received,
            bytes_received: tally.bytes_received,
            packets_lost: stats.packets_lost,
            jitter: stats.jitter.as_secs_f64(),
            frames_received: tally.frames_received,
            key_frames_received: tally.key_frames_received,
            retransmitted_packets_received: tally.retransmitted_packets_received,
            packets_discarded: tally.packets_discarded,
            nack_count: tally.nack_count,
            pli_count: tally.pli_count,
            frame_width: stats.size.map(|size| size.width),
            frame_height: stats.size.map(|size| size.height),
        }
    }
}

impl Outbound {
    /// What leaves is what came, in the codec in which it came.
    fn of(stats: &OutboundRtp, inbound: &[Inbound]) -> Self {
        let (kind, tally) = (stats.kind.into(), stats.tally);
        let source = inbound.iter().find(|source| source.kind == kind);
        Self {
            kind,
            mime_type: source.and_then(|source| source.mime_type),
            ssrc: stats.ssrc,
            layer: stats.layers.map(|(layer, _)| layer),
            temporal_layer: stats.layers.map(|(_, temporal)| temporal),
            packets_sent: tally.packets_sent,
            bytes_sent: tally.bytes_sent,
            frames_sent: tally.frames_sent,
            retransmitted_packets_sent: tally.retransmitted_packets_sent,
            nack_count: tally.nack_count,
            pli_count: tally.pli_count,
            fir_count: tally.fir_count,
            remote: stats.remote.map(Remote::from),
        }
    }
}

impl From<RemoteInboundRtp> for Remote {
    fn from(stats: RemoteInboundRtp) -> Self {
        Self {
            packets_lost: stats.packets_lost,
            fraction_lost: stats.fraction_lost,
            jitter: stats.jitter.as_secs_f64(),
            round_trip_time: stats.round_trip_time.map(|time| time.as_secs_f64()),
        }
    }
}

impl From<MediaKind> for Kind {
    fn from(kind: MediaKind) -> Self {
        match kind {
            MediaKind::Audio => Self::Audio,
            MediaKind::Video => Self::Video,
        }
    }
}
