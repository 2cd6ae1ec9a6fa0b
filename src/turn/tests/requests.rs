//! What is asked for, and what is granted.

use super::*;

#[test]
fn an_allocation_is_granted_to_a_credential() {
    let mut world = World::new();
    let client = Client::udp("192.0.2.1:1000".parse().unwrap());
    let first = message(Method::Allocate.code(), 1, &[udp()], None);
    assert!(world.asked(client, &first).is_none());
    let challenge = world.asked(client, &first).unwrap();
    assert_eq!(challenge.code(), 401);
    assert_eq!(challenge.get(REALM), Some(&b"turn"[..]));
    let peer = world.peer(client, "ana");
    let answer = world.ask(&peer, Method::Allocate, vec![udp()]);
    let relayed = answer.address(XOR_RELAYED_ADDRESS).unwrap();
    assert_eq!(relayed.ip().to_string(), "203.0.113.7");
    assert!(relayed.port() >= 49152);
    assert_eq!(answer.address(XOR_MAPPED_ADDRESS), Some(client.address));
    assert_eq!(answer.get(LIFETIME), Some(&600_u32.to_be_bytes()[..]));
    assert_eq!(world.server.snapshot().allocations, 1);
}

#[test]
fn families_are_those_that_were_asked_for_and_that_there_are() {
    let family = |number| bytes(REQUESTED_ADDRESS_FAMILY, &[number, 0, 0, 0]);
    let additional = |number| bytes(ADDITIONAL_ADDRESS_FAMILY, &[number, 0, 0, 0]);
    let check = |media: &[&str], attributes: Vec<Attr>, expected: Result<&[bool], u16>| {
        let mut world = World::with(Limits::default(), media);
        let ana = world.peer(Client::udp("192.0.2.1:1".parse().unwrap()), "ana");
        let attributes = std::iter::once(udp()).chain(attributes).collect();
        let answer = world.ask(&ana, Method::Allocate, attributes);
        let relayed: Vec<_> = answer
            .all(XOR_RELAYED_ADDRESS)
            .map(|value| read_xor_address(&answer.0, value).unwrap().is_ipv6())
            .collect();
        match expected {
            Ok(families) => assert_eq!(relayed, families),
            Err(code) => assert_eq!(answer.code(), code),
        }
    };
    let both = [MEDIA, MEDIA_V6];
    check(&both, vec![], Ok(&[false]));
    check(&both, vec![family(1)], Ok(&[false]));
    check(&both, vec![family(2)], Ok(&[true]));
    check(&both, vec![additional(2)], Ok(&[false, true]));
    check(&[MEDIA], vec![additional(2)], Ok(&[false]));
    check(&[MEDIA], vec![family(2)], Err(440));
    check(&[MEDIA_V6], vec![family(1)], Err(440));
    check(&both, vec![family(3)], Err(440));
    check(&both, vec![family(1), additional(2)], Err(400));
    check(&both, vec![additional(1)], Err(400));
    // Browsers do not ask, and could do nothing with an address that leads nowhere.
    check(&[MEDIA_V6], vec![], Ok(&[true]));

    let mut world = World::new();
    let (ana, _) = world.allocated("192.0.2.1:1", "ana");
    assert_eq!(
        code(
            &mut world,
            &ana,
            Method::CreatePermission,
            vec![peer(MEDIA_V6)]
        ),
        443
    );
    let bind = vec![channel(0x4000), peer(MEDIA_V6)];
    assert_eq!(code(&mut world, &ana, Method::ChannelBind, bind), 443);
}

#[test]
fn lifetimes_are_kept_within_bounds() {
    let mut world = World::new();
    let (ana, _) = world.allocated("192.0.2.1:1", "ana");
    for (asked, granted) in [(1, 600_u32), (601, 601), (7200, 3600), (u32::MAX, 3600)] {
        let answer = world.ask(&ana, Method::Refresh, vec![lifetime(asked)]);
        assert_eq!(u32_at(answer.get(LIFETIME).unwrap(), 0), Some(granted));
    }
    let answer = world.ask(&ana, Method::Refresh, vec![lifetime(0)]);
    assert_eq!(
        (answer.code(), answer.get(LIFETIME)),
        (0, Some(&[0; 4][..]))
    );
    assert_eq!(world.server.snapshot().allocations, 0);
}

#[test]
fn a_client_has_one_allocation_and_a_repeated_request_its_old_answer() {
    let mut world = World::new();
    let client = Client::udp("192.0.2.1:1".parse().unwrap());
    let ana = world.peer(client, "ana");
    assert_eq!(code(&mut world, &ana, Method::Refresh, vec![]), 437);
    assert_eq!(
        code(
            &mut world,
            &ana,
            Method::CreatePermission,
            vec![peer(MEDIA)]
        ),
        437
    );
    let request = world.signed(&ana, Method::Allocate, vec![udp()]);
    let first = world.asked(client, &request).unwrap();
    let again = world.asked(client, &request).unwrap();
    assert_eq!(first.0, again.0);
    assert_eq!(code(&mut world, &ana, Method::Allocate, vec![udp()]), 437);
    assert_eq!(world.server.snapshot().counters.allocated, 1);
}

#[test]
fn what_is_wrong_with_a_request_is_said() {
    let mut world = World::new();
    let ana = world.peer(Client::udp("192.0.2.1:1".parse().unwrap()), "ana");
    let tcp = || bytes(REQUESTED_TRANSPORT, &[6, 0, 0, 0]);
    for (attributes, expected) in [
        (vec![], 400),
        (vec![tcp()], 442),
        (vec![udp(), bytes(EVEN_PORT, &[0x80, 0, 0, 0])], 508),
        (vec![udp(), bytes(RESERVATION_TOKEN, &[0; 8])], 508),
    ] {
        assert_eq!(
            code(&mut world, &ana, Method::Allocate, attributes),
            expected
        );
    }
    let strange = vec![
        udp(),
        bytes(0x7ffe, b""),
        bytes(0x7ffd, b""),
        bytes(0xc001, b""),
    ];
    let answer = world.ask(&ana, Method::Allocate, strange);
    assert_eq!(answer.code(), 420);
    assert_eq!(
        answer.get(UNKNOWN_ATTRIBUTES),
        Some(&[0x7f, 0xfe, 0x7f, 0xfd][..])
    );
    let even = vec![udp(), bytes(EVEN_PORT, &[0, 0, 0, 0])];
    let answer = world.ask(&ana, Method::Allocate, even);
    assert_eq!(answer.address(XOR_RELAYED_ADDRESS).unwrap().port() % 2, 0);
    for attributes in [vec![], vec![bytes(XOR_PEER_ADDRESS, b"?")]] {
        assert_eq!(
            code(&mut world, &ana, Method::CreatePermission, attributes),
            400
        );
    }
    assert_eq!(
        code(&mut world, &ana, Method::ChannelBind, vec![peer(MEDIA)]),
        400
    );
    assert_eq!(
        code(&mut world, &ana, Method::ChannelBind, vec![channel(0x4000)]),
        400
    );
}

#[test]
fn a_fingerprint_is_checked_and_answered_with_one() {
    let mut world = World::new();
    let ana = world.peer(Client::udp("192.0.2.1:1".parse().unwrap()), "ana");
    let plain = world.signed(&ana, Method::Allocate, vec![udp()]);
    let mut out = [0; 1500];
    out[..plain.len()].copy_from_slice(&plain);
    let mut at = plain.len();
    let announced = (at - HEADER_LEN + 8) as u16;
    out[2..4].copy_from_slice(&announced.to_be_bytes());
    let crc = crate::sfu::stun::codec::fingerprint(&out[..at]).to_be_bytes();
    out[at..at + 4].copy_from_slice(&[0x80, 0x28, 0, 4]);
    out[at + 4..at + 8].copy_from_slice(&crc);
    at += 8;
    let mut damaged = out;
    damaged[at - 1] ^= 1;
    assert!(world.asked(ana.client, &damaged[..at]).is_none());
    let answer = world.asked(ana.client, &out[..at]).unwrap();
    assert_eq!(answer.code(), 0);
    let end = answer.0.len() - 8;
    assert_eq!(u16_at(&answer.0, end), Some(0x8028));
    let crc = crate::sfu::stun::codec::fingerprint(&answer.0[..end]);
    assert_eq!(u32_at(&answer.0, end + 4), Some(crc));
}

#[test]
fn a_channel_has_one_peer_and_a_peer_one_channel() {
    let mut world = World::with(Limits::default(), &[MEDIA, "203.0.113.8:3478"]);
    let (ana, _) = world.allocated("192.0.2.1:1", "ana");
    let second = "203.0.113.8:3478";
    let mut bind = |number, to: &str| {
        code(
            &mut world,
            &ana,
            Method::ChannelBind,
            vec![channel(number), peer(to)],
        )
    };
    assert_eq!(bind(0x4000, MEDIA), 0);
    assert_eq!(bind(0x4000, MEDIA), 0);
    assert_eq!(bind(0x4000, second), 400);
    assert_eq!(bind(0x4001, MEDIA), 400);
    assert_eq!(bind(0x3fff, second), 400);
    assert_eq!(bind(0x7fff, second), 400);
    assert_eq!(bind(0x7ffe, second), 0);
    for n in 0..30 {
        assert_eq!(bind(0x5000 + n, &format!("203.0.113.7:{}", 50_000 + n)), 0);
    }
    assert_eq!(bind(0x6000, "203.0.113.7:60000"), 508);
}

#[test]
fn quotas_hold_for_one_connection_and_in_all() {
    let limits = Limits {
        allocations: 3,
        allocations_per_connection: 2,
        ..Limits::default()
    };
    let mut world = World::with(limits, &[MEDIA]);
    let (first, _) = world.allocated("192.0.2.1:1", "ana");
    world.allocated("192.0.2.1:2", "ana");
    let third = world.peer(Client::udp("192.0.2.1:3".parse().unwrap()), "ana");
    assert_eq!(code(&mut world, &third, Method::Allocate, vec![udp()]), 486);
    world.allocated("192.0.2.1:4", "ben");
    let late = world.peer(Client::udp("192.0.2.1:5".parse().unwrap()), "cleo");
    assert_eq!(code(&mut world, &late, Method::Allocate, vec![udp()]), 508);
    // Where one goes, another may come.
    assert_eq!(
        code(&mut world, &first, Method::Refresh, vec![lifetime(0)]),
        0
    );
    assert_eq!(code(&mut world, &third, Method::Allocate, vec![udp()]), 0);
    assert_eq!(world.refused(Refused::Quota), 1);
    assert_eq!(world.refused(Refused::Capacity), 1);
}
