use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::hub::config::HubConfig;
use crate::hub::harness::{BASE, Client, Event, World};
use crate::model::role::Role;
use crate::model::session::MediaMode;
use crate::sfu::{self, Leg, Request};

const RECORDED: &str = include_str!("../../../../tests/fixtures/signaling/adaptive-routing.jsonl");

/// Plays the clients' part of a recording and expects the server's.
struct Replay {
    world: World,
    clients: BTreeMap<String, Client>,
    heard: BTreeMap<String, VecDeque<Event>>,
    /// Our `peerId` for each recorded one.
    peers: BTreeMap<String, Value>,
    legs: Vec<Leg>,
}

impl Replay {
    fn client_says(&mut self, name: &str, data: &Value) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        if text(&data["uri"]).contains("/connection/") {
            let mut client = self.world.client();
            client.id = text(&data["uri"])
                .rsplit('/')
                .next()
                .unwrap()
                .parse()
                .unwrap();
            let content = data["content"].clone();
            assert_eq!(
                self.world.join_as(&mut client, Role::Publisher, content).0,
                200
            );
            self.clients.insert(name.to_owned(), client);
            return;
        }
        let mut data = data.clone();
        let recorded = text(&data["content"]["peerId"]);
        if let Some(ours) = self.peers.get(&recorded) {
            data["content"]["peerId"] = ours.clone();
        }
        let client = self.clients.get_mut(name).unwrap();
        let (status, _) = self.world.ask_body(client, &data);
        assert_eq!(status, 200, "{data}");
        match self.world.media.pop() {
            Some((_, Request::PublisherOffer { publication, .. })) => {
                self.legs.push(Leg::Publisher(publication));
            }
            Some((_, Request::Subscribe { subscription, .. })) => {
                self.legs.push(Leg::Subscriber(subscription));
            }
            Some((_, Request::SubscriberAnswer { subscription, .. })) => {
                let leg = Leg::Subscriber(subscription);
                self.world.media_says(sfu::Event::Connected { leg });
            }
            Some((_, other)) => panic!("unexpected {other:?}"),
            None => {}
        }
    }

    /// Lets happen what made the recording server say this.
    fn let_happen(&mut self, method: &str, uri: &str, content: &Value) {
        let sdp = String::from("v=0\r\n");
        let is_routed = content["sourceStreamId"] == "MANTIS";
        match (method, self.legs.last()) {
            ("answer", Some(&leg)) if is_routed => {
                self.world.media_says(sfu::Event::Answer { leg, sdp });
                self.world.media_says(sfu::Event::Connected { leg });
            }
            ("offer", Some(&Leg::Subscriber(subscription))) if is_routed => {
                self.world
                    .media_says(sfu::Event::Offer { subscription, sdp });
            }
            ("create", _) if uri.ends_with("/source/P2P") => {
                let mut all: Vec<_> = self.clients.values_mut().collect();
                self.world.pass_alive(Duration::from_secs(3), &mut all);
            }
            ("delete", _) if uri.ends_with("/source/P2P") => {
                let mut second = self.world.join(Role::Subscriber);
                let stream = uri.split('/').nth(2).unwrap().parse().unwrap();
                self.world.subscribe(&mut second, stream);
                self.world.media.clear();
            }
            _ => {}
        }
    }

    /// The next thing this client hears, apart from who is here.
    fn next(&mut self, name: &str) -> Event {
        let client = self.clients.get_mut(name).unwrap();
        let heard = self.heard.entry(name.to_owned()).or_default();
        let news = self.world.events(client);
        heard.extend(
            news.into_iter()
                .filter(|e| !e.uri.starts_with("/connection/")),
        );
        heard.pop_front().expect("something is said")
    }

    fn server_says(&mut self, line: &Value) {
        let (name, data) = (line["client"].as_str().unwrap(), &line["data"]);
        let method = data["method"].as_str().unwrap();
        let uri = data["uri"].as_str().unwrap().strip_prefix(BASE).unwrap();
        if uri.starts_with("/connection/") {
            return;
        }
        self.let_happen(method, uri, &data["content"]);
        let event = self.next(name);
        assert_eq!(event.head(), format!("{method} {uri}"));
        assert_eq!(
            event.reason.is_some(),
            data.get("reason").is_some(),
            "{method} {uri}"
        );
        assert_eq!(
            shape(&event.content),
            shape(&data["content"]),
            "{method} {uri}"
        );
        let from = line["from"].as_str().unwrap();
        assert_eq!(
            event.from.starts_with("symphony."),
            from.starts_with("symphony.")
        );
        assert!(from.starts_with("symphony.") || from == event.from);
        if let Some(recorded) = data["content"]["peerId"].as_str() {
            let ours = event.content["peerId"].clone();
            let known = self
                .peers
                .entry(recorded.to_owned())
                .or_insert(ours.clone());
            assert_eq!(*known, ours, "one for each leg");
        }
    }
}

/// What a value is made of; the words of the protocol as they are.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let members = map.iter().map(|(key, value)| {
                let is_word = ["sourceStreamId", "type", "id"].contains(&key.as_str());
                let value = if is_word { value.clone() } else { shape(value) };
                (key.clone(), value)
            });
            Value::Object(members.collect::<Map<_, _>>())
        }
        Value::Array(items) if items.iter().all(Value::is_object) => {
            Value::Array(items.iter().map(shape).collect())
        }
        Value::Array(_) => json!("array"),
        Value::String(_) => json!("text"),
        Value::Number(_) => json!("number"),
        other => other.clone(),
    }
}

#[test]
fn a_recorded_move_and_return_are_said_again_in_the_same_words_and_order() {
    // As it was recorded.
    let config = HubConfig {
        simulcast: false,
        ..HubConfig::default()
    };
    let mut replay = Replay {
        world: World::with(MediaMode::Adaptive, config),
        clients: BTreeMap::new(),
        heard: BTreeMap::new(),
        peers: BTreeMap::new(),
        legs: Vec::new(),
    };
    let recorded = RECORDED.replace("/session/amr-0", "/session/S");
    for line in recorded.lines() {
        let line: Value = serde_json::from_str(line).expect("fixtures are JSON");
        let name = line["client"].as_str().unwrap();
        match line["dir"].as_str() {
            Some("client->server") => replay.client_says(name, &line["data"]),
            _ => replay.server_says(&line),
        }
    }
    assert_eq!(replay.peers.len(), 3, "two legs to the SFU and one direct");
    for name in ["c1", "c2"] {
        let client = replay.clients.get_mut(name).unwrap();
        let more = replay.world.events(client);
        assert!(
            more.iter().all(|e| e.uri.starts_with("/connection/")),
            "{more:?}"
        );
    }
}
