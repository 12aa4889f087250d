//! When entries expire: a hierarchical timer wheel in which each record is in at most one list.
//!
//! It knows records and times, not what they are for. The library's timer wheel suits deadlines that usually move before
//! they arrive, and it forgets none: entries deleted long before their deadline would stay in it until then, and entries
//! with an hour to live would be armed again every minute. Here an entry leaves its list at once, moves at most once per
//! level on the way to its deadline, and expires exactly then.
//!
//! A level has 64 lists. A list of level 0 covers one millisecond; a list of each further level covers as much as the
//! whole level below. An entry is on the level of the highest six bits in which its deadline differs from the time
//! reached. All bits above are equal in both, so the first list of the lowest level with any list is the next one due.
//! Invariant: the time reached is not past the start of any list.

use super::log::Log;
use super::record::{Address, Half, Long, NONE, Word};

const LEVELS: usize = 8;
/// The lists of a level, and the bits of a time that select one.
const LISTS: usize = 64;
const BITS: u32 = 6;
/// The list of records whose start was reached: each is due or moves to a lower level.
const PENDING: u16 = (LEVELS * LISTS) as u16;
/// The number that stands for no list.
const UNLISTED: u16 = PENDING + 1;
/// Deadlines from here on, in nearly 9,000 years, are not tracked.
const HORIZON_MS: u64 = 1 << (BITS * LEVELS as u32);

/// The deadline of an entry that never expires.
pub(super) const NEVER: u64 = u64::MAX;

/// The deadlines of a table. The field [`Half::List`] of a record is only valid if the record is the first of its list or
/// in none.
#[derive(Debug)]
pub(super) struct Deadlines {
    /// The first record of each list or `NONE`; `PENDING` is the last list.
    heads: [Address; LEVELS * LISTS + 1],
    /// The lists of each level that have records, one bit each.
    filled: [u64; LEVELS],
    /// Every list for a time before this one is empty.
    reached_ms: u64,
    /// No deadline is earlier, except for those in `PENDING`.
    next_ms: u64,
}

impl Deadlines {
    pub(super) const fn new() -> Deadlines {
        Deadlines { heads: [NONE; LEVELS * LISTS + 1], filled: [0; LEVELS], reached_ms: 0, next_ms: NEVER }
    }

    /// Adds a record.
    pub(super) fn link(&mut self, log: &mut Log, at: Address, deadline_ms: u64) {
        log.set_long(at, Long::DeadlineMs, deadline_ms);
        if deadline_ms >= HORIZON_MS {
            log.set_half(at, Half::List, UNLISTED);
            return;
        }
        let list = if deadline_ms <= self.reached_ms {
            PENDING
        } else {
            // The two differ, so there is a highest bit in which they do.
            let level = (deadline_ms ^ self.reached_ms).ilog2() / BITS;
            let list = (deadline_ms >> (BITS * level)) as usize % LISTS;
            self.filled[level as usize] |= 1 << list;
            self.next_ms = self.next_ms.min(deadline_ms);
            (level as usize * LISTS + list) as u16
        };
        let next = std::mem::replace(&mut self.heads[usize::from(list)], at);
        if next != NONE {
            log.set_word(next, Word::ListPrevious, at);
        }
        log.set_word(at, Word::ListPrevious, NONE);
        log.set_word(at, Word::ListNext, next);
        log.set_half(at, Half::List, list);
    }

    /// Replaces the deadline of a record.
    pub(super) fn set(&mut self, log: &mut Log, at: Address, deadline_ms: u64) {
        if log.long(at, Long::DeadlineMs) != deadline_ms {
            self.unlink(log, at);
            self.link(log, at, deadline_ms);
        }
    }

    /// Removes a record.
    pub(super) fn unlink(&mut self, log: &mut Log, at: Address) {
        let list = log.half(at, Half::List);
        if list == UNLISTED {
            return;
        }
        let (previous, next) = (log.word(at, Word::ListPrevious), log.word(at, Word::ListNext));
        if next != NONE {
            log.set_word(next, Word::ListPrevious, previous);
        }
        if previous != NONE {
            log.set_word(previous, Word::ListNext, next);
            return;
        }
        self.heads[usize::from(list)] = next;
        if next != NONE {
            log.set_half(next, Half::List, list);
        } else if list != PENDING {
            self.filled[usize::from(list) / LISTS] &= !(1 << (usize::from(list) % LISTS));
        }
    }

    /// Updates the links to a record that has moved to `to`.
    pub(super) fn moved(&mut self, log: &mut Log, to: Address) {
        let list = log.half(to, Half::List);
        if list == UNLISTED {
            return;
        }
        match log.word(to, Word::ListPrevious) {
            NONE => self.heads[usize::from(list)] = to,
            previous => log.set_word(previous, Word::ListNext, to),
        }
        match log.word(to, Word::ListNext) {
            NONE => {}
            next => log.set_word(next, Word::ListPrevious, to),
        }
    }

    /// Returns a record that has expired by `now_ms`: the same one until the caller removes it. Each record that is
    /// returned, or moved on the way, uses up one of the `steps`. Returns `None` if no other has expired or no step is
    /// left.
    #[inline]
    pub(super) fn due(&mut self, log: &mut Log, now_ms: u64, steps: &mut usize) -> Option<Address> {
        if self.heads[usize::from(PENDING)] == NONE && now_ms < self.next_ms {
            return None;
        }
        self.advance(log, now_ms, steps)
    }

    fn advance(&mut self, log: &mut Log, now_ms: u64, steps: &mut usize) -> Option<Address> {
        loop {
            let pending = self.heads[usize::from(PENDING)];
            if pending != NONE {
                *steps = steps.checked_sub(1)?;
                let deadline_ms = log.long(pending, Long::DeadlineMs);
                if deadline_ms <= self.reached_ms {
                    return Some(pending);
                }
                self.unlink(log, pending);
                self.link(log, pending, deadline_ms);
                continue;
            }
            let Some((list, start_ms)) = self.next_list() else {
                self.next_ms = NEVER;
                self.reached_ms = self.reached_ms.max(now_ms);
                return None;
            };
            if start_ms > now_ms {
                self.next_ms = start_ms;
                self.reached_ms = self.reached_ms.max(now_ms);
                return None;
            }
            self.reached_ms = start_ms;
            self.make_pending(log, list);
        }
    }

    /// Returns the list that is due next, and its start.
    fn next_list(&self) -> Option<(usize, u64)> {
        let level = self.filled.iter().position(|lists| *lists != 0)?;
        let list = self.filled[level].trailing_zeros();
        let shift = BITS * level as u32;
        let above = self.reached_ms >> (shift + BITS) << (shift + BITS);
        Some((level * LISTS + list as usize, above | u64::from(list) << shift))
    }

    /// Moves a whole list to `PENDING`, which is empty.
    fn make_pending(&mut self, log: &mut Log, list: usize) {
        let head = std::mem::replace(&mut self.heads[list], NONE);
        self.filled[list / LISTS] &= !(1 << (list % LISTS));
        self.heads[usize::from(PENDING)] = head;
        log.set_half(head, Half::List, PENDING);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::log::tests::{record, seeded};

    fn link(deadlines: &mut Deadlines, log: &mut Log, deadline_ms: u64) -> Address {
        let at = record(log, 0);
        deadlines.link(log, at, deadline_ms);
        at
    }

    fn unlink(deadlines: &mut Deadlines, log: &mut Log, at: Address) {
        deadlines.unlink(log, at);
        log.free(at);
    }

    /// Removes all that is due. Returns the deadlines.
    fn take(deadlines: &mut Deadlines, log: &mut Log, now_ms: u64) -> Vec<u64> {
        let mut taken = Vec::new();
        while let Some(at) = deadlines.due(log, now_ms, &mut usize::MAX.clone()) {
            taken.push(log.long(at, Long::DeadlineMs));
            unlink(deadlines, log, at);
        }
        taken
    }

    #[test]
    fn a_record_is_due_at_its_deadline_and_not_before() {
        for deadline in [1, 2, 63, 64, 65, 4095, 4096, 4097, 1 << 20, (1 << 40) + 12_345, HORIZON_MS - 1] {
            for begin in [0, 1, 62, 64, 4000, 1 << 19] {
                if begin >= deadline {
                    continue;
                }
                let (mut deadlines, mut log) = (Deadlines::new(), Log::new());
                assert_eq!(take(&mut deadlines, &mut log, begin), [0; 0]);
                link(&mut deadlines, &mut log, deadline);
                assert_eq!(take(&mut deadlines, &mut log, deadline - 1), [0; 0], "{deadline} from {begin}");
                assert_eq!(take(&mut deadlines, &mut log, deadline), [deadline], "from {begin}");
            }
        }
        let (mut deadlines, mut log) = (Deadlines::new(), Log::new());
        for never in [NEVER, HORIZON_MS, NEVER - 1] {
            link(&mut deadlines, &mut log, never);
        }
        assert_eq!(take(&mut deadlines, &mut log, HORIZON_MS - 1), [0; 0]);
    }

    #[test]
    fn random_operations_agree_with_a_list() {
        for seed in 0..40 {
            let mut random = seeded(seed);
            let (mut deadlines, mut log) = (Deadlines::new(), Log::new());
            let mut model = Vec::<(Address, u64)>::new();
            let mut now = random(1 << 30);
            for _ in 0..2000 {
                let far = [10, 100, 5000, 1_000_000, 1 << 45][random(5) as usize];
                let deadline = if random(20) == 0 { NEVER } else { now + random(far) };
                let index = random(model.len().max(1) as u64) as usize;
                match random(8) {
                    0..3 => model.push((link(&mut deadlines, &mut log, deadline), deadline)),
                    3 if !model.is_empty() => {
                        deadlines.set(&mut log, model[index].0, deadline);
                        model[index].1 = deadline;
                    }
                    4 if !model.is_empty() => {
                        let (at, _) = model.swap_remove(index);
                        unlink(&mut deadlines, &mut log, at);
                    }
                    5 if !model.is_empty() => {
                        let to = log.relocate(model[index].0).unwrap();
                        deadlines.moved(&mut log, to);
                        log.free(std::mem::replace(&mut model[index].0, to));
                    }
                    6 => {
                        let jump = [2, 70, 5000, 1 << 22, 1 << 44][random(5) as usize];
                        now = (now + random(jump)).min(HORIZON_MS - 1);
                        // With few steps, not all due records may be returned, but none too early.
                        let all = random(2) == 0;
                        let mut steps = if all { usize::MAX } else { random(6) as usize };
                        while let Some(at) = deadlines.due(&mut log, now, &mut steps) {
                            let index = model.iter().position(|(known, _)| *known == at).unwrap();
                            let (_, deadline) = model.swap_remove(index);
                            assert!(deadline <= now, "seed {seed}: {deadline} at {now}");
                            unlink(&mut deadlines, &mut log, at);
                        }
                        let late = model.iter().any(|(_, deadline)| *deadline <= now);
                        assert!(!(all && late), "seed {seed}: a record is late at {now}");
                    }
                    _ => {}
                }
            }
        }
    }

    /// This makes the cost constant: whatever the deadlines, each record takes few steps.
    #[test]
    fn each_record_takes_few_steps() {
        let mut random = seeded(9);
        let (mut deadlines, mut log, mut steps, mut linked) = (Deadlines::new(), Log::new(), 0, 0);
        for now in (0..2_000_000).step_by(100) {
            for _ in 0..5 {
                link(&mut deadlines, &mut log, now + 1 + random(3_600_000));
                linked += 1;
            }
            let mut left = usize::MAX;
            while let Some(at) = deadlines.due(&mut log, now, &mut left) {
                unlink(&mut deadlines, &mut log, at);
            }
            steps += usize::MAX - left;
        }
        assert!(steps < linked * 5, "{steps} steps for {linked} records");
    }
}
