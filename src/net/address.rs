//! Socket addresses as the kernel lays them out.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Room for an address of either family.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) union RawAddress {
    family: libc::sa_family_t,
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

/// Bytes of a [`RawAddress`].
pub(super) const RAW_LEN: libc::socklen_t = size_of::<RawAddress>() as libc::socklen_t;

impl RawAddress {
    /// An address of no family.
    pub(super) fn empty() -> Self {
        Self {
            v6: libc::sockaddr_in6 {
                sin6_family: libc::AF_UNSPEC as libc::sa_family_t,
                sin6_port: 0,
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr { s6_addr: [0; 16] },
                sin6_scope_id: 0,
            },
        }
    }

    /// The address for a socket of IPv4 or, with `v6`, of both, and its length. An IPv6 address on
    /// an IPv4 socket yields what the kernel refuses.
    pub(super) fn new(address: SocketAddr, v6: bool) -> (Self, libc::socklen_t) {
        match address {
            SocketAddr::V4(to) if !v6 => (Self::from_v4(to), size_of_len::<libc::sockaddr_in>()),
            SocketAddr::V4(to) => {
                let mapped = SocketAddrV6::new(to.ip().to_ipv6_mapped(), to.port(), 0, 0);
                (Self::from_v6(mapped), size_of_len::<libc::sockaddr_in6>())
            }
            SocketAddr::V6(to) => (Self::from_v6(to), size_of_len::<libc::sockaddr_in6>()),
        }
    }

    /// The address in its canonical form: IPv4 also where a dual-stack socket saw it mapped.
    pub(super) fn get(&self) -> Option<SocketAddr> {
        // SAFETY: every value of the union was zeroed or written in full by `empty`, `from_*` or
        // the kernel, all fields are plain integers, and all variants begin with the family.
        #[expect(unsafe_code, reason = "the kernel's addresses are a union")]
        let address = unsafe {
            match i32::from(self.family) {
                libc::AF_INET => SocketAddr::from((
                    Ipv4Addr::from(self.v4.sin_addr.s_addr.to_ne_bytes()),
                    u16::from_be(self.v4.sin_port),
                )),
                libc::AF_INET6 => SocketAddr::V6(SocketAddrV6::new(
                    Ipv6Addr::from(self.v6.sin6_addr.s6_addr),
                    u16::from_be(self.v6.sin6_port),
                    0,
                    self.v6.sin6_scope_id,
                )),
                _ => return None,
            }
        };
        match address.ip().to_canonical() {
            ip @ std::net::IpAddr::V4(_) => Some(SocketAddr::new(ip, address.port())),
            std::net::IpAddr::V6(_) => Some(address),
        }
    }

    fn from_v4(address: SocketAddrV4) -> Self {
        let mut raw = Self::empty();
        raw.v4 = libc::sockaddr_in {
            sin_family: libc::AF_INET as libc::sa_family_t,
            sin_port: address.port().to_be(),
            sin_addr: libc::in_addr {
                s_addr: u32::from_ne_bytes(address.ip().octets()),
            },
            sin_zero: [0; 8],
        };
        raw
    }

    fn from_v6(address: SocketAddrV6) -> Self {
        Self {
            v6: libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: address.port().to_be(),
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr {
                    s6_addr: address.ip().octets(),
                },
                sin6_scope_id: address.scope_id(),
            },
        }
    }
}

fn size_of_len<T>() -> libc::socklen_t {
    size_of::<T>() as libc::socklen_t
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_way_to_the_kernel_and_back() {
        for (address, v6) in [
            ("192.0.2.1:5000", false),
            ("192.0.2.1:5000", true),
            ("[2001:db8::1]:443", true),
            ("[fe80::1%3]:1", true),
        ] {
            let address: SocketAddr = address.parse().unwrap();
            assert_eq!(RawAddress::new(address, v6).0.get(), Some(address));
        }
        assert_eq!(RawAddress::empty().get(), None);
    }
}
