use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::hub::config::{AdaptiveConfig, HubConfig};
use crate::hub::harness::{Client, Event, World, heads, stream, subscriber};
use crate::model::role::Role;
use crate::model::session::MediaMode;
use crate::sfu::{self, Leg, Request};

pub(super) const SETTLE: Duration = Duration::from_secs(3);
pub(super) const MOMENT: Duration = Duration::from_millis(10);

/// A publisher, a viewer, and what they talk about.
pub(super) struct Call {
    pub(super) world: World,
    pub(super) alice: Client,
    pub(super) bob: Client,
    pub(super) stream: Uuid,
    /// Bob's subscriber.
    pub(super) viewer: Uuid,
}

impl World {
    /// A client that can take part in moving streams.
    pub(super) fn join_able(&mut self) -> Client {
        let mut client = self.client();
        let content = json!({"capabilities": ["forceMute", "amr", "renegotiation"]});
        assert_eq!(self.join_as(&mut client, Role::Publisher, content).0, 200);
        self.events(&mut client);
        client
    }

    /// Subscribes until the SFU's leg is up; returns the subscriber and the SFU's number for it.
    pub(super) fn view(
        &mut self,
        client: &mut Client,
        stream: Uuid,
    ) -> (Uuid, sfu::SubscriptionId) {
        let id = self.subscribe(client, stream);
        let Some((_, Request::Subscribe { subscription, .. })) = self.media.pop() else {
            panic!("the SFU serves whoever subscribes at once");
        };
        let leg = Leg::Subscriber(subscription);
        self.media_says(sfu::Event::Connected { leg });
        (id, subscription)
    }
}

impl Call {
    /// Bob sees Alice through the SFU.
    pub(super) fn routed() -> Self {
        Self::with(AdaptiveConfig::default())
    }

    pub(super) fn with(adaptive: AdaptiveConfig) -> Self {
        let config = HubConfig {
            adaptive,
            ..HubConfig::default()
        };
        let mut world = World::with(MediaMode::Adaptive, config);
        let mut alice = world.join_able();
        let mut bob = world.join_able();
        let (stream, _) = world.publish_routed(&mut alice);
        let (viewer, _) = world.view(&mut bob, stream);
        world.asked_of_media();
        let mut call = Self {
            world,
            alice,
            bob,
            stream,
            viewer,
        };
        call.news();
        call
    }

    /// Alice has been asked to publish directly.
    pub(super) fn asked() -> Self {
        let mut call = Self::routed();
        call.pass(SETTLE);
        assert_eq!(call.alice_hears(), [call.source("create")]);
        call
    }

    /// She does, and Bob knows.
    pub(super) fn announced() -> Self {
        let mut call = Self::asked();
        assert_eq!(call.publish_directly(), 200);
        assert_eq!(call.news(), [vec![call.created()], vec![call.created()]]);
        call
    }

    /// Bob has subscribed directly.
    pub(super) fn opening() -> (Self, Value) {
        let mut call = Self::announced();
        assert_eq!(call.subscribe_directly(), 200);
        let events = call.world.events(&mut call.alice);
        let path = call.leg();
        assert_eq!(heads(&events), [format!("generateoffer {path}")]);
        (call, events[0].content["peerId"].clone())
    }

    /// Both have described their ends.
    pub(super) fn direct() -> (Self, Value) {
        let (mut call, peer) = Self::opening();
        let path = call.leg();
        let offer = description("offer", &peer);
        assert_eq!(
            call.world.ask(&mut call.alice, "offer", &path, offer).0,
            200
        );
        let answer = description("answer", &peer);
        assert_eq!(
            call.world.ask(&mut call.bob, "answer", &path, answer).0,
            200
        );
        let [alice, bob] = call.news();
        assert_eq!(alice, [format!("answer {path}")]);
        assert_eq!(bob, [format!("offer {path}")]);
        (call, peer)
    }

    pub(super) fn pass(&mut self, time: Duration) {
        let clients = &mut [&mut self.alice, &mut self.bob];
        self.world.pass_alive(time, clients);
    }

    pub(super) fn path(&self) -> String {
        format!("/stream/{}", self.stream)
    }

    pub(super) fn leg(&self) -> String {
        format!("/stream/{}/subscriber/{}", self.stream, self.viewer)
    }

    pub(super) fn source(&self, method: &str) -> String {
        format!("{method} /stream/{}/source/P2P", self.stream)
    }

    pub(super) fn created(&self) -> String {
        format!("created {}", self.path())
    }

    pub(super) fn deleted(&self) -> String {
        format!("deleted {}", self.path())
    }

    pub(super) fn alice_hears(&mut self) -> Vec<String> {
        heads(&self.world.events(&mut self.alice))
    }

    /// What Alice and Bob hear. Whatever is said about the stream is about the direct way.
    pub(super) fn news(&mut self) -> [Vec<String>; 2] {
        let path = self.path();
        let mut events = [
            self.world.events(&mut self.alice),
            self.world.events(&mut self.bob),
        ];
        for event in events.iter_mut().flatten() {
            if event.uri == path && ["created", "deleted"].contains(&event.method.as_str()) {
                assert!(event.content.get("sourceStreamId").is_some());
            }
        }
        events.map(|events: Vec<Event>| heads(&events))
    }

    pub(super) fn publish_directly(&mut self) -> u16 {
        let mut content = stream(self.stream);
        content["sourceStreamId"] = json!("P2P");
        let path = self.path();
        self.world.ask(&mut self.alice, "create", &path, content).0
    }

    pub(super) fn subscribe_directly(&mut self) -> u16 {
        let mut content = subscriber(self.viewer);
        content["sourceStreamId"] = json!("P2P");
        let path = self.leg();
        self.world.ask(&mut self.bob, "create", &path, content).0
    }

    pub(super) fn alice_ends_it(&mut self) -> u16 {
        let path = self.path();
        let content = json!({"sourceStreamId": "P2P"});
        self.world.ask(&mut self.alice, "delete", &path, content).0
    }

    pub(super) fn bob_ends_it(&mut self) -> u16 {
        let path = self.leg();
        let content = json!({"sourceStreamId": "P2P"});
        self.world.ask(&mut self.bob, "delete", &path, content).0
    }

    /// What somebody sees who comes now.
    pub(super) fn dump(&mut self) -> Value {
        let mut late = self.world.client();
        let (_, dump) = self.world.join_as(&mut late, Role::Publisher, json!({}));
        self.world.disconnect(&mut late, "");
        self.news();
        dump["stream"].clone()
    }

    /// The stream is where it was at first: nothing is on the agenda but the next attempt.
    pub(super) fn assert_routed_until(&mut self, wait: Duration) {
        self.pass(wait - MOMENT);
        assert_eq!(self.news(), [vec![], vec![]] as [Vec<String>; 2]);
        self.pass(2 * MOMENT);
        assert_eq!(self.alice_hears(), [self.source("create")]);
    }
}

pub(super) fn description(kind: &str, peer: &Value) -> Value {
    json!({"type": kind, "sdp": "v=0\r\na=ice-ufrag:aaaa\r\n", "peerId": peer,
           "sourceStreamId": "P2P"})
}
