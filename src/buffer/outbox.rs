//! Bytes that the socket did not take, in the order in which they leave.

use super::FilePart;
use std::collections::VecDeque;
use std::fs::File;
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
    /// Bytes that are read when they leave.
    File(Box<FilePart>),
}

impl Piece {
    /// The bytes in memory: none of a file's.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Piece::Owned(bytes) => bytes,
            Piece::Static(bytes) => bytes,
            Piece::Shared(bytes) => bytes,
            Piece::File(_) => &[],
        }
    }
}

/// What the front of a queue offers to its socket.
#[derive(Debug)]
pub enum Portion<'a> {
    /// Bytes in memory, for `writev`.
    Memory(&'a [IoSlice<'a>]),
    /// `bytes` bytes of a file, from `offset` on, for `sendfile`.
    File {
        /// The file.
        file: &'a File,
        /// Where in it they begin.
        offset: u64,
        /// How many at most; at least 1.
        bytes: usize,
    },
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
    /// The share of a turn has left, and the socket may take more: no event will tell of it.
    Paused,
}

/// What is queued for a peer that reads more slowly than it is answered.
#[derive(Debug, Default)]
pub struct Outbox {
    pieces: VecDeque<Piece>,
    /// Bytes of the first piece that have left; less than its length.
    sent: usize,
    /// Bytes in memory still to leave, over all pieces; those of files are not counted.
    bytes: usize,
    /// More could leave at once, but for the share of a turn.
    paused: bool,
}

/// Pieces given to the kernel in one call.
const VECTOR_MAX: usize = 16;
/// Copies are joined up to this size.
const JOIN_BYTES: usize = 64 << 10;

impl Outbox {
    /// Bytes in memory still to leave. Those of a file wait in the file, and are none.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing is left to leave.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Whether more could leave at once, though no event will tell of it: see [`Taken::Paused`].
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// Queues a part of a file.
    pub fn push_file(&mut self, part: Box<FilePart>) {
        if part.is_empty() {
            return;
        }
        if self.pieces.is_empty() {
            self.sent = 0;
        }
        self.pieces.push_back(Piece::File(part));
    }

    /// Queues a piece from its byte `from` on; a file's is queued whole.
    pub fn push(&mut self, piece: Piece, from: usize) {
        if let Piece::File(part) = piece {
            return self.push_file(part);
        }
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

    /// Hands as much as possible to `write`, which takes what it is given as `writev` and `sendfile` do;
    /// of files at most `file_bytes_max`.
    ///
    /// # Errors
    /// Those of `write`, but for `WouldBlock` ([`Taken::Blocked`]) and `Interrupted` (tried again). Taking
    /// nothing is one: a socket that does is dead, and so is a file that ends before its part does.
    pub fn send(
        &mut self,
        file_bytes_max: usize,
        mut write: impl FnMut(Portion<'_>) -> io::Result<usize>,
    ) -> io::Result<Taken> {
        let (mut progress, mut share) = (false, file_bytes_max);
        self.paused = false;
        while let Some(first) = self.pieces.front() {
            let taken = if let Piece::File(part) = first {
                let bytes = part.len().min(share as u64) as usize;
                if bytes == 0 {
                    self.paused = true;
                    return Ok(Taken::Paused);
                }
                let taken = write(Portion::File { file: part.file(), offset: part.offset(), bytes });
                share -= *taken.as_ref().unwrap_or(&0);
                taken
            } else {
                let mut slices = [IoSlice::new(&[]); VECTOR_MAX];
                let mut used = 0;
                for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
                    if matches!(piece, Piece::File(_)) {
                        break;
                    }
                    let from = if used == 0 { self.sent } else { 0 };
                    *slice = IoSlice::new(&piece.bytes()[from..]);
                    used += 1;
                }
                write(Portion::Memory(&slices[..used]))
            };
            match taken {
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

    /// Forgets the first `taken` bytes, which were of one portion.
    fn take(&mut self, taken: usize) {
        if let Some(Piece::File(part)) = self.pieces.front_mut() {
            part.take(taken as u64);
            if part.is_empty() {
                self.pieces.pop_front();
            }
            return;
        }
        self.bytes -= taken;
        self.sent += taken;
        while let Some(first) = self.pieces.front().filter(|piece| !matches!(piece, Piece::File(_))) {
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
    use std::os::unix::fs::FileExt;

    /// What `portion` holds.
    fn read(portion: &Portion<'_>) -> Vec<u8> {
        match *portion {
            Portion::Memory(slices) => slices.iter().flat_map(|slice| slice.iter().copied()).collect(),
            Portion::File { file, offset, bytes } => {
                let mut buffer = vec![0; bytes];
                let read = file.read_at(&mut buffer, offset).unwrap();
                buffer.truncate(read);
                buffer
            }
        }
    }

    /// This file, which begins with `//! Bytes`.
    fn own_source() -> Arc<File> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/buffer/outbox.rs");
        Arc::new(File::open(path).unwrap())
    }

    fn own_part(offset: u64, bytes: u64) -> Box<FilePart> {
        Box::new(FilePart::new(own_source(), offset, bytes))
    }

    #[test]
    fn bytes_leave_in_order_whatever_the_socket_takes() {
        for step in 1..40 {
            let mut outbox = Outbox::default();
            outbox.push(Piece::Static(b"__static "), 2);
            outbox.push_copy(b"copy ");
            outbox.push_copy(b"joined ");
            outbox.push(Piece::Shared(Arc::from(&b"shared "[..])), 0);
            outbox.push_file(own_part(0, 3));
            outbox.push(Piece::File(own_part(4, 5)), 0);
            outbox.push_file(own_part(4, 0));
            outbox.push(Piece::Owned(b"xowned".to_vec()), 1);
            outbox.push(Piece::Static(b""), 0);
            let expected = b"static copy joined shared //!Bytesowned";
            assert_eq!(outbox.bytes(), expected.len() - 8, "a file's bytes are not in memory");
            let (mut got, mut calls) = (Vec::new(), 0);
            while !outbox.is_empty() {
                let taken = outbox.send(usize::MAX, |portion| {
                    calls += 1;
                    if calls % 2 == 0 {
                        return Err(io::ErrorKind::WouldBlock.into());
                    }
                    let all = read(&portion);
                    let n = all.len().min(step);
                    got.extend_from_slice(&all[..n]);
                    Ok(n)
                });
                assert_ne!(taken.unwrap(), Taken::Blocked { progress: false });
            }
            assert_eq!(got, expected);
            assert_eq!(outbox.bytes(), 0);
        }
    }

    #[test]
    fn a_file_has_its_share_of_a_turn() {
        let mut outbox = Outbox::default();
        outbox.push_file(own_part(0, 20));
        outbox.push_copy(b"!");
        let mut got = Vec::new();
        let mut turn = |outbox: &mut Outbox| {
            let taken = outbox.send(8, |portion| {
                let all = read(&portion);
                got.extend_from_slice(&all);
                Ok(all.len())
            });
            (taken.unwrap(), outbox.is_paused(), got.len())
        };
        assert_eq!(turn(&mut outbox), (Taken::Paused, true, 8));
        assert_eq!(turn(&mut outbox), (Taken::Paused, true, 16));
        assert_eq!(turn(&mut outbox), (Taken::All, false, 21));
    }

    #[test]
    fn a_dead_socket_is_an_error() {
        let mut outbox = Outbox::default();
        outbox.push_copy(b"x");
        assert!(outbox.send(1, |_| Ok(0)).is_err());
        assert!(outbox.send(1, |_| Err(io::ErrorKind::BrokenPipe.into())).is_err());
        assert_eq!(outbox.bytes(), 1);
    }

    #[test]
    fn a_file_that_ends_too_early_is_an_error() {
        let length = own_source().metadata().unwrap().len();
        let mut outbox = Outbox::default();
        outbox.push_file(own_part(length - 2, 4));
        let sent = outbox.send(usize::MAX, |portion| Ok(read(&portion).len()));
        assert_eq!(sent.unwrap_err().kind(), io::ErrorKind::WriteZero);
    }
}
