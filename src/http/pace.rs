//! Slow clients are cut off: who does not send the head of a request, or all of its body, or does
//! not take its answer, or has nothing more to ask.
//!
//! A websocket begins as a request; once it is one, it has the hub's time limits and none of these.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::config::http::Pace;

/// Clients that were cut off, since the start.
#[derive(Debug, Default)]
pub struct CutOff {
    /// In the head of a request.
    pub head: AtomicU64,
    /// In its body.
    pub body: AtomicU64,
    /// While it was answered.
    pub write: AtomicU64,
}

/// Whose turn it is on one connection. All clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Turn(Arc<AtomicU8>);

const THEIRS: u8 = 0;
const OURS: u8 = 1;
const UPGRADED: u8 = 2;

/// As long as this lives, the client waits for us.
#[derive(Debug)]
pub struct Ours(Turn);

impl Turn {
    /// A request has come.
    pub fn take(&self) -> Ours {
        self.0.store(OURS, Ordering::Relaxed);
        Ours(self.clone())
    }

    fn is(&self, whose: u8) -> bool {
        self.0.load(Ordering::Relaxed) == whose
    }
}

impl Ours {
    /// From now on the connection is something else, with a pace of its own.
    pub fn upgrade(self) {
        self.0.0.store(UPGRADED, Ordering::Relaxed);
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        let ours = |whose| (whose == OURS).then_some(THEIRS);
        // An error means that it has been upgraded.
        let order = Ordering::Relaxed;
        let _ = self.0.0.fetch_update(order, order, ours);
    }
}

/// A connection that fails when the other side is too slow.
#[derive(Debug)]
pub struct Paced<S> {
    stream: S,
    pace: Pace,
    turn: Turn,
    /// Whether we were the last to say something.
    idle: bool,
    reading: Option<Pin<Box<Sleep>>>,
    writing: Option<Pin<Box<Sleep>>>,
    cut_off: Arc<CutOff>,
}

impl<S> Paced<S> {
    /// A new connection, on which a request is expected.
    pub fn new(stream: S, pace: Pace, turn: Turn, cut_off: Arc<CutOff>) -> Self {
        Self {
            stream,
            pace,
            turn,
            idle: false,
            reading: None,
            writing: None,
            cut_off,
        }
    }

    /// Nothing has come; whether to wait on.
    fn poll_reading(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.turn.is(THEIRS) {
            self.reading = None;
            return Poll::Pending;
        }
        let limit = match self.idle {
            true => self.pace.idle,
            false => self.pace.head,
        };
        let reading = self.reading.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(reading.as_mut().poll(cx));
        if !self.idle {
            self.cut_off.head.fetch_add(1, Ordering::Relaxed);
        }
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Nothing was taken; whether to wait on.
    fn poll_writing<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if self.turn.is(UPGRADED) {
            self.writing = None;
            return Poll::Pending;
        }
        let limit = self.pace.write;
        let writing = self.writing.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(writing.as_mut().poll(cx));
        self.cut_off.write.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Something was taken. Time begins now, since nobody may come to read before the client says
    /// something.
    fn written(&mut self, cx: &mut Context<'_>) {
        self.writing = None;
        self.reading = None;
        self.idle = true;
        let _ = self.poll_reading(cx);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        if Pin::new(&mut self.stream).poll_read(cx, buf)?.is_pending() {
            return self.poll_reading(cx);
        }
        if self.idle && buf.filled().len() > before {
            self.idle = false;
            self.reading = None;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(cx, buf) {
            Poll::Pending => self.poll_writing(cx),
            done => {
                self.written(cx);
                done
            }
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write_vectored(cx, bufs) {
            Poll::Pending => self.poll_writing(cx),
            done => {
                self.written(cx);
                done
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_flush(cx) {
            Poll::Pending => self.poll_writing(cx),
            done => done,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_shutdown(cx) {
            Poll::Pending => self.poll_writing(cx),
            done => done,
        }
    }
}

/// The rest of a request's body has not come in time.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the request's body took too long")]
pub struct BodyTooSlow;

impl BodyTooSlow {
    /// Whether it is why something else went wrong.
    pub fn is_cause_of(error: &(dyn Error + 'static)) -> bool {
        error.is::<Self>() || error.source().is_some_and(Self::is_cause_of)
    }
}

/// A request's body that fails when it has not come in time, as a whole.
#[derive(Debug)]
pub struct PacedBody {
    body: Body,
    pace: Pace,
    waiting: Option<Pin<Box<Sleep>>>,
    cut_off: Arc<CutOff>,
}

impl PacedBody {
    /// The time begins when somebody wants the body.
    pub fn new(body: Body, pace: Pace, cut_off: Arc<CutOff>) -> Self {
        let waiting = None;
        Self {
            body,
            pace,
            waiting,
            cut_off,
        }
    }
}

impl HttpBody for PacedBody {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let limit = self.pace.body;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(waiting.as_mut().poll(cx));
        self.cut_off.body.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Some(Err(BodyTooSlow.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
