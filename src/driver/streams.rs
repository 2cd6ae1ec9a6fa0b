//! Media over TCP: the connections of one media worker, all read and written without waiting.
//!
//! A connection is on its way to the engine what a datagram is; whose it is, the engine knows.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mio::event::Event;
use mio::{Interest, Registry, Token};
use rustc_hash::FxHashMap;
use tracing::debug;

use crate::net::framing::{FrameQueue, FrameReader};
use crate::net::options::limit_unsent;
use crate::net::quota::Permit;
use crate::sfu::datagram::{ReceiveSlab, SendSlab};
use crate::sfu::path::{Path, TcpId, Via};

/// How long a connection may be silent: clients check a path every few seconds.
const SILENCE: Duration = Duration::from_secs(60);

/// How often connections are looked at that are silent, or that no leg has. The latter get no
/// less time than this for their first check, which names a leg that is there, or is offered.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// A connection whose first frame is an ICE check for a leg of the worker that it is sent to.
#[derive(Debug)]
pub(super) struct Arrival {
    /// Its number, which no other has had.
    pub(super) id: TcpId,
    /// Where the client is.
    pub(super) remote: SocketAddr,
    pub(super) stream: TcpStream,
    /// What was read of it.
    pub(super) first: Bytes,
    pub(super) permit: Permit,
}

/// What happened to connections so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Those that are open now.
    pub open: u64,
    /// Packets received.
    pub received: u64,
    /// Packets handed over to be sent.
    pub sent: u64,
    /// Packets dropped because a connection did not take them fast enough, or is gone.
    pub overflowed: u64,
}

impl std::ops::AddAssign for Counters {
    fn add_assign(&mut self, other: Self) {
        self.open += other.open;
        self.received += other.received;
        self.sent += other.sent;
        self.overflowed += other.overflowed;
    }
}

/// All connections of a worker.
#[derive(Debug)]
pub(super) struct Streams {
    registry: Registry,
    /// The token of connection 0.
    first_token: usize,
    all: FxHashMap<TcpId, Stream>,
    /// Those with something to read, each once.
    readable: VecDeque<TcpId>,
    /// Those that this turn has added to.
    dirty: Vec<TcpId>,
    /// Paths that are gone and not yet told.
    lost: Vec<Path>,
    sweep_at: Option<Instant>,
    counters: Counters,
}

#[derive(Debug)]
struct Stream {
    stream: mio::net::TcpStream,
    path: Path,
    reader: FrameReader,
    queue: FrameQueue,
    /// Whether it is among the readable ones.
    is_readable: bool,
    came_at: Instant,
    heard_at: Instant,
    _permit: Permit,
}

impl Streams {
    /// None yet. Tokens from `first_token` on are theirs.
    pub(super) fn new(registry: Registry, first_token: Token) -> Self {
        Self {
            registry,
            first_token: first_token.0,
            all: FxHashMap::default(),
            readable: VecDeque::new(),
            dirty: Vec::new(),
            lost: Vec::new(),
            sweep_at: None,
            counters: Counters::default(),
        }
    }

    /// Takes a connection over.
    pub(super) fn add(&mut self, arrival: Arrival, now: Instant) {
        let mut stream = mio::net::TcpStream::from_std(arrival.stream);
        let token = Token(self.first_token + arrival.id.0 as usize);
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = limit_unsent(&stream) {
            debug!(%error, "The kernel may hold more than is good for media");
        }
        if let Err(error) = self.registry.register(&mut stream, token, interest) {
            debug!(%error, "Cannot wait for a connection");
            return;
        }
        self.all.insert(
            arrival.id,
            Stream {
                stream,
                path: Path {
                    remote: arrival.remote,
                    via: Via::Tcp(arrival.id),
                },
                reader: FrameReader::new(&arrival.first),
                queue: FrameQueue::default(),
                is_readable: true,
                came_at: now,
                heard_at: now,
                _permit: arrival.permit,
            },
        );
        self.readable.push_back(arrival.id);
        self.sweep_at.get_or_insert(now + SWEEP_INTERVAL);
    }

    /// Takes note of what can be read, and writes what can be written.
    pub(super) fn wake(&mut self, event: &Event) {
        let Some(id) = event.token().0.checked_sub(self.first_token) else {
            return;
        };
        let id = TcpId(id as u64);
        if event.is_writable() {
            self.write(id);
        }
        if let Some(stream) = self.all.get_mut(&id)
            && (event.is_readable() || event.is_read_closed() || event.is_error())
            && !std::mem::replace(&mut stream.is_readable, true)
        {
            self.readable.push_back(id);
        }
    }

    /// Whether there is something to read.
    pub(super) fn is_readable(&self) -> bool {
        !self.readable.is_empty()
    }

    /// Replaces what is in `slab` by what has arrived, as much as fits. Whoever fills it goes to
    /// the end of the line.
    pub(super) fn receive(&mut self, slab: &mut ReceiveSlab, now: Instant) {
        slab.clear();
        while !slab.is_full() {
            let Some(id) = self.readable.pop_front() else {
                break;
            };
            let Some(stream) = self.all.get_mut(&id) else {
                continue;
            };
            match stream.fill(slab, now) {
                Ok(true) => self.readable.push_back(id),
                Ok(false) => stream.is_readable = false,
                Err(error) => self.close(id, &error),
            }
        }
        self.counters.received += slab.len() as u64;
    }

    /// Sends what is for connections; what does not fit is dropped by the rule of [`FrameQueue`].
    pub(super) fn transmit(&mut self, slab: &SendSlab) {
        for frame in slab.frames() {
            let packet = &slab.bytes()[frame.offset..frame.offset + frame.len];
            let id = frame.to.tcp();
            let taken = id.filter(|id| {
                let stream = self.all.get_mut(id);
                stream.is_some_and(|stream| stream.queue.push(packet, frame.kind))
            });
            match taken {
                Some(id) => {
                    self.counters.sent += 1;
                    if self.dirty.last() != Some(&id) {
                        self.dirty.push(id);
                    }
                }
                None => self.counters.overflowed += 1,
            }
        }
        while let Some(id) = self.dirty.pop() {
            self.write(id);
        }
    }

    /// Closes connections that have been silent for too long, and those that no leg has, if it is
    /// time for that.
    pub(super) fn sweep(&mut self, now: Instant, is_known: impl Fn(&Path) -> bool) {
        if self.sweep_at.is_none_or(|at| at > now) {
            return;
        }
        let Self { all, lost, .. } = self;
        all.retain(|_, stream| {
            let silent = now.saturating_duration_since(stream.heard_at) >= SILENCE;
            let new = now.saturating_duration_since(stream.came_at) < SWEEP_INTERVAL;
            let stays = !silent && (new || is_known(&stream.path));
            if !stays {
                debug!(remote = %stream.path.remote, silent, "A media connection is of no use");
                lost.push(stream.path);
            }
            stays
        });
        self.sweep_at = (!self.all.is_empty()).then(|| now + SWEEP_INTERVAL);
    }

    /// When [`Self::sweep`] is to be called.
    pub(super) fn sweep_at(&self) -> Option<Instant> {
        self.sweep_at
    }

    /// The next path that is no more.
    pub(super) fn poll_lost(&mut self) -> Option<Path> {
        self.lost.pop()
    }

    /// What happened so far.
    pub(super) fn counters(&self) -> Counters {
        Counters {
            open: self.all.len() as u64,
            ..self.counters
        }
    }

    fn write(&mut self, id: TcpId) {
        let Some(stream) = self.all.get_mut(&id) else {
            return;
        };
        if let Err(error) = stream.queue.write_to(&mut stream.stream) {
            self.close(id, &error);
        }
    }

    fn close(&mut self, id: TcpId, why: &io::Error) {
        if let Some(stream) = self.all.remove(&id) {
            debug!(remote = %stream.path.remote, %why, "A media connection ended");
            self.lost.push(stream.path);
        }
    }
}

impl Stream {
    /// Reads until the slab is full, which is true, or there is nothing more for now.
    fn fill(&mut self, slab: &mut ReceiveSlab, now: Instant) -> io::Result<bool> {
        loop {
            while !slab.is_full() {
                match self.reader.next().map_err(io::Error::other)? {
                    Some(packet) => slab.push(packet, self.path),
                    None => break,
                }
            }
            if slab.is_full() {
                return Ok(true);
            }
            match self.reader.read_from(&mut self.stream) {
                Ok(_) => self.heard_at = now,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}
