//! The path from answers to the stream: through the cork first, then through the outbox when the stream is full.
//!
//! It knows bytes only, and nothing else in the engine writes to a stream. Its invariant: bytes leave in the order in
//! which they were put in, in as few writes as possible. Small pieces are joined in the cork; a large one is written
//! from where it lies, together with the cork.

use super::cork::Cork;
use crate::app::Body;
use crate::buffer::{FilePart, Outbox, Piece, Portion, Taken};
use crate::transport::Stream;
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;

/// From this size on a piece is not copied into the cork.
const LARGE_BYTES: usize = 16 << 10;
/// Bytes of files that a connection sends in one turn, so that a fast reader does not monopolize the loop.
const FILE_BYTES_A_TURN: usize = 1 << 20;
/// Bytes of a file that are sent at once when it is the answer; the rest follows in the connection's next turn.
const FILE_BYTES_AT_ONCE: usize = 64 << 10;
/// The cork is flushed during a turn when it holds this much.
const CORK_BYTES_MAX: usize = 256 << 10;
/// Slices that [`Output::gathered`] takes.
pub(super) const GATHERED_MAX: usize = 32;

/// A connection's stream, and what it has not taken yet.
pub(super) struct Io<S> {
    pub(super) stream: S,
    /// What the stream did not take; `None` if there is nothing.
    pub(super) outbox: Option<Box<Outbox>>,
    /// The stream has failed: nothing more can be sent.
    pub(super) broken: bool,
}

/// One connection's sending side during a turn.
pub(super) struct Output<'a, S> {
    pub(super) io: &'a mut Io<S>,
    /// The worker's; empty between connections.
    pub(super) cork: &'a mut Cork,
    /// Nothing is written for now: everything stays in the cork.
    pub(super) held: bool,
}

impl<S: Stream> Io<S> {
    /// Calls `write` once, and again if it was interrupted. Returns the number of bytes that the stream took; 0 if it
    /// is full or has failed.
    #[inline]
    fn write(&mut self, mut write: impl FnMut(&mut S) -> io::Result<usize>) -> usize {
        loop {
            match write(&mut self.stream) {
                Ok(0) => self.broken = true,
                Ok(taken) => return taken,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // The system is short of memory: nobody will report when it is no longer.
                Err(error) if error.kind() == io::ErrorKind::OutOfMemory => {
                    self.outbox.get_or_insert_default().pause();
                }
                Err(_) => self.broken = true,
            }
            return 0;
        }
    }
}

impl<'a, S: Stream> Output<'a, S> {
    #[inline]
    pub(super) fn new(io: &'a mut Io<S>, cork: &'a mut Cork) -> Output<'a, S> {
        Output { io, cork, held: false }
    }

    /// Whether reading should stop, because the peer does not take its answers.
    #[inline]
    pub(super) fn is_blocked(&self) -> bool {
        self.io.broken || self.io.outbox.as_ref().is_some_and(|outbox| outbox.holds_answers())
    }

    /// Returns the number of bytes that wait for the stream.
    #[inline]
    pub(super) fn queued_bytes(&self) -> usize {
        self.cork.len() + self.io.outbox.as_ref().map_or(0, |outbox| outbox.bytes())
    }

    /// Returns the bytes of memory that the outbox will hold once a copy of `copied` bytes is queued.
    pub(super) fn memory_bytes_with(&self, copied: usize) -> usize {
        let empty = Outbox::default();
        self.io.outbox.as_deref().unwrap_or(&empty).memory_bytes_with(copied)
    }

    /// Whether there is too little memory to queue a response's content of `bytes` bytes, if the peer does not take it.
    #[inline]
    pub(super) fn is_short_for(&self, bytes: u64) -> bool {
        bytes >= LARGE_BYTES as u64 && self.cork.memory().is_short()
    }

    /// Puts `bytes` bytes behind what the stream did not take. If there is no memory for them, they are lost.
    fn queue(&mut self, bytes: usize, push: impl FnOnce(&mut Outbox)) {
        let outbox = self.io.outbox.get_or_insert_with(|| self.cork.outboxes.take());
        push(outbox);
        if outbox.is_broken() {
            // Only closing the connection shows that to the peer.
            self.io.broken = true;
            self.cork.lost(bytes);
        }
    }

    /// Sends a response's content; a large one is taken out of `body`.
    #[inline(always)]
    pub(super) fn body(&mut self, body: &mut Body<'_>) {
        let bytes = body.bytes();
        if bytes.len() < LARGE_BYTES && !matches!(body, Body::File(_)) {
            self.cork.extend_from_slice(bytes);
        } else {
            match std::mem::replace(body, Body::Empty) {
                Body::Empty => {}
                Body::Borrowed(bytes) => self.bytes(bytes),
                Body::Static(bytes) => self.large(Piece::Static(bytes)),
                Body::Owned(bytes) => self.large(Piece::Owned(bytes)),
                Body::Shared(bytes) => self.large(Piece::Shared(bytes)),
                Body::File(part) => self.file(part),
                // It has no bytes: it was taken out before.
                Body::Pending(_) => {}
            }
        }
        self.flush_if_full();
    }

    /// Flushes the cork if it holds much.
    #[inline]
    pub(super) fn flush_if_full(&mut self) {
        if self.cork.len() >= CORK_BYTES_MAX {
            self.flush();
        }
    }

    /// Sends borrowed bytes: what the stream does not take is copied.
    #[inline(always)]
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        if self.held || bytes.len() < LARGE_BYTES {
            self.cork.extend_from_slice(bytes);
            if self.cork.len() >= CORK_BYTES_MAX && !self.held {
                self.flush();
            }
        } else {
            self.large_bytes(bytes);
        }
    }

    fn large_bytes(&mut self, bytes: &[u8]) {
        let from = self.write_with_cork(bytes);
        if from < bytes.len() && !self.io.broken {
            self.queue(bytes.len() - from, |outbox| outbox.push_copy(&bytes[from..]));
        }
    }

    /// Sends a part of a file: a small one is read into the cork, a large one is queued after it. Must not be called
    /// while the cork is held.
    #[inline(never)]
    fn file(&mut self, part: Box<FilePart>) {
        if part.len() < LARGE_BYTES as u64 {
            let corked = self.cork.len();
            self.cork.resize(corked + part.len() as usize, 0);
            if part.file().read_exact_at(&mut self.cork[corked..], part.offset()).is_err() {
                // The file is shorter than was announced: only closing the connection shows that to the peer.
                self.cork.truncate(corked);
                self.flush();
                self.io.broken = true;
            }
            return;
        }
        self.flush();
        if self.io.broken {
            return;
        }
        self.cork.passed(part.len());
        let queued = self.io.outbox.is_some();
        self.queue(0, |outbox| outbox.push_file(part));
        if !queued {
            // A new queue holds no publications.
            self.send(FILE_BYTES_AT_ONCE, &mut 0);
        }
    }

    fn large(&mut self, piece: Piece) {
        let from = self.write_with_cork(piece.bytes());
        if from < piece.bytes().len() && !self.io.broken {
            self.queue(piece.bytes().len() - from, |outbox| outbox.push(piece, from));
        }
    }

    /// Writes the cork followed by `bytes`, in one call. Returns how much of `bytes` has left; the cork is empty
    /// afterwards.
    fn write_with_cork(&mut self, bytes: &[u8]) -> usize {
        let corked = self.cork.len();
        let cork = self.cork.as_slice();
        let mut sent = 0;
        if self.io.outbox.is_none() && !self.io.broken {
            // One write is enough: a short one has filled the socket.
            sent = self.io.write(|stream| {
                if bytes.is_empty() {
                    stream.write(cork)
                } else if corked > 0 {
                    stream.write_vectored(&[IoSlice::new(cork), IoSlice::new(bytes)])
                } else {
                    stream.write(bytes)
                }
            });
        }
        self.cork.passed((corked + bytes.len()) as u64);
        if self.io.broken {
            self.cork.lost(corked + bytes.len() - sent);
        } else if sent < corked {
            let outbox = self.io.outbox.get_or_insert_with(|| self.cork.outboxes.take());
            outbox.push_copy(&self.cork[sent..]);
            if outbox.is_broken() {
                self.io.broken = true;
                self.cork.lost(corked + bytes.len() - sent);
            }
        }
        self.cork.clear();
        sent.saturating_sub(corked)
    }

    /// Writes the cork followed by `slices`, of which there are at most [`GATHERED_MAX`], in one call. What the stream does not
    /// take is copied.
    pub(super) fn gathered(&mut self, slices: &[&[u8]]) {
        let mut buffers = [IoSlice::new(&[]); GATHERED_MAX + 1];
        let mut bytes = self.cork.len();
        buffers[0] = IoSlice::new(self.cork);
        for (buffer, slice) in buffers[1..].iter_mut().zip(slices) {
            *buffer = IoSlice::new(slice);
            bytes += slice.len();
        }
        let buffers = &buffers[..=slices.len().min(GATHERED_MAX)];
        let mut sent = 0;
        if self.io.outbox.is_none() && !self.io.broken {
            sent = self.io.write(|stream| stream.write_vectored(buffers));
        }
        if self.io.broken {
            self.cork.lost(bytes - sent);
        } else if sent < bytes {
            let outbox = self.io.outbox.get_or_insert_with(|| self.cork.outboxes.take());
            for part in std::iter::once(self.cork.as_slice()).chain(slices.iter().copied()) {
                outbox.push_copy(part.get(sent..).unwrap_or_default());
                sent = sent.saturating_sub(part.len());
            }
            self.io.broken = outbox.is_broken();
        }
        self.cork.passed(bytes as u64);
        self.cork.clear();
    }

    /// Writes bytes at once, without the cork. The cork must be empty, and there must be no outbox. `written` is the result
    /// of the write, if it was made already. Returns how many bytes the stream took; the caller queues the rest.
    #[inline]
    pub(super) fn write_now(&mut self, bytes: &[u8], mut written: Option<io::Result<usize>>) -> usize {
        debug_assert!(self.cork.is_empty() && self.io.outbox.is_none());
        self.io.write(|stream| written.take().unwrap_or_else(|| stream.write(bytes)))
    }

    /// Sends what is in the cork.
    pub(super) fn flush(&mut self) {
        if !self.cork.is_empty() {
            self.write_with_cork(&[]);
        }
    }

    /// Sends what is in the outbox; the cork's bytes come after it. Adds the published messages that have left to
    /// `delivered`.
    pub(super) fn send_outbox(&mut self, delivered: &mut u64) -> Taken {
        self.send(FILE_BYTES_A_TURN, delivered)
    }

    fn send(&mut self, file_bytes_max: usize, delivered: &mut u64) -> Taken {
        let Io { stream, outbox: queue, .. } = &mut *self.io;
        let Some(outbox) = queue else { return Taken::All };
        let sent = outbox.send(file_bytes_max, |portion| match portion {
            Portion::Memory(slices) => stream.write_vectored(slices),
            Portion::File { file, offset, bytes } => stream.send_file(file, offset, bytes),
        });
        *delivered += outbox.take_delivered();
        match sent {
            Ok(Taken::All) => {
                if let Some(outbox) = queue.take() {
                    self.cork.outboxes.give(outbox);
                }
                Taken::All
            }
            Ok(rest) => rest,
            Err(_) => {
                self.io.broken = true;
                Taken::Blocked { progress: false }
            }
        }
    }
}
