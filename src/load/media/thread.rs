//! The one thread that all media of a run goes through: batches in, batches out, no tasks.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use tokio::sync::oneshot;

use super::leg::{BATCH_LEN, Leg, Video};
use super::totals::Totals;
use crate::clock::Clock;
use crate::sfu::datagram::{ReceiveSlab, SendSlab};
use crate::sfu::dtls::Certificate;
use crate::srtp::Profile;

/// How often checks, handshakes and reports get their turn.
const TICK: Duration = Duration::from_millis(20);

/// Bytes of packets that wait to be sent: more than a frame has.
const SLAB_LEN: usize = 1 << 20;

const WAKE: Token = Token(usize::MAX);

enum Input {
    Add(Box<Leg>),
    Take(oneshot::Sender<Totals>),
    Progress(oneshot::Sender<Progress>),
    Stop,
}

/// How far legs have come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Progress {
    /// Legs that were negotiated.
    pub(super) legs: usize,
    /// Those whose check the server answered.
    pub(super) answered: usize,
    /// Those whose handshake is complete.
    pub(super) up: usize,
    /// Where the server is, for the first of them.
    pub(super) server: Option<SocketAddr>,
}

/// The thread; ends when dropped.
#[derive(Debug)]
pub(super) struct MediaThread {
    handle: MediaHandle,
    thread: Option<JoinHandle<()>>,
}

/// How to speak to the thread. The queue holds one input per leg at most.
#[derive(Debug, Clone)]
pub(super) struct MediaHandle {
    inputs: Sender<Input>,
    waker: Arc<Waker>,
}

impl MediaHandle {
    /// Lets a leg begin.
    pub(super) fn add(&self, leg: Leg) -> Result<()> {
        self.send(Input::Add(Box::new(leg)))
    }

    /// What was counted since the last call.
    pub(super) async fn take(&self) -> Result<Totals> {
        let (sender, totals) = oneshot::channel();
        self.send(Input::Take(sender))?;
        totals.await.context("the media thread is gone")
    }

    /// How far legs have come.
    pub(super) async fn progress(&self) -> Result<Progress> {
        let (sender, progress) = oneshot::channel();
        self.send(Input::Progress(sender))?;
        progress.await.context("the media thread is gone")
    }

    fn send(&self, input: Input) -> Result<()> {
        let sent = self.inputs.send(input);
        sent.ok().context("the media thread is gone")?;
        Ok(self.waker.wake()?)
    }
}

impl MediaThread {
    pub(super) fn start(
        certificate: Certificate,
        profile: Profile,
        video: Video,
        clock: Clock,
    ) -> Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
        let (inputs, receiver) = channel();
        let run = Run {
            poll,
            inputs: receiver,
            legs: Vec::new(),
            totals: Totals::new(),
            certificate,
            profile,
            video,
            clock,
            received: ReceiveSlab::new(BATCH_LEN),
            slab: SendSlab::new(SLAB_LEN),
        };
        let thread = std::thread::Builder::new().name("load-media".into());
        let thread = thread.spawn(move || run.run())?;
        Ok(Self {
            handle: MediaHandle { inputs, waker },
            thread: Some(thread),
        })
    }

    pub(super) fn handle(&self) -> MediaHandle {
        self.handle.clone()
    }
}

impl Drop for MediaThread {
    fn drop(&mut self) {
        // Errors mean that it has ended already.
        let _ = self.handle.send(Input::Stop);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

struct Run {
    poll: Poll,
    inputs: Receiver<Input>,
    legs: Vec<Leg>,
    totals: Totals,
    certificate: Certificate,
    profile: Profile,
    video: Video,
    clock: Clock,
    received: ReceiveSlab,
    slab: SendSlab,
}

impl Run {
    fn run(mut self) {
        let mut events = Events::with_capacity(256);
        let mut tick = self.clock.now();
        loop {
            let now = self.clock.now();
            let frames = self.legs.iter().filter_map(Leg::next_frame);
            let due = frames.chain([tick]).min().unwrap_or(tick);
            let wait = due.saturating_duration_since(now);
            match self.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return,
                _ => {}
            }
            if !self.take_inputs() {
                return;
            }
            for event in &events {
                self.receive(event.token());
            }
            self.send_frames();
            let now = self.clock.now();
            if tick <= now {
                tick = now + TICK;
                self.tick(now);
            }
        }
    }

    /// False once the run is over.
    fn take_inputs(&mut self) -> bool {
        loop {
            match self.inputs.try_recv() {
                Ok(Input::Add(leg)) => {
                    let token = Token(self.legs.len());
                    let registry = self.poll.registry();
                    let source = &mut SourceFd(&leg.fd());
                    if let Err(error) = registry.register(source, token, Interest::READABLE) {
                        self.totals.failure.get_or_insert(error.to_string());
                    }
                    self.legs.push(*leg);
                }
                Ok(Input::Take(sender)) => {
                    let totals = std::mem::replace(&mut self.totals, Totals::new());
                    // Nobody waits any more: the run was given up.
                    let _ = sender.send(totals);
                }
                Ok(Input::Progress(sender)) => {
                    let count = |is: fn(&Leg) -> bool| self.legs.iter().filter(|l| is(l)).count();
                    let _ = sender.send(Progress {
                        legs: self.legs.len(),
                        answered: count(Leg::is_answered),
                        up: count(Leg::is_up),
                        server: self.legs.first().map(Leg::server),
                    });
                }
                Ok(Input::Stop) | Err(TryRecvError::Disconnected) => return false,
                Err(TryRecvError::Empty) => return true,
            }
        }
    }

    fn receive(&mut self, token: Token) {
        let Some(leg) = self.legs.get_mut(token.0) else {
            return;
        };
        let slabs = (&mut self.received, &mut self.slab);
        let result = leg.receive(
            &self.certificate,
            self.profile,
            self.clock,
            slabs,
            &mut self.totals,
        );
        if let Err(error) = result {
            self.totals.failure.get_or_insert(format!("{error:#}"));
        }
    }

    fn send_frames(&mut self) {
        let epoch = self.clock.epoch().instant;
        for leg in &mut self.legs {
            let now = self.clock.now();
            if leg.next_frame().is_some_and(|at| at <= now) {
                let stamp = now.saturating_duration_since(epoch);
                leg.send(self.video, now, stamp, &mut self.slab, &mut self.totals);
            }
        }
    }

    fn tick(&mut self, now: Instant) {
        let epoch = self.clock.epoch().instant;
        for leg in &mut self.legs {
            if let Err(error) = leg.handle_timeout(now, epoch, &mut self.slab) {
                self.totals.failure.get_or_insert(format!("{error:#}"));
            }
        }
    }
}
