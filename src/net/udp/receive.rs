//! Datagrams in.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::ptr;

use super::control::Control;
use super::{BATCH_LEN, BatchSocket, EMPTY_HEADER, EMPTY_VECTOR, retry};
use crate::net::address::{RAW_LEN, RawAddress};
use crate::sfu::datagram::{ReceiveSlab, SLOT_LEN};
use crate::sfu::path::{Path, Via};

impl BatchSocket {
    /// Replaces what is in `slab` by what has arrived, up to 64 datagrams; returns how many.
    ///
    /// [`io::ErrorKind::WouldBlock`] if nothing has.
    pub fn receive(&mut self, slab: &mut ReceiveSlab) -> io::Result<usize> {
        slab.clear();
        let mut addresses = [RawAddress::empty(); BATCH_LEN];
        let mut vectors = [EMPTY_VECTOR; BATCH_LEN];
        let mut controls = [Control::EMPTY; BATCH_LEN];
        let mut headers = [EMPTY_HEADER; BATCH_LEN];
        let mut slots = 0;
        for slot in slab.bytes_mut().chunks_exact_mut(SLOT_LEN).take(BATCH_LEN) {
            vectors[slots] = libc::iovec {
                iov_base: slot.as_mut_ptr().cast(),
                iov_len: slot.len(),
            };
            let header = &mut headers[slots].msg_hdr;
            header.msg_name = ptr::from_mut(&mut addresses[slots]).cast();
            header.msg_namelen = RAW_LEN;
            header.msg_iov = &raw mut vectors[slots];
            header.msg_iovlen = 1;
            controls[slots].offer(header);
            slots += 1;
        }
        let count = retry(|| {
            // SAFETY: the first `slots` headers point to an address, a vector and room for control
            // messages in the arrays above, and each vector to a slot of the slab; all outlive
            // the call and are used only by it.
            #[expect(unsafe_code, reason = "recvmmsg has no safe wrapper")]
            unsafe {
                let fd = self.socket.as_raw_fd();
                libc::recvmmsg(
                    fd,
                    headers.as_mut_ptr(),
                    slots as libc::c_uint,
                    0,
                    ptr::null_mut(),
                )
            }
        })?;
        for (index, header) in headers[..count].iter().enumerate() {
            let beside = controls[index].read(header.msg_hdr.msg_controllen as _);
            if let Some(lost) = beside.lost {
                self.note_lost(lost);
            }
            if let Some(arrivals) = &mut self.arrivals {
                arrivals[index] = beside.at;
            }
            // A datagram from no address keeps its slot, but as an empty one it means nothing.
            let (len, remote) = match addresses[index].get() {
                Some(remote) => (header.msg_len as usize, remote),
                None => (0, SocketAddr::from(([0, 0, 0, 0], 0))),
            };
            let via = Via::Udp(beside.to);
            slab.filled(len, Path { remote, via });
        }
        self.counters.received += count as u64;
        Ok(count)
    }

    /// Takes in how many datagrams the socket has lost so far.
    fn note_lost(&mut self, lost: u32) {
        self.counters.unread += u64::from(lost.wrapping_sub(self.lost));
        self.lost = lost;
    }
}
