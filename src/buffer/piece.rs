//! The pieces that an outbox queues.
//!
//! Knows no queue. Invariant: a piece owns its bytes, or shares memory that lives as long as the piece.

use super::{FilePart, SlowConsumer};
use std::sync::Arc;

/// Bytes that wait to leave.
#[derive(Debug, Clone)]
pub enum Piece {
    /// Bytes of its own.
    Owned(Vec<u8>),
    /// Bytes of the program's.
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
    /// The topic's name, followed by the frame. All subscribers that wait for it share it.
    block: Arc<[u8]>,
    /// Length of the name, at most that of `block`.
    name_bytes: u32,
    policy: SlowConsumer,
}

/// What a piece needs besides its bytes: its slot in the list, of which at most three of four are free, and
/// the two counts of an `Arc`.
pub(super) const PIECE_BYTES: usize = 4 * size_of::<Piece>() + 2 * size_of::<usize>();

impl Published {
    /// Makes a message of `block`, which holds the topic's name, of `name_bytes` bytes, followed by the frame.
    pub fn new(block: Arc<[u8]>, name_bytes: usize, policy: SlowConsumer) -> Published {
        debug_assert!(name_bytes <= block.len());
        Published { block, name_bytes: name_bytes as u32, policy }
    }

    pub(super) fn name(&self) -> &[u8] {
        &self.block[..self.name_bytes as usize]
    }

    fn frame(&self) -> &[u8] {
        &self.block[self.name_bytes as usize..]
    }

    pub(super) fn policy(&self) -> SlowConsumer {
        self.policy
    }

    /// Returns the bytes of memory that a queue is charged for the message, shared ones in full.
    pub(super) fn charge(&self) -> usize {
        PIECE_BYTES + self.block.len()
    }
}

impl Piece {
    /// Returns the bytes in memory; those of a file are not.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Piece::Owned(bytes) => bytes,
            Piece::Static(bytes) => bytes,
            Piece::Shared(bytes) => bytes,
            Piece::Published(published) => published.frame(),
            Piece::File(_) => &[],
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
