//! What arrives on a TCP port: first bytes of any service, a stream of packets, and what the headers
//! of a request say of where it came from.

use std::io::Read;
use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use parlor::http::forwarded::TrustedProxies;
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

/// The headers of a request that say where it came from, one in a line: from a stranger they mean
/// nothing, and from a proxy no more than an address, whether by TLS, and what can be a host.
pub fn forwarded(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(&line[colon + 1..]);
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    let network = "10.0.0.0/8".parse().expect("a network");
    let proxies = TrustedProxies::new(&[network]);
    let stranger = proxies.client(([9, 9, 9, 9], 1).into(), &headers);
    assert_eq!(stranger.address, IpAddr::from([9, 9, 9, 9]));
    assert!(!stranger.proxied && stranger.secure.is_none());
    let client = proxies.client(([10, 0, 0, 1], 1).into(), &headers);
    for host in [stranger.host, client.host].into_iter().flatten() {
        assert!(!host.contains(['/', '@', '?', '#', ' ', '"']), "{host}");
    }
}
