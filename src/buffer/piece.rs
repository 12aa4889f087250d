//! The pieces that an outbox queues.
//!
//! It knows no queue. Its invariant: a piece owns its bytes, or shares memory that lives as long as the piece.

use super::{FilePart, SlowConsumer};
use std::sync::Arc;

/// Bytes that wait to leave.
#[derive(Debug, Clone)]
pub enum Piece {
    /// Bytes that the piece owns.
    Owned(Vec<u8>),
    /// Bytes that live as long as the program.
    Static(&'static [u8]),
    /// Bytes that several connections send.
    Shared(Arc<[u8]>),
    /// A message that was published.
    Published(Published),
    /// Bytes that are read from a file when they leave.
    File(Box<FilePart>),
}

/// A published message that waits for one subscriber.
#[derive(Debug, Clone)]
pub struct Published {
    /// The topic's name, followed by the frame. All outboxes that hold the message share it.
    block: Arc<[u8]>,
    /// Length of the name in bytes, at most the length of `block`.
    name_bytes: u32,
    policy: SlowConsumer,
    /// What one queue is charged of the server's memory: its part of the block, at the time at which it was queued.
    part_bytes: u32,
    /// The number of publications that were dropped just before it, and that the peer has not been told of.
    lost: u32,
}

/// Memory that a piece is charged besides its bytes: four slots of the list, because up to three of four
/// slots may be free, and the two counts of an `Arc`.
pub(super) const PIECE_BYTES: usize = 4 * size_of::<Piece>() + 2 * size_of::<usize>();

impl Published {
    /// Makes a message of `block`, which holds the topic's name, of `name_bytes` bytes, followed by the frame.
    pub fn new(block: Arc<[u8]>, name_bytes: usize, policy: SlowConsumer) -> Published {
        debug_assert!(name_bytes <= block.len());
        Published { block, name_bytes: name_bytes as u32, policy, part_bytes: 0, lost: 0 }
    }

    /// Divides the block among those that hold it.
    pub(super) fn divide(&mut self) {
        let bytes = self.block.len() / Arc::strong_count(&self.block);
        self.part_bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    }

    pub(super) fn name(&self) -> &[u8] {
        &self.block[..self.name_bytes as usize]
    }

    fn frame(&self) -> &[u8] {
        &self.block[self.name_bytes as usize..]
    }

    /// Returns the number of publications that were dropped just before it.
    pub(super) fn lost(&self) -> u64 {
        u64::from(self.lost)
    }

    /// Notes that `publications` more were dropped just before it.
    pub(super) fn lose(&mut self, publications: u64) {
        self.lost = self.lost.saturating_add(u32::try_from(publications).unwrap_or(u32::MAX));
    }

    /// Returns the number of publications that were dropped just before it, and forgets it.
    pub(super) fn take_lost(&mut self) -> u64 {
        u64::from(std::mem::take(&mut self.lost))
    }

    pub(super) fn policy(&self) -> SlowConsumer {
        self.policy
    }

    /// Returns the bytes of memory that a queue is charged for the message. Shared memory is charged in full.
    pub(super) fn charge(&self) -> usize {
        PIECE_BYTES + self.block.len()
    }
}

impl Piece {
    /// Returns the bytes in memory. A file has none.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Piece::Owned(bytes) => bytes,
            Piece::Static(bytes) => bytes,
            Piece::Shared(bytes) => bytes,
            Piece::Published(published) => published.frame(),
            Piece::File(_) => &[],
        }
    }

    /// Returns the bytes of the server's memory that the piece takes. A published message is divided among the queues that
    /// hold it; other shared memory belongs to the application.
    pub(super) fn own_bytes(&self) -> usize {
        PIECE_BYTES
            + match self {
                Piece::Owned(bytes) => bytes.capacity(),
                Piece::Static(_) | Piece::Shared(_) => 0,
                Piece::Published(published) => published.part_bytes as usize,
                Piece::File(_) => size_of::<FilePart>(),
            }
    }

    /// Returns the bytes of memory that a queue is charged for the piece. Shared memory is charged in full to
    /// every queue that holds it.
    pub(super) fn charge(&self) -> usize {
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
