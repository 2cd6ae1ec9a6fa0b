//! What arrives on a TCP port: first bytes of any service, and a stream of packets.

use std::io::Read;

use parlor::net::framing::{FrameQueue, FrameReader};
use parlor::net::service::{MAX_FIRST_LEN, Service, classify};
use parlor::sfu::datagram::SLOT_LEN;

/// First bytes, as the network brings them: one more at a time, and all that is there.
pub fn service(data: &[u8]) {
    let end = classify(data);
    for len in 0..data.len().min(MAX_FIRST_LEN) {
        let before = classify(&data[..len]);
        assert!(
            before == Ok(None) || before == end,
            "it changed its mind at {len}"
        );
    }
    assert!(
        data.len() < MAX_FIRST_LEN || end != Ok(None),
        "it never decides"
    );
    if end == Ok(Some(Service::Ice)) {
        let mut reader = FrameReader::new(data);
        assert!(matches!(reader.next(), Ok(Some(check)) if check.len() >= 20));
    }
}

/// A stream whose first byte says how it is cut into reads.
pub fn framing(data: &[u8]) {
    let [step, stream @ ..] = data else {
        return;
    };
    let whole = packets(stream, usize::MAX);
    assert_eq!(packets(stream, usize::from(*step) + 1), whole);
    // What was understood is written as it was read, but for what means nothing.
    let mut queue = FrameQueue::default();
    let mut written = Vec::new();
    for packet in &whole {
        assert!(!packet.is_empty() && packet.len() <= SLOT_LEN);
        assert!(queue.push(packet, None));
        queue
            .write_to(&mut written)
            .expect("memory takes everything");
    }
    assert_eq!(packets(&written, usize::MAX), whole);
}

/// The packets up to the first that is too long, or to the end.
fn packets(stream: &[u8], step: usize) -> Vec<Vec<u8>> {
    let mut reader = FrameReader::new(&[]);
    let mut packets = Vec::new();
    let mut rest = stream;
    loop {
        loop {
            match reader.next() {
                Ok(Some(packet)) => packets.push(packet.to_vec()),
                Ok(None) => break,
                Err(_) => return packets,
            }
        }
        let before = rest.len();
        if reader
            .read_from(&mut rest.by_ref().take(step as u64))
            .is_err()
        {
            return packets;
        }
        assert!(rest.len() < before);
    }
}
