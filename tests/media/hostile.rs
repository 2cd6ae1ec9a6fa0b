//! Peers with valid keys that send nonsense.

use std::time::Duration;

use parlor::rtp::rtcp::Compound;
use proptest::prelude::*;

use crate::world::*;

proptest! {
    #[test]
    fn no_datagram_from_a_keyed_peer_panics(
        datagrams in prop::collection::vec(
            (0u8..7, any::<u16>(), prop::collection::vec(any::<u8>(), 0..200)),
            1..60,
        ),
    ) {
        let mut world = World::new();
        let mut publisher = world.publisher(1, 1, CM);
        let mut subscriber = world.subscriber(1, 1, 11, CM);
        let packet = publisher.video(1, true);
        world.receive_one(&packet, publisher.address);
        let mut index = 70_000u64;
        for (action, number, bytes) in datagrams {
            index += u64::from(number % 400) + 1;
            let (datagram, from) = match action {
                // Bytes as they are, from an address that is known.
                0 => (bytes, publisher.address),
                // Media with a payload, and extensions, made of nonsense.
                1 => {
                    let len = bytes.len().min(30);
                    let elements = [(1, &bytes[..len]), ((number % 15) as u8 + 1, &bytes[..len])];
                    let names = (VIDEO_SSRC, VP8);
                    (publisher.rtp(names, index, index as u32, &elements, &bytes), publisher.address)
                }
                2 => {
                    let names = (VIDEO_RTX_SSRC, VP8_RTX);
                    (publisher.rtp(names, index, 0, &[], &bytes), publisher.address)
                }
                3 => {
                    let names = (u32::from(number % 50), (number % 128) as u8);
                    let elements = [(4, &b"1"[..])];
                    (publisher.rtp(names, index, 0, &elements, &bytes), publisher.address)
                }
                4 | 5 => {
                    let mut plain = vec![0x80 | (number % 32) as u8, 200 + (number >> 8) as u8 % 8];
                    plain.extend_from_slice(&((bytes.len() / 4 + 1) as u16).to_be_bytes());
                    plain.extend_from_slice(&out_ssrc(1).to_be_bytes());
                    plain.extend_from_slice(&bytes);
                    match action {
                        4 => (publisher.rtcp(&plain), publisher.address),
                        _ => (subscriber.rtcp(&plain), subscriber.address),
                    }
                }
                _ => (bytes, subscriber.address),
            };
            world.receive_one(&datagram, from);
            world.advance(Duration::from_millis(u64::from(number % 80)));
        }
        // Whatever came in, what went out is authentic and each number is used once: the
        // opener's replay window stands for the client's.
        let (media, feedback) = subscriber.open(&mut world.net);
        prop_assert!(!media.is_empty());
        for datagram in &feedback {
            prop_assert!(Compound::new(datagram).count() > 0);
        }
        publisher.open(&mut world.net);
    }
}
