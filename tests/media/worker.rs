//! The media worker's thread: real sockets, real time.

use std::net::UdpSocket;
use std::time::Duration;

use parlor::clock::Clock;
use parlor::driver::dtls::{self, DtlsThread};
use parlor::driver::media::{MediaHandle, MediaThread, MediaWorker};
use parlor::entropy::Entropy;
use parlor::sfu::command::{Command, EngineEvent};
use parlor::sfu::dtls::{Certificate, Handshakes};
use parlor::sfu::engine::Engine;
use parlor::sfu::{Leg, PublicationId, SubscriptionId};
use tokio::sync::mpsc;

use crate::world::{CM, Net, Peer, publication, subscription};

/// More than two receive calls and one segmented message take.
const BURST: u64 = 150;

/// Longest wait for what must come.
const PATIENCE: Duration = Duration::from_secs(10);

struct Worker {
    media: MediaHandle,
    events: mpsc::Receiver<EngineEvent>,
    thread: MediaThread,
    dtls: DtlsThread,
}

impl Worker {
    fn start() -> Self {
        let clock = Clock::system();
        let worker = MediaWorker::bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
        let media = worker.handle();
        let handshakes =
            Handshakes::new(Certificate::generate().expect("a certificate")).expect("handshakes");
        let deliver = {
            let media = media.clone();
            move |output| media.handshake(output)
        };
        let (handle, dtls) = dtls::start(handshakes, deliver, clock).expect("a thread");
        let engine = Engine::new(Entropy::from_seed(1), clock.epoch());
        let (thread, events) = worker.start(engine, handle, clock).expect("a thread");
        Self {
            media,
            events,
            thread,
            dtls,
        }
    }

    /// Opens a socket for a peer and has its ICE check answered.
    fn check(&self, peer: &Peer) -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
        socket.connect(self.thread.local_addr).expect("a socket");
        socket.send(&peer.check(true)).expect("a socket");
        assert_eq!(read(&socket)[..2], [1, 1], "a Binding success");
        socket
    }

    /// Keys a leg and waits for word of it.
    async fn key(&mut self, peer: &Peer) {
        let (media, keys) = (self.media.clone(), peer.keys());
        tokio::task::spawn_blocking(move || media.handshake(keys))
            .await
            .expect("the worker takes it");
        let event = tokio::time::timeout(PATIENCE, self.events.recv());
        assert_eq!(
            event.await.expect("an event in time"),
            Some(EngineEvent::Connected(peer.leg))
        );
    }

    async fn publisher(&self) -> Peer {
        let id = PublicationId(1);
        let peer = Peer::new(Leg::Publisher(id), 1, CM);
        let config = publication(id, peer.transport());
        let command = Command::AddPublication(Box::new(config));
        self.media.command(command).await;
        peer
    }

    /// Ends both threads, and waits until they have.
    async fn stop(self) {
        self.media.stop().await;
        tokio::task::spawn_blocking(move || {
            self.thread.join();
            self.dtls.join();
        })
        .await
        .expect("both threads end");
    }
}

fn read(socket: &UdpSocket) -> Vec<u8> {
    let mut bytes = [0; 2048];
    let len = socket.recv(&mut bytes).expect("a datagram in time");
    bytes[..len].to_vec()
}

#[tokio::test]
async fn a_burst_goes_through_the_worker_from_socket_to_socket() {
    let mut worker = Worker::start();
    let mut publisher = worker.publisher().await;
    let from = worker.check(&publisher);
    worker.key(&publisher).await;

    let id = SubscriptionId(2);
    let mut subscriber = Peer::new(Leg::Subscriber(id), 2, CM);
    let config = subscription(id, PublicationId(1), subscriber.transport());
    let command = Command::AddSubscription(Box::new(config));
    worker.media.command(command).await;
    let to = worker.check(&subscriber);
    worker.key(&subscriber).await;

    for index in 1..=BURST {
        from.send(&publisher.video(index, index == 1)).unwrap();
    }
    let mut received = Vec::new();
    while received.len() < BURST as usize {
        let mut net = Net {
            sent: vec![(read(&to), subscriber.address)],
        };
        received.extend(subscriber.open(&mut net).0);
    }
    let first = received[0].header.sequence;
    for (distance, packet) in (0..).zip(&received) {
        assert_eq!(packet.header.sequence.wrapping_sub(first), distance);
    }
    worker.stop().await;
}

#[tokio::test]
async fn a_handshake_goes_by_way_of_the_control_thread_and_is_answered() {
    let worker = Worker::start();
    let publisher = worker.publisher().await;
    let socket = worker.check(&publisher);
    socket.send(&client_hello()).unwrap();
    let answer = read(&socket);
    assert_eq!(answer[0], 21, "an alert: {answer:x?}");
    worker.stop().await;
}

/// DTLS 1.2 (RFC 6347, 4.2.1) with nothing but a cipher suite that nobody has.
fn client_hello() -> Vec<u8> {
    let mut body = vec![0xfe, 0xfd];
    body.extend([0; 32]); // random
    body.extend([0, 0]); // no session, no cookie
    body.extend([0, 2, 0xff, 0xfe, 1, 0]); // one suite, no compression
    body.extend([0, 0]); // no extensions
    let len = body.len() as u8;
    let mut record = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, len + 12];
    record.extend([1, 0, 0, len, 0, 0, 0, 0, 0, 0, 0, len]);
    record.extend(body);
    record
}
