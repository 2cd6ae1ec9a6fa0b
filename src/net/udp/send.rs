//! Datagrams out: all messages of a turn with as few calls as there can be.

use std::io;
use std::os::fd::AsRawFd;
use std::ptr;

use tracing::warn;

use super::control::Control;
use super::{BATCH_LEN, BatchSocket, EMPTY_HEADER, EMPTY_VECTOR, retry, vector};
use crate::net::address::RawAddress;
use crate::sfu::datagram::{Message, SendSlab, Transmit};
use crate::sfu::path::Via;

/// Longest datagram left to segmentation. Longer ones could exceed the path's MTU, where a
/// segmented message is an error and a single datagram is only fragmented.
const MAX_SEGMENT_LEN: usize = 1400;

/// Segmented messages refused in a row before the socket stops trying. Not just one, since the
/// refusal may be about one destination and not about the socket.
pub(super) const MAX_REFUSALS: u32 = 16;

impl Transmit for BatchSocket {
    fn transmit(&mut self, slab: &SendSlab) {
        let before = self.counters.sent + self.counters.refused;
        let mut rest = slab.messages();
        while !rest.is_empty() {
            match self.send_some(slab.bytes(), rest) {
                Ok(count) => rest = &rest[count..],
                Err(_) => {
                    // Waiting would hold up everybody for the sake of one full buffer.
                    let all: u64 = slab.messages().iter().map(datagrams).sum();
                    let done = self.counters.sent + self.counters.refused - before;
                    self.counters.overflowed += all - done;
                    return;
                }
            }
        }
    }
}

impl BatchSocket {
    /// Whether a message can go out as it is.
    fn takes(&self, message: &Message) -> bool {
        let segmented = self.segmentation && message.segment <= MAX_SEGMENT_LEN;
        segmented || !is_run(message)
    }

    /// Deals with at least the first of `messages`, and returns with how many.
    ///
    /// [`io::ErrorKind::WouldBlock`] once the socket's buffer is full.
    fn send_some(&mut self, bytes: &[u8], messages: &[Message]) -> io::Result<usize> {
        let count = messages
            .iter()
            .take(BATCH_LEN)
            .take_while(|message| self.takes(message))
            .count();
        if count == 0 {
            self.send_singly(bytes, &messages[0])?;
            return Ok(1);
        }
        match self.send_batch(bytes, &messages[..count]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(error),
            // The call fails only if the first message does.
            Err(error) if is_run(&messages[0]) => {
                self.note_refusal(&error);
                self.send_singly(bytes, &messages[0])?;
                Ok(1)
            }
            Err(_) => {
                self.counters.refused += 1;
                Ok(1)
            }
            sent => sent,
        }
    }

    /// Sends the datagrams of a run each on its own.
    fn send_singly(&mut self, bytes: &[u8], run: &Message) -> io::Result<()> {
        let end = run.offset + run.len;
        let mut singles = (run.offset..end).step_by(run.segment).map(|offset| {
            let len = run.segment.min(end - offset);
            Message {
                offset,
                len,
                segment: len,
                ..*run
            }
        });
        let mut batch = [*run; BATCH_LEN];
        loop {
            let mut count = 0;
            for (place, single) in batch.iter_mut().zip(&mut singles) {
                *place = single;
                count += 1;
            }
            if count == 0 {
                return Ok(());
            }
            let mut sent = 0;
            while sent < count {
                sent += self.send_some(bytes, &batch[sent..count])?;
            }
        }
    }

    /// One call; returns how many of the messages the kernel took, or why not even the first.
    fn send_batch(&mut self, bytes: &[u8], messages: &[Message]) -> io::Result<usize> {
        let mut addresses = [RawAddress::empty(); BATCH_LEN];
        let mut vectors = [EMPTY_VECTOR; BATCH_LEN];
        let mut controls = [Control::EMPTY; BATCH_LEN];
        let mut headers = [EMPTY_HEADER; BATCH_LEN];
        for (i, message) in messages.iter().enumerate() {
            let header = &mut headers[i].msg_hdr;
            (addresses[i], header.msg_namelen) = RawAddress::new(message.to.remote, self.v6);
            header.msg_name = ptr::from_mut(&mut addresses[i]).cast();
            vectors[i] = vector(&bytes[message.offset..message.offset + message.len]);
            header.msg_iov = &raw mut vectors[i];
            header.msg_iovlen = 1;
            if is_run(message) {
                controls[i].segment(message.segment as u16);
            }
            if let Via::Udp(Some(own)) = message.to.via {
                controls[i].source(own, self.v6);
            }
            controls[i].attach(header);
        }
        self.counters.send_calls += 1;
        let count = retry(|| {
            // SAFETY: as many headers as there are messages point into the arrays above, and
            // their vectors to parts of `bytes`, all of which the kernel only reads; all outlive
            // the call. The array lengths are checked by the indexing above.
            #[expect(unsafe_code, reason = "sendmmsg has no safe wrapper")]
            unsafe {
                let (fd, len) = (self.socket.as_raw_fd(), messages.len() as libc::c_uint);
                libc::sendmmsg(fd, headers.as_mut_ptr(), len, 0)
            }
        })?;
        for message in &messages[..count] {
            self.counters.sent += datagrams(message);
            if is_run(message) {
                self.refusals = 0;
            }
        }
        Ok(count)
    }

    fn note_refusal(&mut self, error: &io::Error) {
        self.refusals += 1;
        if self.refusals >= MAX_REFUSALS && self.segmentation {
            warn!(%error, "UDP segmentation offload refused; sending single datagrams");
            self.segmentation = false;
        }
    }
}

/// Whether a message is more than one datagram.
fn is_run(message: &Message) -> bool {
    message.segment < message.len
}

fn datagrams(message: &Message) -> u64 {
    message.len.div_ceil(message.segment) as u64
}
