//! Where legs are placed, and what workers are told.

use super::*;
use crate::sfu::GroupId;
use crate::sfu::command::{PublicationConfig, SubscriptionConfig, TransportConfig};
use crate::sfu::{Terms, Wanted};

fn publish(shards: &mut Shards, session: u64, id: u64) -> WorkerId {
    let publication = PublicationId(id);
    let sdp = String::new();
    let request = Request::PublisherOffer {
        publication,
        sdp,
        terms: Terms::default(),
    };
    let worker = shards.place(session, &request);
    let config = PublicationConfig {
        id: publication,
        group: GroupId(session),
        transport: TransportConfig::detached(),
        tracks: Vec::new(),
    };
    shards.handle_command(Command::AddPublication(Box::new(config)));
    worker
}

fn subscribe(shards: &mut Shards, session: u64, id: u64, publication: u64) -> WorkerId {
    let (subscription, publication) = (SubscriptionId(id), PublicationId(publication));
    let wanted = Wanted::default();
    let client = ClientId(id);
    let request = Request::Subscribe {
        subscription,
        client,
        shared: false,
        publication,
        screen: false,
        wanted,
    };
    let worker = shards.place(session, &request);
    let config = SubscriptionConfig {
        id: subscription,
        client,
        shared: false,
        publication,
        screen: false,
        transport: TransportConfig::detached(),
        wanted,
        tracks: Vec::new(),
    };
    shards.handle_command(Command::AddSubscription(Box::new(config)));
    worker
}

/// Who was told what, in short.
fn told(shards: &mut Shards) -> Vec<(usize, String)> {
    let all = std::iter::from_fn(|| shards.poll_command());
    all.map(|(worker, command)| {
        let text = format!("{command:?}");
        let end = text.find(['(', ' ']).unwrap_or(text.len());
        (worker.index(), text[..end].to_owned())
    })
    .collect()
}

#[test]
fn sessions_are_spread_and_the_legs_of_a_small_one_stay_together() {
    let mut shards = Shards::new(4);
    let homes: Vec<_> = (0..4)
        .map(|session| publish(&mut shards, session, session).index())
        .collect();
    assert_eq!(homes, [0, 1, 2, 3]);
    for id in 0..99 {
        assert_eq!(subscribe(&mut shards, 2, id, 2).index(), 2);
    }
    assert!(told(&mut shards).iter().all(|(_, what)| what != "AddPipe"));
}

#[test]
fn a_large_session_uses_all_workers_and_gives_them_back() {
    let mut shards = Shards::new(3);
    let home = publish(&mut shards, 1, 1);
    for id in 0..600 {
        subscribe(&mut shards, 1, id, 1);
    }
    let even = (600 + PUBLISHER) / 3;
    let is_even = |load: &usize| load.abs_diff(even) <= 1;
    assert!(shards.loads.iter().all(is_even), "{:?}", shards.loads);
    let commands = told(&mut shards);
    let count = |what: &str| commands.iter().filter(|(_, told)| told == what).count();
    assert_eq!((count("AddMirror"), count("AddPipe")), (2, 2));
    for id in 0..600 {
        shards.handle_command(Command::Remove(Leg::Subscriber(SubscriptionId(id))));
    }
    let commands = told(&mut shards);
    let unpiped = (home.index(), "RemovePipe".to_owned());
    assert_eq!(commands.iter().filter(|told| **told == unpiped).count(), 2);
    shards.handle_command(Command::Remove(Leg::Publisher(PublicationId(1))));
    assert_eq!(shards.loads, [0, 0, 0]);
    assert!(shards.sessions.is_empty());
}

#[test]
fn a_mirror_is_made_before_its_first_subscription_and_ends_with_the_publication() {
    let mut shards = Shards::new(2);
    publish(&mut shards, 1, 1);
    for id in 0..TOGETHER as u64 {
        subscribe(&mut shards, 1, id, 1);
    }
    let commands = told(&mut shards);
    let told_of = |worker, what: &str| (worker, what.to_owned());
    assert_eq!(
        commands[commands.len() - 3..],
        [
            told_of(1, "AddMirror"),
            told_of(0, "AddPipe"),
            told_of(1, "AddSubscription")
        ]
    );
    shards.forget(Leg::Publisher(PublicationId(1)));
    assert_eq!(told(&mut shards), [told_of(1, "Remove")]);
    assert_eq!(shards.loads, [0, 0]);
    assert!(shards.subscriptions.is_empty());
}

#[test]
fn a_subscription_that_is_never_answered_leaves_nothing_behind() {
    let mut shards = Shards::new(2);
    let (subscription, publication) = (SubscriptionId(1), PublicationId(1));
    let wanted = Wanted::default();
    shards.place(
        1,
        &Request::Subscribe {
            subscription,
            client: ClientId(1),
            shared: false,
            publication,
            screen: false,
            wanted,
        },
    );
    shards.handle_command(Command::Remove(Leg::Subscriber(subscription)));
    assert_eq!(shards.loads, [0, 0]);
    assert!(shards.sessions.is_empty() && shards.subscriptions.is_empty());
    assert_eq!(told(&mut shards), [(0, "Remove".to_owned())]);
}
