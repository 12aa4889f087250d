//! Bytes that the socket did not take, in the order in which they leave.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;

/// A run of bytes that owns, or can outlive, what it points to.
#[derive(Debug, Clone)]
pub enum Piece {
    /// Bytes of its own.
    Owned(Vec<u8>),
    /// Bytes that are always there.
    Static(&'static [u8]),
    /// Bytes that several connections send.
    Shared(Arc<[u8]>),
}

impl Piece {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Piece::Owned(bytes) => bytes,
            Piece::Static(bytes) => bytes,
            Piece::Shared(bytes) => bytes,
        }
    }
}

/// How far a queue got with its socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// Everything has left.
    All,
    /// The socket is full; `progress` tells whether it took anything before.
    Blocked {
        /// At least one byte has left.
        progress: bool,
    },
}

/// What is queued for a peer that reads more slowly than it is answered.
#[derive(Debug, Default)]
pub struct Outbox {
    pieces: VecDeque<Piece>,
    /// Bytes of the first piece that have left; less than its length.
    sent: usize,
    /// Bytes still to leave, over all pieces.
    bytes: usize,
}

/// Pieces given to the kernel in one call.
const VECTOR_MAX: usize = 16;
/// Copies are joined up to this size.
const JOIN_BYTES: usize = 64 << 10;

impl Outbox {
    /// Bytes still to leave.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Queues a piece from its byte `from` on.
    pub fn push(&mut self, piece: Piece, from: usize) {
        let bytes = piece.bytes().len() - from;
        if bytes == 0 {
            return;
        }
        if self.pieces.is_empty() {
            self.sent = from;
            self.pieces.push_back(piece);
        } else if from == 0 {
            self.pieces.push_back(piece);
        } else {
            self.pieces.push_back(Piece::Owned(piece.bytes()[from..].to_vec()));
        }
        self.bytes += bytes;
    }

    /// Queues a copy of `bytes`.
    pub fn push_copy(&mut self, bytes: &[u8]) {
        match self.pieces.back_mut() {
            Some(Piece::Owned(last)) if last.len() + bytes.len() <= JOIN_BYTES => {
                last.extend_from_slice(bytes);
                self.bytes += bytes.len();
            }
            _ => self.push(Piece::Owned(bytes.to_vec()), 0),
        }
    }

    /// Hands as much as possible to `write`, which takes slices as `writev` does.
    ///
    /// # Errors
    /// Those of `write`, but for `WouldBlock` ([`Taken::Blocked`]) and `Interrupted` (tried again).
    pub fn send(&mut self, mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>) -> io::Result<Taken> {
        let mut progress = false;
        while self.bytes > 0 {
            let mut slices = [IoSlice::new(&[]); VECTOR_MAX];
            let mut used = 0;
            for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
                let from = if used == 0 { self.sent } else { 0 };
                *slice = IoSlice::new(&piece.bytes()[from..]);
                used += 1;
            }
            match write(&slices[..used]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(taken) => {
                    self.take(taken);
                    progress = true;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Taken::Blocked { progress });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Taken::All)
    }

    /// Forgets the first `taken` bytes.
    fn take(&mut self, taken: usize) {
        self.bytes -= taken;
        self.sent += taken;
        while let Some(first) = self.pieces.front() {
            let length = first.bytes().len();
            if self.sent < length {
                break;
            }
            self.sent -= length;
            self.pieces.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_in_order_whatever_the_socket_takes() {
        for step in 1..40 {
            let mut outbox = Outbox::default();
            outbox.push(Piece::Static(b"__static "), 2);
            outbox.push_copy(b"copy ");
            outbox.push_copy(b"joined ");
            outbox.push(Piece::Shared(Arc::from(&b"shared "[..])), 0);
            outbox.push(Piece::Owned(b"xowned".to_vec()), 1);
            outbox.push(Piece::Static(b""), 0);
            let expected = b"static copy joined shared owned";
            assert_eq!(outbox.bytes(), expected.len());
            let (mut got, mut calls) = (Vec::new(), 0);
            while outbox.bytes() > 0 {
                let taken = outbox.send(|slices| {
                    calls += 1;
                    if calls % 2 == 0 {
                        return Err(io::ErrorKind::WouldBlock.into());
                    }
                    let all: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
                    let n = all.len().min(step);
                    got.extend_from_slice(&all[..n]);
                    Ok(n)
                });
                assert_ne!(taken.unwrap(), Taken::Blocked { progress: false });
            }
            assert_eq!(got, expected);
        }
    }

    #[test]
    fn a_dead_socket_is_an_error() {
        let mut outbox = Outbox::default();
        outbox.push_copy(b"x");
        assert!(outbox.send(|_| Ok(0)).is_err());
        assert!(outbox.send(|_| Err(io::ErrorKind::BrokenPipe.into())).is_err());
        assert_eq!(outbox.bytes(), 1);
    }
}
