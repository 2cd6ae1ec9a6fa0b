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
fn strangers_get_no_more_than_they_send_but_for_one_answer_that_is_rare() {
    let mut world = World::new();
    let client = Client::udp("192.0.2.1:1000".parse().unwrap());
    let ana = world.peer(client, "ana");
    let key = ana.key();
    let name = || bytes(USERNAME, b"x");
    let all = [
        Method::Binding,
        Method::Allocate,
        Method::Refresh,
        Method::CreatePermission,
        Method::ChannelBind,
    ];
    for method in all {
        for attributes in [
            vec![],
            vec![udp(), lifetime(1)],
            vec![name()],
            vec![name(), bytes(REALM, b"turn"), bytes(NONCE, b"none")],
            vec![name(), bytes(REALM, b"turn"), bytes(NONCE, &ana.nonce)],
            vec![bytes(0x7ffe, b""), peer(MEDIA), channel(0x4000)],
        ] {
            for key in [None, Some(&key)] {
                let request = message(method.code(), 1, &attributes, key);
                let begins = method == Method::Allocate && attributes.len() == 2;
                if let Some(answer) = world.asked(client, &request)
                    && !(begins && key.is_none())
                {
                    assert!(answer.0.len() <= request.len(), "{method:?}");
                }
            }
        }
    }
    // What browsers begin with, and what they are told.
    let first = message(Method::Allocate.code(), 1, &[udp()], None);
    assert_eq!(first.len(), 28);
    assert_eq!(world.asked(client, &first).unwrap().0.len(), 48);
    let answered = (0..1000).filter(|_| world.asked(client, &first).is_some());
    assert!(answered.count() < 200);
    // One that knows its nonce does not depend on that.
    assert_eq!(code(&mut world, &ana, Method::Allocate, vec![udp()]), 0);
    // Nor does a stream, whose client is where it says.
    let stream = Client::stream("192.0.2.1:1001".parse().unwrap(), StreamId(1));
    assert_eq!(world.asked(stream, &first).unwrap().code(), 401);
}

#[test]
fn a_binding_request_is_answered_where_that_amplifies_nothing() {
    let mut world = World::new();
    let address = "192.0.2.1:1000".parse().unwrap();
    let short = message(Method::Binding.code(), 1, &[], None);
    assert!(world.asked(Client::udp(address), &short).is_none());
    let padded = message(Method::Binding.code(), 1, &[bytes(0x8022, &[0; 8])], None);
    for (client, request) in [
        (Client::udp(address), padded),
        (Client::stream(address, StreamId(1)), short),
    ] {
        let answer = world.asked(client, &request).unwrap();
        assert_eq!(answer.address(XOR_MAPPED_ADDRESS), Some(address));
    }
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
