use std::time::Duration;

use serde_json::json;

use super::call::{Call, SETTLE, description};
use crate::hub::harness::{heads, stream, subscriber};

#[test]
fn a_viewer_whose_direct_leg_fails_is_taken_back_and_the_next_attempt_waits() {
    let (mut call, _) = Call::direct();
    for wait in [30, 60, 120] {
        assert_eq!(call.bob_ends_it(), 200);
        assert_eq!(call.news(), [vec![call.source("delete")], vec![]]);
        assert_eq!(call.bob_ends_it(), 200, "again");
        assert_eq!(call.alice_ends_it(), 200);
        let gone = vec![call.deleted()];
        assert_eq!(call.news(), [gone.clone(), gone]);
        assert_eq!(call.world.asked_of_media(), [], "its leg to the SFU stays");
        call.assert_routed_until(Duration::from_secs(wait));
        assert_eq!(call.publish_directly(), 200);
        assert_eq!(call.subscribe_directly(), 200);
        let events = call.world.events(&mut call.alice);
        let peer = events.last().unwrap().content["peerId"].clone();
        let path = call.leg();
        let answer = description("answer", &peer);
        assert_eq!(
            call.world.ask(&mut call.bob, "answer", &path, answer).0,
            200
        );
        call.news();
    }
}

#[test]
fn a_direct_leg_that_held_for_long_fails_as_if_for_the_first_time() {
    let (mut call, _) = Call::direct();
    for _ in 0..2 {
        call.pass(Duration::from_secs(100));
        call.news();
        assert_eq!(call.alice_ends_it(), 200, "the publisher's end has failed");
        let gone = vec![call.deleted()];
        assert_eq!(call.news(), [gone.clone(), gone]);
        call.assert_routed_until(Duration::from_secs(30));
        assert_eq!(call.publish_directly(), 200);
        assert_eq!(call.subscribe_directly(), 200);
        let events = call.world.events(&mut call.alice);
        let peer = events.last().unwrap().content["peerId"].clone();
        let (path, answer) = (call.leg(), description("answer", &peer));
        assert_eq!(
            call.world.ask(&mut call.bob, "answer", &path, answer).0,
            200
        );
        call.news();
    }
}

#[test]
fn whoever_does_not_answer_in_time_ends_the_attempt() {
    let late = Duration::from_secs(10);
    let mut call = Call::asked();
    call.pass(late);
    assert_eq!(call.news(), [vec![], vec![]] as [Vec<String>; 2]);
    assert_eq!(call.publish_directly(), 409);
    call.assert_routed_until(Duration::from_secs(30));

    let mut call = Call::announced();
    call.pass(late);
    let gone = vec![call.deleted()];
    assert_eq!(call.news(), [gone.clone(), gone]);
    call.assert_routed_until(Duration::from_secs(30));

    let (mut call, _) = Call::opening();
    call.pass(late);
    let (gone, closed) = (call.deleted(), format!("deleted {}", call.leg()));
    assert_eq!(call.news(), [vec![closed, gone.clone()], vec![gone]]);
    call.assert_routed_until(Duration::from_secs(30));
}

#[test]
fn a_publisher_that_does_not_come_back_is_not_waited_for() {
    let (mut call, _) = Call::direct();
    assert_eq!(call.bob_ends_it(), 200);
    assert_eq!(call.news(), [vec![call.source("delete")], vec![]]);
    call.pass(Duration::from_secs(5));
    let (gone, closed) = (call.deleted(), format!("deleted {}", call.leg()));
    assert_eq!(call.news(), [vec![closed, gone.clone()], vec![gone]]);
    assert_eq!(call.alice_ends_it(), 200, "late");
    assert_eq!(call.news(), [vec![], vec![]] as [Vec<String>; 2]);
}

#[test]
fn who_is_away_is_waited_for_before_a_move() {
    let mut call = Call::routed();
    call.world.cut(&call.bob);
    call.world.pass(Duration::from_secs(5));
    assert_eq!(call.alice_hears(), [] as [String; 0]);
    call.world.resume(&mut call.bob);
    call.pass(SETTLE);
    assert_eq!(call.alice_hears(), [call.source("create")]);
}

#[test]
fn a_publisher_that_is_away_when_it_should_come_back_does_so_when_it_has_resumed() {
    let (mut call, _) = Call::direct();
    call.world.cut(&call.alice);
    let mut carol = call.world.join_able();
    call.world.view(&mut carol, call.stream);
    call.world
        .pass_alive(Duration::from_secs(12), &mut [&mut call.bob, &mut carol]);
    let bob: Vec<_> = heads(&call.world.events(&mut call.bob));
    assert!(
        !bob.contains(&call.deleted()),
        "the direct leg still serves him"
    );
    call.world.resume(&mut call.alice);
    assert!(call.alice_hears().contains(&call.source("delete")));
    assert_eq!(call.alice_ends_it(), 200);
    assert_eq!(call.news()[1], [call.deleted()]);
}

#[test]
fn a_viewer_that_resumes_after_the_attempt_hears_both_of_its_beginning_and_its_end() {
    let mut call = Call::asked();
    call.world.cut(&call.bob);
    assert_eq!(call.publish_directly(), 200);
    call.world
        .pass_alive(Duration::from_secs(11), &mut [&mut call.alice]);
    call.world.resume(&mut call.bob);
    assert_eq!(call.news()[1], [call.created(), call.deleted()]);
    assert_eq!(call.subscribe_directly(), 409);
    assert_eq!(call.bob_ends_it(), 200);
}

#[test]
fn only_those_concerned_can_move_a_stream() {
    let mut call = Call::asked();
    let mut eve = call.world.join_able();
    let mut content = stream(call.stream);
    content["sourceStreamId"] = json!("P2P");
    let path = call.path();
    assert_eq!(call.world.ask(&mut eve, "create", &path, content).0, 409);
    assert_eq!(call.publish_directly(), 200);
    let (leg, way) = (call.leg(), json!({"sourceStreamId": "P2P"}));
    let mut content = subscriber(call.viewer);
    content["sourceStreamId"] = json!("P2P");
    assert_eq!(call.world.ask(&mut eve, "create", &leg, content).0, 403);
    assert_eq!(call.world.ask(&mut eve, "delete", &leg, way.clone()).0, 403);
    assert_eq!(call.world.ask(&mut eve, "delete", &path, way).0, 403);
    assert_eq!(call.subscribe_directly(), 200);
    assert_eq!(call.subscribe_directly(), 409, "once");
    assert_eq!(call.publish_directly(), 409, "once");
    call.news();
    let stray = description("offer", &json!(call.stream));
    assert_eq!(
        call.world.ask(&mut call.alice, "offer", &leg, stray).0,
        409,
        "no such leg"
    );
    assert_eq!(call.news(), [vec![], vec![]] as [Vec<String>; 2]);
}
