//! Who is believed, and what strangers are told.

use super::*;

#[test]
fn credentials_that_are_none_are_told_from_good_ones() {
    let mut world = World::new();
    let client = Client::udp("192.0.2.1:1000".parse().unwrap());
    let good = world.peer(client, "ana");
    let with = |username: &str, password: &str, realm| Peer {
        client,
        credential: Credential {
            username: username.into(),
            password: password.into(),
        },
        realm,
        nonce: good.nonce.clone(),
    };
    let Credential { username, password } = good.credential.clone();
    let expired = Issuer::new(SECRET).issue(world.unix_s(), "ana");
    let forged = Issuer::new(b"south").issue(world.unix_s() + 60, "ana");
    for bad in [
        with(&username, "", "turn"),
        with(&username, &forged.password, "turn"),
        with(&username, &password, "other"),
        with(&format!("1{username}"), &password, "turn"),
        with("ana", &password, "turn"),
        with("", "", "turn"),
        with(&expired.username, &expired.password, "turn"),
        with(&forged.username, &forged.password, "turn"),
    ] {
        let answer = world.ask(&bad, Method::Allocate, vec![udp()]);
        assert_eq!(answer.code(), 401, "{:?}", bad.credential);
        assert!(answer.get(NONCE).is_some() && answer.get(MESSAGE_INTEGRITY).is_none());
    }
    assert_eq!(world.refused(Refused::Unauthorized), 8);
    assert_eq!(world.server.snapshot().allocations, 0);
    assert_eq!(code(&mut world, &good, Method::Allocate, vec![udp()]), 0);
    // What one made, another cannot use.
    let ben = Issuer::new(SECRET).issue(world.unix_s() + 60, "ben");
    let ben = with(&ben.username, &ben.password, "turn");
    assert_eq!(
        code(&mut world, &ben, Method::Refresh, vec![lifetime(0)]),
        441
    );
}

#[test]
fn a_granted_allocation_outlives_its_credential_but_not_its_revocation() {
    let mut world = World::new();
    let (mut ana, relayed) = world.allocated("192.0.2.1:1", "ana");
    let refreshed = code(&mut world, &ana, Method::Refresh, vec![lifetime(3600)]);
    assert_eq!(refreshed, 0);
    for _ in 0..30 {
        world.pass(3000);
        world.fetch_nonce(&mut ana);
        assert_eq!(
            code(&mut world, &ana, Method::Refresh, vec![lifetime(3600)]),
            0
        );
    }
    let mut other = world.peer(Client::udp("192.0.2.1:2".parse().unwrap()), "ana");
    let nonce = std::mem::take(&mut other.nonce);
    let expired = Peer {
        nonce,
        client: other.client,
        credential: ana.credential.clone(),
        realm: "turn",
    };
    assert_eq!(
        code(&mut world, &expired, Method::Allocate, vec![udp()]),
        401
    );

    let now = world.now;
    world.server.revoke("ana", now, &mut world.net);
    assert_eq!(world.net.closed_relays, [relayed.port()]);
    assert_eq!(world.server.snapshot().allocations, 0);
    let back = world.peer(Client::udp("192.0.2.1:3".parse().unwrap()), "ana");
    assert_eq!(code(&mut world, &back, Method::Allocate, vec![udp()]), 401);
    world.allocated("192.0.2.1:4", "ben");
}

#[test]
fn an_old_nonce_is_stale_and_the_new_one_comes_with_the_refusal() {
    let mut world = World::new();
    let (mut ana, _) = world.allocated("192.0.2.1:1", "ana");
    assert_eq!(
        code(&mut world, &ana, Method::Refresh, vec![lifetime(3600)]),
        0
    );
    world.pass(3500);
    assert_eq!(
        code(&mut world, &ana, Method::Refresh, vec![lifetime(3600)]),
        0
    );
    world.pass(500);
    let answer = world.ask(&ana, Method::Refresh, vec![]);
    assert_eq!(answer.code(), 438);
    assert_eq!(answer.get(REALM), Some(&b"turn"[..]));
    ana.nonce = answer.get(NONCE).unwrap().to_vec();
    assert_eq!(code(&mut world, &ana, Method::Refresh, vec![]), 0);
    assert_eq!(world.refused(Refused::StaleNonce), 1);
}

#[test]
fn a_stranger_is_challenged_as_soon_as_that_is_no_more_than_came_from_there() {
    let mut world = World::new();
    let client = Client::udp("192.0.2.1:1000".parse().unwrap());
    // What browsers begin with, and repeat.
    let first = message(Method::Allocate.code(), 1, &[udp()], None);
    assert_eq!(first.len(), 28);
    assert!(world.asked(client, &first).is_none());
    assert_eq!(world.refused(Refused::Silenced), 1);
    let elsewhere = Client::udp("192.0.2.1:1001".parse().unwrap());
    assert!(world.asked(elsewhere, &first).is_none());
    assert_eq!(world.asked(client, &first).unwrap().0.len(), 48);
    // Who is on a stream is where they say.
    let stream = Client::stream("192.0.2.1:1001".parse().unwrap(), StreamId(1));
    assert_eq!(world.asked(stream, &first).unwrap().code(), 401);
}

#[test]
fn a_binding_request_is_answered_as_soon_as_that_is_no_more_than_came_from_there() {
    let mut world = World::new();
    let short = message(Method::Binding.code(), 1, &[], None);
    let padded = message(Method::Binding.code(), 1, &[bytes(0x8022, &[0; 8])], None);
    for (address, request, unanswered) in [
        ("192.0.2.1:1", &short, 1),
        ("[2001:db8::1]:1", &short, 2),
        ("192.0.2.1:2", &padded, 0),
    ] {
        let client = Client::udp(address.parse().unwrap());
        for _ in 0..unanswered {
            assert!(world.asked(client, request).is_none());
        }
        let answer = world.asked(client, request).unwrap();
        assert_eq!(answer.address(XOR_MAPPED_ADDRESS), Some(client.address));
    }
    let stream = Client::stream("192.0.2.1:1".parse().unwrap(), StreamId(1));
    assert!(world.asked(stream, &short).is_some());
}

/// Everything that a stranger could say, in any order, as fast or slowly as they like.
#[test]
fn never_do_more_bytes_go_to_a_stranger_than_came_from_there() {
    let mut world = World::new();
    let ana = world.peer(Client::udp("192.0.2.1:1".parse().unwrap()), "ana");
    let name = || bytes(USERNAME, b"x");
    let mut all = vec![b"\x40\x00\x00\x04data".to_vec(), vec![0; 20], vec![]];
    let code = |method: Method| method.code();
    let requests = [
        Method::Binding,
        Method::Allocate,
        Method::Refresh,
        Method::CreatePermission,
        Method::ChannelBind,
    ];
    for kind in requests.map(code).into_iter().chain([SEND, 0x101, 0x113]) {
        for attributes in [
            vec![],
            vec![udp(), lifetime(1)],
            vec![name()],
            vec![name(), bytes(REALM, b"turn"), bytes(NONCE, b"none")],
            vec![name(), bytes(REALM, b"turn"), bytes(NONCE, &ana.nonce)],
            vec![bytes(0x7ffe, b""), peer(MEDIA), channel(0x4000)],
            vec![peer(MEDIA), bytes(DATA, &[0; 200])],
        ] {
            for key in [None, Some(&ana.key())] {
                all.push(message(kind, 1, &attributes, key));
            }
        }
    }
    let strangers = [
        "192.0.2.2:1",
        "192.0.2.2:2",
        "198.51.100.1:1",
        "[2001:db8::1]:1",
    ];
    let strangers = strangers.map(|text| Client::udp(text.parse().unwrap()));
    let (mut came, mut went) = ([0; 4], [0; 4]);
    let mut random = Entropy::from_seed(4);
    for _ in 0..50_000 {
        let who = random.below(4) as usize;
        let question = &all[random.below(all.len() as u32) as usize];
        came[who] += question.len();
        if let Some(answer) = world.asked(strangers[who], question) {
            went[who] += answer.0.len();
        }
        assert!(went[who] <= came[who]);
        if random.below(100) == 0 {
            world.pass(random.below(10).into());
        }
    }
    assert!(went.into_iter().all(|bytes| bytes > 100_000), "{went:?}");
    // Who is authentic does not depend on any of that.
    assert!(world.net.to_media.is_empty());
    let answer = world.ask(&ana, Method::Allocate, vec![udp()]);
    assert_eq!(answer.code(), 0);
}

#[test]
fn noise_is_dropped() {
    let mut world = World::new();
    let (ana, _) = world.allocated("192.0.2.1:1", "ana");
    let mut random = Entropy::from_seed(3);
    for len in 0..500 {
        let mut noise = vec![0; len];
        random.fill(&mut noise);
        world.send(ana.client, &noise);
    }
    assert!(world.net.to_clients.is_empty() && world.net.to_media.is_empty());
}
