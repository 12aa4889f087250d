//! The way of answers to the stream: cork first, outbox when the stream is full.
//!
//! It knows bytes only. What is put in leaves in that order, in as few writes as can be: small pieces
//! are joined in the cork, a large one goes out from where it lies, together with the cork.

use super::conn::Conn;
use crate::app::Body;
use crate::buffer::{FilePart, Outbox, Piece, Portion, Taken};
use crate::transport::Stream;
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;

/// From this size on a piece is not copied into the cork.
const LARGE_BYTES: usize = 16 << 10;
/// Bytes of files that a connection sends in one turn, so that who reads fast does not keep the loop.
const FILE_BYTES_A_TURN: usize = 1 << 20;
/// Bytes of a file that leave at once when it is the answer; it goes on in the connection's next turn.
const FILE_BYTES_AT_ONCE: usize = 64 << 10;
/// The cork is emptied on the way when it holds this much.
const CORK_BYTES_MAX: usize = 256 << 10;

/// One connection's sending side during a turn.
pub(super) struct Output<'a, S> {
    pub(super) stream: &'a mut S,
    pub(super) outbox: &'a mut Option<Box<Outbox>>,
    /// The worker's: empty between connections.
    pub(super) cork: &'a mut Vec<u8>,
    /// The stream has failed: nothing can be sent.
    pub(super) dead: &'a mut bool,
    /// Everything stays in the cork for now.
    pub(super) held: bool,
}

impl<'a, S: Stream> Output<'a, S> {
    #[inline]
    pub(super) fn new(conn: &'a mut Conn<S>, cork: &'a mut Vec<u8>) -> Output<'a, S> {
        Output::of(&mut conn.stream, &mut conn.outbox, &mut conn.broken, cork)
    }

    /// As [`new`](Output::new), for who uses the rest of the record meanwhile.
    #[inline]
    pub(super) fn of(
        stream: &'a mut S,
        outbox: &'a mut Option<Box<Outbox>>,
        dead: &'a mut bool,
        cork: &'a mut Vec<u8>,
    ) -> Output<'a, S> {
        Output { stream, outbox, cork, dead, held: false }
    }

    /// Whether no more should be read, because the peer does not take what it is answered.
    #[inline]
    pub(super) fn is_blocked(&self) -> bool {
        *self.dead || self.outbox.as_ref().is_some_and(|outbox| outbox.holds_answers())
    }

    /// Bytes that wait for the stream.
    #[inline]
    pub(super) fn queued_bytes(&self) -> usize {
        self.cork.len() + self.outbox.as_ref().map_or(0, |outbox| outbox.bytes())
    }

    /// Sends a response's content, and takes it if it is large.
    #[inline]
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
                // It has no bytes, and is taken out before.
                Body::Pending(_) => {}
            }
        }
        if self.cork.len() >= CORK_BYTES_MAX {
            self.flush();
        }
    }

    /// Sends bytes that are only borrowed: what the stream does not take is copied.
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
        if from < bytes.len() && !*self.dead {
            self.outbox.get_or_insert_default().push_copy(&bytes[from..]);
        }
    }

    /// A small file is joined in the cork, a large one goes out behind it. Not while the cork is held.
    #[inline(never)]
    fn file(&mut self, part: Box<FilePart>) {
        if part.len() < LARGE_BYTES as u64 {
            let corked = self.cork.len();
            self.cork.resize(corked + part.len() as usize, 0);
            if part.file().read_exact_at(&mut self.cork[corked..], part.offset()).is_err() {
                // The file is shorter than was announced: only an end tells the peer.
                self.cork.truncate(corked);
                self.flush();
                *self.dead = true;
            }
            return;
        }
        self.flush();
        if *self.dead {
            return;
        }
        let queued = self.outbox.is_some();
        self.outbox.get_or_insert_default().push_file(part);
        if !queued {
            // Nothing that was published is in a queue that was not there.
            self.send(FILE_BYTES_AT_ONCE, &mut 0);
        }
    }

    fn large(&mut self, piece: Piece) {
        let from = self.write_with_cork(piece.bytes());
        if from < piece.bytes().len() && !*self.dead {
            self.outbox.get_or_insert_default().push(piece, from);
        }
    }

    /// Writes the cork and `bytes` behind it in one call. Returns how much of `bytes` has left; the
    /// cork is empty afterwards.
    fn write_with_cork(&mut self, bytes: &[u8]) -> usize {
        let corked = self.cork.len();
        let mut sent = 0;
        // One write that takes something is enough: a short one has filled the socket.
        while self.outbox.is_none() && !*self.dead && sent == 0 {
            let taken = if bytes.is_empty() {
                self.stream.write(self.cork)
            } else if corked > 0 {
                self.stream.write_vectored(&[IoSlice::new(self.cork), IoSlice::new(bytes)])
            } else {
                self.stream.write(bytes)
            };
            match taken {
                Ok(0) => *self.dead = true,
                Ok(taken) => sent = taken,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => *self.dead = true,
            }
        }
        if sent < corked && !*self.dead {
            self.outbox.get_or_insert_default().push_copy(&self.cork[sent..]);
        }
        self.cork.clear();
        sent.saturating_sub(corked)
    }

    /// Sends what is in the cork.
    pub(super) fn flush(&mut self) {
        if !self.cork.is_empty() {
            self.write_with_cork(&[]);
        }
    }

    /// Sends what is in the outbox; what is in the cork stays behind it. Adds the published messages that have
    /// left to `delivered`.
    pub(super) fn send_outbox(&mut self, delivered: &mut u64) -> Taken {
        self.send(FILE_BYTES_A_TURN, delivered)
    }

    fn send(&mut self, file_bytes_max: usize, delivered: &mut u64) -> Taken {
        let Some(outbox) = self.outbox else { return Taken::All };
        let sent = outbox.send(file_bytes_max, |portion| match portion {
            Portion::Memory(slices) => self.stream.write_vectored(slices),
            Portion::File { file, offset, bytes } => self.stream.send_file(file, offset, bytes),
        });
        *delivered += outbox.take_delivered();
        match sent {
            Ok(Taken::All) => {
                *self.outbox = None;
                Taken::All
            }
            Ok(rest) => rest,
            Err(_) => {
                *self.dead = true;
                Taken::Blocked { progress: false }
            }
        }
    }
}
