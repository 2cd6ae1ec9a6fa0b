use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::hub::call::{Answer, Call};
use crate::hub::harness::{BASE, Client, Event, World, signal, stream, subscriber};
use crate::model::id::ConnectionId;
use crate::model::role::Role;
use crate::model::session::MediaMode;
use crate::signaling::client::SignalBody;
use crate::signaling::error::close;
use crate::signaling::frame::{Frame, FrameKind};

/// Clients a run may have; small, so that they meet each other a lot.
const CLIENTS: usize = 4;

#[derive(Debug, Clone)]
enum Step {
    Join(usize),
    Leave(usize),
    /// The websocket breaks; what was on the way is lost.
    Cut(usize),
    Resume(usize),
    /// Reads and acknowledges everything.
    Read(usize),
    Signal(usize),
    SignalTo(usize, usize),
    Publish(usize),
    Unpublish(usize),
    Toggle(usize),
    Subscribe(usize, usize),
    ForceDisconnect(usize, usize),
    /// A back end's doing, like the next two.
    CallSignal(Option<usize>),
    CallDisconnect(usize),
    CallMute(bool),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0..CLIENTS;
    let pair = (0..CLIENTS, 0..CLIENTS);
    prop_oneof![
        4 => client.clone().prop_map(Step::Join),
        1 => client.clone().prop_map(Step::Leave),
        3 => client.clone().prop_map(Step::Cut),
        3 => client.clone().prop_map(Step::Resume),
        3 => client.clone().prop_map(Step::Read),
        6 => client.clone().prop_map(Step::Signal),
        3 => pair.clone().prop_map(|(a, b)| Step::SignalTo(a, b)),
        3 => client.clone().prop_map(Step::Publish),
        1 => client.clone().prop_map(Step::Unpublish),
        3 => client.prop_map(Step::Toggle),
        3 => pair.clone().prop_map(|(a, b)| Step::Subscribe(a, b)),
        1 => pair.prop_map(|(a, b)| Step::ForceDisconnect(a, b)),
        2 => prop::option::of(0..CLIENTS).prop_map(Step::CallSignal),
        1 => (0..CLIENTS).prop_map(Step::CallDisconnect),
        1 => any::<bool>().prop_map(Step::CallMute),
        2 => (0..4000u64).prop_map(Step::Wait),
    ]
}

/// A client that keeps what a real one would: who is here, what is published, what is unanswered.
struct Member {
    client: Client,
    online: bool,
    /// It was told that it is no longer in the session.
    out: bool,
    connections: BTreeSet<String>,
    /// Streams, each with whether its video is on.
    streams: BTreeMap<String, Value>,
    signals: Vec<String>,
    unanswered: BTreeMap<String, Frame>,
    own: Vec<(Uuid, bool)>,
}

/// All of it, and what must come true.
struct Run {
    world: World,
    members: Vec<Option<Member>>,
    /// Signals that each connection must have received exactly once, in this order.
    expected: BTreeMap<Uuid, Vec<String>>,
    next_signal: u32,
}

impl Run {
    fn take(&mut self, step: &Step) {
        match *step {
            Step::Join(at) => self.join(at),
            Step::Leave(at) => self.leave(at),
            Step::Cut(at) => self.cut(at),
            Step::Resume(at) => self.resume(at),
            Step::Read(at) => self.read(at),
            Step::Signal(at) => self.signal(at, None),
            Step::SignalTo(at, to) => self.signal(at, Some(to)),
            Step::Publish(at) => self.publish(at),
            Step::Unpublish(at) => self.unpublish(at),
            Step::Toggle(at) => self.toggle(at),
            Step::Subscribe(at, of) => self.subscribe(at, of),
            Step::ForceDisconnect(at, whom) => self.force_disconnect(at, whom),
            Step::CallSignal(to) => self.call_signal(to),
            Step::CallDisconnect(whom) => self.call_disconnect(whom),
            Step::CallMute(active) => self.call_mute(active),
            Step::Wait(ms) => self.wait(Duration::from_millis(ms)),
        }
    }

    fn join(&mut self, at: usize) {
        if self.members[at].is_some() {
            return;
        }
        let mut client = self.world.client();
        let (status, state) = self.world.join_as(&mut client, Role::Moderator, json!({}));
        assert_eq!(status, 200);
        let list = |key: &str| state[key].as_array().cloned().expect("an array");
        let id = |object: &Value| object["id"].as_str().expect("an id").to_owned();
        let member = Member {
            online: true,
            out: false,
            connections: list("connection").iter().map(id).collect(),
            streams: list("stream")
                .iter()
                .map(|s| (id(s), s["channel"][0]["active"].clone()))
                .collect(),
            signals: Vec::new(),
            unanswered: BTreeMap::new(),
            own: Vec::new(),
            client,
        };
        self.expected.insert(member.client.id, Vec::new());
        self.members[at] = Some(member);
    }

    /// The member, if it is in the session and online.
    fn online(&mut self, at: usize) -> Option<&mut Member> {
        self.members[at].as_mut().filter(|m| m.online && !m.out)
    }

    /// Sends a request whose reply is taken whenever it comes.
    fn request(&mut self, at: usize, body: &Value) -> bool {
        let frame = self.world.request(body);
        let Some(member) = self.members[at].as_mut().filter(|m| m.online && !m.out) else {
            return false;
        };
        let transaction = frame
            .header("TRANSACTION-ID")
            .expect("requests have one")
            .to_owned();
        self.world.send(&mut member.client, &frame);
        member.unanswered.insert(transaction, frame);
        true
    }

    fn leave(&mut self, at: usize) {
        if self.online(at).is_some()
            && let Some(mut member) = self.members[at].take()
        {
            self.world.disconnect(&mut member.client, "");
        }
    }

    fn cut(&mut self, at: usize) {
        let closed = &self.world.closed;
        // A client that was closed for good does not come back.
        let is_gone = |m: &Member| closed.get(&m.client.socket) == Some(&close::GONE);
        if let Some(member) = self.members[at].as_mut().filter(|m| m.online)
            && !is_gone(member)
        {
            member.online = false;
            self.world.cut(&member.client);
        }
    }

    /// Comes back as a real client does: whatever has no reply yet is sent again.
    fn resume(&mut self, at: usize) {
        let Some(member) = self.members[at].as_mut().filter(|m| !m.online) else {
            return;
        };
        self.world.resume(&mut member.client);
        member.online = true;
        for frame in member.unanswered.values() {
            self.world.send(&mut member.client, frame);
        }
    }

    fn read(&mut self, at: usize) {
        let Some(member) = self.members[at].as_mut().filter(|m| m.online) else {
            return;
        };
        for event in self.world.events(&mut member.client) {
            member.hear(&event);
        }
        for (transaction, replies) in std::mem::take(&mut member.client.replies) {
            let repeated = replies.windows(2).all(|pair| pair[0] == pair[1]);
            assert!(repeated, "one request, one answer: {replies:?}");
            member.unanswered.remove(&transaction);
        }
    }

    fn signal(&mut self, at: usize, to: Option<usize>) {
        self.next_signal += 1;
        let path = signal(&self.next_signal.to_string());
        let target = match to.map(|to| self.members[to].as_ref().filter(|m| !m.out)) {
            Some(None) => return,
            Some(Some(member)) => Some(member.client.id),
            None => None,
        };
        let uri = target.map_or(path.clone(), |id| format!("/connection/{id}{path}"));
        let body = json!({"method": "signal", "uri": format!("{BASE}{uri}"), "content": {}});
        if !self.request(at, &body) {
            return;
        }
        // Whoever was put out may not know it yet; it gets nothing, nor does anybody from it.
        let here: Vec<_> = self.here();
        let sender = self.members[at].as_ref().map(|m| m.client.id);
        if !sender.is_some_and(|id| here.contains(&id)) {
            return;
        }
        for id in here {
            if target.is_none_or(|target| target == id) {
                self.expected.entry(id).or_default().push(uri.clone());
            }
        }
    }

    /// Who is in the session as the hub sees it.
    fn here(&self) -> Vec<Uuid> {
        let sessions = self.world.hub.sessions.values();
        sessions
            .flat_map(|session| session.connections.keys().map(|id| id.0))
            .collect()
    }

    fn publish(&mut self, at: usize) {
        let id = self.world.uuid();
        let uri = format!("{BASE}/stream/{id}");
        if self.request(
            at,
            &json!({"method": "create", "uri": uri, "content": stream(id)}),
        ) && let Some(member) = self.online(at)
        {
            member.own.push((id, true));
        }
    }

    fn unpublish(&mut self, at: usize) {
        let Some((id, _)) = self.online(at).and_then(|m| m.own.pop()) else {
            return;
        };
        let uri = format!("{BASE}/stream/{id}");
        self.request(at, &json!({"method": "delete", "uri": uri, "content": {}}));
    }

    fn toggle(&mut self, at: usize) {
        let Some((id, on)) = self.online(at).and_then(|m| m.own.last_mut()) else {
            return;
        };
        *on = !*on;
        let uri = format!("{BASE}/stream/{id}/channel/video1");
        let body = json!({"method": "update", "uri": uri, "content": {"active": *on}});
        self.request(at, &body);
    }

    fn subscribe(&mut self, at: usize, of: usize) {
        let Some((id, _)) = self.members[of]
            .as_ref()
            .and_then(|m| m.own.last().copied())
        else {
            return;
        };
        let subscription = self.world.uuid();
        let uri = format!("{BASE}/stream/{id}/subscriber/{subscription}");
        let content = subscriber(subscription);
        self.request(
            at,
            &json!({"method": "create", "uri": uri, "content": content}),
        );
    }

    fn force_disconnect(&mut self, at: usize, whom: usize) {
        let Some(id) = self.members[whom].as_ref().map(|m| m.client.id) else {
            return;
        };
        let uri = format!("{BASE}/connection/{id}");
        self.request(at, &json!({"method": "delete", "uri": uri, "content": {}}));
    }

    fn call_signal(&mut self, to: Option<usize>) {
        let target = match to.map(|to| self.members[to].as_ref()) {
            Some(None) => return,
            Some(Some(member)) => Some(member.client.id),
            None => None,
        };
        let here = self.here();
        let call = Call::Signal {
            to: target.map(ConnectionId),
            body: SignalBody::default(),
        };
        let is_heard = here.iter().any(|id| target.is_none_or(|to| to == *id));
        assert_eq!(self.world.call(call).is_ok(), is_heard);
        for id in here {
            if target.is_none_or(|target| target == id) {
                // Nobody has chosen the signal's id, so it goes by where it went.
                let from_nobody = target.map_or(String::new(), |id| format!("/connection/{id}"));
                self.expected.entry(id).or_default().push(from_nobody);
            }
        }
    }

    fn call_disconnect(&mut self, whom: usize) {
        let Some(id) = self.members[whom].as_ref().map(|m| m.client.id) else {
            return;
        };
        let is_here = self.here().contains(&id);
        let call = Call::Disconnect(ConnectionId(id));
        assert_eq!(self.world.call(call).is_ok(), is_here);
    }

    fn call_mute(&mut self, active: bool) {
        let excluded = Vec::new();
        let muted = self.world.call(Call::MuteSession { active, excluded });
        assert_eq!(muted, Ok(Answer::Done));
    }

    /// Lets time pass while those who are online ping. Nobody is away for long enough to be given
    /// up, or the model would have to know when; that rule has tests of its own.
    fn wait(&mut self, time: Duration) {
        for member in self.members.iter_mut().flatten().filter(|m| m.online) {
            self.world.send(&mut member.client, &ping());
        }
        self.world.pass(time);
    }

    /// Everybody comes back and reads until nothing is left to read.
    fn drain(&mut self) {
        for at in 0..CLIENTS {
            self.resume(at);
        }
        for _ in 0..3 {
            for at in 0..CLIENTS {
                self.read(at);
            }
        }
    }
}

fn ping() -> Frame {
    crate::hub::harness::frame(FrameKind::Ping)
}

impl Member {
    fn hear(&mut self, event: &Event) {
        let words: Vec<_> = event.uri.split('/').collect();
        match (event.method.as_str(), &words[1..]) {
            ("created", ["connection", id]) => {
                self.connections.insert((*id).to_owned());
            }
            ("deleted", ["connection", id]) => {
                assert!(
                    self.connections.remove(*id),
                    "left without having been here"
                );
                self.out |= *id == self.client.id.to_string();
            }
            ("created", ["stream", id]) => {
                let active = event.content["channel"][0]["active"].clone();
                assert_eq!(
                    self.streams.insert((*id).to_owned(), active),
                    None,
                    "announced twice"
                );
            }
            ("deleted", ["stream", id]) => {
                assert!(
                    self.streams.remove(*id).is_some(),
                    "ended without having been here"
                );
                self.own.retain(|(own, _)| own.to_string() != *id);
            }
            ("updated", ["stream", id, "channel", "video1"]) => {
                let active = event.content["active"].clone();
                let before = self.streams.insert((*id).to_owned(), active.clone());
                assert_ne!(before, None, "unknown stream");
                assert_ne!(before, Some(active), "no change");
            }
            ("signal", _) if event.from.is_empty() => {
                let (to, _) = event.uri.split_once("/signal/").expect("its URI");
                self.signals.push(to.to_owned());
            }
            ("signal", _) => self.signals.push(event.uri.clone()),
            ("update", [] | ["stream", _]) => {}
            ("generateoffer" | "deleted", ["stream", _, "subscriber", _]) => {}
            _ => panic!("unexpected {}", event.head()),
        }
    }
}

proptest! {
    #[test]
    fn after_everything_everybody_agrees_and_nothing_is_lost_or_doubled(
        steps in prop::collection::vec(step(), 0..50),
    ) {
        let mut run = Run {
            world: World::new(MediaMode::Relayed),
            members: (0..CLIENTS).map(|_| None).collect(),
            expected: BTreeMap::new(),
            next_signal: 0,
        };
        let mut waited = 0;
        for step in &steps {
            // See `Run::wait`.
            if let Step::Wait(ms) = step {
                waited += ms;
                if waited > 30_000 {
                    continue;
                }
            }
            run.take(step);
        }
        run.drain();
        let here: BTreeSet<_> = run.here().iter().map(Uuid::to_string).collect();
        let streams: BTreeMap<_, _> = run
            .world
            .hub
            .sessions
            .values()
            .flat_map(|session| &session.streams)
            .map(|(id, s)| (id.to_string(), json!(s.description.channels[0].active)))
            .collect();
        for member in run.members.iter().flatten() {
            let id = member.client.id;
            let expected = &run.expected[&id];
            if here.contains(&id.to_string()) {
                prop_assert!(!member.out);
                prop_assert!(member.unanswered.is_empty(), "every request was answered");
                prop_assert_eq!(&member.signals, expected);
                prop_assert_eq!(&member.connections, &here);
                prop_assert_eq!(&member.streams, &streams);
            } else {
                // It was told, or closed before it read that; it may have missed the end.
                prop_assert!(member.out || run.world.closed.contains_key(&member.client.socket));
                prop_assert!(expected.starts_with(&member.signals));
            }
        }
    }
}
