//! Many clients and much to say: what is shared, in which order it leaves, and how much work one
//! input can be.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::hub::effect::{Effect, SocketKey};
use crate::hub::harness::{BASE, Client, World, frame, signal};
use crate::model::role::Role;
use crate::model::session::MediaMode;
use crate::signaling::frame::{Frame, FrameKind, header};

const CROWD: usize = 500;

/// What one input made the hub send: to whom, and the bytes.
fn sent(world: &mut World) -> Vec<(SocketKey, bytes::Bytes)> {
    let mut sent = Vec::new();
    while let Some(effect) = world.hub.poll_effect() {
        match effect {
            Effect::Send { socket, frame } => sent.push((socket, frame)),
            other => panic!("nothing but sending was to be done: {other:?}"),
        }
    }
    sent
}

fn crowd(world: &mut World) -> Vec<Client> {
    (0..CROWD).map(|_| world.join(Role::Publisher)).collect()
}

/// A signal to all, as the client puts it on the wire.
fn burst_signal(world: &mut World, number: usize) -> Frame {
    let uri = format!("{BASE}{}", signal(&number.to_string()));
    let body = json!({"method": "signal", "uri": uri, "content": {"data": number}});
    world.request(&body)
}

#[test]
fn each_signal_of_a_burst_in_a_crowd_is_encoded_once_and_all_arrive_in_order() {
    let mut world = World::new(MediaMode::Routed);
    let clients = crowd(&mut world);
    let mut received: BTreeMap<SocketKey, Vec<*const u8>> = BTreeMap::new();
    let mut signals = Vec::new();
    for number in 0..40 {
        let request = burst_signal(&mut world, number);
        let now = world.now;
        world.hub.handle_frame(clients[7].socket, request, now);
        let turn = sent(&mut world);
        assert_eq!(turn.len(), CROWD + 1, "and the reply");
        let events: Vec<_> = turn
            .into_iter()
            .filter(|(_, frame)| Frame::decode(frame).unwrap().kind == FrameKind::Message)
            .collect();
        assert_eq!(events.len(), CROWD);
        let pointers: BTreeSet<_> = events.iter().map(|(_, frame)| frame.as_ptr()).collect();
        assert_eq!(pointers.len(), 1, "one encoding for all");
        signals.extend(pointers);
        for (socket, frame) in events {
            received.entry(socket).or_default().push(frame.as_ptr());
        }
    }
    assert_eq!(received.len(), CROWD);
    assert!(received.values().all(|order| *order == signals));
}

#[test]
fn a_burst_in_a_crowd_does_not_hold_up_another_session_beyond_its_turn() {
    let mut world = World::new(MediaMode::Routed);
    let clients = crowd(&mut world);
    // Somebody in another session, with another socket.
    world.session.id = "T".parse().unwrap();
    let mut other = world.client();
    let uri = format!("/v2/partner/1127/session/T/connection/{}", other.id);
    world.connect(&mut other);
    let mut join = world.request(&json!({"method": "create", "uri": uri, "content": {}}));
    join.headers.push((header::TOKEN.into(), "t".into()));
    world.send(&mut other, &join);
    world.admit(Role::Publisher);
    world.receive(&mut other);

    // As the driver does it: one input, then everything that is to be done, then the next.
    let mut turns = Vec::new();
    for (number, client) in clients.iter().enumerate().take(20) {
        let request = burst_signal(&mut world, number);
        let now = world.now;
        world.hub.handle_frame(client.socket, request, now);
        turns.push(sent(&mut world));
        world
            .hub
            .handle_frame(other.socket, frame(FrameKind::Ping), now);
        turns.push(sent(&mut world));
    }
    for turn in turns.chunks(2) {
        let [crowded, answered] = turn else {
            panic!("two turns each")
        };
        assert!(crowded.iter().all(|(socket, _)| *socket != other.socket));
        let to: Vec<_> = answered.iter().map(|(socket, _)| *socket).collect();
        assert_eq!(to, [other.socket], "its turn is its own");
    }
}
