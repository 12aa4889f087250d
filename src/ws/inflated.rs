//! Where inflated messages lie, one after the other.
//!
//! Knows no codec. Invariant: it grows with what was written to it, never past what a message may have
//! and one byte, which shows that there was more; growing included it takes less than twice that.

/// The last message that was inflated.
#[derive(Debug, Default)]
pub struct Inflated {
    /// Initialised throughout, so that it can be written to without filling it first.
    memory: Vec<u8>,
    /// Bytes of the message so far; at most `memory.len()`.
    len: usize,
}

/// Room that is made for any message, if it may be so long.
const ROOM_BYTES: usize = 4 << 10;
/// Bytes that are kept for the next message, which may have 64 KiB: the rest is the room that is made for
/// its end.
const KEPT_BYTES: usize = 72 << 10;

impl Inflated {
    /// One without any memory.
    pub fn new() -> Inflated {
        Inflated::default()
    }

    /// The message.
    pub fn bytes(&self) -> &[u8] {
        &self.memory[..self.len]
    }

    /// Bytes of memory it holds.
    pub fn held_bytes(&self) -> usize {
        self.memory.capacity()
    }

    /// Gives back what a rare large message has taken. The message is forgotten.
    pub fn trim(&mut self) {
        self.len = 0;
        if self.memory.len() > KEPT_BYTES {
            self.memory.truncate(KEPT_BYTES);
            self.memory.shrink_to_fit();
        }
    }

    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    /// Makes room for `bytes` more, but for no more than a byte past `bytes_max` in all.
    pub(super) fn reserve(&mut self, bytes: usize, bytes_max: usize) {
        let whole = bytes_max.saturating_add(1);
        let needed = self.len.saturating_add(bytes).min(whole);
        if self.memory.len() >= needed {
            return;
        }
        let doubled = needed.max(self.len.saturating_mul(2)).max(ROOM_BYTES);
        // While it is moved both places are taken: the last move begins at three quarters at most.
        let wanted = if doubled > whole / 4 * 3 { whole } else { doubled };
        self.memory.reserve_exact(wanted - self.memory.len());
        self.memory.resize(wanted, 0);
    }

    /// Room behind what was written, as much as there is and may be used; at least a byte as long as the
    /// message is not longer than `bytes_max`.
    pub(super) fn room(&mut self, bytes_max: usize) -> &mut [u8] {
        self.reserve(1, bytes_max);
        let end = self.memory.len().min(bytes_max.saturating_add(1));
        &mut self.memory[self.len..end]
    }

    /// The first `bytes` bytes of [`room`](Inflated::room) now hold what was inflated.
    pub(super) fn filled(&mut self, bytes: usize) {
        self.len += bytes;
        debug_assert!(self.len <= self.memory.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fills all the room there is, over and over; returns the most bytes that were held at once.
    fn overflow(out: &mut Inflated, bytes_max: usize) -> usize {
        let mut held = 0;
        while out.len <= bytes_max {
            let before = out.held_bytes();
            let room = out.room(bytes_max).len();
            let moved = if out.held_bytes() == before { 0 } else { before };
            held = held.max(moved + out.held_bytes());
            assert!(room > 0);
            out.filled(room);
        }
        assert_eq!(out.len, bytes_max + 1);
        held
    }

    #[test]
    fn grows_to_the_limit_and_a_byte() {
        let mut kept = Inflated::new();
        for bytes_max in [0, 1, 100, 4094, 4095, 4096, 4097, 6000, 8191, 8192, 12_288, 100_000, 1 << 20] {
            let held = overflow(&mut Inflated::new(), bytes_max);
            assert!(held < 2 * (bytes_max + 1), "{bytes_max}: {held}");
            // Whatever it was used for before.
            kept.clear();
            overflow(&mut kept, bytes_max);
            assert_eq!(kept.held_bytes(), bytes_max + 1);
        }
        kept.trim();
        assert!(kept.bytes().is_empty() && kept.held_bytes() == KEPT_BYTES);
        kept.trim();
        assert_eq!(kept.held_bytes(), KEPT_BYTES);
    }

    #[test]
    fn room_that_is_there_is_not_made_again() {
        let mut out = Inflated::new();
        out.reserve(8 << 10, 1 << 20);
        let held = out.held_bytes();
        out.filled(100);
        out.reserve(8 << 9, 1 << 20);
        assert_eq!((out.held_bytes(), out.bytes().len()), (held, 100));
        out.reserve(1 << 30, 1 << 20);
        assert_eq!(out.held_bytes(), (1 << 20) + 1, "not for what may not be");
    }
}
