//! One signaling client that does no more than a load generator needs: it joins, acknowledges,
//! keeps its websocket alive, and sends the signals it is told to.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use super::histogram::Histogram;
use crate::clock::Clock;
use crate::signaling::frame::{Frame, FrameKind, header};

/// How often the official client says that it is there (`protocol/signaling.md`, 4.3).
const KEEPALIVE: Duration = Duration::from_secs(2);

/// How long joining may take.
const JOIN_PATIENCE: Duration = Duration::from_secs(30);

/// Where the server's session logic is; told in session info, and never looked at by the server.
const SYMPHONY: &str = "symphony.load";

/// What it takes to join.
#[derive(Debug, Clone)]
pub(super) struct Ticket {
    pub(super) authority: String,
    pub(super) project: String,
    pub(super) session: String,
    pub(super) token: String,
    pub(super) connection: Uuid,
}

/// A client that has joined.
#[derive(Debug)]
pub(super) struct Client {
    socket: WebSocketStream<TcpStream>,
    base: String,
    address: String,
    clock: Clock,
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
        let stream = TcpStream::connect(&ticket.authority).await?;
        stream.set_nodelay(true)?;
        let url = format!(
            "ws://{}/rumorwebsocketsv2?socketId={}&attempt={}",
            ticket.authority, ticket.connection, ticket.connection
        );
        let (socket, _) = tokio_tungstenite::client_async(url, stream).await?;
        let base = format!("/v2/partner/{}/session/{}", ticket.project, ticket.session);
        let address = ticket.connection.to_string();
        let mut client = Self {
            socket,
            base,
            address,
            clock,
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
                    self.send(FrameKind::Ping, vec![], vec![], String::new()).await?;
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

    async fn acknowledge(&mut self, frame: &Frame) -> Result<()> {
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

    async fn receive(&mut self) -> Result<Frame> {
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

fn decode(bytes: &Bytes) -> Result<Frame> {
    Frame::decode(bytes).context("the server sent something that is no frame")
}
