//! The media worker's thread: real sockets, real time.

use std::net::UdpSocket;
use std::time::Duration;

use parlor::clock::Clock;
use parlor::driver::media::MediaHandle;
use parlor::driver::workers::{BoundWorkers, Workers, WorkersHandle};
use parlor::entropy::Entropy;
use parlor::sfu::command::{Command, EngineEvent, MirrorConfig};
use parlor::sfu::dtls::Certificate;
use parlor::sfu::worker::WorkerId;
use parlor::sfu::{Leg, PublicationId, SubscriptionId};
use tokio::sync::mpsc;

use crate::world::{CM, Net, Peer, credentials, publication, subscription};

/// More than two receive calls and one segmented message take.
const BURST: u64 = 150;

/// What a socket may buffer: more than is ever sent at once here.
const BUFFER: usize = 1 << 20;

/// Longest wait for what must come.
const PATIENCE: Duration = Duration::from_secs(10);

struct Worker {
    /// All of them, and the first.
    all: WorkersHandle,
    media: MediaHandle,
    events: mpsc::Receiver<EngineEvent>,
    threads: Workers,
}

impl Worker {
    fn start(count: usize) -> Self {
        let any = "127.0.0.1:0".parse().expect("an address");
        let workers = BoundWorkers::bind(any, count, BUFFER).expect("a port");
        let certificates = Certificate::generate_pair().expect("certificates");
        let mut entropy = Entropy::from_seed(1);
        let (all, threads, events) = workers
            .start(&certificates, &mut entropy, Clock::system())
            .expect("threads");
        let media = all.worker(WorkerId::default()).expect("one").clone();
        Self {
            all,
            media,
            events,
            threads,
        }
    }

    /// Opens a socket for a peer and has its ICE check answered, as soon as all that the workers
    /// were told is done.
    async fn check(&self, peer: &Peer) -> UdpSocket {
        self.all.snapshot().await.expect("it runs");
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
        socket.connect(self.threads.local_addr).expect("a socket");
        check_again(peer, &socket);
        socket
    }

    /// Keys a leg and waits for word of it.
    async fn key(&mut self, peer: &Peer) {
        self.key_at(self.media.clone(), peer).await;
    }

    async fn key_at(&mut self, media: MediaHandle, peer: &Peer) {
        let keys = peer.keys();
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
        self.publisher_called("0-one").await
    }

    async fn publisher_called(&self, name: &str) -> Peer {
        let id = PublicationId(1);
        let mut peer = Peer::new(Leg::Publisher(id), 1, CM);
        peer.ice = credentials(name);
        let config = publication(id, peer.transport());
        let command = Command::AddPublication(Box::new(config));
        self.media.command(command).await;
        peer
    }

    /// How many datagrams came to the wrong worker.
    async fn handed_on(&self) -> u64 {
        self.all.snapshot().await.expect("it runs").engine.handed_on
    }

    /// Waits until what these peers send comes to the right worker; where two addresses hash alike,
    /// one stays at the wrong one.
    async fn steered(&self, peers: &[(Peer, UdpSocket)]) {
        let clock = Clock::system();
        let deadline = clock.now() + PATIENCE;
        loop {
            let before = self.handed_on().await;
            for (peer, socket) in peers {
                check_again(peer, socket);
            }
            let astray = self.handed_on().await - before;
            if astray <= peers.len() as u64 / 16 {
                return;
            }
            assert!(clock.now() < deadline, "{astray} of {}", peers.len());
        }
    }

    /// Ends all threads, and waits until they have.
    async fn stop(self) {
        self.all.stop().await;
        tokio::task::spawn_blocking(move || self.threads.join())
            .await
            .expect("all threads end");
    }
}

fn check_again(peer: &Peer, socket: &UdpSocket) {
    socket.send(&peer.check(true)).expect("a socket");
    assert_eq!(read(socket)[..2], [1, 1], "a Binding success");
}

fn read(socket: &UdpSocket) -> Vec<u8> {
    let mut bytes = [0; 2048];
    let len = socket.recv(&mut bytes).expect("a datagram in time");
    bytes[..len].to_vec()
}

#[tokio::test]
async fn a_burst_goes_through_the_worker_from_socket_to_socket() {
    let mut worker = Worker::start(1);
    let mut publisher = worker.publisher().await;
    let from = worker.check(&publisher).await;
    worker.key(&publisher).await;

    let id = SubscriptionId(2);
    let mut subscriber = Peer::new(Leg::Subscriber(id), 2, CM);
    let config = subscription(id, PublicationId(1), subscriber.transport());
    let command = Command::AddSubscription(Box::new(config));
    worker.media.command(command).await;
    let to = worker.check(&subscriber).await;
    worker.key(&subscriber).await;

    for index in 1..=BURST {
        from.send(&publisher.video(index, index == 1)).unwrap();
    }
    let mut received = Vec::new();
    while received.len() < BURST as usize {
        let mut net = Net {
            sent: vec![(read(&to), subscriber.address)],
            ..Net::default()
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
    let worker = Worker::start(1);
    let publisher = worker.publisher().await;
    let socket = worker.check(&publisher).await;
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

#[tokio::test]
async fn two_workers_share_a_port_and_a_publication() {
    let mut worker = Worker::start(2);
    let second = WorkerId::new(1).unwrap();
    let publisher = worker.publisher_called("0-publisher").await;
    let from = worker.check(&publisher).await;
    worker.key(&publisher).await;
    // What is under way to the wrong one meanwhile would be late.
    let publishers = [(publisher, from)];
    worker.steered(&publishers).await;
    let [(mut publisher, from)] = publishers;
    let tracks = publication(PublicationId(1), publisher.transport()).tracks;
    let mirror = MirrorConfig {
        id: PublicationId(1),
        group: parlor::sfu::GroupId(1),
        origin: WorkerId::default(),
        tracks,
    };
    worker
        .all
        .command(second, Command::AddMirror(Box::new(mirror)))
        .await;
    let pipe = Command::AddPipe {
        publication: PublicationId(1),
        to: second,
    };
    worker.media.command(pipe).await;

    // Enough of them that the kernel gives some to each socket.
    let mut subscribers = Vec::new();
    for number in 0..16 {
        let id = SubscriptionId(number);
        let at = WorkerId::new(number as usize % 2).unwrap();
        let mut peer = Peer::new(Leg::Subscriber(id), 100 + number as u16, CM);
        peer.ice = credentials(&format!("{}-{number}", at.mark()));
        let config = subscription(id, PublicationId(1), peer.transport());
        let command = Command::AddSubscription(Box::new(config));
        worker.all.command(at, command).await;
        let socket = worker.check(&peer).await;
        let media = worker.all.worker(at).unwrap().clone();
        worker.key_at(media, &peer).await;
        subscribers.push((peer, socket));
    }
    for index in 1..=BURST {
        from.send(&publisher.video(index, index == 1)).unwrap();
    }
    for (peer, socket) in &mut subscribers {
        let mut received = 0;
        while received < BURST as usize {
            let mut net = Net {
                sent: vec![(read(socket), peer.address)],
                ..Net::default()
            };
            received += peer.open(&mut net).0.len();
        }
    }
    let snapshot = worker.all.snapshot().await.unwrap();
    assert_eq!(snapshot.engine.forwarded, 16 * BURST);
    assert_eq!(snapshot.engine.piped, BURST);
    worker.stop().await;
}

#[tokio::test]
async fn what_comes_to_the_wrong_worker_soon_comes_to_the_right_one() {
    let worker = Worker::start(2);
    let mut peers = Vec::new();
    // Enough of them that the kernel gives some of them to the wrong socket at first.
    for (number, mark) in (0..32).zip(["0", "1"].iter().cycle()) {
        let id = PublicationId(number);
        let mut peer = Peer::new(Leg::Publisher(id), number as u16, CM);
        peer.ice = credentials(&format!("{mark}-{number}"));
        let config = publication(id, peer.transport());
        let owner = WorkerId::of_ufrag(mark).unwrap();
        let command = Command::AddPublication(Box::new(config));
        worker.all.command(owner, command).await;
        let socket = worker.check(&peer).await;
        peers.push((peer, socket));
    }
    assert!(worker.handed_on().await > 0);
    worker.steered(&peers).await;
    worker.stop().await;
}
