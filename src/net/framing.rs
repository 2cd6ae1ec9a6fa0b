//! Packets on a byte stream: two bytes of length before each (RFC 4571, 2).

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};

use crate::sfu::MediaKind;
use crate::sfu::datagram::SLOT_LEN;

/// Bytes in front of each packet.
const HEAD_LEN: usize = 2;

/// What a reader holds: more than a packet of the longest kind and its head.
const READ_LEN: usize = 4096;
const _: () = assert!(READ_LEN > HEAD_LEN + SLOT_LEN);

/// Bytes that may wait to be written: a second of 2 Mbit/s.
const MAX_QUEUED: usize = 256 * 1024;

/// Of these, what video leaves to audio, and audio to the rest.
const RESERVED_FOR_AUDIO: usize = 64 * 1024;
const RESERVED_FOR_CONTROL: usize = 16 * 1024;

/// Bytes from which on a queue that was full takes video again: a stream with one large hole can
/// be mended, one that misses every other packet cannot.
const RELAXED: usize = 64 * 1024;

/// Bytes of a queue that are kept when it is empty.
const KEPT: usize = 16 * 1024;

/// A packet that is longer than any of ours can be: this is no media.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a packet of {0} bytes, which none has")]
pub struct TooLong(pub usize);

/// Takes packets out of a byte stream.
#[derive(Debug)]
pub struct FrameReader {
    buffer: Box<[u8; READ_LEN]>,
    start: usize,
    end: usize,
}

impl FrameReader {
    /// Begins with bytes that were read already; only as many as fit are taken.
    pub fn new(first: &[u8]) -> Self {
        let mut buffer = Box::new([0; READ_LEN]);
        let end = first.len().min(READ_LEN);
        buffer[..end].copy_from_slice(&first[..end]);
        Self {
            buffer,
            start: 0,
            end,
        }
    }

    /// Reads once; call it when [`Self::next`] has nothing more. Returns how many bytes came.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnexpectedEof`] at the end of the stream, and those of the source.
    pub fn read_from(&mut self, source: &mut impl Read) -> io::Result<usize> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        match source.read(&mut self.buffer[self.end..])? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            len => {
                self.end += len;
                Ok(len)
            }
        }
    }

    /// The next whole packet; empty ones, which keep a connection open, are passed over.
    #[expect(
        clippy::should_implement_trait,
        reason = "a packet lives until the next one"
    )]
    pub fn next(&mut self) -> Result<Option<&[u8]>, TooLong> {
        loop {
            let rest = &self.buffer[self.start..self.end];
            let Some((head, rest)) = rest.split_first_chunk::<HEAD_LEN>() else {
                return Ok(None);
            };
            let len = usize::from(u16::from_be_bytes(*head));
            if len > SLOT_LEN {
                return Err(TooLong(len));
            }
            if rest.len() < len {
                return Ok(None);
            }
            let at = self.start + HEAD_LEN;
            self.start = at + len;
            if len > 0 {
                return Ok(Some(&self.buffer[at..at + len]));
            }
        }
    }
}

/// Packets that wait until a byte stream takes them. Bounded: while it is full, video is dropped
/// until it is nearly empty again; audio and then the rest are dropped only where that is not
/// enough. A packet is dropped whole or not at all.
#[derive(Debug, Default)]
pub struct FrameQueue {
    bytes: VecDeque<u8>,
    /// Whether video waits for better times.
    congested: bool,
}

impl FrameQueue {
    /// Adds a packet of this kind, `None` if it is not media; false if there is no room.
    pub fn push(&mut self, packet: &[u8], kind: Option<MediaKind>) -> bool {
        let Ok(len) = u16::try_from(packet.len()) else {
            return false;
        };
        let waiting = self.bytes.len() + HEAD_LEN + packet.len();
        self.congested &= self.bytes.len() > RELAXED;
        let reserved = match kind {
            Some(MediaKind::Video) if self.congested => return false,
            Some(MediaKind::Video) => RESERVED_FOR_AUDIO + RESERVED_FOR_CONTROL,
            Some(MediaKind::Audio) => RESERVED_FOR_CONTROL,
            None => 0,
        };
        if waiting > MAX_QUEUED - reserved {
            self.congested = true;
            return false;
        }
        self.bytes.extend(len.to_be_bytes());
        self.bytes.extend(packet);
        true
    }

    /// Writes as much as the sink takes without waiting.
    ///
    /// # Errors
    ///
    /// Those of the sink, but for [`ErrorKind::WouldBlock`].
    pub fn write_to(&mut self, sink: &mut impl Write) -> io::Result<()> {
        while !self.bytes.is_empty() {
            let (front, back) = self.bytes.as_slices();
            let both = [io::IoSlice::new(front), io::IoSlice::new(back)];
            match sink.write_vectored(&both) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(len) => drop(self.bytes.drain(..len)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.bytes.shrink_to(KEPT);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(packets: &[&[u8]]) -> Vec<u8> {
        let mut queue = FrameQueue::default();
        let mut bytes = Vec::new();
        packets
            .iter()
            .for_each(|packet| assert!(queue.push(packet, None)));
        queue.write_to(&mut bytes).unwrap();
        bytes
    }

    /// Reads everything, `step` bytes at a time.
    fn read(mut bytes: &[u8], step: usize) -> Result<Vec<Vec<u8>>, TooLong> {
        let mut reader = FrameReader::new(&[]);
        let mut packets = Vec::new();
        loop {
            while let Some(packet) = reader.next()? {
                packets.push(packet.to_vec());
            }
            if bytes.is_empty() {
                return Ok(packets);
            }
            let mut some = &bytes[..step.min(bytes.len())];
            let len = reader.read_from(&mut some).unwrap();
            bytes = &bytes[len..];
        }
    }

    #[test]
    fn packets_are_what_they_were_however_the_stream_is_cut() {
        let long = [7; SLOT_LEN];
        let packets = [&b"a"[..], &long, b"", &long, &[1; 1200], b"end"];
        let bytes = framed(&packets);
        assert_eq!(bytes[..5], [0, 1, b'a', 8, 0]);
        let whole = packets.into_iter().filter(|packet| !packet.is_empty());
        let whole: Vec<_> = whole.collect();
        for step in [1, 2, 3, 1000, READ_LEN] {
            assert_eq!(read(&bytes, step).unwrap(), whole, "{step}");
        }
    }

    #[test]
    fn what_was_read_before_counts_and_the_end_is_an_error() {
        let mut reader = FrameReader::new(&framed(&[b"first"])[..4]);
        assert_eq!(reader.next(), Ok(None));
        reader.read_from(&mut &b"rst"[..]).unwrap();
        assert_eq!(reader.next(), Ok(Some(&b"first"[..])));
        let end = reader.read_from(&mut &b""[..]).unwrap_err();
        assert_eq!(end.kind(), ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_packet_longer_than_any_of_ours_is_refused_before_it_is_there() {
        let len = SLOT_LEN + 1;
        assert_eq!(read(&(len as u16).to_be_bytes(), 2), Err(TooLong(len)));
        assert_eq!(read(&[0xff, 0xff, 0], 3), Err(TooLong(0xffff)));
    }

    /// Takes so many bytes, then no more for now.
    struct Narrow(usize, Vec<u8>);

    impl Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let len = bytes.len().min(self.0);
            if len == 0 {
                return Err(ErrorKind::WouldBlock.into());
            }
            self.0 -= len;
            self.1.extend(&bytes[..len]);
            Ok(len)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_queue_drops_video_first_and_audio_before_the_rest_and_only_whole_packets() {
        use MediaKind::{Audio, Video};
        let mut queue = FrameQueue::default();
        let packet = [3; 1198];
        let fill =
            |queue: &mut FrameQueue, kind| (0..1_000).filter(|_| queue.push(&packet, kind)).count();
        let video = fill(&mut queue, Some(Video));
        assert_eq!(
            video,
            (MAX_QUEUED - RESERVED_FOR_AUDIO - RESERVED_FOR_CONTROL) / 1200
        );
        let audio = fill(&mut queue, Some(Audio));
        assert_eq!(audio, (MAX_QUEUED - RESERVED_FOR_CONTROL) / 1200 - video);
        let rest = fill(&mut queue, None);
        assert_eq!(rest, MAX_QUEUED / 1200 - video - audio);

        let mut sink = Narrow(100_001, Vec::new());
        queue.write_to(&mut sink).unwrap();
        assert!(queue.push(&packet, Some(Audio)));
        assert!(
            !queue.push(&packet, Some(Video)),
            "not before it is nearly empty"
        );
        sink.0 = 100_000;
        queue.write_to(&mut sink).unwrap();
        assert!(queue.push(&packet, Some(Video)));
        sink.0 = usize::MAX;
        queue.write_to(&mut sink).unwrap();
        let packets = read(&sink.1, READ_LEN).unwrap();
        assert_eq!(packets.len(), video + audio + rest + 2);
        assert!(packets.iter().all(|read| read == &packet));
    }

    #[test]
    fn a_sink_that_fails_is_reported() {
        struct Broken;
        impl Write for Broken {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(ErrorKind::ConnectionReset.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut queue = FrameQueue::default();
        assert!(queue.push(b"x", None));
        let error = queue.write_to(&mut Broken).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
}
