//! The buffers that a TLS connection works with during one call: where plaintext goes, and what is to be sent.
//!
//! They know no record. Invariant: no byte is lost for lack of room.

/// Where decrypted bytes go: to the reader's buffer, and what does not fit there to the connection's own.
pub(super) struct Plaintext<'a> {
    room: &'a mut [u8],
    filled: usize,
    rest: &'a mut Vec<u8>,
}

impl<'a> Plaintext<'a> {
    pub(super) fn new(room: &'a mut [u8], rest: &'a mut Vec<u8>) -> Plaintext<'a> {
        Plaintext { room, filled: 0, rest }
    }

    pub(super) fn put(&mut self, bytes: &[u8]) {
        let fits = bytes.len().min(self.room.len() - self.filled);
        self.room[self.filled..self.filled + fits].copy_from_slice(&bytes[..fits]);
        self.filled += fits;
        self.rest.extend_from_slice(&bytes[fits..]);
    }

    /// Returns how many bytes the reader's buffer has got.
    pub(super) fn filled(&self) -> usize {
        self.filled
    }
}

/// What is to be sent, in memory that is reused.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// All of it is initialized; what lies behind `end` is room.
    memory: Vec<u8>,
    end: usize,
}

/// Memory that is kept from one call to the next.
const KEPT_BYTES: usize = 128 << 10;

impl Outgoing {
    /// Returns room for at least `bytes` behind what is there.
    pub(super) fn room(&mut self, bytes: usize) -> &mut [u8] {
        if self.memory.len() - self.end < bytes {
            self.memory.resize(self.end + bytes, 0);
        }
        &mut self.memory[self.end..]
    }

    /// Adds the first `bytes` bytes of the room.
    pub(super) fn filled(&mut self, bytes: usize) {
        self.end += bytes;
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.memory[..self.end]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.end == 0
    }

    pub(super) fn clear(&mut self) {
        self.end = 0;
        if self.memory.len() > KEPT_BYTES {
            self.memory = Vec::new();
        }
    }
}
