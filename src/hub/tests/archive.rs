use serde_json::{Value, json};
use uuid::Uuid;

use crate::hub::archive::{Archive, ArchiveStatus};
use crate::hub::call::{Call, CallError};
use crate::hub::harness::{World, heads};
use crate::model::role::Role;
use crate::model::session::MediaMode;

const FIRST: Uuid = Uuid::from_u128(1);
const SECOND: Uuid = Uuid::from_u128(2);

#[test]
fn everybody_hears_of_a_recording_from_its_start_to_its_end() {
    let mut world = World::new(MediaMode::Routed);
    let (mut ana, mut ben) = (world.join(Role::Moderator), world.join(Role::Subscriber));
    world.events(&mut ana);
    world.events(&mut ben);
    for status in [
        ArchiveStatus::Started,
        ArchiveStatus::Started,
        ArchiveStatus::Paused,
        ArchiveStatus::Stopped,
        ArchiveStatus::Stopped,
    ] {
        set(&mut world, FIRST, status);
    }
    for client in [&mut ana, &mut ben] {
        let events = world.events(client);
        let uri = format!("/archive/{FIRST}");
        assert_eq!(
            heads(&events),
            [
                format!("created {uri}"),
                format!("updated {uri}"),
                format!("updated {uri}")
            ]
        );
        let contents: Vec<_> = events.iter().map(|event| event.content.clone()).collect();
        assert_eq!(
            contents,
            [
                json!({"id": FIRST, "name": "rec", "status": "started"}),
                json!({"status": "paused"}),
                json!({"status": "stopped"}),
            ]
        );
    }
}

#[test]
fn a_newcomer_learns_of_what_is_being_recorded_and_of_nothing_that_is_over() {
    let mut world = World::new(MediaMode::Routed);
    let _ana = world.join(Role::Publisher);
    set(&mut world, SECOND, ArchiveStatus::Started);
    set(&mut world, FIRST, ArchiveStatus::Started);
    set(&mut world, FIRST, ArchiveStatus::Paused);
    assert_eq!(
        dump(&mut world),
        json!([
            {"id": SECOND, "name": "rec", "status": "started"},
            {"id": FIRST, "name": "rec", "status": "paused"},
        ])
    );
    set(&mut world, SECOND, ArchiveStatus::Failed);
    set(&mut world, FIRST, ArchiveStatus::Stopped);
    assert_eq!(dump(&mut world), json!([]));
}

#[test]
fn the_end_of_an_unknown_recording_is_no_news() {
    let mut world = World::new(MediaMode::Routed);
    let mut ana = world.join(Role::Publisher);
    world.events(&mut ana);
    set(&mut world, FIRST, ArchiveStatus::Stopped);
    assert_eq!(heads(&world.events(&mut ana)), [""; 0]);
}

#[test]
fn where_nobody_is_nobody_can_be_told() {
    let mut world = World::new(MediaMode::Routed);
    let told = world.call(Call::SetArchive(archive(FIRST, ArchiveStatus::Started)));
    assert_eq!(told, Err(CallError::NobodyConnected));
}

fn set(world: &mut World, id: Uuid, status: ArchiveStatus) {
    world.call(Call::SetArchive(archive(id, status))).unwrap();
}

fn archive(id: Uuid, status: ArchiveStatus) -> Archive {
    Archive {
        id,
        name: "rec".to_owned(),
        status,
    }
}

/// What somebody who joins now is told is being recorded.
fn dump(world: &mut World) -> Value {
    let mut newcomer = world.client();
    let (status, dump) = world.join_as(&mut newcomer, Role::Subscriber, json!({}));
    assert_eq!(status, 200);
    dump["archive"].clone()
}
