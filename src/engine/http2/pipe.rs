//! A stream of an HTTP/2 connection, as the byte stream that a connection record reads and writes.
//!
//! It knows no frame: the connection takes what is written apart. Its invariant: a stream is closed when its pipe is dropped.

use super::mux::Mux;
use crate::http2::ErrorCode;
use std::cell::RefCell;
use std::fs::File;
use std::io::{self, IoSlice};
use std::rc::Rc;

/// One stream of a connection.
pub(in crate::engine) struct Pipe {
    mux: Rc<RefCell<Mux>>,
    stream: u32,
    /// Why the stream is reset, if the pipe is dropped before its response is complete.
    code: ErrorCode,
}

impl Pipe {
    pub(in crate::engine) fn new(mux: Rc<RefCell<Mux>>, stream: u32) -> Pipe {
        Pipe { mux, stream, code: ErrorCode::INTERNAL_ERROR }
    }

    /// Notes that the stream is given up because of its client (RFC 9113 §7): the server has not failed.
    pub(super) fn give_up(&mut self) {
        self.code = ErrorCode::CANCEL;
    }

    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.mux.borrow_mut().read(self.stream, buffer)
    }

    /// Whether nothing is left to read.
    pub(super) fn is_drained(&self) -> bool {
        !self.mux.borrow_mut().has_input(self.stream)
    }

    pub(super) fn write(&self, buffer: &[u8]) -> io::Result<usize> {
        self.mux.borrow_mut().write(self.stream, &[buffer])
    }

    pub(super) fn write_vectored(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut slices: [&[u8]; SLICES_MAX] = [&[]; SLICES_MAX];
        for (slice, buffer) in slices.iter_mut().zip(buffers) {
            *slice = buffer;
        }
        self.mux.borrow_mut().write(self.stream, &slices[..buffers.len().min(SLICES_MAX)])
    }

    pub(super) fn send_file(&self, file: &File, offset: u64, bytes: usize) -> io::Result<usize> {
        self.mux.borrow_mut().send_file(self.stream, file, offset, bytes)
    }

    pub(super) fn limit_unsent(&self, bytes: u32) {
        self.mux.borrow_mut().limit_unsent(bytes);
    }

    /// Whether it carries a WebSocket.
    pub(super) fn is_tunnel(&self) -> bool {
        self.mux.borrow_mut().is_tunnel(self.stream)
    }

    pub(super) fn shutdown_write(&self) -> io::Result<()> {
        self.mux.borrow_mut().end_stream(self.stream)
    }
}

/// Slices of one write that are looked at.
const SLICES_MAX: usize = 16;

impl Drop for Pipe {
    fn drop(&mut self) {
        self.mux.borrow_mut().close(self.stream, self.code);
    }
}
