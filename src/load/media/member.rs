//! One member of a session: publishes, subscribes to what the others publish, or both.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::interval;
use uuid::Uuid;

use super::leg::{Leg, Publisher, Subscriber, Way};
use super::sdp::{self, Ice};
use super::thread::MediaHandle;
use crate::clock::Clock;
use crate::entropy::Entropy;
use crate::load::client::{Client, KEEPALIVE};
use crate::sfu::command::Fingerprint;
use crate::signaling::frame::{Frame, FrameKind, header};

/// What a member does.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) publishes: bool,
    pub(super) subscribes: bool,
    /// When its first frame leaves, after it can: members do not send in step.
    pub(super) phase: Duration,
}

pub(super) struct Member {
    client: Client,
    part: Part,
    media: MediaHandle,
    fingerprint: Fingerprint,
    clock: Clock,
    entropy: Entropy,
    /// Its number, and how many members may subscribe.
    number: usize,
    admitted: watch::Receiver<usize>,
    /// Streams to which it will.
    waiting: Vec<String>,
    /// The stream it publishes, with what was offered.
    stream: Uuid,
    offered: Option<(Ice, Instant)>,
    /// When each subscription was asked for.
    subscribed: Vec<(String, Instant)>,
}

impl Member {
    /// A member that subscribes to nothing until more than its number are admitted.
    pub(super) fn new(
        client: Client,
        part: Part,
        (number, admitted): (usize, watch::Receiver<usize>),
        media: (MediaHandle, Fingerprint),
        clock: Clock,
        mut entropy: Entropy,
    ) -> Self {
        let (media, fingerprint) = media;
        Self {
            client,
            part,
            media,
            fingerprint,
            clock,
            stream: entropy.uuid(),
            entropy,
            number,
            admitted,
            waiting: Vec::new(),
            offered: None,
            subscribed: Vec::new(),
        }
    }

    /// Takes part until dropped.
    pub(super) async fn run(mut self) -> Result<()> {
        self.waiting = std::mem::take(&mut self.client.streams);
        self.subscribe_to_waiting().await?;
        if self.part.publishes {
            self.publish().await?;
        }
        let mut keepalive = interval(KEEPALIVE);
        loop {
            tokio::select! {
                frame = self.client.receive() => self.take(frame?).await?,
                Ok(()) = self.admitted.changed() => self.subscribe_to_waiting().await?,
                _ = keepalive.tick() => self.client.ping().await?,
            }
        }
    }

    async fn take(&mut self, frame: Frame) -> Result<()> {
        if frame.kind == FrameKind::Status {
            let status = frame.header(header::STATUS).unwrap_or("200");
            anyhow::ensure!(
                status.starts_with('2'),
                "a request was refused: {status} {}",
                frame.payload
            );
            return Ok(());
        }
        if frame.kind != FrameKind::Message {
            return Ok(());
        }
        self.client.acknowledge(&frame).await?;
        let message: Value = serde_json::from_str(&frame.payload).context("not JSON")?;
        let (method, uri) = (text(&message["method"]), text(&message["uri"]));
        let tail: Vec<&str> = uri.split('/').skip(7).collect();
        let from = frame.header(header::FROM_ADDRESS).unwrap_or_default();
        let content = &message["content"];
        match (method, tail[..].split_first()) {
            ("created", Some((stream, []))) if uri.contains("/stream/") => {
                self.waiting.push((*stream).to_owned());
                self.subscribe_to_waiting().await
            }
            ("generateoffer", _) => self.offer(from, uri, content).await,
            ("answer", _) => self.take_answer(content),
            ("offer", _) => self.answer(from, uri, content).await,
            _ => Ok(()),
        }
    }

    async fn publish(&mut self) -> Result<()> {
        let content = json!({
            "id": self.stream, "name": "load", "e2ee": false, "customProperties": {},
            "publisherAudioFallbackEnabled": false, "subscriberAudioFallbackEnabled": false,
            "channel": [{"id": "video1", "type": "video", "active": true, "width": 640,
                "height": 480, "orientation": 0, "source": "camera", "fitMode": "cover"}],
        });
        let resource = format!("stream/{}", self.stream);
        self.client.request("create", &resource, &content).await
    }

    async fn subscribe_to_waiting(&mut self) -> Result<()> {
        if *self.admitted.borrow_and_update() <= self.number {
            return Ok(());
        }
        for stream in std::mem::take(&mut self.waiting) {
            self.subscribe(&stream).await?;
        }
        Ok(())
    }

    async fn subscribe(&mut self, stream: &str) -> Result<()> {
        if !self.part.subscribes || stream == self.stream.to_string() {
            return Ok(());
        }
        let id = self.entropy.uuid();
        let content = json!({
            "id": id, "connection": self.client.address(), "keyManagementMethod": "DTLS_SRTP",
            "bundleSupport": true, "rtcpMuxSupport": true, "e2ee": false,
            "channel": [{"id": "video1", "type": "video", "active": true, "restrictFrameRate": false}],
        });
        self.subscribed.push((id.to_string(), self.clock.now()));
        let resource = format!("stream/{stream}/subscriber/{id}");
        self.client.request("create", &resource, &content).await
    }

    async fn offer(&mut self, to: &str, uri: &str, content: &Value) -> Result<()> {
        let ice = Ice::draw(&mut self.entropy);
        let sdp = sdp::offer(&ice, self.fingerprint.clone(), self.ssrc());
        self.offered = Some((ice, self.clock.now()));
        self.client.negotiate(to, uri, "offer", content, &sdp).await
    }

    fn take_answer(&mut self, content: &Value) -> Result<()> {
        let Some((ice, begun)) = self.offered.take() else {
            return Ok(());
        };
        let remote = sdp::remote(text(&content["sdp"]))?;
        let first = self.clock.now() + self.part.phase;
        let way = Way::Out(Publisher::new(self.ssrc(), first));
        self.media.add(Leg::new(ice, remote, way, begun)?)
    }

    async fn answer(&mut self, to: &str, uri: &str, content: &Value) -> Result<()> {
        let offer = text(&content["sdp"]);
        let ice = Ice::draw(&mut self.entropy);
        let sdp = sdp::answer(offer, &ice, &self.fingerprint)?;
        let remote = sdp::remote(offer)?;
        let begun = self
            .subscribed
            .iter()
            .find(|(id, _)| uri.ends_with(id.as_str()));
        let begun = begun.map_or_else(|| self.clock.now(), |(_, begun)| *begun);
        self.client
            .negotiate(to, uri, "answer", content, &sdp)
            .await?;
        let way = Way::In(Box::<Subscriber>::default());
        self.media.add(Leg::new(ice, remote, way, begun)?)
    }

    fn ssrc(&self) -> u32 {
        self.stream.as_fields().0 | 1
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
