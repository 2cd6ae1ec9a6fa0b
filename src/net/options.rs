//! Socket options that the standard library does not know.

use std::io;
use std::os::fd::AsRawFd;
use std::ptr;

/// Bytes that the kernel may hold of a TCP connection which it has not sent yet: enough to keep
/// the network busy. What is more waits with us, where it can still be dropped.
const MAX_UNSENT: libc::c_int = 32 * 1024;

/// Has the kernel keep little of what a TCP connection does not take (`TCP_NOTSENT_LOWAT`, Linux
/// 3.12).
///
/// # Errors
///
/// Fails where `setsockopt` fails.
pub fn limit_unsent(socket: &impl AsRawFd) -> io::Result<()> {
    set_option(
        socket,
        libc::IPPROTO_TCP,
        libc::TCP_NOTSENT_LOWAT,
        MAX_UNSENT,
    )
}

/// Sets an option whose value is an integer.
pub(super) fn set_option(
    socket: &impl AsRawFd,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the value is an integer of `len` bytes and only read.
    #[expect(
        unsafe_code,
        reason = "the standard library does not know these options"
    )]
    let result = unsafe {
        let value = ptr::from_ref(&value).cast();
        libc::setsockopt(socket.as_raw_fd(), level, option, value, len)
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Has a program choose between the sockets of a group (`SO_ATTACH_REUSEPORT_CBPF`).
pub(super) fn attach_filter(
    socket: &impl AsRawFd,
    program: &mut [libc::sock_filter],
) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: program
            .len()
            .try_into()
            .map_err(|_| io::ErrorKind::InvalidInput)?,
        filter: program.as_mut_ptr(),
    };
    let len = size_of::<libc::sock_fprog>() as libc::socklen_t;
    // SAFETY: the value is a `sock_fprog` of `len` bytes, whose instructions live through the call;
    // the kernel reads and copies both.
    #[expect(unsafe_code, reason = "the standard library does not know this option")]
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            ptr::from_ref(&program).cast(),
            len,
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Reads an option whose value is an integer.
pub(super) fn get_option(
    socket: &impl AsRawFd,
    level: libc::c_int,
    option: libc::c_int,
) -> io::Result<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: value and length are integers that live through the call, and the kernel writes no
    // more than `len` bytes.
    #[expect(
        unsafe_code,
        reason = "the standard library does not know these options"
    )]
    let result = unsafe {
        let value = ptr::from_mut(&mut value).cast();
        libc::getsockopt(socket.as_raw_fd(), level, option, value, &raw mut len)
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(value)
    }
}
