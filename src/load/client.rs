//! One signaling client that does no more than load generators need: it joins, acknowledges,
//! keeps its websocket alive, and sends the signals and requests it is told to.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use super::connect::Site;
use super::histogram::Histogram;
use super::target::Target;
use crate::clock::Clock;
use crate::entropy::Entropy;
use crate::model::id::SessionId;
use crate::model::token;
use crate::net::dial::Stream;
use crate::signaling::frame::{Frame, FrameKind, header};

/// How often the official client says that it is there (`protocol/signaling.md`, 4.3).
pub(super) const KEEPALIVE: Duration = Duration::from_secs(2);

/// How long joining may take.
const JOIN_PATIENCE: Duration = Duration::from_secs(30);

/// Where the server's session logic is; told in session info, and never looked at by the server.
const SYMPHONY: &str = "symphony.load";

/// What it takes to join.
#[derive(Debug, Clone)]
pub(super) struct Ticket {
    site: Site,
    pub(super) project: String,
    pub(super) session: String,
    pub(super) token: String,
    pub(super) connection: Uuid,
}

impl Ticket {
    /// A ticket for one more connection of `session`.
    pub(super) fn issue(
        target: &Target,
        session: &str,
        clock: Clock,
        entropy: &mut Entropy,
    ) -> Result<Self> {
        let id: SessionId = session
            .parse()
            .context("the server's session id is not one")?;
        let now_s = clock.unix_ms() / 1000;
        Ok(Self {
            site: target.site.clone(),
            project: target.project.id.to_string(),
            session: session.to_owned(),
            token: token::issue(&target.project, &id, "publisher", "", now_s, None),
            connection: entropy.uuid(),
        })
    }
}

/// A client that has joined.
#[derive(Debug)]
pub(super) struct Client {
    socket: WebSocketStream<Stream>,
    base: String,
    address: String,
    connection: Uuid,
    /// Requests sent so far; they number transactions.
    transactions: u64,
    clock: Clock,
    /// The streams that were there when it joined.
    pub(super) streams: Vec<String>,
    /// How long signals took from their sender to here.
    fan_out: Histogram,
}

impl Client {
    /// Joins, and waits for the session's state.
    pub(super) async fn join(ticket: Ticket, clock: Clock) -> Result<Self> {
        timeout(JOIN_PATIENCE, Self::try_join(ticket, clock))
            .await
            .context("joining timed out")?
    }

    async fn try_join(ticket: Ticket, clock: Clock) -> Result<Self> {
        let stream = ticket.site.open().await?;
        let id = ticket.connection;
        let path = format!("/rumorwebsocketsv2?socketId={id}&attempt={id}");
        let url = ticket.site.websocket(&path);
        let (socket, _) = tokio_tungstenite::client_async(url, stream).await?;
        let base = format!("/v2/partner/{}/session/{}", ticket.project, ticket.session);
        let address = ticket.connection.to_string();
        let mut client = Self {
            socket,
            base,
            address,
            connection: ticket.connection,
            transactions: 0,
            clock,
            streams: Vec::new(),
            fan_out: Histogram::new(),
        };
        let hello = vec![
            ("uniqueId".to_owned(), client.address.clone()),
            (header::TRANSACTION_ID.to_owned(), client.address.clone()),
            ("notifyDisconnectAddress".to_owned(), SYMPHONY.to_owned()),
        ];
        client
            .send(FrameKind::Connect, vec![], hello, String::new())
            .await?;
        let topic = vec![client.base.clone()];
        client
            .send(FrameKind::Subscribe, topic, vec![], String::new())
            .await?;
        client.create_connection(ticket.token).await?;
        client.await_state().await?;
        Ok(client)
    }

    async fn create_connection(&mut self, token: String) -> Result<()> {
        let create = json!({
            "method": "create",
            "uri": format!("{}/connection/{}", self.base, self.address),
            "content": {"userAgent": "parlor load", "clientVersion": "js-2.35.2",
                        "capabilities": ["forceMute"]},
        });
        let mut headers = self.message_headers(self.address.clone());
        headers.push((header::TOKEN.to_owned(), token));
        let to = vec![SYMPHONY.to_owned()];
        self.send(FrameKind::Message, to, headers, create.to_string())
            .await
    }

    async fn await_state(&mut self) -> Result<()> {
        loop {
            let frame = self.receive().await?;
            match frame.kind {
                FrameKind::Status => {
                    let status = frame.header(header::STATUS).unwrap_or_default();
                    ensure!(status == "200", "joining was refused with {status}");
                    self.streams = streams(&frame.payload);
                    return Ok(());
                }
                FrameKind::Message => self.acknowledge(&frame).await?,
                _ => {}
            }
        }
    }

    /// Takes part until `signals` ends: each is one to send to everybody, named by its id.
    /// Returns how long signals took from their sender to here.
    pub(super) async fn take_part(
        mut self,
        mut signals: mpsc::Receiver<Uuid>,
    ) -> Result<Histogram> {
        let mut keepalive = tokio::time::interval(KEEPALIVE);
        keepalive.tick().await;
        loop {
            tokio::select! {
                frame = self.receive() => {
                    let frame = frame?;
                    if frame.kind == FrameKind::Message {
                        self.measure(&frame);
                        self.acknowledge(&frame).await?;
                    }
                }
                signal = signals.recv() => match signal {
                    Some(id) => self.signal(id).await?,
                    None => return self.leave().await,
                },
                _ = keepalive.tick() => {
                    self.ping().await?;
                }
            }
        }
    }

    /// A signal whose data is when it was sent.
    async fn signal(&mut self, id: Uuid) -> Result<()> {
        let sent = self.since_start().as_nanos().to_string();
        let signal = json!({
            "method": "signal",
            "uri": format!("{}/signal/{id}", self.base),
            "content": {"type": "load", "data": sent},
        });
        let headers = self.message_headers(id.to_string());
        let to = vec![SYMPHONY.to_owned()];
        self.send(FrameKind::Message, to, headers, signal.to_string())
            .await
    }

    fn measure(&mut self, frame: &Frame) {
        let Some((_, rest)) = frame.payload.split_once(r#""data":""#) else {
            return;
        };
        let Some(sent) = rest.split_once('"').and_then(|(text, _)| text.parse().ok()) else {
            return;
        };
        let took = self
            .since_start()
            .saturating_sub(Duration::from_nanos(sent));
        self.fan_out.add(took);
    }

    pub(super) async fn acknowledge(&mut self, frame: &Frame) -> Result<()> {
        let Some(transaction) = frame.header(header::TRANSACTION_ID) else {
            return Ok(());
        };
        let to = frame
            .header(header::FROM_ADDRESS)
            .unwrap_or(SYMPHONY)
            .to_owned();
        let headers = vec![
            (header::TRANSACTION_ID.to_owned(), transaction.to_owned()),
            (header::FROM_ADDRESS.to_owned(), self.address.clone()),
        ];
        self.send(FrameKind::Status, vec![to], headers, String::new())
            .await
    }

    /// Says that it is still there.
    pub(super) async fn ping(&mut self) -> Result<()> {
        self.send(FrameKind::Ping, vec![], vec![], String::new())
            .await
    }

    /// Its connection id.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Asks something of the session; the answer comes as a STATUS.
    pub(super) async fn request(
        &mut self,
        method: &str,
        resource: &str,
        content: &Value,
    ) -> Result<()> {
        let uri = format!("{}/{resource}", self.base);
        let message = json!({"method": method, "uri": uri, "content": content});
        self.message(SYMPHONY, &message).await
    }

    /// Sends an offer or an answer to whoever sent `asked` from `to`.
    pub(super) async fn negotiate(
        &mut self,
        to: &str,
        uri: &str,
        kind: &str,
        asked: &Value,
        sdp: &str,
    ) -> Result<()> {
        let message = json!({
            "method": kind, "uri": uri,
            "content": {"peerId": asked["peerId"], "sourceStreamId": asked["sourceStreamId"],
                        "type": kind, "sdp": sdp},
        });
        self.message(to, &message).await
    }

    async fn message(&mut self, to: &str, message: &Value) -> Result<()> {
        self.transactions += 1;
        let transaction = Uuid::from_u64_pair(self.connection.as_u64_pair().0, self.transactions);
        let headers = self.message_headers(transaction.to_string());
        let to = vec![to.to_owned()];
        self.send(FrameKind::Message, to, headers, message.to_string())
            .await
    }

    async fn leave(mut self) -> Result<Histogram> {
        let last = vec![(header::RECONNECT.to_owned(), String::new())];
        self.send(FrameKind::Disconnect, vec![], last, String::new())
            .await?;
        self.socket.close(None).await?;
        Ok(self.fan_out)
    }

    fn message_headers(&self, transaction: String) -> Vec<(String, String)> {
        vec![
            (header::TRANSACTION_ID.to_owned(), transaction),
            (header::FROM_ADDRESS.to_owned(), self.address.clone()),
            (
                header::CONTENT_TYPE.to_owned(),
                "application/x-raptor+v2".to_owned(),
            ),
        ]
    }

    async fn send(
        &mut self,
        kind: FrameKind,
        addresses: Vec<String>,
        headers: Vec<(String, String)>,
        payload: String,
    ) -> Result<()> {
        let frame = Frame {
            kind,
            addresses,
            headers,
            payload,
        };
        Ok(self.socket.send(Message::Binary(frame.encode())).await?)
    }

    pub(super) async fn receive(&mut self) -> Result<Frame> {
        loop {
            match self
                .socket
                .next()
                .await
                .context("the server closed the websocket")??
            {
                Message::Binary(bytes) => return decode(&bytes),
                Message::Close(frame) => bail!("the server closed the websocket: {frame:?}"),
                _ => {}
            }
        }
    }

    fn since_start(&self) -> Duration {
        let start: Instant = self.clock.epoch().instant;
        self.clock.now().saturating_duration_since(start)
    }
}

/// The ids of the streams in a session's state (`protocol/signaling.md`, 6).
fn streams(state: &str) -> Vec<String> {
    let state: Value = serde_json::from_str(state).unwrap_or_default();
    let streams = state["stream"].as_array().into_iter().flatten();
    streams
        .filter_map(|stream| stream["id"].as_str().map(str::to_owned))
        .collect()
}

fn decode(bytes: &Bytes) -> Result<Frame> {
    Frame::decode(bytes).context("the server sent something that is no frame")
}
