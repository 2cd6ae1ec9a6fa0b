use serde_json::json;

use crate::hub::harness::{World, heads};
use crate::model::role::Role;
use crate::model::session::MediaMode;

#[test]
fn two_clients_negotiate_through_us_and_descriptions_come_before_their_candidates() {
    let mut world = World::new(MediaMode::Relayed);
    let mut alice = world.join(Role::Publisher);
    let mut bob = world.join(Role::Subscriber);
    let stream = world.publish(&mut alice);
    world.events(&mut alice);
    world.events(&mut bob);
    let id = world.subscribe(&mut bob, stream);
    let path = format!("/stream/{stream}/subscriber/{id}");
    let events = world.events(&mut alice);
    assert_eq!(heads(&events), [format!("generateoffer {path}")]);
    assert_eq!(events[0].from, bob.id.to_string());
    assert_eq!(events[0].content["sourceStreamId"], "P2P");
    assert_eq!(events[0].content.get("simulcastEnabled"), None);
    let peer = events[0].content["peerId"].clone();

    let candidate = |ufrag: &str| {
        json!({"candidate": format!("candidate:1 1 udp 1 192.0.2.1 9 typ host ufrag {ufrag}"),
               "sdpMid": "0", "sdpMLineIndex": 0, "peerId": peer, "sourceStreamId": "P2P"})
    };
    let description = |kind: &str, ufrag: &str| {
        json!({"type": kind, "sdp": format!("v=0\r\na=ice-ufrag:{ufrag}\r\n"), "peerId": peer,
               "sourceStreamId": "P2P", "more": {"is": ["kept"]}})
    };
    // Publisher to subscriber: first, and again with an ICE restart.
    for ufrag in ["aaaa", "bbbb"] {
        assert_eq!(
            world
                .ask(&mut alice, "candidate", &path, candidate(ufrag))
                .0,
            200
        );
        assert_eq!(world.events(&mut bob), []);
        assert_eq!(
            world
                .ask(&mut alice, "offer", &path, description("offer", ufrag))
                .0,
            200
        );
        assert_eq!(
            world
                .ask(&mut alice, "candidate", &path, candidate(ufrag))
                .0,
            200
        );
        let events = world.events(&mut bob);
        let expected = ["offer", "candidate", "candidate"].map(|kind| format!("{kind} {path}"));
        assert_eq!(heads(&events), expected);
        assert_eq!(events[0].content, description("offer", ufrag), "verbatim");
        assert_eq!(events[1].content, candidate(ufrag));
        assert!(events.iter().all(|e| e.from == alice.id.to_string()));
    }
    // And back.
    assert_eq!(
        world.ask(&mut bob, "candidate", &path, candidate("cccc")).0,
        200
    );
    assert_eq!(
        world
            .ask(&mut bob, "answer", &path, description("answer", "cccc"))
            .0,
        200
    );
    let events = world.events(&mut alice);
    assert_eq!(
        heads(&events),
        [format!("answer {path}"), format!("candidate {path}")]
    );
    assert!(events.iter().all(|e| e.from == bob.id.to_string()));

    let mut eve = world.join(Role::Publisher);
    assert_eq!(
        world
            .ask(&mut eve, "answer", &path, description("answer", "dddd"))
            .0,
        403
    );
    world.events(&mut alice);
    assert_eq!(world.ask(&mut bob, "delete", &path, json!({})).0, 200);
    let events = world.events(&mut alice);
    assert_eq!(heads(&events), [format!("deleted {path}")]);
    assert_eq!(events[0].from, bob.id.to_string());
    assert_eq!(events[0].content, json!({}));
    assert_eq!(world.asked_of_media(), []);
}

#[test]
fn a_leaver_s_publishers_hear_that_its_subscribers_are_gone() {
    let mut world = World::new(MediaMode::Relayed);
    let mut alice = world.join(Role::Publisher);
    let mut bob = world.join(Role::Publisher);
    let stream = world.publish(&mut alice);
    let id = world.subscribe(&mut bob, stream);
    world.events(&mut alice);
    world.disconnect(&mut bob, "");
    let events = world.events(&mut alice);
    let expected = [
        format!("deleted /stream/{stream}/subscriber/{id}"),
        format!("deleted /connection/{}", bob.id),
    ];
    assert_eq!(heads(&events), expected);
}

#[test]
fn a_fallback_on_one_leg_concerns_its_subscriber_only() {
    let mut world = World::new(MediaMode::Relayed);
    let mut alice = world.join(Role::Publisher);
    let mut bob = world.join(Role::Publisher);
    let mut carol = world.join(Role::Publisher);
    let stream = world.publish(&mut alice);
    world.events(&mut alice);
    let id = world.subscribe(&mut bob, stream);
    let peer = world.events(&mut alice)[0].content["peerId"].clone();
    world.subscribe(&mut carol, stream);
    world.events(&mut bob);
    world.events(&mut carol);
    let path = format!("/stream/{stream}/channel/video1");
    let content = json!({"active": false, "activeReason": "auto", "congestionLevel": 2,
                         "subscriberId": peer});
    assert_eq!(world.ask(&mut alice, "update", &path, content).0, 200);
    let events = world.events(&mut bob);
    let own = format!("update /stream/{stream}/subscriber/{id}/channel/video1");
    assert_eq!(heads(&events), [own, format!("updated {path}")]);
    assert_eq!(world.events(&mut carol), []);
    let mut dave = world.client();
    let (_, dump) = world.join_as(&mut dave, Role::Publisher, json!({}));
    assert_eq!(dump["stream"][0]["channel"][0]["active"], true);
}
