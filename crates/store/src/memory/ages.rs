//! Which record was left alone longest.
//!
//! It knows records and times, nothing of what they are for. Its invariant: the list from the oldest to the
//! newest has every record once, and their times never go back along it.

use super::log::Log;
use super::record::{At, Long, NONE, Word};

/// Records in the order in which they were touched.
#[derive(Debug)]
pub(super) struct Ages {
    /// `NONE` if there are no records, as the other.
    oldest: At,
    newest: At,
}

impl Ages {
    pub(super) const fn new() -> Ages {
        Ages { oldest: NONE, newest: NONE }
    }

    /// Adds a record, as the newest.
    pub(super) fn link(&mut self, log: &mut Log, at: At, now_ms: u64) {
        log.set_long(at, Long::TouchedMs, now_ms);
        log.set_word(at, Word::Older, self.newest);
        log.set_word(at, Word::Newer, NONE);
        self.point(log, at);
    }

    /// Makes a record the newest.
    pub(super) fn touch(&mut self, log: &mut Log, at: At, now_ms: u64) {
        if self.newest == at {
            return log.set_long(at, Long::TouchedMs, now_ms);
        }
        self.unlink(log, at);
        self.link(log, at, now_ms);
    }

    /// Takes a record out.
    pub(super) fn unlink(&mut self, log: &mut Log, at: At) {
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

    /// A record is here now.
    pub(super) fn moved(&mut self, log: &mut Log, to: At) {
        self.point(log, to);
    }

    /// When the oldest was touched.
    pub(super) fn oldest_ms(&self, log: &Log) -> Option<u64> {
        (self.oldest != NONE).then(|| log.long(self.oldest, Long::TouchedMs))
    }

    /// Has the records beside `at` refer to it.
    fn point(&mut self, log: &mut Log, at: At) {
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
    fn the_oldest_is_the_one_that_was_touched_first() {
        let mut random = seeded(3);
        let (mut log, mut ages, mut model) = (Log::new(), Ages::new(), Vec::<(At, u64)>::new());
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
