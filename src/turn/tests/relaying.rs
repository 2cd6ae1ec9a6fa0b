//! Where data goes, and for how long.

use super::*;

#[test]
fn data_goes_to_media_and_back_by_indication_and_by_channel() {
    let mut world = World::new();
    let (ana, relayed) = world.allocated("192.0.2.1:1000", "ana");
    let relay = Relay {
        port: relayed.port(),
        media: 0,
    };
    // Nothing passes before there is a permission.
    world.indicate(&ana, MEDIA, b"early");
    let now = world.now;
    world
        .server
        .handle_media(relay, b"early", now, &mut world.net);
    assert!(world.net.to_media.is_empty() && world.net.to_clients.is_empty());
    assert_eq!(world.refused(Refused::NoPermission), 2);

    assert_eq!(
        code(
            &mut world,
            &ana,
            Method::CreatePermission,
            vec![peer(MEDIA)]
        ),
        0
    );
    world.indicate(&ana, MEDIA, b"check");
    assert_eq!(world.net.to_media.pop(), Some((relay, b"check".to_vec())));
    world
        .server
        .handle_media(relay, b"answer", now, &mut world.net);
    let (to, indication) = world.net.to_clients.pop().unwrap();
    assert_eq!(to, ana.client);
    let indication = Answer(indication);
    assert_eq!(indication.0[..2], [0x00, 0x17]);
    assert_eq!(indication.get(DATA), Some(&b"answer"[..]));
    assert_eq!(
        indication.address(XOR_PEER_ADDRESS),
        Some(MEDIA.parse().unwrap())
    );

    let bind = vec![channel(0x4000), peer(MEDIA)];
    assert_eq!(code(&mut world, &ana, Method::ChannelBind, bind), 0);
    world.send(ana.client, b"\x40\x00\x00\x05hello");
    assert_eq!(world.net.to_media.pop(), Some((relay, b"hello".to_vec())));
    world
        .server
        .handle_media(relay, b"world", now, &mut world.net);
    assert_eq!(
        world.net.to_clients.pop(),
        Some((ana.client, b"\x40\x00\x00\x05world".to_vec()))
    );
    let counters = world.server.snapshot().counters;
    assert_eq!(
        (counters.bytes_from_clients, counters.bytes_to_clients),
        (10, 11)
    );
}

#[test]
fn clients_reach_each_other_by_their_relayed_addresses() {
    let mut world = World::new();
    let (ana, anas) = world.allocated("192.0.2.1:1000", "ana");
    let (ben, bens) = world.allocated("198.51.100.1:1000", "ben");
    let (anas, bens) = (anas.to_string(), bens.to_string());
    assert_eq!(
        code(
            &mut world,
            &ana,
            Method::CreatePermission,
            vec![peer(&bens)]
        ),
        0
    );
    // Ben has let nobody in.
    world.indicate(&ana, &bens, b"hello");
    assert!(world.net.to_clients.is_empty());
    let bind = vec![channel(0x4001), peer(&anas)];
    assert_eq!(code(&mut world, &ben, Method::ChannelBind, bind), 0);
    world.indicate(&ana, &bens, b"hello");
    assert_eq!(
        world.net.to_clients.pop(),
        Some((ben.client, b"\x40\x01\x00\x05hello".to_vec()))
    );
    world.send(ben.client, b"\x40\x01\x00\x02hi");
    let (to, indication) = world.net.to_clients.pop().unwrap();
    assert_eq!(to, ana.client);
    let indication = Answer(indication);
    assert_eq!(
        indication.address(XOR_PEER_ADDRESS),
        Some(bens.parse().unwrap())
    );
    assert_eq!(indication.get(DATA), Some(&b"hi"[..]));
    assert!(world.net.to_media.is_empty());
}

#[test]
fn nothing_but_media_and_clients_is_relayed_to() {
    let mut world = World::new();
    let (ana, _) = world.allocated("192.0.2.1:1000", "ana");
    for other in [
        "127.0.0.1:3478",
        "10.0.0.1:3478",
        "192.168.1.1:53",
        "169.254.169.254:80",
        "203.0.113.8:3478",
        "0.0.0.0:3478",
    ] {
        assert_eq!(
            code(
                &mut world,
                &ana,
                Method::CreatePermission,
                vec![peer(other)]
            ),
            403
        );
        let bind = vec![channel(0x4000), peer(other)];
        assert_eq!(code(&mut world, &ana, Method::ChannelBind, bind), 403);
    }
    // One bad address among good ones spoils all.
    let both = vec![peer(MEDIA), peer("10.0.0.1:1")];
    assert_eq!(code(&mut world, &ana, Method::CreatePermission, both), 403);
    world.indicate(&ana, MEDIA, b"x");
    // The right address does not open its other ports.
    assert_eq!(
        code(
            &mut world,
            &ana,
            Method::CreatePermission,
            vec![peer(MEDIA)]
        ),
        0
    );
    for port in [1, 22, 80, 3479, 49_151, 49_152, 65_535] {
        let other = format!("203.0.113.7:{port}");
        world.indicate(&ana, &other, b"x");
        let bind = vec![channel(0x4000), peer(&other)];
        let expected = if port < 49_152 { 403 } else { 0 };
        assert_eq!(
            code(&mut world, &ana, Method::ChannelBind, bind),
            expected,
            "{port}"
        );
        if expected == 0 {
            break;
        }
    }
    assert!(world.net.to_media.is_empty() && world.net.to_clients.is_empty());
}

#[test]
fn an_allocation_relays_no_more_than_it_may() {
    let limits = Limits {
        bytes_per_second: 1000,
        ..Limits::default()
    };
    let mut world = World::with(limits, &[MEDIA]);
    let (ana, relayed) = world.allocated("192.0.2.1:1", "ana");
    code(
        &mut world,
        &ana,
        Method::CreatePermission,
        vec![peer(MEDIA)],
    );
    for _ in 0..5 {
        world.indicate(&ana, MEDIA, &[7; 400]);
    }
    assert_eq!(world.net.to_media.len(), 2);
    let relay = Relay {
        port: relayed.port(),
        media: 0,
    };
    let now = world.now;
    world
        .server
        .handle_media(relay, &[7; 400], now, &mut world.net);
    assert!(world.net.to_clients.is_empty());
    assert_eq!(world.refused(Refused::Rate), 4);
    world.pass(1);
    world.indicate(&ana, MEDIA, &[7; 400]);
    assert_eq!(world.net.to_media.len(), 3);
}

#[test]
fn what_was_granted_ends_when_it_is_not_refreshed() {
    let mut world = World::new();
    let (ana, relayed) = world.allocated("192.0.2.1:1", "ana");
    let bind = || vec![channel(0x4000), peer(MEDIA)];
    assert_eq!(code(&mut world, &ana, Method::ChannelBind, bind()), 0);
    world.pass(299);
    world.indicate(&ana, MEDIA, b"x");
    assert_eq!(world.net.to_media.len(), 1);
    world.pass(1);
    world.indicate(&ana, MEDIA, b"x");
    assert_eq!(world.net.to_media.len(), 1);
    // Only a permission lets answers in; the channel still carries data out.
    world.send(ana.client, b"\x40\x00\x00\x01x");
    assert_eq!(world.net.to_media.len(), 2);
    let answer = world.ask(&ana, Method::Refresh, vec![lifetime(1200)]);
    assert_eq!(answer.get(LIFETIME), Some(&1200_u32.to_be_bytes()[..]));
    world.pass(300);
    world.send(ana.client, b"\x40\x00\x00\x01x");
    assert_eq!(world.net.to_media.len(), 2);
    // For a while, neither the number nor the peer is another's.
    let other = vec![channel(0x4001), peer(MEDIA)];
    assert_eq!(code(&mut world, &ana, Method::ChannelBind, other), 400);
    world.pass(300);
    let other = vec![channel(0x4001), peer(MEDIA)];
    assert_eq!(code(&mut world, &ana, Method::ChannelBind, other), 0);

    assert_eq!(
        world.server.poll_timeout(),
        Some(world.now + Duration::from_secs(600))
    );
    world.pass(600);
    assert_eq!(world.net.closed_relays, [relayed.port()]);
    assert_eq!(world.server.poll_timeout(), None);
    assert_eq!(code(&mut world, &ana, Method::Refresh, vec![]), 437);
    world.allocated("192.0.2.1:1", "ana");
}

#[test]
fn a_stream_carries_padded_messages_and_ends_with_its_allocation() {
    let mut world = World::new();
    let stream = StreamId(9);
    let client = Client::stream("192.0.2.1:1".parse().unwrap(), stream);
    let now = world.now;
    world.server.handle_opened(stream, now, &mut world.net);
    let ana = world.peer(client, "ana");
    let answer = world.ask(&ana, Method::Allocate, vec![udp()]);
    let port = answer.address(XOR_RELAYED_ADDRESS).unwrap().port();
    let bind = vec![channel(0x4000), peer(MEDIA)];
    assert_eq!(code(&mut world, &ana, Method::ChannelBind, bind), 0);
    world.pass(60);
    assert_eq!(world.net.closed_streams, []);
    let now = world.now;
    world
        .server
        .handle_media(Relay { port, media: 0 }, b"hello", now, &mut world.net);
    assert_eq!(
        world.net.to_clients.pop(),
        Some((client, b"\x40\x00\x00\x05hello\0\0\0".to_vec()))
    );
    assert_eq!(world.server.snapshot().streams, 1);
    world.server.handle_closed(client, &mut world.net);
    assert_eq!(world.net.closed_relays, [port]);
    let left = world.server.snapshot();
    assert_eq!((left.streams, left.allocations), (0, 0));
}

#[test]
fn streams_that_never_allocate_are_closed_and_make_room_before() {
    let mut world = World::new();
    let now = world.now;
    for id in 0..1025 {
        world
            .server
            .handle_opened(StreamId(id), now, &mut world.net);
    }
    assert_eq!(world.net.closed_streams, [StreamId(0)]);
    world.pass(10);
    assert_eq!(world.net.closed_streams.len(), 1025);
    assert_eq!(world.server.poll_timeout(), None);
}
