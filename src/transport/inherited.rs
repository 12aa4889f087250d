//! Descriptors that the process was started with.
//!
//! It knows no socket. Its invariant: the descriptor itself stays as it is; only a copy is used.
//!
//! This file has `unsafe` code: an inherited descriptor is only a number, and no safe function makes more of it.

#![allow(
    unsafe_code,
    reason = "the standard library has no safe way to a descriptor that is given as a number"
)]

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

/// Returns a copy of the descriptor `number`, which is closed when a program is executed.
///
/// # Errors
/// The descriptor is not open, or there is none left.
pub fn duplicate(number: RawFd) -> io::Result<OwnedFd> {
    if number < 0 {
        return Err(io::Error::from_raw_os_error(rustix::io::Errno::BADF.raw_os_error()));
    }
    // SAFETY: it is not -1. The borrow lasts for one call of fcntl(2) with F_DUPFD_CLOEXEC, which changes nothing about the
    // descriptor, and fails with EBADF if there is no such descriptor.
    let inherited = unsafe { BorrowedFd::borrow_raw(number) };
    inherited.try_clone_to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_copy_leads_to_the_same_file_and_the_descriptor_stays() {
        let (mut reader, writer) = UnixStream::pair().unwrap();
        let copy = duplicate(writer.as_raw_fd()).unwrap();
        assert_ne!(copy.as_raw_fd(), writer.as_raw_fd());
        std::fs::File::from(copy).write_all(b"a").unwrap();
        (&writer).write_all(b"b").unwrap();
        drop(writer);
        let mut both = String::new();
        reader.read_to_string(&mut both).unwrap();
        assert_eq!(both, "ab");
    }

    #[test]
    fn a_number_without_a_descriptor_is_an_error() {
        for number in [-1, RawFd::MIN, RawFd::MAX] {
            let error = duplicate(number).unwrap_err();
            assert_eq!(rustix::io::Errno::from_io_error(&error), Some(rustix::io::Errno::BADF), "{number}");
        }
    }
}
