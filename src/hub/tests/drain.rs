use serde_json::json;

use crate::hub::harness::World;
use crate::model::role::Role;
use crate::model::session::MediaMode;
use crate::signaling::error::close;

#[test]
fn while_draining_nobody_joins_and_whoever_is_here_stays() {
    let mut world = World::new(MediaMode::Routed);
    assert!(world.hub.is_idle());
    let mut ana = world.join(Role::Publisher);
    let mut early = world.client();
    world.connect(&mut early);
    let asked = world.ask_to_join(&mut early, json!({}));

    world.hub.drain();
    let mut late = world.client();
    world.connect(&mut late);
    let refused = world.ask_to_join(&mut late, json!({}));
    world.receive(&mut late);
    assert_eq!(late.reply(&refused).0, 500);
    assert_eq!(world.closed[&late.socket], close::GONE);

    world.admit(Role::Publisher);
    world.receive(&mut early);
    assert_eq!(early.reply(&asked).0, 200);

    world.publish(&mut ana);
    let snapshot = world.hub.snapshot();
    assert_eq!((snapshot.sessions, snapshot.connections), (1, 2));
    assert!(!world.hub.is_idle());
    world.disconnect(&mut ana, "0");
    assert!(!world.hub.is_idle());
    world.disconnect(&mut early, "0");
    assert!(world.hub.is_idle());
}
