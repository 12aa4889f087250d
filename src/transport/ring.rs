//! Writes that the kernel carries out in one system call, through io_uring (Linux 6.1).
//!
//! It knows sockets and no connection. Its invariant: nothing submitted outlives the call. `MSG_DONTWAIT` makes the kernel
//! carry out each send while it is submitted, or refuse it with `EAGAIN`, and `Ring::submit` waits for every completion.
//! So the bytes of a send may be borrowed.
//!
//! This file has `unsafe` code: the kernel reads memory through pointers that the compiler does not check.

#![allow(unsafe_code, reason = "the kernel is given pointers; sending one by one costs 11 to 80 % more")]

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

/// A ring that has failed is replaced, unless the one before has failed so many times in a row.
const FAILURES_MAX: u32 = 3;

/// A ring for sends.
pub(super) struct Ring {
    /// `None` while it is in use, and once it has failed: what the kernel has not taken is never submitted then.
    ring: Option<IoUring>,
    /// How often it has failed since it last worked.
    failures: u32,
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
        Ok(Ring { ring: Some(build()?), failures: 0, entries: Vec::with_capacity(ENTRIES) })
    }

    /// Carries out the entries from `from` on, [`ENTRIES`] at most. Returns how many, or `None` if the ring has failed.
    fn carry_out(&mut self, from: usize, results: &mut [io::Result<usize>]) -> Option<usize> {
        let entries = &self.entries[from..self.entries.len().min(from + ENTRIES)];
        // Put back only once all entries are completed.
        let mut ring = self.ring.take()?;
        // SAFETY: the bytes that the entries point to are borrowed by the caller of `submit` until it returns. An entry that
        // the kernel has taken is completed before this function returns. One that it has not taken, because the system call
        // fails, is never taken: the ring is dropped here.
        if unsafe { ring.submission().push_multiple(entries) }.is_err() {
            return None;
        }
        let mut left = entries.len();
        loop {
            let entered = ring.submit_and_wait(left);
            for completion in ring.completion() {
                left -= 1;
                results[completion.user_data() as usize] = result(completion.result());
            }
            if left == 0 {
                self.ring = Some(ring);
                return Some(entries.len());
            }
            let untaken = ring.submission().len();
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
                Some(count) => (from, self.failures) = (from + count, 0),
                None => {
                    self.failures += 1;
                    self.ring = build().ok().filter(|_| self.failures <= FAILURES_MAX);
                    return self.ring.is_some();
                }
            }
        }
        true
    }
}

fn build() -> io::Result<IoUring> {
    IoUring::builder().setup_single_issuer().setup_defer_taskrun().setup_coop_taskrun().build(ENTRIES as u32)
}

/// Returns the result of a completion as [`Stream::write`](super::Stream::write) does.
#[inline]
fn result(result: i32) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| {
        let error = io::Error::from_raw_os_error(-result);
        if is_short_of_memory(&error) { io::ErrorKind::OutOfMemory.into() } else { error }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::Socket;
    use crate::transport::Stream;
    use mio::net::TcpStream;
    use std::io::Read;
    use std::net::TcpListener;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    /// Returns a ring, or `None` if the system does not allow one.
    fn ring() -> Option<Ring> {
        const REFUSED: [io::ErrorKind; 3] =
            [io::ErrorKind::PermissionDenied, io::ErrorKind::Unsupported, io::ErrorKind::InvalidInput];
        match Ring::new() {
            Ok(ring) => Some(ring),
            Err(error) => {
                assert!(REFUSED.contains(&error.kind()), "{error}");
                None
            }
        }
    }

    /// A connection whose server's end does not block, and holds little.
    fn connection() -> (Socket, std::net::TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        server.set_nonblocking(true).unwrap();
        socket2::SockRef::from(&server).set_send_buffer_size(4096).unwrap();
        (TcpStream::from_std(server).into(), client)
    }

    /// Submits these writes, and returns their results.
    fn submit(ring: &mut Ring, writes: &[(&Socket, &[u8])]) -> Vec<io::Result<usize>> {
        let mut results = Vec::new();
        let mut writes =
            writes.iter().map(|(stream, bytes)| Submission { socket: stream.socket().unwrap(), bytes });
        assert!(ring.submit(&mut writes, &mut results));
        results
    }

    fn kind(result: &io::Result<usize>) -> Option<io::ErrorKind> {
        result.as_ref().err().map(io::Error::kind)
    }

    /// Each write has the result that `Stream::write` has on a twin of its connection, and the same bytes arrive.
    #[test]
    fn a_write_has_the_result_of_a_write_by_itself() {
        let Some(mut ring) = ring() else { return };
        let sizes = [1, 16, 1000, 5000, 100_000, 1 << 20, 4 << 20];
        let bytes: Vec<u8> = (0..4 << 20).map(|at| (at % 251) as u8).collect();
        let mut pairs: Vec<_> = sizes.iter().map(|_| (connection(), connection())).collect();
        let mut sent = vec![0; sizes.len()];
        // The second time, most have no room.
        for _ in 0..2 {
            let writes: Vec<_> =
                sizes.iter().zip(&pairs).map(|(size, ((stream, _), _))| (stream, &bytes[..*size])).collect();
            let results = submit(&mut ring, &writes);
            for (at, result) in results.iter().enumerate() {
                let twin = Stream::write(&mut pairs[at].1.0, &bytes[..sizes[at]]);
                assert_eq!(kind(result), kind(&twin), "{} bytes", sizes[at]);
                let (written, twin) = (result.as_ref().unwrap_or(&0), twin.unwrap_or(0));
                assert_eq!(*written == sizes[at], twin == sizes[at], "{} bytes", sizes[at]);
                sent[at] += written;
            }
        }
        for (((stream, mut client), _), sent) in pairs.into_iter().zip(sent) {
            drop(stream);
            let mut arrived = Vec::new();
            client.read_to_end(&mut arrived).unwrap();
            assert_eq!(arrived.len(), sent);
        }
    }

    #[test]
    fn more_writes_than_entries_arrive_in_order() {
        let Some(mut ring) = ring() else { return };
        let (stream, mut client) = connection();
        let numbers: Vec<[u8; 2]> = (0..2 * ENTRIES as u16 + 7).map(u16::to_be_bytes).collect();
        let writes: Vec<_> = numbers.iter().map(|number| (&stream, &number[..])).collect();
        assert!(submit(&mut ring, &writes).iter().all(|result| matches!(result, Ok(2))));
        drop(stream);
        let mut arrived = Vec::new();
        client.read_to_end(&mut arrived).unwrap();
        assert_eq!(arrived, numbers.concat());
    }

    #[test]
    fn a_failed_write_is_reported_among_others() {
        let Some(mut ring) = ring() else { return };
        let ((first, mut reader), (gone, client), (last, _kept)) = (connection(), connection(), connection());
        socket2::SockRef::from(&client).set_linger(Some(std::time::Duration::ZERO)).unwrap();
        drop(client);
        let results = submit(&mut ring, &[(&first, b"one"), (&gone, b"two"), (&last, b"three")]);
        assert!(matches!(results[..], [Ok(3), Err(_), Ok(5)]), "{results:?}");
        let mut closed = Vec::new();
        let write = Submission { socket: -1, bytes: b"four" };
        assert!(ring.submit(&mut [write].into_iter(), &mut closed));
        assert!(closed[0].is_err());
        let mut arrived = [0; 3];
        reader.read_exact(&mut arrived).unwrap();
        assert_eq!(&arrived, b"one");
    }

    /// Nothing of an iterator that panics is written later, when its bytes may be gone.
    #[test]
    fn nothing_is_left_behind_by_a_panic() {
        let Some(mut ring) = ring() else { return };
        let (stream, mut client) = connection();
        let bytes = b"stale".to_vec();
        let mut writes = (0..3).map(|at| {
            assert!(at < 2, "planted");
            Submission { socket: stream.socket().unwrap(), bytes: &bytes }
        });
        let mut results = Vec::new();
        assert!(catch_unwind(AssertUnwindSafe(|| ring.submit(&mut writes, &mut results))).is_err());
        assert!(matches!(submit(&mut ring, &[(&stream, b"fresh")])[..], [Ok(5)]));
        drop(stream);
        let mut arrived = String::new();
        client.read_to_string(&mut arrived).unwrap();
        assert_eq!(arrived, "fresh");
    }

    /// A ring of another thread stands for any that fails.
    #[test]
    fn a_ring_that_fails_is_replaced_and_nothing_of_it_is_written() {
        let Some(mut ring) = ring() else { return };
        let (stream, mut client) = connection();
        let submit = |ring: &mut Ring, bytes: &[u8]| {
            let mut results = Vec::new();
            let write = Submission { socket: stream.socket().unwrap(), bytes };
            let works = ring.submit(&mut [write].into_iter(), &mut results);
            (works, results.pop().unwrap().map_err(|error| error.kind()))
        };
        let failed = Err(io::ErrorKind::Interrupted);
        for failure in 0..=FAILURES_MAX {
            if failure == 1 {
                assert_eq!(submit(&mut ring, b"works again"), (true, Ok(11)));
            }
            ring.ring = Some(std::thread::spawn(build).join().unwrap().unwrap());
            assert_eq!(submit(&mut ring, b"lost"), (true, failed));
        }
        ring.ring = Some(std::thread::spawn(build).join().unwrap().unwrap());
        assert_eq!(submit(&mut ring, b"lost"), (false, failed));
        assert_eq!(submit(&mut ring, b"lost"), (false, failed));
        drop((ring, stream));
        let mut arrived = String::new();
        client.read_to_string(&mut arrived).unwrap();
        assert_eq!(arrived, "works again");
    }
}
