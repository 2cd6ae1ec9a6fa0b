//! The control thread: DTLS handshakes, kept off the media threads because each costs about a
//! millisecond of public-key arithmetic.

use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::thread::JoinHandle;
use std::time::Duration;

use tracing::{error, trace};

use crate::clock::Clock;
use crate::sfu::dtls::Handshakes;
use crate::sfu::handshake::{HandshakeInput, HandshakeOutput};

/// Inputs that may wait for the control thread. When full, datagrams are dropped, because DTLS
/// sends them again (RFC 6347, 4.2.4), and anything else goes back to the sender.
const QUEUE_LEN: usize = 1024;

/// How long to wait when no handshake has a timer running.
const IDLE: Duration = Duration::from_secs(60);

/// The media worker's end. Dropping it ends the control thread.
#[derive(Debug)]
pub struct DtlsHandle {
    queue: SyncSender<HandshakeInput>,
}

impl DtlsHandle {
    /// Passes an input on; never waits.
    ///
    /// # Errors
    ///
    /// Gives back an input that must not be lost and for which there is no room now: offer it
    /// again on the next turn, before any other.
    pub fn send(&self, input: HandshakeInput) -> Result<(), HandshakeInput> {
        match self.queue.try_send(input) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(HandshakeInput::Datagram { leg, .. })) => {
                trace!(%leg, "Handshake datagram dropped: the control thread is busy");
                Ok(())
            }
            Err(TrySendError::Full(input @ HandshakeInput::Stop { .. })) => Err(input),
            Err(TrySendError::Disconnected(_)) => {
                trace!("Handshake input after the end of the control thread");
                Ok(())
            }
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

/// Starts the control thread. It passes results to `deliver`, which may wait.
///
/// # Errors
///
/// Fails if the system has no thread to give.
pub fn start(
    handshakes: Handshakes,
    deliver: impl FnMut(HandshakeOutput) + Send + 'static,
    clock: Clock,
) -> io::Result<(DtlsHandle, DtlsThread)> {
    let (queue, inputs) = mpsc::sync_channel(QUEUE_LEN);
    let thread = std::thread::Builder::new()
        .name("dtls".into())
        .spawn(move || run(handshakes, &inputs, deliver, clock))?;
    Ok((DtlsHandle { queue }, DtlsThread(thread)))
}

fn run(
    mut handshakes: Handshakes,
    inputs: &Receiver<HandshakeInput>,
    mut deliver: impl FnMut(HandshakeOutput),
    clock: Clock,
) {
    loop {
        let now = clock.now();
        let wait = match handshakes.poll_timeout() {
            // Also under a constant stream of inputs, timers are looked at.
            Some(at) if at <= now => {
                handshakes.handle_timeout(now);
                Duration::ZERO
            }
            Some(at) => at - now,
            None => IDLE,
        };
        match inputs.recv_timeout(wait) {
            Ok(input) => handshakes.handle_input(input, clock.now()),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        while let Some(output) = handshakes.poll_output() {
            deliver(output);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::sfu::command::{Fingerprint, FingerprintAlgorithm, Generation};
    use crate::sfu::dtls::Certificate;
    use crate::sfu::{Leg, SubscriptionId};

    const LEG: Leg = Leg::Subscriber(SubscriptionId(1));

    #[test]
    fn a_full_queue_drops_datagrams_and_gives_stops_back() {
        // Nobody takes anything out.
        let (queue, _inputs) = mpsc::sync_channel(1);
        let handle = DtlsHandle { queue };
        assert_eq!(handle.send(HandshakeInput::Stop { leg: LEG }), Ok(()));
        let stop = HandshakeInput::Stop { leg: LEG };
        assert_eq!(handle.send(stop.clone()), Err(stop));
        assert_eq!(handle.send(datagram(vec![22])), Ok(()));
    }

    #[test]
    fn the_thread_answers_a_client_and_ends_with_its_handle() {
        let handshakes = Handshakes::new(Certificate::generate_pair().unwrap()).unwrap();
        let (sender, outputs) = mpsc::channel();
        // Nobody listens at the end of the test.
        let deliver = move |output| drop(sender.send(output));
        let (handle, thread) = start(handshakes, deliver, Clock::system()).unwrap();
        handle.send(datagram(client_hello())).unwrap();
        let answer = outputs.recv_timeout(Duration::from_secs(10)).unwrap();
        assert!(matches!(answer, HandshakeOutput::Datagram { leg: LEG, .. }));
        drop(handle);
        thread.join();
    }

    fn datagram(bytes: Vec<u8>) -> HandshakeInput {
        let fingerprint = Arc::new(Fingerprint {
            algorithm: FingerprintAlgorithm::Sha256,
            digest: vec![0; 32],
        });
        HandshakeInput::Datagram {
            leg: LEG,
            fingerprint,
            generation: Generation::default(),
            bytes,
        }
    }

    /// DTLS 1.2 with nothing but a suite that we do not have: answered with an alert.
    fn client_hello() -> Vec<u8> {
        let mut hello = vec![0xfe, 0xfd];
        hello.extend([0; 32]);
        hello.extend([0, 0, 0, 2, 0xc0, 0x30, 1, 0, 0, 0]);
        let len = hello.len() as u8;
        let mut bytes = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, len + 12];
        bytes.extend([1, 0, 0, len, 0, 0, 0, 0, 0, 0, 0, len]);
        bytes.extend(hello);
        bytes
    }
}
