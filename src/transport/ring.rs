//! Writes that the kernel carries out in one system call, through io_uring (Linux 6.1).
//!
//! It knows sockets and no connection. Its invariant: nothing submitted outlives the call. `MSG_DONTWAIT` makes the kernel
//! carry out each send while it is submitted, or refuse it with `EAGAIN`, and `Ring::submit` waits for every completion.
//! So the bytes of a send may be borrowed.
//!
//! This file has `unsafe` code: the kernel reads memory through pointers that the compiler does not check.

#![allow(unsafe_code, reason = "the kernel is given pointers; sending one by one takes a third more time")]

use super::accept::is_short_of_memory;
use super::submit::{Submission, Submit};
use io_uring::squeue::Entry;
use io_uring::{IoUring, opcode, types};
use rustix::net::SendFlags;
use std::io;

/// Sends of one system call, at most. A power of two.
const ENTRIES: usize = 1024;
/// The largest number of bytes of one send. The kernel takes no more at a time either.
const BYTES_MAX: usize = 1 << 30;

/// A ring for sends.
pub(super) struct Ring {
    ring: IoUring,
    /// Empty between calls, kept for its memory.
    entries: Vec<Entry>,
}

impl Ring {
    /// Makes a ring, which only the calling thread may use.
    ///
    /// # Errors
    /// The system has no io_uring, or does not allow it: containers and the setting `kernel.io_uring_disabled` often
    /// forbid it.
    pub(super) fn new() -> io::Result<Ring> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_coop_taskrun()
            .build(ENTRIES as u32)?;
        Ok(Ring { ring, entries: Vec::with_capacity(ENTRIES) })
    }

    /// Carries out the first [`ENTRIES`] entries at most. Returns how many, or `None` if the ring has failed and must be
    /// dropped.
    fn carry_out(&mut self, from: usize, results: &mut [io::Result<usize>]) -> Option<usize> {
        let entries = &self.entries[from..self.entries.len().min(from + ENTRIES)];
        // SAFETY: the bytes that the entries point to are borrowed by the caller of `submit` until it returns. An entry that
        // the kernel has taken is completed before this function returns. One that it has not taken, because the system call
        // fails, is never taken: the ring is dropped.
        if unsafe { self.ring.submission().push_multiple(entries) }.is_err() {
            return None;
        }
        let mut left = entries.len();
        loop {
            let entered = self.ring.submit_and_wait(left);
            for completion in self.ring.completion() {
                left -= 1;
                results[completion.user_data() as usize] = result(completion.result());
            }
            if left == 0 {
                return Some(entries.len());
            }
            let untaken = self.ring.submission().len();
            match entered {
                // A signal has ended the wait.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // What the kernel has taken is waited for in any case.
                Err(_) if untaken == left => return None,
                Ok(_) | Err(_) => {}
            }
        }
    }
}

impl Submit for Ring {
    fn submit<'a>(
        &mut self,
        writes: &mut dyn Iterator<Item = Submission<'a>>,
        results: &mut Vec<io::Result<usize>>,
    ) -> bool {
        let begin = results.len();
        // The entries are pushed only once all are there: should the iterator panic, the ring holds none of them.
        self.entries.clear();
        self.entries.extend(writes.enumerate().map(|(at, write)| {
            let bytes = write.bytes.len().min(BYTES_MAX) as u32;
            opcode::Send::new(types::Fd(write.socket), write.bytes.as_ptr(), bytes)
                .flags((SendFlags::DONTWAIT | SendFlags::NOSIGNAL).bits() as i32)
                .build()
                .user_data(at as u64)
        }));
        results.resize_with(begin + self.entries.len(), || Err(io::ErrorKind::Interrupted.into()));
        let mut from = 0;
        while from < self.entries.len() {
            match self.carry_out(from, &mut results[begin..]) {
                Some(count) => from += count,
                None => return false,
            }
        }
        true
    }
}

/// Returns the result of a completion as [`Stream::write`](super::Stream::write) does.
#[inline]
fn result(result: i32) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| {
        let error = io::Error::from_raw_os_error(-result);
        if is_short_of_memory(&error) { io::ErrorKind::OutOfMemory.into() } else { error }
    })
}
