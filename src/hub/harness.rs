//! A hub with invented clients, an invented clock, an invented store and an invented SFU.
//!
//! Clients speak frames and JSON, as real ones do, so that the tests see what goes over the wire.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use uuid::Uuid;

use super::Hub;
use super::call::{Answer, Call, CallError};
use super::config::HubConfig;
use super::effect::{
    Admission, Denial, Effect, NoticeEvent, SessionKey, SocketKey, SocketOpen, Ticket,
};
use crate::clock::{Clock, Epoch};
use crate::entropy::Entropy;
use crate::model::id::ProjectId;
use crate::model::role::Role;
use crate::model::session::{ArchiveMode, MediaMode, Session};
use crate::sfu;
use crate::signaling::frame::{Frame, FrameKind};

pub(super) const BASE: &str = "/v2/partner/1127/session/S";

/// The hub and everything around it.
pub(super) struct World {
    pub(super) hub: Hub,
    pub(super) now: Instant,
    ids: Entropy,
    next_socket: u64,
    /// What is on the way to each open websocket.
    wires: BTreeMap<SocketKey, VecDeque<Frame>>,
    pub(super) closed: BTreeMap<SocketKey, u16>,
    pub(super) tickets: Vec<(Ticket, String)>,
    pub(super) media: Vec<(SessionKey, sfu::Request)>,
    pub(super) notices: Vec<NoticeEvent>,
    pub(super) session: Session,
    /// What tokens say about layout.
    pub(super) layout_classes: Vec<String>,
}

/// One client, with what it remembers.
pub(super) struct Client {
    pub(super) id: Uuid,
    pub(super) socket_id: Uuid,
    pub(super) socket: SocketKey,
    /// Everything received and not looked at yet, without acknowledgements and pongs.
    pub(super) inbox: VecDeque<Frame>,
    /// Replies by transaction.
    pub(super) replies: BTreeMap<String, Vec<(u16, Value)>>,
    /// Transactions of events seen, to drop replays as a real client does.
    seen: BTreeSet<String>,
    pub(super) pongs: usize,
    /// Whether it acknowledges.
    pub(super) acknowledges: bool,
}

/// One event as a client sees it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Event {
    pub(super) from: String,
    pub(super) method: String,
    /// Without the session's part.
    pub(super) uri: String,
    pub(super) reason: Option<String>,
    pub(super) content: Value,
    pub(super) body: Value,
}

impl World {
    pub(super) fn new(media_mode: MediaMode) -> Self {
        Self::with(media_mode, HubConfig::default())
    }

    pub(super) fn with(media_mode: MediaMode, config: HubConfig) -> Self {
        let now = Clock::system().now();
        let epoch = Epoch {
            instant: now,
            since_unix: Duration::from_secs(1_795_570_000),
        };
        let session = Session {
            id: "S".parse().unwrap(),
            project: ProjectId::new(1127).unwrap(),
            media_mode,
            archive_mode: ArchiveMode::Manual,
            archive_name: None,
            archive_resolution: None,
            location: None,
            e2ee: false,
            max_connections: None,
            video_codecs: None,
            created_at_ms: 0,
        };
        Self {
            hub: Hub::new(config, epoch, Entropy::from_seed(1)),
            now,
            ids: Entropy::from_seed(2),
            next_socket: 0,
            wires: BTreeMap::new(),
            closed: BTreeMap::new(),
            tickets: Vec::new(),
            media: Vec::new(),
            notices: Vec::new(),
            session,
            layout_classes: Vec::new(),
        }
    }

    /// Lets time pass, deadline by deadline.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.hub.poll_timeout()
            && at <= end
        {
            self.now = self.now.max(at);
            self.hub.handle_timeout(self.now);
            self.perform();
        }
        self.now = end;
        self.hub.handle_timeout(self.now);
        self.perform();
    }

    /// Lets time pass while these clients ping as real ones do.
    pub(super) fn pass_alive(&mut self, time: Duration, clients: &mut [&mut Client]) {
        let end = self.now + time;
        while self.now < end {
            self.pass(Duration::from_secs(2).min(end - self.now));
            for client in &mut *clients {
                self.send(client, &frame(FrameKind::Ping));
                self.receive(client);
            }
        }
    }

    fn perform(&mut self) {
        while let Some(effect) = self.hub.poll_effect() {
            match effect {
                Effect::Send { socket, frame } => {
                    let frame = Frame::decode(&frame).expect("the hub sends frames");
                    if let Some(wire) = self.wires.get_mut(&socket) {
                        wire.push_back(frame);
                    }
                }
                Effect::Close { socket, code } => {
                    assert_eq!(self.closed.insert(socket, code), None, "closed twice");
                }
                Effect::Authenticate { ticket, token, .. } => self.tickets.push((ticket, token)),
                Effect::Media { session, request } => self.media.push((session, request)),
                Effect::Notice(notice) => self.notices.push(notice.event),
            }
        }
    }

    pub(super) fn uuid(&mut self) -> Uuid {
        self.ids.uuid()
    }

    pub(super) fn open(&mut self, open: SocketOpen) -> SocketKey {
        self.next_socket += 1;
        let socket = SocketKey(self.next_socket);
        self.wires.insert(socket, VecDeque::new());
        self.hub.handle_socket_opened(socket, open, self.now);
        self.perform();
        socket
    }

    /// A client with an open websocket that has said nothing.
    pub(super) fn client(&mut self) -> Client {
        let (id, socket_id) = (self.uuid(), self.uuid());
        let socket = self.open(SocketOpen {
            socket_id: Some(socket_id),
            reconnect: false,
        });
        Client {
            id,
            socket_id,
            socket,
            inbox: VecDeque::new(),
            replies: BTreeMap::new(),
            seen: BTreeSet::new(),
            pongs: 0,
            acknowledges: true,
        }
    }

    /// A client that has joined and has seen what there is to see.
    pub(super) fn join(&mut self, role: Role) -> Client {
        let mut client = self.client();
        let (status, _) = self.join_as(&mut client, role, json!({}));
        assert_eq!(status, 200);
        self.events(&mut client);
        client
    }

    /// Lets a client join; returns the reply.
    pub(super) fn join_as(
        &mut self,
        client: &mut Client,
        role: Role,
        content: Value,
    ) -> (u16, Value) {
        self.connect(client);
        let transaction = self.ask_to_join(client, content);
        self.admit(role);
        self.receive(client);
        client.reply(&transaction)
    }

    pub(super) fn connect(&mut self, client: &mut Client) {
        let mut connect = frame(FrameKind::Connect);
        connect
            .headers
            .push(("uniqueId".into(), client.id.to_string()));
        connect
            .headers
            .push(("TRANSACTION-ID".into(), self.uuid().to_string()));
        self.send(client, &connect);
        let mut subscribe = frame(FrameKind::Subscribe);
        subscribe.addresses.push(BASE.into());
        self.send(client, &subscribe);
    }

    /// Sends a connection create; returns its transaction.
    pub(super) fn ask_to_join(&mut self, client: &mut Client, content: Value) -> String {
        let body = json!({
            "method": "create", "uri": format!("{BASE}/connection/{}", client.id),
            "content": content,
        });
        let mut frame = self.request(&body);
        frame
            .headers
            .push(("X-TB-TOKEN-AUTH".into(), format!("token of {}", client.id)));
        self.send(client, &frame);
        frame.header("TRANSACTION-ID").unwrap().to_owned()
    }

    /// Lets the store find every waiting token good.
    pub(super) fn admit(&mut self, role: Role) {
        for (ticket, token) in std::mem::take(&mut self.tickets) {
            let admission = Admission {
                session: self.session.clone(),
                role,
                data: format!("data for {token}"),
                layout_classes: self.layout_classes.clone(),
                max_connections: self.session.max_connections,
                video_codecs: self.session.video_codecs.clone(),
            };
            self.hub
                .handle_authenticated(ticket, Ok(admission), self.now);
        }
        self.perform();
    }

    pub(super) fn deny(&mut self, denial: Denial) {
        for (ticket, _) in std::mem::take(&mut self.tickets) {
            self.hub.handle_authenticated(ticket, Err(denial), self.now);
        }
        self.perform();
    }

    /// A request as a client would send it.
    pub(super) fn request(&mut self, body: &Value) -> Frame {
        let mut frame = frame(FrameKind::Message);
        frame.addresses.push("symphony.x".into());
        frame
            .headers
            .push(("TRANSACTION-ID".into(), self.uuid().to_string()));
        frame.payload = body.to_string();
        frame
    }

    /// Puts a frame into a client's websocket.
    pub(super) fn send(&mut self, client: &mut Client, frame: &Frame) {
        let frame = Frame::decode(&frame.encode()).expect("clients send frames");
        if self.closed.contains_key(&client.socket) {
            return;
        }
        self.hub.handle_frame(client.socket, frame, self.now);
        self.perform();
    }

    /// Sends a request and takes its reply.
    pub(super) fn ask(
        &mut self,
        client: &mut Client,
        method: &str,
        path: &str,
        content: Value,
    ) -> (u16, Value) {
        let uri = format!("{BASE}{path}");
        self.ask_body(
            client,
            &json!({"method": method, "uri": uri, "content": content}),
        )
    }

    pub(super) fn ask_body(&mut self, client: &mut Client, body: &Value) -> (u16, Value) {
        let frame = self.request(body);
        self.send(client, &frame);
        self.receive(client);
        client.reply(frame.header("TRANSACTION-ID").unwrap())
    }

    /// Lets a client read its websocket, acknowledge and remember.
    pub(super) fn receive(&mut self, client: &mut Client) {
        let wire = self
            .wires
            .get_mut(&client.socket)
            .map(std::mem::take)
            .unwrap_or_default();
        for received in wire {
            match received.kind {
                FrameKind::Pong => client.pongs += 1,
                FrameKind::Status => {
                    let transaction = received.header("TRANSACTION-ID").unwrap().to_owned();
                    let status = received.header("STATUS").unwrap().parse().unwrap();
                    let body = match received.payload.as_str() {
                        "" => Value::Null,
                        payload => serde_json::from_str(payload).expect("replies are JSON"),
                    };
                    client
                        .replies
                        .entry(transaction)
                        .or_default()
                        .push((status, body));
                }
                FrameKind::Message => {
                    let transaction = received.header("TRANSACTION-ID").unwrap().to_owned();
                    if client.acknowledges {
                        let mut ack = frame(FrameKind::Status);
                        ack.headers
                            .push(("TRANSACTION-ID".into(), transaction.clone()));
                        self.send(client, &ack);
                    }
                    if client.seen.insert(transaction) {
                        client.inbox.push_back(received);
                    }
                }
                other => panic!("a client was sent a {other:?}"),
            }
        }
    }

    /// Everything a client has not looked at yet.
    pub(super) fn events(&mut self, client: &mut Client) -> Vec<Event> {
        self.receive(client);
        std::mem::take(&mut client.inbox)
            .iter()
            .map(Event::of)
            .collect()
    }

    /// The websocket breaks; what was on the way is lost.
    pub(super) fn cut(&mut self, client: &Client) {
        self.wires.remove(&client.socket);
        self.hub.handle_socket_closed(client.socket, self.now);
        self.perform();
    }

    /// The client opens another websocket.
    pub(super) fn resume(&mut self, client: &mut Client) {
        let open = SocketOpen {
            socket_id: Some(client.socket_id),
            reconnect: true,
        };
        client.socket = self.open(open);
    }

    pub(super) fn disconnect(&mut self, client: &mut Client, reconnect: &str) {
        let mut frame = frame(FrameKind::Disconnect);
        frame.headers.push(("reconnect".into(), reconnect.into()));
        self.send(client, &frame);
    }

    /// What a back end asks.
    pub(super) fn call(&mut self, call: Call) -> Result<Answer, CallError> {
        let answer = self.hub.handle_call(&self.session.id, call, self.now);
        self.perform();
        answer
    }

    pub(super) fn media_says(&mut self, event: sfu::Event) {
        self.hub.handle_media(event, self.now);
        self.perform();
    }

    /// What the SFU was asked since the last time.
    pub(super) fn asked_of_media(&mut self) -> Vec<sfu::Request> {
        std::mem::take(&mut self.media)
            .into_iter()
            .map(|(_, request)| request)
            .collect()
    }

    /// Publishes in a relayed session, or up to the point where the SFU is connected.
    pub(super) fn publish(&mut self, client: &mut Client) -> Uuid {
        let id = self.uuid();
        let (status, _) = self.ask(client, "create", &format!("/stream/{id}"), stream(id));
        assert_eq!(status, 200);
        id
    }

    /// Publishes in a routed session, until the stream is announced.
    pub(super) fn publish_routed(&mut self, client: &mut Client) -> (Uuid, sfu::PublicationId) {
        let id = self.publish(client);
        let offer = json!({"type": "offer", "sdp": "v=0 offer", "sourceStreamId": "MANTIS"});
        assert_eq!(
            self.ask(client, "offer", &format!("/stream/{id}"), offer).0,
            200
        );
        let Some((_, sfu::Request::PublisherOffer { publication, .. })) = self.media.pop() else {
            panic!("the offer did not reach the SFU");
        };
        let leg = sfu::Leg::Publisher(publication);
        self.media_says(sfu::Event::Answer {
            leg,
            sdp: "v=0 answer".into(),
        });
        self.media_says(sfu::Event::Connected { leg });
        (id, publication)
    }

    /// Subscribes in any session.
    pub(super) fn subscribe(&mut self, client: &mut Client, stream: Uuid) -> Uuid {
        let id = self.uuid();
        let path = format!("/stream/{stream}/subscriber/{id}");
        let (status, _) = self.ask(client, "create", &path, subscriber(id));
        assert_eq!(status, 200);
        id
    }
}

impl Client {
    /// The one reply to a request.
    pub(super) fn reply(&mut self, transaction: &str) -> (u16, Value) {
        let mut replies = self
            .replies
            .remove(transaction)
            .expect("every request gets a reply");
        assert_eq!(replies.len(), 1, "exactly one");
        replies.remove(0)
    }
}

impl Event {
    fn of(frame: &Frame) -> Self {
        let body: Value = serde_json::from_str(&frame.payload).expect("events are JSON");
        let text = |key: &str| body[key].as_str().map(str::to_owned);
        let uri = text("uri").expect("events have a URI");
        Self {
            from: frame.header("X-TB-FROM-ADDRESS").unwrap().to_owned(),
            method: text("method").expect("events have a method"),
            uri: uri
                .strip_prefix(BASE)
                .expect("it is this session's")
                .to_owned(),
            reason: text("reason"),
            content: body["content"].clone(),
            body,
        }
    }

    /// Method and URI in one word, for comparisons.
    pub(super) fn head(&self) -> String {
        format!("{} {}", self.method, self.uri)
    }
}

/// A frame without anything in it.
pub(super) fn frame(kind: FrameKind) -> Frame {
    Frame {
        kind,
        addresses: Vec::new(),
        headers: Vec::new(),
        payload: String::new(),
    }
}

pub(super) fn heads(events: &[Event]) -> Vec<String> {
    events.iter().map(Event::head).collect()
}

/// A camera and a microphone, as section 8.1 shows them.
pub(super) fn stream(id: Uuid) -> Value {
    json!({
        "id": id.to_string(), "name": "cam",
        "publisherAudioFallbackEnabled": false, "subscriberAudioFallbackEnabled": true,
        "channel": [
            {"id": "video1", "type": "video", "active": true, "width": 640, "height": 480,
             "orientation": 0, "frameRate": 30, "source": "camera", "fitMode": "cover"},
            {"id": "audio1", "type": "audio", "active": true},
            {"id": "caption1", "type": "data", "active": false},
            {"id": "downlinkStats1", "type": "data", "active": true}],
        "e2ee": false, "customProperties": {"initials": "AB"}, "minBitrate": 300_000,
    })
}

/// Section 9.1.
pub(super) fn subscriber(id: Uuid) -> Value {
    json!({
        "id": id.to_string(), "connection": "not looked at",
        "keyManagementMethod": "DTLS_SRTP", "bundleSupport": true, "rtcpMuxSupport": true,
        "e2ee": false,
        "channel": [
            {"id": "audio1", "type": "audio", "active": true},
            {"id": "video1", "type": "video", "active": true, "restrictFrameRate": false,
             "preferredWidth": 320, "preferredHeight": 240, "preferredFrameRate": 15},
            {"id": "caption1", "type": "data", "active": false}],
    })
}

/// The path of a signal to all, told apart by name.
pub(super) fn signal(name: &str) -> String {
    let number = name
        .bytes()
        .fold(0, |number: u128, byte| number * 31 + u128::from(byte));
    format!("/signal/{}", Uuid::from_u128(number))
}
