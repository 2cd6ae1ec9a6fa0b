//! Our messages against recorded ones (`tests/fixtures/signaling`).

use std::collections::BTreeSet;

use serde_json::Value;
use uuid::Uuid;

use super::channel::{Channel, ChannelChange, ChannelKind, Picture, StreamChannel};
use super::client::{Mute, SessionMute, SignalBody, parse};
use super::error::Refusal;
use super::json::{MAX_DEPTH, RawJson};
use super::object::{
    ArchiveObject, ConnectionObject, MuteState, Owner, SessionState, StreamObject,
};
use super::reply::Reply;
use super::server::{NegotiationId, RelayedKind, Sdp, ServerEvent, StreamChange};
use super::uri::Route;
use crate::model::id::{ConnectionId, PeerId, ProjectId, SessionId, StreamId, SubscriberId};
use crate::model::role::Role;

const MESSAGES: &str = include_str!("../../tests/fixtures/signaling/messages.jsonl");

#[test]
fn every_recorded_request_is_read_as_what_it_is() {
    let mut variants = BTreeSet::new();
    for message in recorded("client->server", "MESSAGE") {
        let data = &message["data"];
        let kind = (text(&data["method"]), shape(text(&data["uri"])));
        let result = parse(&data.to_string(), MAX_DEPTH);
        if text(&data["uri"]).ends_with("/nope") {
            assert_eq!(result.unwrap_err().refusal(), Refusal::NotFound, "{data}");
            continue;
        }
        let addressed = result.unwrap_or_else(|error| panic!("{error}: {data}"));
        assert_eq!(addressed.project.to_string(), "1127");
        assert!(text(&data["uri"]).contains(addressed.session.as_str()));
        let debug = format!("{:?}", addressed.request);
        let variant = debug.split('(').next().unwrap().to_owned();
        assert_eq!(variant, expected(kind.0, &kind.1), "{data}");
        variants.insert(variant);
    }
    assert_eq!(
        variants.len(),
        13,
        "all but Migrate are recorded: {variants:?}"
    );
}

fn expected(method: &str, shape: &str) -> &'static str {
    match (method, shape) {
        ("create", "/connection") => "ConnectionCreate",
        ("delete", "/connection") => "ConnectionDelete",
        ("create", "/stream") => "StreamCreate",
        ("delete", "/stream") => "StreamDelete",
        ("update", "/stream") => "StreamMute",
        ("update", "") => "SessionMute",
        ("update", "/stream/channel") => "StreamChannelUpdate",
        ("data", "/stream/channel/data") => "Data",
        ("offer" | "candidate", "/stream") => "Negotiation",
        ("offer" | "answer" | "candidate", "/stream/subscriber") => "Negotiation",
        ("create", "/stream/subscriber") => "SubscriberCreate",
        ("delete", "/stream/subscriber") => "SubscriberDelete",
        ("update", "/stream/subscriber/channel") => "SubscriberChannelUpdate",
        ("signal", "/signal" | "/connection/signal") => "Signal",
        other => panic!("a kind of request that is not in the table: {other:?}"),
    }
}

#[test]
fn what_is_read_is_what_was_said() {
    let requests: Vec<String> = recorded("client->server", "MESSAGE")
        .filter_map(|message| parse(&message["data"].to_string(), MAX_DEPTH).ok())
        .map(|addressed| format!("{:?}", addressed.request))
        .collect();
    let count = |needle: &str| requests.iter().filter(|text| text.contains(needle)).count();
    assert!(count("width: Some(640), height: Some(480), orientation: Some(0)") > 0);
    assert!(count("source: Some(Camera), fit_mode: Some(Cover)") > 0);
    assert!(count("subscriber_audio_fallback: true") > 0);
    assert!(count("capabilities: [\"forceMute\"") > 0);
    assert!(count("automatic: true, congestion_level: Some(2), peer: Some(PeerId(") > 0);
    assert!(count("automatic: true, congestion_level: Some(2), peer: None") > 0);
    assert!(count("mute: Mute { channels: [Audio], active: true, locked: false }") > 0);
    assert!(count("route: Some(Relayed)") > 0);
    assert!(count("route: Some(Routed)") > 0);
    assert!(count("preferred_width: Some(320), preferred_height: Some(240)") > 0);
    assert!(count("preferred_frame_rate: Some(7)") > 0);
    assert!(count("restrict_frame_rate: Some(true)") > 0);
    assert!(count("category: Some(\"\")") > 0);
}

#[test]
fn negotiation_content_can_be_passed_on_verbatim() {
    let mut relayed = 0;
    for message in recorded("client->server", "MESSAGE") {
        let data = &message["data"];
        let Ok(addressed) = parse(&data.to_string(), MAX_DEPTH) else {
            continue;
        };
        if let super::client::ClientRequest::Negotiation(negotiation) = addressed.request {
            assert_eq!(negotiation.content.get(), data["content"].to_string());
            relayed += 1;
        }
    }
    assert!(relayed >= 5);
}

#[test]
fn our_events_and_answers_have_the_keys_of_recorded_ones() {
    let recorded: BTreeSet<Kind> = recorded("server->client", "MESSAGE")
        .chain(self::recorded("server->client", "STATUS"))
        .filter(|message| message["data"].is_object())
        .map(|message| kind(&message["data"]))
        .collect();
    let ours: BTreeSet<Kind> = samples()
        .iter()
        .map(|text| kind(&parse_json(text)))
        .collect();
    let unlike: Vec<_> = ours.difference(&recorded).collect();
    assert!(unlike.is_empty(), "never recorded: {unlike:#?}");
    let missing: Vec<_> = recorded
        .difference(&ours)
        .filter(|kind| !left_out(kind))
        .collect();
    assert!(missing.is_empty(), "recorded, but never ours: {missing:#?}");
}

/// Method, shape of the URI, and the paths of all keys.
pub(crate) type Kind = (String, String, BTreeSet<String>);

/// What the recorded server sent and we have no use for.
fn left_out((method, shape, keys): &Kind) -> bool {
    match (method.as_str(), shape.as_str()) {
        // It repeats session and project, which the URI says already.
        ("created", "/archive") => keys.contains(".content.partnerId"),
        // Its answer when a stream gets a second way of its media: ours has `iceServers` always,
        // because a first create fails without.
        ("", "") => keys.iter().eq([".content"]),
        _ => false,
    }
}

fn samples() -> Vec<String> {
    let project: ProjectId = "1127".parse().unwrap();
    let session: SessionId = "S".parse().unwrap();
    let (alice, stream, subscriber) = (
        ConnectionId(Uuid::nil()),
        StreamId(Uuid::nil()),
        SubscriberId(Uuid::nil()),
    );
    let connection = ConnectionObject {
        id: alice,
        created_at_ms: 1,
        data: "a".into(),
        role: Role::Moderator,
    };
    let channels = channels();
    let properties = RawJson::empty_object();
    let object = StreamObject {
        id: stream,
        name: "cam",
        created_at_ms: 2,
        owner: Owner(&connection),
        publisher_audio_fallback: false,
        subscriber_audio_fallback: true,
        custom_properties: &properties,
        channels: &channels,
        route: None,
    };
    let routed = StreamObject {
        route: Some(Route::Routed),
        ..object.clone()
    };
    let mute = Mute {
        channels: vec![ChannelKind::Audio],
        active: true,
        locked: false,
    };
    let all = SessionMute {
        mute: mute.clone(),
        excluded: vec![],
    };
    let change = |active| ChannelChange {
        active: Some(active),
        picture: Picture::default(),
    };
    let leg = |subscriber, route| NegotiationId {
        stream,
        subscriber,
        peer: PeerId(Uuid::nil()),
        route,
    };
    let publisher = leg(None, Route::Routed);
    let receiver = leg(Some(subscriber), Route::Routed);
    let p2p = leg(Some(subscriber), Route::Relayed);
    let sdp = Sdp("v=0\r\n");
    let candidate =
        raw(r#"{"peerId":"","sourceStreamId":"","candidate":"","sdpMid":"","sdpMLineIndex":0}"#);
    let data = raw(r#"{"type":"data","data":"{}"}"#);
    let signal = |data: &str| SignalBody {
        kind: Some("chat".into()),
        data: Some(raw(data)),
    };
    let (id, reason) = (Uuid::nil(), "clientDisconnected");
    let (word, thing, empty) = (signal("\"x\""), signal(r#"{"a":1}"#), SignalBody::default());
    let archive = ArchiveObject {
        id,
        name: "rec",
        status: "started",
    };
    use ServerEvent as E;
    let signal = |to, body| E::Signal {
        to,
        id,
        body,
        sender: None,
    };
    let events = [
        E::ConnectionCreated(&connection),
        E::ConnectionDeleted {
            connection: alice,
            reason,
        },
        E::StreamCreated(&object),
        E::StreamCreated(&routed),
        E::StreamDeleted {
            stream,
            reason,
            route: None,
        },
        E::StreamDeleted {
            stream,
            reason,
            route: Some(Route::Relayed),
        },
        E::StreamUpdated {
            stream,
            change: StreamChange::Name("new"),
        },
        E::StreamUpdated {
            stream,
            change: StreamChange::Archiving(true),
        },
        E::StreamMute {
            stream,
            mute: &mute,
        },
        E::SessionMute(&all),
        E::StreamChannelUpdated {
            stream,
            channel: Channel::Audio,
            change: change(false),
        },
        E::SubscriberDeleted { stream, subscriber },
        E::DisableWarning {
            stream,
            subscriber,
            warned: true,
        },
        E::VideoSwitch {
            stream,
            subscriber,
            active: false,
        },
        E::GenerateOffer {
            negotiation: publisher,
            simulcast: Some(true),
        },
        E::GenerateOffer {
            negotiation: p2p,
            simulcast: None,
        },
        E::Offer {
            negotiation: receiver,
            sdp,
        },
        E::Answer {
            negotiation: publisher,
            sdp,
        },
        E::Answer {
            negotiation: receiver,
            sdp,
        },
        E::Relayed {
            stream,
            subscriber,
            kind: RelayedKind::Candidate,
            content: &candidate,
        },
        signal(None, &word),
        signal(None, &thing),
        signal(None, &empty),
        signal(Some(alice), &word),
        E::Data {
            stream,
            subscriber: None,
            channel: Channel::Captions,
            id,
            content: &data,
        },
        E::Data {
            stream,
            subscriber: Some(subscriber),
            channel: Channel::DownlinkStats,
            id,
            content: &data,
        },
        E::ArchiveUpdated {
            archive: id,
            status: "stopped",
        },
        E::SourceCreate {
            stream,
            route: Route::Relayed,
            reason: "two",
        },
        E::SourceDelete {
            stream,
            route: Route::Relayed,
            reason: "three",
        },
        E::ServerRotation,
    ];
    // Its keys are a subset of the recorded one's.
    assert!(
        E::ArchiveCreated(&archive)
            .payload(project, &session)
            .contains("\"started\"")
    );
    let state = |mute| SessionState {
        id: &session,
        connections: vec![&connection],
        streams: vec![],
        archives: vec![],
        mute,
    };
    let full = SessionState {
        streams: vec![routed.clone()],
        ..state(Some(MuteState { active: true }))
    };
    let replies = [
        Reply::Created(id),
        Reply::Joined(state(None)),
        Reply::Joined(full),
        Reply::Refused(Refusal::Forbidden),
    ];
    let events = events.iter().map(|event| event.payload(project, &session));
    events.chain(replies.iter().map(Reply::payload)).collect()
}

/// What a camera with a microphone has.
fn channels() -> Vec<StreamChannel> {
    let text = r#"[{"id":"video1","type":"video","active":true,"width":640,"height":480,
        "orientation":0,"frameRate":30,"source":"camera","fitMode":"cover"},
        {"id":"audio1","type":"audio","active":true},
        {"id":"caption1","type":"data","active":false}]"#;
    let mut channels: Vec<StreamChannel> = serde_json::from_str(text).unwrap();
    channels[0].picture.frame_rate = None;
    channels
}

fn raw(text: &str) -> RawJson {
    RawJson::parse(text.to_owned()).unwrap()
}

fn parse_json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn recorded(direction: &'static str, kind: &'static str) -> impl Iterator<Item = Value> {
    MESSAGES
        .lines()
        .map(parse_json)
        .filter(move |message| message["dir"] == direction && message["type"] == kind)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// The names of a URI without their values, from behind the session.
fn shape(uri: &str) -> String {
    let names = uri
        .split('/')
        .skip(6)
        .step_by(2)
        .filter(|name| !name.is_empty());
    names.map(|name| format!("/{name}")).collect()
}

/// What is compared of a message.
pub(crate) fn kind(data: &Value) -> Kind {
    let mut keys = BTreeSet::new();
    collect_keys(data, "", &mut keys);
    let method = data["method"].as_str().unwrap_or_default();
    (
        method.to_owned(),
        shape(data["uri"].as_str().unwrap_or_default()),
        keys,
    )
}

fn collect_keys(value: &Value, path: &str, keys: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                let path = format!("{path}.{key}");
                collect_keys(member, &path, keys);
                keys.insert(path);
            }
        }
        Value::Array(items) => {
            for item in items {
                collect_keys(item, &format!("{path}[]"), keys);
            }
        }
        _ => {}
    }
}
