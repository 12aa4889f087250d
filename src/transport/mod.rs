//! What bytes travel on.
//!
//! The engine is generic over [`Stream`]: a TCP stream in production, a seeded pretence in the
//! simulator. A stream knows nothing of what it carries, and never blocks.

mod tcp;

pub use tcp::{accept, listen};

use std::io::{self, IoSlice};

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

    /// Tells the peer that nothing more will come, and goes on reading.
    ///
    /// # Errors
    /// Any error ends the connection.
    fn shutdown_write(&mut self) -> io::Result<()>;
}
