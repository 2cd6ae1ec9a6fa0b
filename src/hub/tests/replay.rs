//! Whole recorded sessions against the hub (`tests/fixtures/signaling/transcripts`).
//!
//! What the recorded clients said is said again; each answer, and what each client is told in
//! all, must have the shape of what the recorded server said: status class, method, resource and
//! keys. [`EXCEPTIONS`] lists where we differ, and why.

mod exceptions;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use serde_json::Value;
use uuid::Uuid;

use self::exceptions::EXCEPTIONS;
use crate::clock::{Clock, Epoch};
use crate::entropy::Entropy;
use crate::hub::Hub;
use crate::hub::config::HubConfig;
use crate::hub::effect::{Admission, Denial, Effect, SocketKey, SocketOpen};
use crate::hub::harness::frame;
use crate::model::role::Role;
use crate::model::session::{MediaMode, Session, SessionOptions, SessionRequest};
use crate::sfu::{Event, Leg, Request};
use crate::signaling::frame::{Frame, FrameKind, header};
use crate::signaling::transcript::{Kind, kind};

/// A recording and its name.
macro_rules! transcripts {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!(
            "../../../tests/fixtures/signaling/transcripts/", $name, ".jsonl"
        )))),*]
    };
}

const TRANSCRIPTS: [(&str, &str); 18] = transcripts![
    "adaptive-routing",
    "error-replies",
    "p2p-publish-subscribe",
    "publisher-audio-fallback",
    "reconnect-no-pong",
    "reconnect-socket-killed",
    "routed-ice-restart",
    "routed-publish-subscribe",
    "routed-sender-stats",
    "routed-sfu-reoffer",
    "routed-simulcast-enabled-later",
    "routed-simulcast-rid",
    "routed-simulcast-ssrc",
    "routed-subscriber-channel-updates",
    "server-lost-state",
    "session-migration",
    "signals-moderation-archives-captions",
    "single-peer-connection",
];

#[test]
fn every_recorded_request_is_answered_as_it_was_and_causes_the_same_events() {
    let (mut unlike, mut used) = (Vec::new(), BTreeSet::new());
    for (name, text) in TRANSCRIPTS {
        let mut replay = Replay::new();
        for line in text.lines() {
            replay.line(&serde_json::from_str(line).expect("recordings are JSON"));
        }
        assert!(replay.asked > 1, "{name} has requests");
        for found in replay.differences() {
            let excuse = EXCEPTIONS
                .iter()
                .position(|(transcript, start, _)| *transcript == name && found.starts_with(start));
            match excuse {
                Some(index) => drop(used.insert(index)),
                None => unlike.push(format!("{name}: {found}")),
            }
        }
    }
    assert!(
        unlike.is_empty(),
        "{} unlike:\n{}",
        unlike.len(),
        unlike.join("\n")
    );
    let unused = (0..EXCEPTIONS.len()).filter(|index| !used.contains(index));
    let unused: Vec<_> = unused.map(|index| EXCEPTIONS[index]).collect();
    assert!(unused.is_empty(), "no exceptions any more: {unused:#?}");
}

/// A hub to which a recording's clients talk again, and what came of it then and now.
struct Replay {
    hub: Hub,
    epoch: Epoch,
    now: Instant,
    ids: Entropy,
    sessions: BTreeMap<String, Session>,
    /// The recording names each websocket.
    sockets: BTreeMap<String, SocketKey>,
    /// Which logical client a websocket belongs to: that of its first websocket.
    owners: BTreeMap<SocketKey, String>,
    socket_ids: BTreeMap<Uuid, String>,
    closed: BTreeSet<SocketKey>,
    /// Our names for the recording's peer connections.
    peers: BTreeMap<String, String>,
    /// Those that we have named and the recorded server has not yet, by client, method and URI.
    new_peers: BTreeMap<(String, String, String), VecDeque<String>>,
    asked: usize,
    requests: BTreeMap<String, String>,
    replies: [BTreeMap<String, (u16, Kind)>; 2],
    events: [BTreeMap<(String, Kind), usize>; 2],
    seen: [BTreeSet<(String, String)>; 2],
}

/// Indexes into what is compared.
const RECORDED: usize = 0;
const OURS: usize = 1;

impl Replay {
    fn new() -> Self {
        let now = Clock::system().now();
        let epoch = Epoch {
            instant: now,
            since_unix: Duration::from_secs(1_795_570_000),
        };
        Self {
            hub: Hub::new(HubConfig::default(), epoch, Entropy::from_seed(1)),
            epoch,
            now,
            ids: Entropy::from_seed(2),
            sessions: BTreeMap::new(),
            sockets: BTreeMap::new(),
            owners: BTreeMap::new(),
            socket_ids: BTreeMap::new(),
            closed: BTreeSet::new(),
            peers: BTreeMap::new(),
            new_peers: BTreeMap::new(),
            asked: 0,
            requests: BTreeMap::new(),
            replies: Default::default(),
            events: Default::default(),
            seen: Default::default(),
        }
    }

    fn line(&mut self, line: &Value) {
        let client = line["client"].as_str().unwrap_or_default();
        match (text(&line["dir"]), line["type"].as_str()) {
            ("websocket", _) if line["event"] == "open" || line["event"] == "resumed" => {
                self.open(client, text(&line["query"]));
            }
            ("websocket", _) if text(&line["event"]).starts_with("unknown resume") => {
                self.say(client, FrameKind::Ping, line, String::new());
                let socket = self.sockets[client];
                assert!(
                    self.closed.contains(&socket),
                    "nobody knows what is to be resumed"
                );
            }
            ("note", _) if text(&line["event"]).ends_with("forgotten everything") => {
                self.hub = Hub::new(HubConfig::default(), self.epoch, Entropy::from_seed(4));
            }
            ("websocket", _) if line["event"] == "close" => self.close(client),
            ("client->server", Some("CONNECT")) => {
                self.say(client, FrameKind::Connect, line, String::new());
            }
            ("client->server", Some("DISCONNECT")) => {
                self.say(client, FrameKind::Disconnect, line, String::new());
            }
            ("client->server", Some("MESSAGE")) => self.ask(client, line),
            ("server->client", Some("MESSAGE")) => self.recorded_event(client, line),
            ("server->client", Some("STATUS")) => {
                let status = line["headers"]["STATUS"]
                    .as_str()
                    .and_then(|s| s.parse().ok());
                let reply = (status.expect("replies have a status"), kind(&line["data"]));
                self.replies[RECORDED].insert(transaction(line), reply);
            }
            _ => {}
        }
        self.now += Duration::from_millis(1);
    }

    fn open(&mut self, client: &str, query: &str) {
        let mut open = SocketOpen::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "socketId" => open.socket_id = value.parse().ok(),
                "reconnect" => open.reconnect = value == "true",
                _ => {}
            }
        }
        let socket = SocketKey(self.owners.len() as u64);
        let owner = match open.socket_id {
            Some(id) => self
                .socket_ids
                .entry(id)
                .or_insert_with(|| client.to_owned())
                .clone(),
            None => client.to_owned(),
        };
        self.owners.insert(socket, owner);
        self.sockets.insert(client.to_owned(), socket);
        self.hub.handle_socket_opened(socket, open, self.now);
        self.perform(None);
    }

    fn close(&mut self, client: &str) {
        let socket = self.sockets[client];
        if self.closed.insert(socket) {
            self.hub.handle_socket_closed(socket, self.now);
            self.perform(None);
        }
    }

    fn say(&mut self, client: &str, kind: FrameKind, line: &Value, payload: String) {
        if !self.sockets.contains_key(client) {
            let id = self.ids.uuid();
            self.open(client, &format!("socketId={id}"));
        }
        let headers = line["headers"].as_object().into_iter().flatten();
        let headers = headers.map(|(name, value)| (name.clone(), text(value).to_owned()));
        let frame = Frame {
            headers: headers.collect(),
            payload,
            ..frame(kind)
        };
        let socket = self.sockets[client];
        if !self.closed.contains(&socket) {
            self.hub.handle_frame(socket, frame, self.now);
            self.perform(Some(line));
        }
    }

    fn ask(&mut self, client: &str, line: &Value) {
        let mut payload = line["data"].to_string();
        for (recorded, ours) in &self.peers {
            payload = payload.replace(recorded.as_str(), ours);
        }
        if !self.sockets.contains_key(client) {
            // Not every recording begins at the beginning.
            let id = text(&line["data"]["uri"])
                .rsplit('/')
                .next()
                .unwrap_or_default();
            let connect = serde_json::json!({"headers": {header::UNIQUE_ID: id}});
            self.say(client, FrameKind::Connect, &connect, String::new());
        }
        self.asked += 1;
        let data = &line["data"];
        let what = format!("{client} {} {}", text(&data["method"]), kind(data).1);
        self.requests.insert(transaction(line), what);
        self.say(client, FrameKind::Message, line, payload);
    }

    fn recorded_event(&mut self, client: &str, line: &Value) {
        let Some(&socket) = self.sockets.get(client) else {
            return;
        };
        let owner = self.owners[&socket].clone();
        let data = &line["data"];
        if !self.seen[RECORDED].insert((owner.clone(), transaction(line))) {
            return;
        }
        if let Some(recorded) = data["content"]["peerId"].as_str() {
            let named = self.new_peers.get_mut(&peer_key(&owner, data));
            if let Some(ours) = named.and_then(VecDeque::pop_front) {
                self.peers.entry(recorded.to_owned()).or_insert(ours);
            }
        }
        *self.events[RECORDED]
            .entry((owner, event_kind(data)))
            .or_default() += 1;
    }

    /// Does what the hub wants. `line` is the request that caused it, if one did.
    fn perform(&mut self, line: Option<&Value>) {
        while let Some(effect) = self.hub.poll_effect() {
            match effect {
                Effect::Send { socket, frame } => self.receive(socket, &frame),
                Effect::Close { socket, .. } => {
                    self.closed.insert(socket);
                }
                Effect::Authenticate {
                    ticket, session, ..
                } => {
                    let line = line.expect("only a request can ask for that");
                    let outcome = self.admit(session.as_str(), line);
                    self.hub.handle_authenticated(ticket, outcome, self.now);
                }
                Effect::Media { request, .. } => self.serve(request),
                Effect::Notice(_) => {}
            }
        }
    }

    /// A client receives a frame, and acknowledges at once.
    fn receive(&mut self, socket: SocketKey, bytes: &[u8]) {
        let received = Frame::decode(bytes).expect("the hub sends frames");
        let owner = self.owners[&socket].clone();
        let Some(id) = received.header(header::TRANSACTION_ID).map(str::to_owned) else {
            return;
        };
        let data: Value = serde_json::from_str(&received.payload).unwrap_or_default();
        if received.kind == FrameKind::Status {
            let status = received.header(header::STATUS).and_then(|s| s.parse().ok());
            let reply = (status.expect("replies have a status"), kind(&data));
            self.replies[OURS].insert(id, reply);
            return;
        }
        let mut acknowledgement = frame(FrameKind::Status);
        let named = (header::TRANSACTION_ID.to_owned(), id.clone());
        acknowledgement.headers.push(named);
        self.hub.handle_frame(socket, acknowledgement, self.now);
        if !self.seen[OURS].insert((owner.clone(), id)) {
            return;
        }
        if let Some(peer) = data["content"]["peerId"].as_str() {
            let named = self.new_peers.entry(peer_key(&owner, &data)).or_default();
            named.push_back(peer.to_owned());
        }
        *self.events[OURS]
            .entry((owner, event_kind(&data)))
            .or_default() += 1;
    }

    /// The store, which knows every session. The token of a recording is its role.
    fn admit(&mut self, session: &str, line: &Value) -> Result<Admission, Denial> {
        let mode = match session.split('-').next() {
            Some("p2p") => MediaMode::Relayed,
            Some("amr") => MediaMode::Adaptive,
            _ => MediaMode::Routed,
        };
        let stored = self.sessions.entry(session.to_owned()).or_insert_with(|| {
            let request = SessionRequest {
                media_mode: mode,
                ..SessionRequest::default()
            };
            let options = SessionOptions::try_from(request).expect("every mode is good");
            let project = "1127".parse().expect("an API key");
            let id = session.parse().expect("a session id");
            Session {
                id,
                ..Session::create(project, options, 0, &mut Entropy::from_seed(3))
            }
        });
        let role = match text(&line["headers"][header::TOKEN]) {
            "moderator" => Role::Moderator,
            "subscriber" => Role::Subscriber,
            _ => Role::Publisher,
        };
        Ok(Admission {
            session: stored.clone(),
            role,
            data: String::new(),
            layout_classes: Vec::new(),
            max_connections: None,
            video_codecs: None,
        })
    }

    /// An SFU that agrees to everything at once.
    fn serve(&mut self, request: Request) {
        let sdp = || "v=0\r\n".to_owned();
        let events = match request {
            Request::PublisherOffer { publication, .. } => {
                let leg = Leg::Publisher(publication);
                vec![Event::Answer { leg, sdp: sdp() }, Event::Connected { leg }]
            }
            Request::Subscribe { subscription, .. } => vec![Event::Offer {
                subscription,
                sdp: sdp(),
            }],
            Request::SubscriberAnswer { subscription, .. } => vec![Event::Connected {
                leg: Leg::Subscriber(subscription),
            }],
            Request::SubscriberOffer { subscription, .. } => vec![Event::Answer {
                leg: Leg::Subscriber(subscription),
                sdp: sdp(),
            }],
            Request::Update { .. }
            | Request::Watch { .. }
            | Request::Unpublish { .. }
            | Request::Unsubscribe { .. } => vec![],
        };
        for event in events {
            self.hub.handle_media(event, self.now);
        }
    }

    fn differences(&self) -> impl Iterator<Item = String> {
        let mut found = Vec::new();
        for (id, (status, shape)) in &self.replies[RECORDED] {
            let Some(request) = self.requests.get(id) else {
                continue;
            };
            match self.replies[OURS].get(id) {
                Some((ours, our_shape)) if ours / 100 == status / 100 && our_shape == shape => {}
                other => found.push(format!("{request}: {status} {:?}; ours {other:?}", shape.2)),
            }
        }
        let all: BTreeSet<_> = self
            .events
            .iter()
            .flat_map(|events| events.keys())
            .collect();
        for key in all {
            let count = |side: usize| self.events[side].get(key).copied().unwrap_or_default();
            if count(RECORDED) != count(OURS) {
                let (client, (method, shape, keys)) = key;
                let (then, now) = (count(RECORDED), count(OURS));
                let what = format!("event {method} {shape}");
                found.push(format!(
                    "{what} to {client}: {then} then, {now} now: {keys:?}"
                ));
            }
        }
        found.into_iter()
    }
}

/// What is compared of an event. In a `created`, saying how a stream travels is optional (8.2).
fn event_kind(data: &Value) -> Kind {
    let mut kind = kind(data);
    if kind.0 == "created" {
        kind.2.remove(".content.sourceStreamId");
    }
    kind
}

fn peer_key(client: &str, data: &Value) -> (String, String, String) {
    let part = |name: &str| text(&data[name]).to_owned();
    (client.to_owned(), part("method"), part("uri"))
}

fn transaction(line: &Value) -> String {
    text(&line["headers"][header::TRANSACTION_ID]).to_owned()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
