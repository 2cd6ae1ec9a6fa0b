use std::time::Duration;

use serde_json::json;
use uuid::Uuid;

use crate::hub::call::{Answer, Call, CallError, StreamSummary};
use crate::hub::config::HubConfig;
use crate::hub::harness::{World, heads};
use crate::model::id::{ConnectionId, StreamId};
use crate::model::role::Role;
use crate::model::session::MediaMode;
use crate::signaling::channel::VideoSource;
use crate::signaling::client::SignalBody;
use crate::signaling::json::RawJson;

#[test]
fn connections_are_listed_as_they_joined_and_those_away_are_told_apart() {
    let mut world = World::new(MediaMode::Routed);
    let first = world.join(Role::Publisher);
    world.pass(Duration::from_secs(1));
    let second = world.join(Role::Subscriber);
    world.cut(&first);
    let listed = world.call(Call::ListConnections).unwrap();
    let listed = listed.into_connections();
    let seen: Vec<_> = listed.iter().map(|c| (c.id.0, c.away)).collect();
    assert_eq!(seen, [(first.id, true), (second.id, false)]);
    assert_eq!(listed[1].created_at_ms - listed[0].created_at_ms, 1000);
}

#[test]
fn only_announced_streams_are_seen() {
    let mut world = World::new(MediaMode::Routed);
    let mut ana = world.join(Role::Publisher);
    let hidden = world.publish(&mut ana);
    assert_eq!(world.call(Call::ListStreams), Ok(streams([])));
    for call in [
        Call::FindStream(StreamId(hidden)),
        Call::MuteStream(StreamId(hidden)),
        Call::SetClasses(StreamId(hidden), vec![]),
    ] {
        assert_eq!(world.call(call), Err(CallError::NoSuchStream));
    }
    let (id, _) = world.publish_routed(&mut ana);
    assert_eq!(
        world.call(Call::ListStreams),
        Ok(streams([camera(id, &[])]))
    );
    let found = world.call(Call::FindStream(StreamId(id)));
    assert_eq!(found, Ok(streams([camera(id, &[])])));
}

#[test]
fn layout_classes_begin_as_the_token_says_and_are_replaced() {
    let mut world = World::new(MediaMode::Relayed);
    world.layout_classes = vec!["full".to_owned(), "focus".to_owned()];
    let mut ana = world.join(Role::Publisher);
    let (one, other) = (world.publish(&mut ana), world.publish(&mut ana));
    let found = world.call(Call::FindStream(StreamId(one)));
    assert_eq!(found, Ok(streams([camera(one, &["full", "focus"])])));

    let set = world.call(Call::SetClassesOfMany(vec![
        (StreamId(other), vec!["left".to_owned()]),
        (StreamId(one), vec!["right".to_owned()]),
        (StreamId(other), vec![]),
    ]));
    assert_eq!(
        set,
        Ok(streams([camera(other, &[]), camera(one, &["right"])])),
        "each once, with what was said last"
    );
    let set = world.call(Call::SetClasses(StreamId(one), vec!["top".to_owned()]));
    assert_eq!(set, Ok(streams([camera(one, &["top"])])));
}

#[test]
fn a_stream_says_how_many_subscribe_to_it() {
    let mut world = World::new(MediaMode::Relayed);
    let mut ana = world.join(Role::Publisher);
    let (mut ben, mut cleo) = (world.join(Role::Publisher), world.join(Role::Subscriber));
    let id = world.publish(&mut ana);
    let count = |world: &mut World| {
        let found = world.call(Call::FindStream(StreamId(id))).unwrap();
        found.into_streams()[0].subscribers
    };
    assert_eq!(count(&mut world), 0);
    world.subscribe(&mut ben, id);
    world.subscribe(&mut cleo, id);
    assert_eq!(count(&mut world), 2);
    world.disconnect(&mut ben, "");
    assert_eq!(count(&mut world), 1);
}

#[test]
fn no_layout_class_changes_if_one_of_the_streams_does_not_exist() {
    let mut world = World::new(MediaMode::Relayed);
    let mut ana = world.join(Role::Publisher);
    let (id, unknown) = (world.publish(&mut ana), StreamId(world.uuid()));
    let items = vec![
        (StreamId(id), vec!["left".to_owned()]),
        (unknown, vec!["right".to_owned()]),
    ];
    let set = world.call(Call::SetClassesOfMany(items));
    assert_eq!(set, Err(CallError::NoSuchItem(unknown)));
    let found = world.call(Call::FindStream(StreamId(id)));
    assert_eq!(found, Ok(streams([camera(id, &[])])));
}

#[test]
fn a_signal_reaches_everybody_or_one_and_comes_from_nobody() {
    let mut world = World::new(MediaMode::Routed);
    let mut ana = world.join(Role::Publisher);
    let mut ben = world.client();
    let suppressed = json!({"connectionEventsSuppressed": true});
    world.join_as(&mut ben, Role::Subscriber, suppressed);
    world.events(&mut ana);
    world.events(&mut ben);

    assert_eq!(world.call(signal(None)), Ok(Answer::Done));
    for client in [&mut ana, &mut ben] {
        let events = world.events(client);
        assert_eq!(events.len(), 1);
        assert_eq!(
            (events[0].method.as_str(), events[0].from.as_str()),
            ("signal", "")
        );
        assert_eq!(events[0].content, json!({"type": "chat", "data": "hi"}));
    }
    assert_eq!(world.call(signal(Some(ben.id))), Ok(Answer::Done));
    assert_eq!(world.events(&mut ana), []);
    let events = world.events(&mut ben);
    let path = format!("/connection/{}/signal/", ben.id);
    assert_eq!(events.len(), 1);
    assert!(events[0].uri.starts_with(&path), "{}", events[0].uri);

    let stranger = world.uuid();
    let refused = world.call(signal(Some(stranger)));
    assert_eq!(refused, Err(CallError::NoSuchConnection));
}

#[test]
fn a_disconnected_client_hears_it_like_everybody() {
    let mut world = World::new(MediaMode::Routed);
    let mut ana = world.join(Role::Publisher);
    let mut ben = world.join(Role::Publisher);
    world.events(&mut ana);
    let call = Call::Disconnect(ConnectionId(ben.id));
    let expected = format!("deleted /connection/{}", ben.id);
    assert_eq!(world.call(call.clone()), Ok(Answer::Done));
    for client in [&mut ana, &mut ben] {
        let events = world.events(client);
        assert_eq!(heads(&events), std::slice::from_ref(&expected));
        assert_eq!(events[0].reason.as_deref(), Some("forceDisconnected"));
    }
    assert_eq!(world.call(call), Err(CallError::NoSuchConnection));
}

#[test]
fn muting_a_stream_is_asked_of_its_publisher_only() {
    let mut world = World::new(MediaMode::Relayed);
    let mut ana = world.join(Role::Publisher);
    let mut ben = world.join(Role::Publisher);
    let stream = world.publish(&mut ana);
    world.events(&mut ana);
    world.events(&mut ben);
    let muted = world.call(Call::MuteStream(StreamId(stream)));
    assert_eq!(muted, Ok(Answer::Done));
    let events = world.events(&mut ana);
    assert_eq!(heads(&events), [format!("update /stream/{stream}")]);
    assert_eq!(
        events[0].content,
        json!({"reason": "mute", "channels": ["audio"], "active": true, "locked": false})
    );
    assert_eq!(world.events(&mut ben), []);
}

#[test]
fn muting_a_session_spares_the_excluded_and_holds_for_newcomers_until_lifted() {
    let mut world = World::new(MediaMode::Relayed);
    let mut ana = world.join(Role::Publisher);
    let (loud, quiet) = (world.publish(&mut ana), world.publish(&mut ana));
    world.events(&mut ana);
    let mute = |active, excluded| Call::MuteSession { active, excluded };
    let muted = world.call(mute(true, vec![StreamId(loud)]));
    assert_eq!(muted, Ok(Answer::Done));
    let heard = heads(&world.events(&mut ana));
    assert_eq!(
        heard,
        ["update ".to_owned(), format!("update /stream/{quiet}")]
    );
    assert!(newcomer_starts_muted(&mut world));

    world.events(&mut ana);
    assert_eq!(world.call(mute(false, vec![])), Ok(Answer::Done));
    let events = world.events(&mut ana);
    assert_eq!(heads(&events), ["update "], "no stream is unmuted");
    assert_eq!(events[0].content["active"], false);
    assert!(!newcomer_starts_muted(&mut world));
}

#[test]
fn a_session_muted_before_anybody_came_is_muted_for_the_first() {
    let mute = |active| Call::MuteSession {
        active,
        excluded: vec![],
    };
    let mut world = World::new(MediaMode::Routed);
    world.call(mute(true)).unwrap();
    world.call(mute(true)).unwrap();
    assert!(newcomer_starts_muted(&mut world));

    let mut world = World::new(MediaMode::Routed);
    world.call(mute(true)).unwrap();
    world.call(mute(false)).unwrap();
    assert!(!newcomer_starts_muted(&mut world));
}

#[test]
fn sessions_muted_before_anybody_came_are_bounded() {
    let config = HubConfig {
        premuted_sessions: 2,
        ..HubConfig::default()
    };
    let mut world = World::with(MediaMode::Routed, config);
    let call = Call::MuteSession {
        active: true,
        excluded: vec![],
    };
    for session in ["S", "T", "U"] {
        let session = session.parse().unwrap();
        let muted = world.hub.handle_call(&session, call.clone(), world.now);
        assert_eq!(muted, Ok(Answer::Done));
    }
    assert!(!newcomer_starts_muted(&mut world), "the first is forgotten");
}

#[test]
fn where_nobody_is_there_is_nothing_to_find_and_nobody_to_tell() {
    let mut world = World::new(MediaMode::Routed);
    let (stream, connection) = (StreamId(world.uuid()), ConnectionId(world.uuid()));
    let connections = world.call(Call::ListConnections);
    assert_eq!(connections, Ok(Answer::Connections(vec![])));
    assert_eq!(world.call(Call::ListStreams), Ok(streams([])));
    assert_eq!(world.call(Call::SetClassesOfMany(vec![])), Ok(streams([])));
    let refused = [
        (signal(None), CallError::NobodyConnected),
        (signal(Some(connection.0)), CallError::NoSuchConnection),
        (Call::Disconnect(connection), CallError::NoSuchConnection),
        (Call::FindStream(stream), CallError::NoSuchStream),
        (Call::MuteStream(stream), CallError::NoSuchStream),
        (Call::SetClasses(stream, vec![]), CallError::NoSuchStream),
        (
            Call::SetClassesOfMany(vec![(stream, vec![])]),
            CallError::NoSuchItem(stream),
        ),
    ];
    for (call, error) in refused {
        assert_eq!(world.call(call), Err(error));
    }
}

fn newcomer_starts_muted(world: &mut World) -> bool {
    let mut client = world.client();
    let (status, state) = world.join_as(&mut client, Role::Publisher, json!({}));
    assert_eq!(status, 200);
    state["mute"]["active"] == true
}

fn signal(to: Option<Uuid>) -> Call {
    Call::Signal {
        to: to.map(ConnectionId),
        body: SignalBody {
            kind: Some("chat".to_owned()),
            data: Some(RawJson::of(&"hi").unwrap()),
        },
    }
}

fn streams<const N: usize>(summaries: [StreamSummary; N]) -> Answer {
    Answer::Streams(summaries.into())
}

/// What [`stream`](crate::hub::harness::stream) describes.
fn camera(id: Uuid, classes: &[&str]) -> StreamSummary {
    StreamSummary {
        id: StreamId(id),
        video: Some(VideoSource::Camera),
        name: "cam".to_owned(),
        layout_classes: classes.iter().map(|class| (*class).to_owned()).collect(),
        subscribers: 0,
    }
}
