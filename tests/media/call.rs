//! Media through the whole SFU between peers in one process, on virtual time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::peer::{Peer, TICK};
use crate::sfu::Sfu;
use crate::simnet::{Link, SimNet};
use parlor::sfu::{ClientId, Event, Leg, PublicationId, Request, SubscriptionId, Terms, Wanted};

const PUBLICATION: PublicationId = PublicationId(1);
const SUBSCRIPTION: SubscriptionId = SubscriptionId(2);

/// One publisher, one subscriber, the SFU between them, and what connects them.
struct Call {
    now: Instant,
    net: SimNet,
    sfu: (Sfu, SocketAddr),
    publisher: (Peer, SocketAddr),
    subscriber: (Peer, SocketAddr),
    connected: Vec<Leg>,
}

impl Call {
    /// Negotiates both legs; nothing has been sent yet.
    fn new(link: Link, seed: u64) -> Self {
        // The machine's time is only where virtual time begins.
        #[expect(
            clippy::disallowed_methods,
            reason = "virtual time has to begin somewhere"
        )]
        let now = Instant::now();
        let addr = |last: u8| SocketAddr::from(([10, 0, 0, last], 4000));
        let mut call = Self {
            now,
            net: SimNet::new(link, seed),
            sfu: (Sfu::new(addr(1), seed, now), addr(1)),
            publisher: (Peer::new(addr(2), now), addr(2)),
            subscriber: (Peer::new(addr(3), now), addr(3)),
            connected: Vec::new(),
        };
        let sdp = call.publisher.0.offer(now);
        let publication = PUBLICATION;
        match call.ask(Request::PublisherOffer {
            publication,
            sdp,
            terms: Terms::default(),
        }) {
            Event::Answer { sdp, .. } => call.publisher.0.take_answer(sdp, now),
            other => panic!("no answer: {other:?}"),
        }
        call
    }

    fn ask(&mut self, request: Request) -> Event {
        let mut events = self.sfu.0.ask(request, self.now, &mut self.net);
        assert_eq!(events.len(), 1, "{events:?}");
        events.remove(0)
    }

    fn subscribe(&mut self) {
        let request = Request::Subscribe {
            subscription: SUBSCRIPTION,
            client: ClientId(1),
            shared: false,
            publication: PUBLICATION,
            screen: false,
            wanted: Wanted::default(),
        };
        let Event::Offer { sdp, .. } = self.ask(request) else {
            panic!("no offer");
        };
        let sdp = self.subscriber.0.answer(sdp, self.now);
        let subscription = SUBSCRIPTION;
        let request = Request::SubscriberAnswer { subscription, sdp };
        let said = self.sfu.0.ask(request, self.now, &mut self.net);
        assert_eq!(said, []);
    }

    /// One millisecond of everybody's life.
    fn tick(&mut self) {
        self.now += TICK;
        while let Some(datagram) = self.net.arrived(self.now) {
            let (from, bytes) = (datagram.from, &datagram.bytes);
            if datagram.to == self.sfu.1 {
                self.sfu.0.receive(from, bytes, self.now, &mut self.net);
            } else if datagram.to == self.publisher.1 {
                self.publisher.0.receive(from, bytes, self.now);
            } else if datagram.to == self.subscriber.1 {
                self.subscriber.0.receive(from, bytes, self.now);
            }
        }
        self.publisher.0.run(self.now, &mut self.net);
        self.subscriber.0.run(self.now, &mut self.net);
        for event in self.sfu.0.run(self.now, &mut self.net) {
            match event {
                Event::Connected { leg } => self.connected.push(leg),
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    fn until(&mut self, what: &str, limit: Duration, done: impl Fn(&Self) -> bool) {
        let deadline = self.now + limit;
        while !done(self) {
            assert!(self.now < deadline, "{what}: not within {limit:?}");
            self.tick();
        }
    }

    /// Sends 50 audio packets and 25 frames of four packets a second.
    fn talk(&mut self, duration: Duration) {
        let ticks = duration.as_millis() as u32;
        for ms in 0..ticks {
            if ms % 20 == 0 {
                self.publisher.0.send_audio(self.now);
            }
            if ms % 40 == 0 {
                let timestamp = self.publisher.0.video.sent.wrapping_mul(900);
                self.publisher.0.send_frame(4, timestamp, self.now);
            }
            self.tick();
        }
    }

    /// How many of the first `packets` packets of audio came while a receiver still waits for them.
    fn in_time(&self, packets: u32) -> usize {
        let received = self.subscriber.0.audio.received.range(..packets);
        let sent_at = &self.publisher.0.audio.sent_at;
        let ages = received.map(|(number, at)| *at - sent_at[*number as usize]);
        ages.filter(|age| *age < Duration::from_millis(500)).count()
    }

    /// The longest time without a new picture, among the first `packets` packets of video: a frame
    /// is shown when it is whole and the one before it has been shown, or it is a key frame.
    fn longest_freeze(&self, packets: u32) -> Duration {
        let received = &self.subscriber.0.video.received;
        let keys = &self.publisher.0.key_frames_sent;
        let mut shown: Option<Instant> = None;
        let (mut whole, mut longest) = (false, Duration::ZERO);
        for frame in 0..packets / 4 {
            let numbers = frame * 4..frame * 4 + 4;
            let arrivals: Option<Vec<_>> = numbers.map(|n| received.get(&n).copied()).collect();
            let Some(arrived) = arrivals.and_then(|all| all.into_iter().max()) else {
                whole = false;
                continue;
            };
            if !whole && !keys.contains(&(frame * 4)) {
                continue;
            }
            whole = true;
            let now = shown.map_or(arrived, |before| before.max(arrived));
            longest = longest.max(shown.map_or(Duration::ZERO, |before| now - before));
            shown = Some(now);
        }
        let end = self.publisher.0.video.sent_at[packets as usize - 1];
        longest.max(end.saturating_duration_since(shown.expect("video arrived")))
    }

    /// Talks on for a second, so that a gap at the end shows and is mended, and returns how many
    /// audio and video packets had been sent before that.
    fn finish(&mut self) -> (u32, u32) {
        let publisher = &self.publisher.0;
        let sent = (publisher.audio.sent, publisher.video.sent);
        self.talk(Duration::from_secs(1));
        sent
    }
}

fn connected_call(link: Link, seed: u64) -> Call {
    let mut call = Call::new(link, seed);
    let patience = Duration::from_secs(15);
    call.until("the publisher connects", patience, |c| {
        c.publisher.0.connected && c.connected.contains(&Leg::Publisher(PUBLICATION))
    });
    call.subscribe();
    call.until("the subscriber connects", patience, |c| {
        c.subscriber.0.connected && c.connected.contains(&Leg::Subscriber(SUBSCRIPTION))
    });
    call
}

#[test]
fn on_a_good_network_everything_arrives_once() {
    let link = Link {
        delay: Duration::from_millis(10),
        jitter: Duration::ZERO,
        loss: 0.0,
    };
    let mut call = connected_call(link, 1);
    call.talk(Duration::from_secs(5));
    let (audio, video) = call.finish();
    let seen = &call.subscriber.0;
    // Video begins at the key frame that the subscriber's arrival asked for.
    let first = *seen.video.received.keys().next().expect("video arrived");
    assert!(first < 100, "the key frame came after {first} packets");
    assert_eq!(
        seen.video.received.range(..video).count() as u32,
        video - first
    );
    assert_eq!(seen.audio.received.range(..audio).count() as u32, audio);
    assert_eq!((seen.video.repeated, seen.audio.repeated), (0, 0));
}

#[test]
fn a_subscriber_that_comes_back_from_elsewhere_soon_has_its_media_back() {
    let link = Link {
        delay: Duration::from_millis(20),
        jitter: Duration::ZERO,
        loss: 0.0,
    };
    let mut call = connected_call(link, 1);
    call.talk(Duration::from_secs(1));
    // What the SFU sends to where it was reaches nobody.
    call.subscriber.0.unplug();
    call.subscriber.1 = SocketAddr::from(([10, 0, 0, 4], 4000));
    call.talk(Duration::from_secs(4));
    let leg = Leg::Subscriber(SUBSCRIPTION);
    let request = Request::Watch { leg };
    assert_eq!(call.sfu.0.ask(request, call.now, &mut call.net), []);
    call.now += Duration::from_millis(300);
    let mut said = call.sfu.0.run(call.now, &mut call.net);
    let Some(Event::Offer { sdp, .. }) = said.pop() else {
        panic!("no offer");
    };
    let addr = call.subscriber.1;
    let sdp = call.subscriber.0.restart(sdp, addr, call.now);
    let subscription = SUBSCRIPTION;
    let request = Request::SubscriberAnswer { subscription, sdp };
    let said = call.sfu.0.ask(request, call.now, &mut call.net);
    assert_eq!(said, []);
    let sent = call.publisher.0.audio.sent as usize;
    call.talk(Duration::from_secs(2));
    let received = &call.subscriber.0.audio.received;
    let first = received.range(sent as u32..).next();
    let (first, _) = first.expect("audio goes on");
    assert!(*first < sent as u32 + 25, "after half a second");
}

#[test]
fn with_two_percent_loss_and_reordering_all_video_arrives_and_hardly_any_audio_is_missed() {
    let link = Link {
        delay: Duration::from_millis(20),
        jitter: Duration::from_millis(4),
        loss: 0.02,
    };
    for seed in 1..=3 {
        println!("seed {seed}");
        let mut call = connected_call(link, seed);
        call.talk(Duration::from_secs(10));
        let (audio, video) = call.finish();
        let seen = &call.subscriber.0;
        let first = *seen.video.received.keys().next().expect("video arrived");
        let missing: Vec<_> = (first..video)
            .filter(|number| !seen.video.received.contains_key(number))
            .collect();
        assert!(
            call.net.lost > 50,
            "seed {seed}: the network lost {}",
            call.net.lost
        );
        assert!(
            missing.is_empty(),
            "seed {seed}: video packets missing: {missing:?}"
        );
        let heard = seen.audio.received.range(..audio).count() as f64 / f64::from(audio);
        assert!(heard > 0.9, "{heard} of the audio arrived");
        let keys = call.publisher.0.key_frames_sent.len();
        assert!(keys < 5, "{keys} key frames");
    }
}

#[test]
fn half_a_minute_of_five_percent_loss_each_way_is_hardly_heard_and_freezes_no_picture() {
    let link = Link {
        delay: Duration::from_millis(50),
        jitter: Duration::ZERO,
        loss: 0.0,
    };
    for seed in 1..=3 {
        println!("seed {seed}");
        let mut call = connected_call(link, seed);
        // A receiver here is no decoder: it does not ask for the key frame it begins with.
        call.talk(Duration::from_secs(1));
        call.net.lose(0.05);
        call.talk(Duration::from_secs(30));
        let (audio, video) = call.finish();
        let heard = call.in_time(audio) as f64 / f64::from(audio);
        assert!(heard > 0.995, "seed {seed}: {heard} of the audio arrived");
        let freeze = call.longest_freeze(video);
        assert!(freeze < Duration::from_secs(1), "seed {seed}: {freeze:?}");
    }
}
