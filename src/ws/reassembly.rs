//! The payload of a fragmented message, while its frames arrive.
//!
//! It knows no frame. Its invariant: it holds at most `message_bytes`.

use crate::buffer::{Charge, NoMemory};
use crate::config::Limits;

/// The fragments of a message that have arrived.
#[derive(Debug)]
pub(super) struct Reassembly {
    /// The message is text, as its first frame says.
    pub(super) text: bool,
    /// The first frame is marked as compressed.
    pub(super) compressed: bool,
    /// The last frame has arrived.
    pub(super) complete: bool,
    /// The number of frames so far.
    pub(super) fragments: usize,
    /// Their payloads. The capacity is at most `message_bytes`.
    pub(super) payload: Vec<u8>,
    pub(super) charge: Charge,
}

impl Reassembly {
    pub(super) fn new(text: bool, compressed: bool) -> Box<Reassembly> {
        let (payload, charge) = (Vec::new(), Charge::default());
        Box::new(Reassembly { text, compressed, complete: false, fragments: 0, payload, charge })
    }

    /// Adds a fragment. The capacity doubles, but not past the limit.
    pub(super) fn add(&mut self, fragment: &[u8], limits: &Limits) -> Result<(), NoMemory> {
        let needed = self.payload.len() + fragment.len();
        if needed > self.payload.capacity() {
            let doubled = needed.saturating_mul(2).min(limits.message_bytes);
            let more = doubled.max(needed) - self.payload.len();
            if self.payload.try_reserve_exact(more).is_err() {
                self.charge.run_out();
                return Err(NoMemory);
            }
        }
        self.payload.extend_from_slice(fragment);
        self.fragments += 1;
        Ok(())
    }
}
