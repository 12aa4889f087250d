//! Bytes that the socket did not take, in the order in which they leave.

use super::{FilePart, SlowConsumer};
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
    /// A message that was published.
    Published(Published),
    /// Bytes that are read when they leave.
    File(Box<FilePart>),
}

/// A published message that waits for one subscriber.
#[derive(Debug, Clone)]
pub struct Published {
    /// The topic's name, and behind it the frame. All who wait for it share it.
    block: Arc<[u8]>,
    /// Length of the name, at most that of `block`.
    name_bytes: u32,
    slow: SlowConsumer,
}

impl Published {
    /// `block` is the topic's name, of `name_bytes` bytes, and behind it the frame.
    pub fn new(block: Arc<[u8]>, name_bytes: usize, slow: SlowConsumer) -> Published {
        debug_assert!(name_bytes <= block.len());
        Published { block, name_bytes: name_bytes as u32, slow }
    }

    fn name(&self) -> &[u8] {
        &self.block[..self.name_bytes as usize]
    }

    fn frame(&self) -> &[u8] {
        &self.block[self.name_bytes as usize..]
    }
}

impl Piece {
    /// The bytes in memory: none of a file's.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Piece::Owned(bytes) => bytes,
            Piece::Static(bytes) => bytes,
            Piece::Shared(bytes) => bytes,
            Piece::Published(published) => published.frame(),
            Piece::File(_) => &[],
        }
    }

    /// Bytes of memory that a queue is charged for it: what it shares with others is charged to each.
    fn charge(&self) -> usize {
        PIECE_BYTES
            + match self {
                Piece::Owned(bytes) => bytes.capacity(),
                Piece::Static(_) => 0,
                Piece::Shared(bytes) => bytes.len(),
                Piece::Published(published) => published.block.len(),
                Piece::File(_) => size_of::<FilePart>(),
            }
    }
}

/// What became of a published message, and of those that made room for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offered {
    /// It is queued. If not, it is dropped.
    pub queued: bool,
    /// Older ones that were dropped for it.
    pub dropped_oldest: u64,
    /// Older ones of its topic that it has taken the place of.
    pub conflated: u64,
    /// There was no room, and the policy is to close: all that waited are dropped as well.
    pub too_slow: bool,
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
    /// What all pieces are charged, together.
    charged_bytes: usize,
    /// Pieces that are no published messages.
    answers: usize,
    /// Published messages that have left, all of each.
    delivered: u64,
    /// More could leave at once, but for the share of a turn.
    paused: bool,
}

/// A list of so many pieces is a small one.
const LIST_MIN: usize = 4;
/// Pieces given to the kernel in one call.
const VECTOR_MAX: usize = 16;
/// Copies are joined up to this size.
const JOIN_BYTES: usize = 64 << 10;
/// What a piece needs beside its bytes: its place in the list, of which at most three of four are free, and
/// the two counts of what is shared.
const PIECE_BYTES: usize = 4 * size_of::<Piece>() + 2 * size_of::<usize>();

impl Outbox {
    /// Bytes in memory still to leave. Those of a file wait in the file, and are none.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of memory that are held: a bound for them, with what is shared charged in full.
    pub fn memory_bytes(&self) -> usize {
        self.charged_bytes
    }

    /// Whether nothing is left to leave.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Whether anything is queued that was not published: what the peer was answered, or sent by itself.
    pub fn holds_answers(&self) -> bool {
        self.answers > 0
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
        let piece = Piece::File(part);
        self.charged_bytes += piece.charge();
        self.answers += 1;
        self.pieces.push_back(piece);
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
        let piece = if self.pieces.is_empty() {
            self.sent = from;
            piece
        } else if from == 0 {
            piece
        } else {
            Piece::Owned(piece.bytes()[from..].to_vec())
        };
        self.charged_bytes += piece.charge();
        self.answers += usize::from(!matches!(piece, Piece::Published(_)));
        self.pieces.push_back(piece);
        self.bytes += bytes;
    }

    /// Queues a published message of which `sent` bytes have left, in a queue that is empty.
    pub fn push_begun(&mut self, published: Published, sent: usize) {
        self.push(Piece::Published(published), sent);
    }

    /// Queues a published message, if there is room for it: all that is queued, it included, is to be charged
    /// `memory_bytes_max` at most. If there is none, what becomes of it and of others is for its policy; nothing
    /// is dropped for a message that has no room all the same.
    pub fn offer(&mut self, published: Published, memory_bytes_max: usize) -> Offered {
        let slow = published.slow;
        let charge = PIECE_BYTES + published.block.len();
        let has_room = |charged_bytes: usize| charged_bytes + charge <= memory_bytes_max;
        let mut offered = Offered::default();
        match slow {
            SlowConsumer::Conflate => {
                let same =
                    self.waiting(|other| other.slow == slow && other.name() == published.name()).next();
                if let Some(at) = same.filter(|at| has_room(self.charged_bytes - self.pieces[*at].charge())) {
                    self.drop_at(at);
                    offered.conflated = 1;
                }
            }
            SlowConsumer::DropOldest if !has_room(self.charged_bytes) => {
                let mut charged_bytes = self.charged_bytes;
                let enough = self.waiting(|other| other.slow == slow).position(|at| {
                    charged_bytes -= self.pieces[at].charge();
                    has_room(charged_bytes)
                });
                for _ in 0..enough.map_or(0, |last| last + 1) {
                    let oldest = self.waiting(|other| other.slow == slow).next();
                    self.drop_at(oldest.expect("it was just counted"));
                    offered.dropped_oldest += 1;
                }
            }
            _ => {}
        }
        offered.queued = has_room(self.charged_bytes);
        offered.too_slow = !offered.queued && slow == SlowConsumer::Close;
        if offered.queued {
            self.push(Piece::Published(published), 0);
        }
        offered
    }

    /// Drops all published messages that have not begun to leave. Tells how many they were.
    pub fn drop_published(&mut self) -> u64 {
        let mut dropped = 0;
        loop {
            let Some(at) = self.waiting(|_| true).next() else { return dropped };
            self.drop_at(at);
            dropped += 1;
        }
    }

    /// Published messages that are queued, one that has begun to leave among them.
    pub fn published(&self) -> u64 {
        self.pieces.iter().filter(|piece| matches!(piece, Piece::Published(_))).count() as u64
    }

    /// Published messages that have left since this was asked last.
    pub fn take_delivered(&mut self) -> u64 {
        std::mem::take(&mut self.delivered)
    }

    /// Where the pieces are that are `wanted` and have not begun to leave, the first to leave first.
    fn waiting(&self, wanted: impl Fn(&Published) -> bool) -> impl Iterator<Item = usize> {
        let begun = usize::from(self.sent > 0);
        let wanted =
            move |at: &usize| matches!(&self.pieces[*at], Piece::Published(published) if wanted(published));
        (begun..self.pieces.len()).filter(wanted)
    }

    /// Drops a piece that has not begun to leave.
    fn drop_at(&mut self, at: usize) {
        let piece = self.pieces.remove(at).expect("there is one");
        self.bytes -= piece.bytes().len();
        self.charged_bytes -= piece.charge();
        self.slim();
    }

    /// Gives back what the list needed when it was longer.
    fn slim(&mut self) {
        if self.pieces.capacity() > 4 * self.pieces.len().max(LIST_MIN) {
            self.pieces.shrink_to(2 * self.pieces.len());
        }
    }

    /// What [`memory_bytes`](Outbox::memory_bytes) will be once a copy of so many bytes is queued.
    pub fn memory_bytes_with(&self, copied: usize) -> usize {
        let more = match self.pieces.back() {
            Some(Piece::Owned(last)) if last.len() + copied <= JOIN_BYTES => {
                joined_capacity(last, copied) - last.capacity()
            }
            _ => PIECE_BYTES + copied,
        };
        self.charged_bytes + more
    }

    /// Queues a copy of `bytes`.
    pub fn push_copy(&mut self, bytes: &[u8]) {
        match self.pieces.back_mut() {
            Some(Piece::Owned(last)) if last.len() + bytes.len() <= JOIN_BYTES => {
                let before = last.capacity();
                last.reserve_exact(joined_capacity(last, bytes.len()) - last.len());
                last.extend_from_slice(bytes);
                self.charged_bytes += last.capacity() - before;
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
                self.charged_bytes -= self.pieces.pop_front().as_ref().map_or(0, Piece::charge);
                self.answers -= 1;
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
            self.charged_bytes -= first.charge();
            match first {
                Piece::Published(_) => self.delivered += 1,
                _ => self.answers -= 1,
            }
            self.pieces.pop_front();
        }
        self.slim();
    }
}

/// The room that a piece has once so many bytes are joined to it: it doubles as long as it may be joined to.
fn joined_capacity(piece: &Vec<u8>, more: usize) -> usize {
    let (wanted, capacity) = (piece.len() + more, piece.capacity());
    if wanted <= capacity { capacity } else { wanted.max((2 * capacity).min(JOIN_BYTES)) }
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

    /// Offers messages, `topic:text` each, for which there is room for `room`; what was told of the last, and
    /// what waits then.
    fn offer(slow: SlowConsumer, room: usize, begun: usize, messages: &str) -> (Offered, String) {
        let mut outbox = Outbox::default();
        let mut told = Offered::default();
        for (at, message) in messages.split(' ').enumerate() {
            let (name, text) = message.split_once(':').unwrap();
            let block: Arc<[u8]> = [name, text].concat().into_bytes().into();
            let published = Published::new(block, name.len(), slow);
            told = outbox.offer(published, room * (PIECE_BYTES + message.len() - 1));
            if at == 0 && begun > 0 {
                outbox.take(begun);
            }
        }
        let waits: Vec<_> =
            outbox.pieces.iter().map(|piece| String::from_utf8_lossy(piece.bytes())).collect();
        let waits = waits.join(" ");
        assert_eq!(outbox.published(), outbox.pieces.len() as u64);
        assert_eq!(outbox.bytes, waits.replace(' ', "").len() - begun);
        assert_eq!(outbox.memory_bytes(), outbox.pieces.iter().map(Piece::charge).sum::<usize>());
        (told, waits)
    }

    #[test]
    fn what_has_no_room_is_for_the_policy_to_say() {
        use SlowConsumer::*;
        let queued = Offered { queued: true, ..Offered::default() };
        let check = |slow, begun, messages, told, waits: &str| {
            assert_eq!(offer(slow, 3, begun, messages), (told, waits.to_string()), "{slow} {messages}");
        };
        for slow in SlowConsumer::ALL {
            check(slow, 0, "a:11 b:22 c:33", queued, "11 22 33");
        }
        check(DropNewest, 0, "a:11 b:22 c:33 d:44", Offered::default(), "11 22 33");
        check(DropOldest, 0, "a:11 b:22 c:33 d:44", Offered { dropped_oldest: 1, ..queued }, "22 33 44");
        // What has begun to leave is not dropped.
        check(DropOldest, 1, "a:11 b:22 c:33 d:44", Offered { dropped_oldest: 1, ..queued }, "11 33 44");
        check(Close, 0, "a:11 b:22 c:33 d:44", Offered { too_slow: true, ..Offered::default() }, "11 22 33");
        check(Conflate, 0, "a:11 b:22 a:33", Offered { conflated: 1, ..queued }, "22 33");
        check(Conflate, 1, "a:11 b:22 a:33", queued, "11 22 33");
        check(Conflate, 0, "a:11 b:22 c:33 d:44", Offered::default(), "11 22 33");
        check(Conflate, 0, "a:11 b:22 c:33 c:44", Offered { conflated: 1, ..queued }, "11 22 44");
        // Nothing is dropped for what has no room all the same: these are twice as long as all the room there is.
        let huge = "x".repeat(2 * 3 * (PIECE_BYTES + 3));
        let offer_huge = |slow, messages: &str| {
            let mut outbox = Outbox::default();
            let room = 3 * (PIECE_BYTES + 3);
            for message in messages.split(' ') {
                assert!(outbox.offer(Published::new(message.as_bytes().into(), 1, slow), room).queued);
            }
            let block = ["a", &huge].concat().into_bytes().into();
            let told = outbox.offer(Published::new(block, 1, slow), room);
            (told, outbox.published())
        };
        for slow in [DropNewest, DropOldest, Conflate] {
            assert_eq!(offer_huge(slow, "a11 b22 c33"), (Offered::default(), 3), "{slow}");
        }
    }

    #[test]
    fn only_what_has_the_same_policy_is_dropped_for_another() {
        let mut outbox = Outbox::default();
        let published = |slow| Published::new(b"txx".as_slice().into(), 1, slow);
        let room = 3 * (PIECE_BYTES + 3);
        outbox.push_copy(b"answer");
        assert!(outbox.offer(published(SlowConsumer::Conflate), room).queued);
        assert_eq!(outbox.offer(published(SlowConsumer::DropOldest), room), Offered::default());
        assert_eq!(outbox.offer(published(SlowConsumer::DropNewest), room), Offered::default());
        assert_eq!(outbox.drop_published(), 1);
        assert_eq!((outbox.bytes(), outbox.published()), (6, 0));
        assert!(outbox.offer(published(SlowConsumer::DropOldest), room).queued);
        let answer = |portion: Portion<'_>| Ok(read(&portion).len().min(6));
        let mut once = false;
        let blocked = outbox.send(0, |portion| match std::mem::replace(&mut once, true) {
            false => answer(portion),
            true => Err(io::ErrorKind::WouldBlock.into()),
        });
        assert!(matches!(blocked, Ok(Taken::Blocked { progress: true })) && !outbox.holds_answers());
        let all = |portion: Portion<'_>| Ok(read(&portion).len());
        assert!(matches!(outbox.send(0, all), Ok(Taken::All)));
        assert_eq!((outbox.take_delivered(), outbox.take_delivered(), outbox.memory_bytes()), (1, 0, 0));
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
    fn what_a_copy_takes_is_known_before() {
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
