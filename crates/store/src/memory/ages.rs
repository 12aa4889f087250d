//! The order in which records were touched.
//!
//! It knows records and times, not what they are for. Invariant: the list from the oldest to the newest contains every
//! record once, and times never decrease along it.

use super::log::Log;
use super::record::{Address, Long, NONE, Word};

/// Records in the order in which they were touched.
#[derive(Debug)]
pub(super) struct Ages {
    /// Both are `NONE` if there are no records.
    oldest: Address,
    newest: Address,
}

impl Ages {
    pub(super) const fn new() -> Ages {
        Ages { oldest: NONE, newest: NONE }
    }

    /// Adds a record as the newest.
    pub(super) fn link(&mut self, log: &mut Log, at: Address, now_ms: u64) {
        log.set_long(at, Long::TouchedMs, now_ms);
        log.set_word(at, Word::Older, self.newest);
        log.set_word(at, Word::Newer, NONE);
        self.link_neighbors(log, at);
    }

    /// Makes a record the newest.
    pub(super) fn touch(&mut self, log: &mut Log, at: Address, now_ms: u64) {
        if self.newest == at {
            return log.set_long(at, Long::TouchedMs, now_ms);
        }
        self.unlink(log, at);
        self.link(log, at, now_ms);
    }

    /// Removes a record.
    pub(super) fn unlink(&mut self, log: &mut Log, at: Address) {
        let (older, newer) = (log.word(at, Word::Older), log.word(at, Word::Newer));
        match older {
            NONE => self.oldest = newer,
            older => log.set_word(older, Word::Newer, newer),
        }
        match newer {
            NONE => self.newest = older,
            newer => log.set_word(newer, Word::Older, older),
        }
    }

    /// Updates the links to a record that has moved to `to`.
    pub(super) fn moved(&mut self, log: &mut Log, to: Address) {
        self.link_neighbors(log, to);
    }

    /// Returns the time at which the oldest record was touched.
    pub(super) fn oldest_ms(&self, log: &Log) -> Option<u64> {
        (self.oldest != NONE).then(|| log.long(self.oldest, Long::TouchedMs))
    }

    /// Makes the neighbors of `at` refer to it.
    fn link_neighbors(&mut self, log: &mut Log, at: Address) {
        match log.word(at, Word::Older) {
            NONE => self.oldest = at,
            older => log.set_word(older, Word::Newer, at),
        }
        match log.word(at, Word::Newer) {
            NONE => self.newest = at,
            newer => log.set_word(newer, Word::Older, at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::log::tests::{record, seeded};

    #[test]
    fn the_oldest_record_is_the_one_touched_first() {
        let mut random = seeded(3);
        let (mut log, mut ages, mut model) = (Log::new(), Ages::new(), Vec::<(Address, u64)>::new());
        for now in 0..20_000 {
            let index = random(model.len().max(1) as u64) as usize;
            match random(4) {
                0 if model.len() < 40 => {
                    let at = record(&mut log, 0);
                    ages.link(&mut log, at, now);
                    model.push((at, now));
                }
                1 if !model.is_empty() => {
                    let (at, touched) = &mut model[index];
                    ages.touch(&mut log, *at, now);
                    *touched = now;
                }
                2 if !model.is_empty() => {
                    let (at, _) = model.swap_remove(index);
                    ages.unlink(&mut log, at);
                    log.free(at);
                }
                3 if !model.is_empty() => {
                    let (at, _) = &mut model[index];
                    let to = log.relocate(*at).unwrap();
                    ages.moved(&mut log, to);
                    log.free(*at);
                    *at = to;
                }
                _ => {}
            }
            assert_eq!(ages.oldest_ms(&log), model.iter().map(|(_, touched)| *touched).min());
        }
    }
}
