//! The control thread: DTLS handshakes, kept off the media threads because each costs about a
//! millisecond of public-key arithmetic.

use std::io;
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender, TrySendError};
use std::thread::JoinHandle;
use std::time::Duration;

use tracing::{debug, error, trace};

use super::media::MediaHandle;
use crate::clock::Clock;
use crate::sfu::dtls::{Handshakes, Output, OutputKind};
use crate::sfu::engine::{DtlsInput, DtlsResult};

/// Datagrams that may wait for the control thread. When full, further ones are dropped: DTLS
/// sends them again (RFC 6347, 4.2.4).
const QUEUE_LEN: usize = 1024;

/// How long to wait when no handshake has a timer running.
const IDLE: Duration = Duration::from_secs(60);

/// The media worker's end. Dropping it ends the control thread.
#[derive(Debug)]
pub struct DtlsHandle {
    queue: SyncSender<DtlsInput>,
}

impl DtlsHandle {
    /// Passes a datagram on; never waits.
    pub(super) fn send(&self, input: DtlsInput) {
        match self.queue.try_send(input) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => trace!("Handshake datagram dropped: control thread busy"),
            Err(TrySendError::Disconnected(_)) => debug!("Handshake datagram after the end"),
        }
    }
}

/// The control thread; ends when its [`DtlsHandle`] is dropped.
#[derive(Debug)]
pub struct DtlsThread(JoinHandle<()>);

impl DtlsThread {
    /// Waits for the thread to end.
    pub fn join(self) {
        if self.0.join().is_err() {
            error!("The DTLS thread panicked");
        }
    }
}

/// Starts the control thread; results go to `media`.
pub fn start(
    handshakes: Handshakes,
    media: MediaHandle,
    clock: Clock,
) -> io::Result<(DtlsHandle, DtlsThread)> {
    let (queue, inputs) = mpsc::sync_channel(QUEUE_LEN);
    let thread = std::thread::Builder::new()
        .name("dtls".into())
        .spawn(move || run(handshakes, &inputs, &media, clock))?;
    Ok((DtlsHandle { queue }, DtlsThread(thread)))
}

fn run(
    mut handshakes: Handshakes,
    inputs: &mpsc::Receiver<DtlsInput>,
    media: &MediaHandle,
    clock: Clock,
) {
    loop {
        let wait = handshakes
            .poll_timeout()
            .map_or(IDLE, |at| at.saturating_duration_since(clock.now()));
        match inputs.recv_timeout(wait) {
            Ok(input) => handle(&mut handshakes, input, clock),
            Err(RecvTimeoutError::Timeout) => handshakes.handle_timeout(clock.now()),
            Err(RecvTimeoutError::Disconnected) => return,
        }
        while let Some(output) = handshakes.poll_output() {
            media.dtls_result(result(output));
        }
    }
}
