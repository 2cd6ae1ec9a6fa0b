use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::hub::config::{AdaptiveConfig, HubConfig};
use crate::hub::harness::{Client, Event, World, stream, subscriber};
use crate::model::role::Role;
use crate::model::session::MediaMode;
use crate::sfu::{self, Leg, Request};

/// The publisher, two who can follow a stream, and one who cannot.
const PEERS: usize = 4;
const PUBLISHER: usize = 0;
const UNABLE: usize = 3;

#[derive(Debug, Clone)]
enum Step {
    View(usize),
    Leave(usize),
    /// The viewer's end of the direct leg fails.
    Fail(usize),
    /// The publisher's does.
    FailAtPublisher,
    Cut(usize),
    Resume(usize),
    /// Reads everything and does what the official client would do about it.
    React(usize),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let viewer = 1..PEERS;
    prop_oneof![
        4 => viewer.clone().prop_map(Step::View),
        3 => viewer.clone().prop_map(Step::Leave),
        2 => viewer.prop_map(Step::Fail),
        1 => Just(Step::FailAtPublisher),
        1 => (0..PEERS).prop_map(Step::Cut),
        2 => (0..PEERS).prop_map(Step::Resume),
        8 => (0..PEERS).prop_map(Step::React),
        8 => (0..7000u64).prop_map(Step::Wait),
    ]
}

/// What the official client remembers.
struct Peer {
    client: Client,
    away: Option<Duration>,
    view: Option<Uuid>,
    /// It was told of a direct way, and not yet of its end.
    told: bool,
    /// It shows what comes directly.
    direct: bool,
}

struct Run {
    world: World,
    peers: Vec<Peer>,
    stream: Uuid,
    /// The publisher has a direct leg, and no longer sends to the SFU.
    active: bool,
    /// It was called back before it had one, and will come back as soon as it has.
    recalled: bool,
}

impl Run {
    fn new() -> Self {
        let config = HubConfig {
            adaptive: AdaptiveConfig {
                backoff_max: Duration::from_secs(60),
                ..AdaptiveConfig::default()
            },
            ..HubConfig::default()
        };
        let mut world = World::with(MediaMode::Adaptive, config);
        let mut peers: Vec<_> = (0..PEERS)
            .map(|at| {
                let mut client = world.client();
                let capabilities = if at == UNABLE { vec![] } else { vec!["amr"] };
                let content = json!({"capabilities": capabilities});
                assert_eq!(world.join_as(&mut client, Role::Publisher, content).0, 200);
                Peer {
                    client,
                    away: None,
                    view: None,
                    told: false,
                    direct: false,
                }
            })
            .collect();
        let (stream, _) = world.publish_routed(&mut peers[PUBLISHER].client);
        for peer in &mut peers {
            world.events(&mut peer.client);
        }
        Self {
            world,
            peers,
            stream,
            active: false,
            recalled: false,
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::View(at) => self.view(at),
            Step::Leave(at) => self.leave(at),
            Step::Fail(at) if self.peers[at].direct => self.end_leg(at),
            Step::FailAtPublisher if self.active => self.come_back(),
            Step::Fail(_) | Step::FailAtPublisher => {}
            Step::Cut(at) if self.peers[at].away.is_none() => {
                self.world.cut(&self.peers[at].client);
                self.peers[at].away = Some(Duration::ZERO);
            }
            Step::Cut(_) => {}
            Step::Resume(at) => self.resume(at),
            Step::React(at) => self.react(at),
            Step::Wait(ms) => self.wait(Duration::from_millis(ms)),
        }
    }

    /// Asks in the name of somebody who is online, or later when it is.
    fn ask(&mut self, at: usize, method: &str, path: &str, content: Value) -> u16 {
        self.resume(at);
        let client = &mut self.peers[at].client;
        self.world.ask(client, method, path, content).0
    }

    fn path(&self) -> String {
        format!("/stream/{}", self.stream)
    }

    fn view(&mut self, at: usize) {
        if self.peers[at].view.is_some() {
            return;
        }
        self.resume(at);
        self.world.media.clear();
        let id = self
            .world
            .subscribe(&mut self.peers[at].client, self.stream);
        let Some((_, Request::Subscribe { subscription, .. })) = self.world.media.pop() else {
            panic!("the SFU serves whoever subscribes at once");
        };
        self.peers[at].view = Some(id);
        let leg = Leg::Subscriber(subscription);
        self.world.media_says(sfu::Event::Connected { leg });
    }

    fn leave(&mut self, at: usize) {
        let Some(id) = self.peers[at].view.take() else {
            return;
        };
        self.peers[at].direct = false;
        let path = format!("{}/subscriber/{id}", self.path());
        assert_eq!(self.ask(at, "delete", &path, json!({})), 200);
    }

    fn end_leg(&mut self, at: usize) {
        if let Some(id) = self.peers[at].view {
            let path = format!("{}/subscriber/{id}", self.path());
            let content = json!({"sourceStreamId": "P2P"});
            assert_eq!(self.ask(at, "delete", &path, content), 200);
        }
    }

    fn come_back(&mut self) {
        self.active = false;
        let (path, content) = (self.path(), json!({"sourceStreamId": "P2P"}));
        assert_eq!(self.ask(PUBLISHER, "delete", &path, content), 200);
    }

    fn resume(&mut self, at: usize) {
        if self.peers[at].away.take().is_some() {
            self.world.resume(&mut self.peers[at].client);
        }
    }

    /// Nobody is away for so long that it is given up.
    fn wait(&mut self, time: Duration) {
        for at in 0..PEERS {
            match &mut self.peers[at].away {
                Some(away) if *away + time > Duration::from_secs(20) => self.resume(at),
                Some(away) => *away += time,
                None => {}
            }
        }
        let online = self.peers.iter_mut().filter(|peer| peer.away.is_none());
        let mut online: Vec<_> = online.map(|peer| &mut peer.client).collect();
        self.world.pass_alive(time, &mut online);
    }

    fn react(&mut self, at: usize) {
        if self.peers[at].away.is_some() {
            return;
        }
        loop {
            let events = self.world.events(&mut self.peers[at].client);
            if events.is_empty() {
                return;
            }
            for event in events {
                self.hear(at, &event);
            }
        }
    }

    fn hear(&mut self, at: usize, event: &Event) {
        let is_direct = event.content["sourceStreamId"] == "P2P";
        let words: Vec<_> = event.uri.split('/').skip(3).collect();
        assert!(at != UNABLE || !is_direct, "it would not understand");
        match (event.method.as_str(), &words[..]) {
            ("created", []) => {
                assert!(is_direct && !self.peers[at].told);
                self.peers[at].told = true;
                if let Some(id) = self.peers[at].view {
                    let mut content = subscriber(id);
                    content["sourceStreamId"] = json!("P2P");
                    let path = format!("{}/subscriber/{id}", self.path());
                    let status = self.ask(at, "create", &path, content);
                    assert!([200, 409].contains(&status));
                }
            }
            ("deleted", []) => {
                assert!(is_direct && self.peers[at].told);
                self.peers[at].told = false;
                self.peers[at].direct = false;
            }
            ("create", ["source", "P2P"]) => {
                let (path, mut content) = (self.path(), stream(self.stream));
                content["sourceStreamId"] = json!("P2P");
                let status = self.ask(at, "create", &path, content);
                assert!([200, 409].contains(&status));
            }
            ("delete", ["source", "P2P"]) if self.active => self.come_back(),
            ("delete", ["source", "P2P"]) => self.recalled = true,
            ("generateoffer", ["subscriber", _]) => self.describe(at, "offer", event),
            ("offer", ["subscriber", _]) => {
                self.describe(at, "answer", event);
            }
            ("answer", ["subscriber", _]) => {
                self.active = true;
                if std::mem::take(&mut self.recalled) {
                    self.come_back();
                }
            }
            ("deleted", ["subscriber", _]) if self.active => self.come_back(),
            ("deleted", ["subscriber", _]) => {}
            other => panic!("unexpected {other:?}"),
        }
    }

    fn describe(&mut self, at: usize, kind: &str, event: &Event) {
        let content = json!({"type": kind, "sdp": "v=0", "peerId": event.content["peerId"],
                             "sourceStreamId": "P2P"});
        let status = self.ask(at, kind, &event.uri, content);
        assert!([200, 404, 409].contains(&status), "{status}");
        if kind == "answer" {
            self.peers[at].direct = status == 200;
        }
    }

    /// The agenda holds what is due, and nothing else.
    fn check_agenda(&self) {
        let hub = &self.world.hub;
        assert!(hub.touched.is_empty());
        let due: BTreeSet<_> = hub
            .sessions
            .iter()
            .flat_map(|(key, session)| session.streams.iter().map(move |(id, s)| (key, id, s)))
            .filter_map(|(key, id, s)| Some((s.adaptive.as_ref()?.deadline()?, *key, *id)))
            .collect();
        assert_eq!(hub.agenda, due);
    }

    fn rest(&mut self) {
        for _ in 0..90 {
            for at in 0..PEERS {
                self.resume(at);
                self.react(at);
            }
            self.wait(Duration::from_secs(2));
        }
    }
}

proptest! {
    #[test]
    fn whatever_happened_a_stream_ends_up_where_its_viewers_want_it(
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let mut run = Run::new();
        for step in &steps {
            run.take(step);
            run.check_agenda();
        }
        run.rest();
        run.check_agenda();
        let viewers: Vec<_> = (0..PEERS).filter(|at| run.peers[*at].view.is_some()).collect();
        let sole = match viewers[..] {
            [at] if at != UNABLE => Some(at),
            _ => None,
        };
        prop_assert_eq!(run.active, sole.is_some());
        for (at, peer) in run.peers.iter().enumerate() {
            prop_assert_eq!(peer.told, sole.is_some() && at != UNABLE);
            prop_assert_eq!(peer.direct, sole == Some(at));
        }
    }
}
