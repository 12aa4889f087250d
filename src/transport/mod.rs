//! What bytes travel on.
//!
//! The engine is generic over [`Stream`]: a TCP stream in production, a seeded pretence in the
//! simulator. A stream knows nothing of what it carries, and never blocks.

mod tcp;

pub use tcp::{accept, listen};

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;

/// Bytes of a file that go through memory at a time.
const COPY_BYTES: usize = 64 << 10;

/// A connection's two directions, without blocking: a call that would is `WouldBlock`.
pub trait Stream {
    /// Reads into `buffer`; 0 is the end of what the peer sends.
    ///
    /// # Errors
    /// `WouldBlock` if nothing is there; anything else ends the connection.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes from `buffer`, as much as fits.
    ///
    /// # Errors
    /// `WouldBlock` if nothing fits; anything else ends the connection.
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize>;

    /// Writes from several buffers, as much as fits.
    ///
    /// # Errors
    /// As [`write`](Stream::write).
    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Writes `bytes` bytes of `file` from `offset` on, as much as fits; 0 means that the file ends there.
    ///
    /// Unless a stream knows a shorter way, they go through memory.
    ///
    /// # Errors
    /// As [`write`](Stream::write), and those of reading the file.
    fn send_file(&mut self, file: &File, offset: u64, bytes: usize) -> io::Result<usize> {
        send_through_memory(self, file, offset, bytes)
    }

    /// Tells the peer that nothing more will come, and goes on reading.
    ///
    /// # Errors
    /// Any error ends the connection.
    fn shutdown_write(&mut self) -> io::Result<()>;
}

fn send_through_memory<S: Stream + ?Sized>(
    stream: &mut S,
    file: &File,
    offset: u64,
    bytes: usize,
) -> io::Result<usize> {
    let mut buffer = vec![0; bytes.min(COPY_BYTES)];
    let read = file.read_at(&mut buffer, offset)?;
    if read == 0 { Ok(0) } else { stream.write(&buffer[..read]) }
}
