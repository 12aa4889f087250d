//! Empty outboxes, kept for the next connections that need one.
//!
//! It knows no connection. Its invariants: an outbox that is taken holds nothing, and no more memory is kept than
//! [`KEPT_BYTES`].

use super::memory::Memory;
use super::outbox::Outbox;
use std::sync::Arc;

/// The unused outboxes of a worker.
#[derive(Debug)]
pub struct Outboxes {
    // Boxed, because a connection holds one behind a pointer.
    #[expect(clippy::vec_box, reason = "taking and giving back move the box")]
    spare: Vec<Box<Outbox>>,
    /// What all in `spare` are charged, in bytes.
    bytes: usize,
    /// What all outboxes are charged to.
    memory: Arc<Memory>,
}

/// The most outboxes that are kept.
const SPARE_MAX: usize = 256;
/// The most memory in bytes that they have together.
const KEPT_BYTES: usize = 1 << 20;

impl Outboxes {
    /// Keeps none. Those that are taken are charged to `memory`.
    pub fn new(memory: Arc<Memory>) -> Outboxes {
        Outboxes { spare: Vec::new(), bytes: 0, memory }
    }

    /// Returns the memory that outboxes are charged to.
    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// Returns the bytes of memory that are kept.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns an empty outbox.
    pub fn take(&mut self) -> Box<Outbox> {
        let Some(outbox) = self.spare.pop() else { return Box::new(Outbox::new(&self.memory)) };
        self.bytes -= outbox.charge.bytes();
        outbox
    }

    /// Takes back an outbox that is empty.
    pub fn give(&mut self, mut outbox: Box<Outbox>) {
        outbox.reset();
        let bytes = self.bytes + outbox.charge.bytes();
        if cfg!(any(fuzzing, fleeting_paranoid))
            || self.spare.len() == SPARE_MAX
            || bytes > self.memory.kept_max(KEPT_BYTES)
            || !outbox.charge.is_bounded()
            || outbox.is_short()
        {
            return;
        }
        self.bytes = bytes;
        self.spare.push(outbox);
    }
}

#[cfg(test)]
#[cfg(not(any(fuzzing, fleeting_paranoid)))]
mod tests {
    use super::super::outbox::Portion;
    use super::*;

    /// Sends what is queued.
    fn sent(outbox: &mut Outbox) {
        let length = |portion: Portion<'_>| match portion {
            Portion::Memory(slices) => slices.iter().map(|slice| slice.len()).sum(),
            Portion::File { .. } => unreachable!("no file is queued"),
        };
        outbox.send(0, |portion| Ok(length(portion))).unwrap();
    }

    #[test]
    fn an_outbox_is_as_new_and_has_the_memory_of_its_copies() {
        let memory = Memory::new(1 << 30);
        let mut outboxes = Outboxes::new(memory.clone());
        let mut outbox = outboxes.take();
        outbox.push_copy(b"head");
        outbox.push_copy(&[b'x'; 100 << 10]);
        outbox.pause();
        outbox.lose(1);
        sent(&mut outbox);
        let used = memory.used_bytes();
        outboxes.give(outbox);
        assert!(((100 << 10)..(110 << 10)).contains(&memory.used_bytes()), "{}", memory.used_bytes());
        let mut outbox = outboxes.take();
        assert_eq!((outbox.bytes(), outbox.left(), outbox.memory_bytes(), outbox.take_gap()), (0, 0, 0, 0));
        assert!(outbox.is_empty() && !outbox.is_paused() && !outbox.holds_answers());
        outbox.push_copy(b"head");
        outbox.push_copy(&[b'x'; 100 << 10]);
        sent(&mut outbox);
        assert_eq!(memory.used_bytes(), used);
        drop((outbox, outboxes));
        assert_eq!(memory.used_bytes(), 0);
    }

    #[test]
    fn a_copy_is_charged_as_if_its_memory_were_new_but_for_a_little() {
        let memory = Memory::new(1 << 30);
        let mut outbox = Outbox::new(&memory);
        outbox.push_copy(&[b'x'; 100 << 10]);
        sent(&mut outbox);
        for bytes in [1, 500, 5_000, 20_000] {
            let expected = outbox.memory_bytes_with(bytes);
            outbox.push_copy(&vec![b'x'; bytes]);
            assert!(outbox.memory_bytes() <= 3 * bytes + 2_000, "{bytes}: {}", outbox.memory_bytes());
            assert_eq!(outbox.memory_bytes(), expected, "{bytes}");
            sent(&mut outbox);
        }
    }

    #[test]
    fn a_queue_that_waits_keeps_no_memory_but_for_a_little() {
        let memory = Memory::new(1 << 30);
        let mut outbox = Outbox::new(&memory);
        outbox.push_copy(&[b'x'; 100 << 10]);
        sent(&mut outbox);
        outbox.push_copy(b"x");
        assert!(memory.used_bytes() > 100 << 10);
        outbox.send(0, |_| Err(std::io::ErrorKind::WouldBlock.into())).unwrap();
        assert!(memory.used_bytes() <= 8192, "{}", memory.used_bytes());
    }

    #[test]
    fn no_more_is_kept_than_the_bounds() {
        let memory = Memory::new(1 << 30);
        let mut outboxes = Outboxes::new(memory.clone());
        for _ in 0..20 {
            let mut outbox = Box::new(Outbox::new(&memory));
            outbox.push_copy(&[b'x'; 100 << 10]);
            sent(&mut outbox);
            outboxes.give(outbox);
        }
        assert_eq!(outboxes.spare.len(), 10);
        let mut large = Box::new(Outbox::new(&memory));
        large.push_copy(&[b'x'; 1 << 20]);
        sent(&mut large);
        large.reset();
        assert_eq!(large.own_bytes, 0, "the memory of a large copy is not kept");
        (0..2 * SPARE_MAX).for_each(|_| outboxes.give(Box::new(Outbox::new(&memory))));
        assert_eq!(outboxes.spare.len(), SPARE_MAX);
        outboxes.give(Box::default());
        assert!(memory.used_bytes() <= KEPT_BYTES + (64 << 10), "{}", memory.used_bytes());
    }
}
