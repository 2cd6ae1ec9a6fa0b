//! Batches of datagrams on their way in and out. Plain memory: the sockets are in `net::udp`,
//! the tests bring their own network.

use std::ops::Range;

use super::MediaKind;
use super::path::Path;

/// Bytes per received datagram; longer ones are cut by the kernel and then fail authentication.
pub const SLOT_LEN: usize = 2048;

/// Most datagrams in one segmented message (`UDP_MAX_SEGMENTS`, Linux `include/linux/udp.h`).
const MAX_SEGMENTS: usize = 64;

/// Most bytes in one segmented message: a UDP datagram's limit with room for headers.
const MAX_MESSAGE_LEN: usize = 65_000;

/// The datagrams of one receive call.
#[derive(Debug)]
pub struct ReceiveSlab {
    bytes: Vec<u8>,
    /// Where each datagram is, and where it came from.
    entries: Vec<(Range<usize>, Path)>,
    slots: usize,
    /// How many of them have been taken.
    taken: usize,
}

impl ReceiveSlab {
    /// A slab for up to `slots` datagrams at once.
    pub fn new(slots: usize) -> Self {
        Self {
            bytes: vec![0; slots * SLOT_LEN],
            entries: Vec::with_capacity(slots),
            slots,
            taken: 0,
        }
    }

    /// One for up to `slots` datagrams that are copied in, none received: it takes no more memory
    /// than they ever did.
    pub fn packed(slots: usize) -> Self {
        Self {
            bytes: Vec::new(),
            entries: Vec::new(),
            slots,
            taken: 0,
        }
    }

    /// Copies a datagram in; drops it if the slab is full or it is longer than a slot.
    pub fn push(&mut self, datagram: &[u8], from: impl Into<Path>) {
        if self.is_full() || datagram.len() > SLOT_LEN {
            return;
        }
        let start = self.entries.last().map_or(0, |(place, _)| place.end);
        let place = start..start + datagram.len();
        if self.bytes.len() < place.end {
            self.bytes.resize(place.end, 0);
        }
        self.bytes[place.clone()].copy_from_slice(datagram);
        self.entries.push((place, from.into()));
    }

    /// All slots, for a receive call to write into; announce what it wrote with [`Self::filled`].
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Declares that the next slot holds a datagram of `len` bytes.
    pub fn filled(&mut self, len: usize, from: Path) {
        debug_assert!(self.entries.len() < self.slots && len <= SLOT_LEN);
        let start = self.entries.len() * SLOT_LEN;
        self.entries.push((start..start + len, from));
    }

    /// Forgets all datagrams.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.taken = 0;
    }

    /// The index of the next datagram that nobody has taken yet; it counts as taken.
    pub fn take(&mut self) -> Option<usize> {
        let index = self.taken;
        self.has_more().then(|| {
            self.taken += 1;
            index
        })
    }

    /// Whether there are datagrams that nobody has taken yet.
    pub fn has_more(&self) -> bool {
        self.taken < self.entries.len()
    }

    /// How many datagrams there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether no slot is left.
    pub fn is_full(&self) -> bool {
        self.entries.len() == self.slots
    }

    /// Datagram `index`, to be decrypted in place.
    pub fn datagram_mut(&mut self, index: usize) -> (&mut [u8], Path) {
        let (place, from) = self.entries[index].clone();
        (&mut self.bytes[place], from)
    }

    /// Datagram `index`.
    pub fn datagram(&self, index: usize) -> &[u8] {
        &self.bytes[self.entries[index].0.clone()]
    }
}

/// Where full batches go: a socket, or the network of a test.
pub trait Transmit {
    /// Sends everything in `slab`. What cannot be sent is lost and counted: UDP promises no more.
    fn transmit(&mut self, slab: &SendSlab);
}

/// One message for the kernel: `len` bytes at `offset`, cut into datagrams of `segment` bytes
/// (the last may be shorter).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    /// First byte in the slab.
    pub offset: usize,
    /// Bytes in all.
    pub len: usize,
    /// Bytes per datagram; equal to `len` when there is only one.
    pub segment: usize,
    /// Destination, reached by datagrams.
    pub to: Path,
}

/// What leaves on a TCP connection: `len` bytes at `offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// First byte in the slab.
    pub offset: usize,
    /// Bytes.
    pub len: usize,
    /// Destination, reached on a connection.
    pub to: Path,
    /// What it is of; `None` if it is not media.
    pub kind: Option<MediaKind>,
}

/// Datagrams waiting to be sent, packed end to end so that runs for one destination leave as one
/// segmented message. What leaves over TCP lies between them.
#[derive(Debug)]
pub struct SendSlab {
    bytes: Vec<u8>,
    used: usize,
    messages: Vec<Message>,
    frames: Vec<Frame>,
}

impl SendSlab {
    /// A slab of `capacity` bytes.
    pub fn new(capacity: usize) -> Self {
        Self {
            bytes: vec![0; capacity],
            used: 0,
            messages: Vec::new(),
            frames: Vec::new(),
        }
    }

    /// Free bytes.
    pub fn room(&self) -> usize {
        self.bytes.len() - self.used
    }

    /// Where the next datagram begins.
    pub fn position(&self) -> usize {
        self.used
    }

    /// The free part, to write the next datagram into.
    pub fn spare_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.used..]
    }

    /// Makes the first `len` bytes of the free part a datagram for `to`.
    pub fn commit(&mut self, len: usize, to: impl Into<Path>) {
        self.commit_as(None, len, to.into());
    }

    /// Like [`Self::commit`], for a packet of media.
    pub fn commit_media(&mut self, kind: MediaKind, len: usize, to: Path) {
        self.commit_as(Some(kind), len, to);
    }

    fn commit_as(&mut self, kind: Option<MediaKind>, len: usize, to: Path) {
        let offset = self.used;
        self.used += len;
        if to.tcp().is_some() {
            self.frames.push(Frame {
                offset,
                len,
                to,
                kind,
            });
        } else if let Some(last) = self.messages.last_mut()
            && last.to == to
            && last.offset + last.len == offset
            && last.len % last.segment == 0
            && len <= last.segment
            && last.len / last.segment < MAX_SEGMENTS
            && last.len + len <= MAX_MESSAGE_LEN
        {
            last.len += len;
        } else {
            self.messages.push(Message {
                offset,
                len,
                segment: len,
                to,
            });
        }
    }

    /// All bytes, for what is finished late (authentication tags).
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// All bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What is to be sent as datagrams.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// What is to be sent over TCP.
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// Whether nothing is to be sent.
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Forgets what was sent.
    pub fn clear(&mut self) {
        self.used = 0;
        self.messages.clear();
        self.frames.clear();
    }

    /// The single datagrams, then the frames, for a network that does not segment.
    pub fn datagrams(&self) -> impl Iterator<Item = (&[u8], Path)> {
        let datagrams = self.messages.iter().flat_map(|m| {
            self.bytes[m.offset..m.offset + m.len]
                .chunks(m.segment)
                .map(|d| (d, m.to))
        });
        let frames = self.frames.iter();
        datagrams.chain(frames.map(|f| (&self.bytes[f.offset..f.offset + f.len], f.to)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(slab: &mut SendSlab, len: usize, port: u16) {
        slab.spare_mut()[..len].fill(len as u8);
        slab.commit(len, std::net::SocketAddr::from(([127, 0, 0, 1], port)));
    }

    #[test]
    fn what_is_copied_into_a_packed_slab_takes_no_more_than_its_length() {
        let mut slab = ReceiveSlab::packed(3);
        for _ in 0..2 {
            for len in [5, 0, 70, 9] {
                slab.push(
                    &vec![len as u8; len],
                    std::net::SocketAddr::from(([127, 0, 0, 1], 1)),
                );
            }
            assert!(slab.is_full());
            assert_eq!(slab.datagram(0), [5; 5]);
            assert_eq!(slab.datagram_mut(2).0, [70; 70]);
            assert_eq!((slab.datagram(1).len(), slab.bytes.len()), (0, 75));
            slab.clear();
        }
    }

    #[test]
    fn equal_lengths_for_one_destination_become_one_message() {
        let mut slab = SendSlab::new(4096);
        for len in [100, 100, 100, 40] {
            commit(&mut slab, len, 1);
        }
        assert_eq!(slab.messages().len(), 1);
        let lens: Vec<_> = slab.datagrams().map(|(d, _)| d.len()).collect();
        assert_eq!(lens, [100, 100, 100, 40]);
    }

    #[test]
    fn a_shorter_datagram_ends_a_run_and_a_longer_one_starts_another() {
        let mut slab = SendSlab::new(4096);
        for len in [100, 40, 40, 100] {
            commit(&mut slab, len, 1);
        }
        commit(&mut slab, 100, 2);
        assert_eq!(slab.messages().len(), 4);
        assert_eq!(slab.datagrams().count(), 5);
    }

    #[test]
    fn a_run_has_at_most_64_segments() {
        let mut slab = SendSlab::new(65 * 10);
        for _ in 0..65 {
            commit(&mut slab, 10, 1);
        }
        assert_eq!(slab.messages().len(), 2);
        assert_eq!(slab.datagrams().count(), 65);
    }
}
