//! Media over TCP: real connections through the port that all services share, to real workers.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use parlor::clock::Clock;
use parlor::driver::ice::IceAcceptor;
use parlor::driver::workers::{BoundWorkers, Workers, WorkersHandle};
use parlor::entropy::Entropy;
use parlor::net::framing::{FrameQueue, FrameReader};
use parlor::net::port::{Port, Services};
use parlor::net::quota::Quota;
use parlor::sfu::command::{Command, EngineEvent};
use parlor::sfu::dtls::Certificate;
use parlor::sfu::worker::WorkerId;
use parlor::sfu::{ClientId, Leg, PublicationId, SubscriptionId};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::world::{CM, Net, Peer, credentials, publication, shared_subscription, subscription};

/// What a socket may buffer: more than is ever sent at once here.
const BUFFER: usize = 1 << 20;

/// Longest wait for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// Packets in a row: less than a UDP socket keeps until somebody reads.
const BURST: u64 = 150;

struct Server {
    workers: WorkersHandle,
    threads: Workers,
    events: mpsc::Receiver<EngineEvent>,
    port: Port,
    _acceptor: IceAcceptor,
}

impl Server {
    async fn start(workers: usize, quota: Quota) -> Self {
        let bound = BoundWorkers::bind("127.0.0.1:0".parse().unwrap(), workers, BUFFER).unwrap();
        let certificates = Certificate::generate_pair().unwrap();
        let mut entropy = Entropy::from_seed(1);
        let (workers, threads, events) = bound
            .start(&certificates, &mut entropy, Clock::system())
            .unwrap();
        let (ice, acceptor) = IceAcceptor::start(workers.clone(), quota);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let services = Services {
            ice: Some(ice),
            ..Services::default()
        };
        Self {
            workers,
            threads,
            events,
            port: Port::open(listener, None, services).unwrap(),
            _acceptor: acceptor,
        }
    }

    /// A leg at a worker, known by its number.
    async fn leg(&self, leg: Leg, worker: usize) -> Peer {
        let peer = peer(leg, worker);
        self.add(&peer, worker).await;
        peer
    }

    async fn command(&self, worker: usize, command: Command) {
        let worker = WorkerId::new(worker).unwrap();
        self.workers.command(worker, command).await;
    }

    async fn add(&self, peer: &Peer, worker: usize) {
        let command = match peer.leg {
            Leg::Publisher(id) => {
                Command::AddPublication(Box::new(publication(id, peer.transport())))
            }
            Leg::Subscriber(id) => {
                let config = subscription(id, PublicationId(1), peer.transport());
                Command::AddSubscription(Box::new(config))
            }
            Leg::Shared(client) => {
                let config = shared_subscription(client, client.0, 1, peer.transport());
                Command::AddSubscription(Box::new(config))
            }
        };
        self.command(worker, command).await;
    }

    /// Keys a leg and waits for word of it.
    async fn key(&mut self, peer: &Peer, worker: usize) {
        let media = self.workers.worker(WorkerId::new(worker).unwrap()).unwrap();
        let (media, keys) = (media.clone(), peer.keys());
        tokio::task::spawn_blocking(move || media.handshake(keys))
            .await
            .unwrap();
        let event = tokio::time::timeout(PATIENCE, self.events.recv());
        assert_eq!(event.await.unwrap(), Some(EngineEvent::Connected(peer.leg)));
    }

    /// A connection whose check was answered.
    async fn connected(&self, peer: &Peer) -> Client {
        let (to, check) = (self.port.local_addr(), peer.check(true));
        tokio::task::spawn_blocking(move || {
            let mut client = Client::open(to);
            client.send([&check[..]]);
            let answer = client.read();
            assert_eq!(answer[..2], [1, 1], "a Binding success");
            // XOR-MAPPED-ADDRESS is the first attribute: it tells the port of the connection.
            let port = u16::from_be_bytes([answer[26], answer[27]]) ^ 0x2112;
            assert_eq!(port, client.stream.local_addr().unwrap().port());
            client
        })
        .await
        .unwrap()
    }

    /// Ends all threads, and waits until they have.
    async fn stop(self) {
        self.workers.stop().await;
        tokio::task::spawn_blocking(move || self.threads.join())
            .await
            .unwrap();
    }
}

/// The client's side of a connection.
struct Client {
    stream: TcpStream,
    reader: FrameReader,
}

impl Client {
    fn open(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            stream,
            reader: FrameReader::new(&[]),
        }
    }

    fn send<'a>(&mut self, packets: impl IntoIterator<Item = &'a [u8]>) {
        let mut queue = FrameQueue::default();
        for packet in packets {
            assert!(queue.push(packet, None));
        }
        queue.write_to(&mut self.stream).unwrap();
    }

    fn read(&mut self) -> Vec<u8> {
        loop {
            if let Some(packet) = self.reader.next().unwrap() {
                return packet.to_vec();
            }
            self.reader.read_from(&mut self.stream).unwrap();
        }
    }

    /// Waits until the server has closed it.
    fn closed(mut self) {
        let mut rest = Vec::new();
        // Whether it ends or is reset depends on what was still unread there.
        let end = self.stream.read_to_end(&mut rest);
        assert!(end.is_ok_and(|_| true) || rest.is_empty());
    }
}

/// Whoever is at the other end of a leg at this worker.
fn peer(leg: Leg, worker: usize) -> Peer {
    let number = match leg {
        Leg::Publisher(PublicationId(id)) | Leg::Subscriber(SubscriptionId(id)) => id,
        Leg::Shared(ClientId(id)) => id,
    };
    let mut peer = Peer::new(leg, number as u16, CM);
    let mark = WorkerId::new(worker).unwrap().mark();
    peer.ice = credentials(&format!("{mark}-{leg}"));
    peer
}

fn unlimited() -> Quota {
    Quota::new(100, 100)
}

/// Reads until this peer has got so many packets of media, which must be in order.
fn expect(peer: &mut Peer, count: u64, mut read: impl FnMut() -> Vec<u8>) {
    let mut received = Vec::new();
    while received.len() < count as usize {
        let sent = vec![(read(), peer.address)];
        let mut net = Net {
            sent,
            ..Net::default()
        };
        received.extend(peer.open(&mut net).0);
    }
    let first = received[0].header.sequence;
    for (distance, packet) in (0..).zip(&received) {
        assert_eq!(packet.header.sequence.wrapping_sub(first), distance);
    }
}

#[tokio::test]
async fn a_publisher_over_tcp_is_seen_over_tcp_and_over_udp() {
    let mut server = Server::start(2, unlimited()).await;
    // At the second worker, which the connection has to find.
    let mut publisher = server.leg(Leg::Publisher(PublicationId(1)), 1).await;
    let mut sends = server.connected(&publisher).await;
    server.key(&publisher, 1).await;
    let mut by_tcp = server.leg(Leg::Subscriber(SubscriptionId(2)), 1).await;
    let mut receives = server.connected(&by_tcp).await;
    server.key(&by_tcp, 1).await;
    let mut by_udp = server.leg(Leg::Subscriber(SubscriptionId(3)), 1).await;
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(server.threads.local_addr).unwrap();
    socket.send(&by_udp.check(true)).unwrap();
    let mut bytes = [0; 2048];
    socket.recv(&mut bytes).unwrap();
    server.key(&by_udp, 1).await;

    tokio::task::spawn_blocking(move || {
        let packets: Vec<_> = (1..=BURST)
            .map(|index| publisher.video(index, index == 1))
            .collect();
        // Two writes, so that packets are cut anywhere.
        let mut queue = FrameQueue::default();
        packets
            .iter()
            .for_each(|packet| assert!(queue.push(packet, None)));
        let mut stream = Vec::new();
        queue.write_to(&mut stream).unwrap();
        let (one, two) = stream.split_at(stream.len() / 2 + 1);
        sends.stream.write_all(one).unwrap();
        sends.stream.write_all(two).unwrap();
        expect(&mut by_tcp, BURST, || receives.read());
        expect(&mut by_udp, BURST, || {
            let len = socket.recv(&mut bytes).unwrap();
            bytes[..len].to_vec()
        });
    })
    .await
    .unwrap();
    let counted = server.workers.snapshot().await.unwrap().streams;
    // Checks and their answers too.
    assert_eq!(counted.received, BURST + 2);
    assert!(counted.sent >= BURST + 2 && counted.overflowed == 0);
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_checks_once_and_before_it_answers_is_served() {
    let mut server = Server::start(2, unlimited()).await;
    let mut publisher = server.leg(Leg::Publisher(PublicationId(1)), 1).await;
    let mut sends = server.connected(&publisher).await;
    server.key(&publisher, 1).await;
    let mut subscriber = peer(Leg::Subscriber(SubscriptionId(2)), 1);
    server.command(1, subscriber.offer()).await;
    let mut receives = server.connected(&subscriber).await;
    server.add(&subscriber, 1).await;
    server.key(&subscriber, 1).await;
    tokio::task::spawn_blocking(move || {
        sends.send([&publisher.audio(1)[..]]);
        expect(&mut subscriber, 1, || receives.read());
    })
    .await
    .unwrap();
    server.stop().await;
}

#[tokio::test]
async fn connections_end_with_their_leg_and_without_one_they_are_closed() {
    let server = Server::start(1, unlimited()).await;
    let publisher = server.leg(Leg::Publisher(PublicationId(1)), 0).await;
    let client = server.connected(&publisher).await;
    assert_eq!(server.workers.snapshot().await.unwrap().streams.open, 1);
    let remove = Command::Remove(publisher.leg);
    server.workers.command(WorkerId::default(), remove).await;
    let to = server.port.local_addr();
    tokio::task::spawn_blocking(move || {
        client.closed();
        // A forged check, a check for a worker that there is not, and none at all.
        for name in ["0-nobody", "9-nobody", "+"] {
            let mut forged = Peer::new(publisher.leg, 7, CM);
            forged.ice = credentials(name);
            let mut client = Client::open(to);
            client.send([&forged.check(true)[..]]);
            client.closed();
        }
        let mut client = Client::open(to);
        client.send([&b"\x00\x01\x00\x00\x21\x12\xa4\x42transaction."[..]]);
        client.closed();
    })
    .await
    .unwrap();
    assert_eq!(server.workers.snapshot().await.unwrap().streams.open, 0);
    server.stop().await;
}

#[tokio::test]
async fn a_stream_that_is_no_media_ends_and_its_leg_goes_on_elsewhere() {
    let mut server = Server::start(1, unlimited()).await;
    let mut publisher = server.leg(Leg::Publisher(PublicationId(1)), 0).await;
    let mut sends = server.connected(&publisher).await;
    server.key(&publisher, 0).await;
    let mut subscriber = server.leg(Leg::Subscriber(SubscriptionId(2)), 0).await;
    let mut first = server.connected(&subscriber).await;
    server.key(&subscriber, 0).await;
    let mut second = server.connected(&subscriber).await;
    tokio::task::spawn_blocking(move || {
        let mut play = |client: &mut Client, from: u64| {
            for index in from..from + 10 {
                sends.send([&publisher.audio(index)[..]]);
            }
            expect(&mut subscriber, 10, || client.read());
        };
        // What was nominated last is spoken to; when it is gone, the other.
        play(&mut second, 1);
        second.stream.write_all(&[0xff, 0xff, 0]).unwrap();
        second.closed();
        play(&mut first, 11);
    })
    .await
    .unwrap();
    server.stop().await;
}

#[tokio::test]
async fn there_are_no_more_connections_than_permitted() {
    let server = Server::start(1, Quota::new(10, 2)).await;
    let publisher = server.leg(Leg::Publisher(PublicationId(1)), 0).await;
    let first = server.connected(&publisher).await;
    let second = server.connected(&publisher).await;
    let (to, check) = (server.port.local_addr(), publisher.check(true));
    tokio::task::spawn_blocking(move || {
        let mut third = Client::open(to);
        third.send([&check[..]]);
        third.closed();
        drop((first, second));
    })
    .await
    .unwrap();
    // The server learns of the end in its own time.
    for _ in 0..1_000 {
        if server.workers.snapshot().await.unwrap().streams.open == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    server.connected(&publisher).await;
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_loses_video_before_audio_and_nobody_else_anything() {
    let mut server = Server::start(1, unlimited()).await;
    let mut publisher = server.leg(Leg::Publisher(PublicationId(1)), 0).await;
    let mut sends = server.connected(&publisher).await;
    server.key(&publisher, 0).await;
    let mut slow = server.leg(Leg::Subscriber(SubscriptionId(2)), 0).await;
    let mut stalled = server.connected(&slow).await;
    server.key(&slow, 0).await;
    let workers = server.workers.clone();
    let overflowed = async || workers.snapshot().await.unwrap().streams.overflowed;

    let mut index = 0;
    let mut audio = 0;
    while overflowed().await == 0 {
        assert!(index < 100_000, "the network holds more than it should");
        let mut packets = Vec::new();
        for _ in 0..50 {
            index += 1;
            let payload = [
                &[0x10, u8::from(index != 1), 0, 0, 0x9d, 1, 0x2a][..],
                &[7; 1000],
            ]
            .concat();
            let names = (crate::world::VIDEO_SSRC, crate::world::VP8);
            let timestamp = (index as u32) * 3_000;
            packets.push(publisher.rtp(names, index, timestamp, &[], &payload));
        }
        audio += 1;
        packets.push(publisher.audio(audio));
        sends = tokio::task::spawn_blocking(move || {
            sends.send(packets.iter().map(|packet| &packet[..]));
            sends
        })
        .await
        .unwrap();
    }
    // Every audio packet is there, and what is there of video is whole and in order.
    tokio::task::spawn_blocking(move || {
        let mut heard = 0;
        let mut last = None;
        while heard < audio {
            let sent = vec![(stalled.read(), slow.address)];
            let mut net = Net {
                sent,
                ..Net::default()
            };
            for packet in slow.open(&mut net).0 {
                if packet.header.payload_type == crate::world::OUT_OPUS {
                    heard += 1;
                } else {
                    let number = packet.header.sequence;
                    assert!(last.is_none_or(|last: u16| number.wrapping_sub(last) < 1 << 15));
                    last = Some(number);
                }
            }
        }
    })
    .await
    .unwrap();
    server.stop().await;
}
