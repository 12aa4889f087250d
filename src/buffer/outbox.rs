//! Bytes that the socket has not taken yet, in the order in which they leave.
//!
//! It knows no protocol and no socket. Its invariant: pieces leave in the order in which they were queued, and the
//! memory charged to the queue is the sum of its pieces' charges.

use super::FilePart;
use super::memory::{Charge, Memory};
use super::piece::{PIECE_BYTES, Piece, Published};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice};
use std::sync::Arc;

/// The bytes at the front of the queue, in the form that the socket takes.
#[derive(Debug)]
pub enum Portion<'a> {
    /// Bytes in memory, for `sendmsg`.
    Memory(&'a [IoSlice<'a>]),
    /// `bytes` bytes of a file from `offset` on, for `sendfile`.
    File {
        /// The file.
        file: &'a File,
        /// The offset of the first byte in the file.
        offset: u64,
        /// The most bytes to send; at least 1.
        bytes: usize,
    },
}

/// How far [`Outbox::send`] got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// Everything has left.
    All,
    /// The socket is full.
    Blocked {
        /// At least one byte left before the socket was full.
        progress: bool,
    },
    /// This turn's share has left. The socket may take more, but no event will report that.
    Paused,
    /// What comes next was dropped: the peer is due a note of it, for which the caller calls
    /// [`take_gap`](Outbox::take_gap) and [`push_front`](Outbox::push_front).
    Gap {
        /// At least one byte left before that.
        progress: bool,
    },
}

/// A queue of bytes for a peer that reads more slowly than it is answered.
#[derive(Debug, Default)]
pub struct Outbox {
    pub(super) pieces: VecDeque<Piece>,
    /// Bytes of the first piece that have left; less than its length.
    sent: usize,
    /// Bytes in memory that have not left, over all pieces. Bytes of files are not counted.
    bytes: usize,
    /// Bytes that have left since the queue was made, those of files included.
    left: u64,
    /// The sum of all pieces' charges.
    pub(super) charged_bytes: usize,
    /// The sum of what all pieces take of the server's memory, and `spare`.
    pub(super) own_bytes: usize,
    pub(super) charge: Charge,
    /// Memory of copies that have left, for the next: that of a head, and that of content. The smaller comes first.
    pub(super) spare: [Vec<u8>; 2],
    /// Something could not be queued, because there was no memory for it.
    pub(super) broken: bool,
    /// The number of pieces that are not published messages.
    answers: usize,
    /// The number of published messages that have left entirely.
    delivered: u64,
    /// More could leave at once, but this turn's share is used up.
    paused: bool,
    /// The number of publications that were dropped after the last one that is queued.
    lost: u64,
}

/// A list of this many pieces is not worth shrinking.
const LIST_MIN: usize = 4;
/// Pieces given to the kernel in one call.
const VECTOR_MAX: usize = 16;
/// Copies are joined up to this size.
const JOIN_BYTES: usize = 64 << 10;

impl Outbox {
    /// Makes an empty queue, which is charged to `memory`.
    pub fn new(memory: &Arc<Memory>) -> Outbox {
        Outbox { charge: memory.charge(), ..Outbox::default() }
    }

    /// Makes the queue get another turn, although the socket took nothing: no event will report that it may take more.
    pub fn pause(&mut self) {
        self.paused = true;
    }

    /// Returns the bytes in memory that have not left. Bytes of files are not in memory.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns an upper bound for the memory that is held, in bytes. Shared memory is charged in full.
    pub fn memory_bytes(&self) -> usize {
        self.charged_bytes
    }

    /// Returns the bytes that have left since the queue was new, those of files included.
    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    /// Returns the bytes that have not left, those of files included.
    pub(crate) fn pending(&self) -> u64 {
        let of_files = self.pieces.iter().map(|piece| match piece {
            Piece::File(part) => part.len(),
            _ => 0,
        });
        of_files.fold(self.bytes as u64, u64::saturating_add)
    }

    /// Returns whether the queue is empty.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Returns whether anything other than a published message is queued: a response, or a message of the
    /// connection's own session.
    pub fn holds_answers(&self) -> bool {
        self.answers > 0
    }

    /// Returns whether more could leave at once, though no event will report it: [`Taken::Paused`].
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// Returns the number of published messages that are queued, including one that has begun to leave.
    pub fn published(&self) -> u64 {
        self.pieces.iter().filter(|piece| matches!(piece, Piece::Published(_))).count() as u64
    }

    /// Returns the number of published messages that have left since the last call.
    pub fn take_delivered(&mut self) -> u64 {
        std::mem::take(&mut self.delivered)
    }

    /// Queues a part of a file.
    pub fn push_file(&mut self, part: Box<FilePart>) {
        if part.is_empty() {
            return;
        }
        if self.pieces.is_empty() {
            self.sent = 0;
        }
        self.answers += 1;
        self.add(Piece::File(part));
    }

    /// Queues a piece from its byte `from` on. A file is queued whole.
    pub fn push(&mut self, piece: Piece, from: usize) {
        if let Piece::File(part) = piece {
            return self.push_file(part);
        }
        let bytes = piece.bytes().len() - from;
        if bytes == 0 {
            return;
        }
        let mut piece = if self.pieces.is_empty() {
            self.sent = from;
            piece
        } else if from == 0 {
            piece
        } else {
            match self.copy(&piece.bytes()[from..]) {
                Some(copy) => copy,
                None => return,
            }
        };
        match &mut piece {
            Piece::Published(published) => published.divide(),
            Piece::Owned(owned) if !self.has_memory(owned.capacity()) => return,
            _ => {}
        }
        self.answers += usize::from(!matches!(piece, Piece::Published(_)));
        self.add(piece);
        self.bytes += bytes;
    }

    /// Queues a published message of which `sent` bytes have left. The queue must be empty.
    pub fn push_begun(&mut self, published: Published, sent: usize) {
        debug_assert!(self.is_empty());
        self.push(Piece::Published(published), sent);
    }

    /// Queues a copy of `bytes`.
    pub fn push_copy(&mut self, bytes: &[u8]) {
        match self.pieces.back_mut() {
            Some(Piece::Owned(last)) if last.len() + bytes.len() <= JOIN_BYTES => {
                let before = last.capacity();
                if last.try_reserve_exact(joined_capacity(last, bytes.len()) - last.len()).is_err() {
                    self.run_out();
                    return;
                }
                last.extend_from_slice(bytes);
                let more = last.capacity() - before;
                self.charged_bytes += more;
                self.own_bytes += more;
                self.bytes += bytes.len();
                // At most 64 KiB, and they are there already.
                let _ = self.settle();
            }
            _ if bytes.is_empty() => {}
            _ => {
                if let Some(copy) = self.copy(bytes) {
                    self.push(copy, 0);
                }
            }
        }
    }

    /// Queues what `write` appends to an empty buffer.
    pub fn push_written(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = self.take_spare(0);
        write(&mut bytes);
        self.push(Piece::Owned(bytes), 0);
    }

    /// Returns what [`memory_bytes`](Outbox::memory_bytes) will be after a copy of `copied` bytes is queued.
    pub fn memory_bytes_with(&self, copied: usize) -> usize {
        let more = match self.pieces.back() {
            Some(Piece::Owned(last)) if last.len() + copied <= JOIN_BYTES => {
                joined_capacity(last, copied) - last.capacity()
            }
            _ => PIECE_BYTES + self.copy_capacity(copied),
        };
        self.charged_bytes + more
    }

    /// Returns the indices of the published messages that match `filter` and have not begun to leave, in the
    /// order in which they would leave.
    pub(super) fn waiting(&self, filter: impl Fn(&Published) -> bool) -> impl Iterator<Item = usize> {
        let begun = usize::from(self.sent > 0);
        let matches =
            move |at: &usize| matches!(&self.pieces[*at], Piece::Published(published) if filter(published));
        (begun..self.pieces.len()).filter(matches)
    }

    /// Returns the charge of the piece at index `at`.
    pub(super) fn charge_at(&self, at: usize) -> usize {
        self.pieces[at].charge()
    }

    /// Removes the published message at index `at`, which has not begun to leave. `dropped`: the peer is to be told that
    /// it is missing. The gap before it is passed on to the next message.
    pub(super) fn remove(&mut self, at: usize, dropped: bool) {
        let piece = self.pieces.remove(at).expect("`waiting` returned the index");
        self.bytes -= piece.bytes().len();
        self.subtract(&piece);
        if let Piece::Published(removed) = &piece {
            let lost = removed.lost() + u64::from(dropped);
            let next = self.pieces.range_mut(at..).find_map(|piece| match piece {
                Piece::Published(next) => Some(next),
                _ => None,
            });
            match next {
                Some(next) => next.lose(lost),
                None => self.lose(lost),
            }
        }
        self.shrink_list();
    }

    /// Notes that `publications` were dropped after all that is queued.
    pub fn lose(&mut self, publications: u64) {
        self.lost = self.lost.saturating_add(publications);
    }

    /// Queues a published message behind the gap before it, if there is one.
    pub(super) fn push_published(&mut self, mut published: Published) {
        published.lose(std::mem::take(&mut self.lost));
        self.push(Piece::Published(published), 0);
    }

    /// Returns the number of publications that were dropped at the front of the queue.
    fn gap(&self) -> u64 {
        match self.pieces.front() {
            None => self.lost,
            Some(Piece::Published(first)) if self.sent == 0 => first.lost(),
            Some(_) => 0,
        }
    }

    /// Returns the number of publications that were dropped at the front of the queue, once.
    pub fn take_gap(&mut self) -> u64 {
        match self.pieces.front_mut() {
            None => std::mem::take(&mut self.lost),
            Some(Piece::Published(first)) if self.sent == 0 => first.take_lost(),
            Some(_) => 0,
        }
    }

    /// Queues bytes before all others. The first of those must not have begun to leave.
    pub fn push_front(&mut self, bytes: Vec<u8>) {
        debug_assert!(self.sent == 0 || self.pieces.is_empty());
        if bytes.is_empty() {
            return;
        }
        self.sent = 0;
        self.bytes += bytes.len();
        let piece = Piece::Owned(bytes);
        self.charged_bytes += piece.charge();
        self.own_bytes += piece.own_bytes();
        // It is a few bytes long.
        let _ = self.settle();
        self.answers += 1;
        self.pieces.push_front(piece);
    }

    /// Frees memory that the list needed when it was longer.
    fn shrink_list(&mut self) {
        if self.pieces.capacity() > 4 * self.pieces.len().max(LIST_MIN) {
            self.pieces.shrink_to(2 * self.pieces.len());
        }
    }

    #[cfg(test)]
    pub(super) fn pieces(&self) -> impl Iterator<Item = &Piece> {
        self.pieces.iter()
    }

    /// Passes as much as possible to `write`, which behaves like `sendmsg` and `sendfile`. At most `file_bytes_max`
    /// bytes of files are sent.
    ///
    /// # Errors
    /// Those of `write`, except `WouldBlock` ([`Taken::Blocked`]) and `Interrupted` (tried again). If `write`
    /// takes nothing, the error is `WriteZero`: the socket is dead, or the file is shorter than its part.
    pub fn send(
        &mut self,
        file_bytes_max: usize,
        mut write: impl FnMut(Portion<'_>) -> io::Result<usize>,
    ) -> io::Result<Taken> {
        let (mut progress, mut share) = (false, file_bytes_max);
        self.paused = false;
        loop {
            if self.gap() > 0 {
                return Ok(Taken::Gap { progress });
            }
            let Some(first) = self.pieces.front() else { return Ok(Taken::All) };
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
                    let is_gap = used > 0 && matches!(piece, Piece::Published(next) if next.lost() > 0);
                    if is_gap || matches!(piece, Piece::File(_)) {
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
                    self.release_spare();
                    return Ok(Taken::Blocked { progress });
                }
                // The system is short of memory: nobody will report when it is no longer.
                Err(error) if error.kind() == io::ErrorKind::OutOfMemory => {
                    self.paused = true;
                    return Ok(Taken::Paused);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Removes the first `taken` bytes, which belong to one [`Portion`].
    pub(super) fn take(&mut self, taken: usize) {
        self.left += taken as u64;
        if let Some(Piece::File(part)) = self.pieces.front_mut() {
            part.take(taken as u64);
            if part.is_empty() {
                self.answers -= 1;
                if let Some(piece) = self.pieces.pop_front() {
                    self.retire(piece);
                }
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
            match first {
                Piece::Published(_) => self.delivered += 1,
                _ => self.answers -= 1,
            }
            if let Some(piece) = self.pieces.pop_front() {
                self.retire(piece);
            }
        }
        self.shrink_list();
    }
}

/// Returns the capacity of a piece after `more` bytes are joined to it. It doubles as long as the piece may
/// still grow.
fn joined_capacity(piece: &Vec<u8>, more: usize) -> usize {
    let (needed, capacity) = (piece.len() + more, piece.capacity());
    if needed <= capacity { capacity } else { needed.max((2 * capacity).min(JOIN_BYTES)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;
    use std::sync::Arc;

    /// Returns the bytes of `portion`.
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
    fn bytes_leave_in_order_however_many_the_socket_takes() {
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
            assert_eq!(outbox.answers, outbox.pieces.len());
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
            assert!(outbox.bytes() == 0 && !outbox.holds_answers());
        }
    }

    #[test]
    fn a_file_is_paused_after_its_share_of_a_turn() {
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
    fn the_charge_of_a_copy_is_known_before_it_is_queued() {
        let mut outbox = Outbox::default();
        for bytes in [1, 1, 3, 100, 0, 5000, 60_000, 10, 70_000, 70_000, 2] {
            let expected = outbox.memory_bytes_with(bytes);
            outbox.push_copy(&vec![b'x'; bytes]);
            if bytes > 0 {
                assert_eq!(outbox.memory_bytes(), expected, "{bytes}");
            }
            assert_eq!(outbox.memory_bytes(), outbox.pieces.iter().map(Piece::charge).sum::<usize>());
        }
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
