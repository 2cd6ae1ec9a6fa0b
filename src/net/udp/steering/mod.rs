//! Which socket of a group the kernel gives a peer's datagrams to (`SO_ATTACH_REUSEPORT_CBPF`,
//! Linux 4.5; no privilege is needed).
//!
//! The kernel runs a program ([`program`]) on each datagram, and takes the number it returns for
//! that of a socket. It reads that out of a table ([`table`]) and is replaced when the table changes.

mod program;
mod table;

use std::io;
use std::net::{SocketAddr, UdpSocket};

use self::table::Table;
use super::BatchSocket;
use crate::net::options::attach_filter;

/// Gives peers' datagrams to the right sockets of one group.
#[derive(Debug)]
pub struct Steering {
    /// Any socket of the group.
    socket: UdpSocket,
    table: Table,
}

impl Steering {
    /// For a group from [`BatchSocket::bind_group`]; nothing is steered yet.
    ///
    /// # Errors
    ///
    /// Fails if there is no descriptor to be had.
    pub fn of(group: &[BatchSocket]) -> io::Result<Self> {
        let first = group.first().ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Self {
            socket: first.socket.try_clone()?,
            table: Table::new(group.len()),
        })
    }

    /// What comes from `remote` is for the socket with this index in the group: from the next
    /// [`Self::apply`] on it comes there, unless the entry is another's. Does nothing if there is no
    /// such socket.
    pub fn claim(&mut self, remote: SocketAddr, index: usize) {
        self.table.claim(remote, index);
    }

    /// It is not any more; once for each claim.
    pub fn release(&mut self, remote: SocketAddr, index: usize) {
        self.table.release(remote, index);
    }

    /// Tells the kernel, if anything is new. Costs it a millisecond or so, in which it compiles the
    /// program.
    ///
    /// # Errors
    ///
    /// Fails where `setsockopt` fails: on kernels that do not know of this, or have no room.
    pub fn apply(&mut self) -> io::Result<()> {
        if self.table.is_new() {
            attach_filter(&self.socket, &mut self.table.program())?;
            self.table.set_applied();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Clock;
    use crate::sfu::datagram::ReceiveSlab;

    /// Steers a peer to each of `sockets` in turn, and says where its datagrams come.
    fn rounds(bound: &str, peer: &str, sockets: usize) {
        let mut group = BatchSocket::bind_group(bound.parse().unwrap(), sockets).unwrap();
        let port = group[0].local_addr().unwrap().port();
        let peer = UdpSocket::bind(peer).unwrap();
        let address = peer.local_addr().unwrap();
        let mut steering = Steering::of(&group).unwrap();
        let mut slab = ReceiveSlab::new(64);
        let clock = Clock::system();
        for index in (0..sockets).rev() {
            steering.claim(address, index);
            steering.claim(address, sockets);
            steering.apply().unwrap();
            for _ in 0..3 {
                peer.send_to(b"x", (address.ip(), port)).unwrap();
            }
            let mut came = vec![0; sockets];
            let deadline = clock.now() + Duration::from_secs(5);
            while came.iter().sum::<usize>() < 3 && clock.now() < deadline {
                for (came, socket) in came.iter_mut().zip(&mut group) {
                    *came += socket.receive(&mut slab).unwrap_or(0);
                }
            }
            let expected: Vec<_> = (0..sockets)
                .map(|i| [0, 3][usize::from(i == index)])
                .collect();
            assert_eq!(came, expected, "{bound} {address}");
            steering.release(address, index);
        }
    }

    #[test]
    fn the_kernel_gives_a_peers_datagrams_to_the_socket_that_they_are_for() {
        for sockets in [2, 3, 4, 5, 16, 17, 62] {
            rounds("127.0.0.1:0", "127.0.0.1:0", sockets);
        }
        rounds("[::]:0", "127.0.0.1:0", 3);
        rounds("[::]:0", "[::1]:0", 3);
        rounds("0.0.0.0:0", "127.0.0.2:0", 3);
    }
}
