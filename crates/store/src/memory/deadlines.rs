//! When each entry's life is over: a wheel of wheels, each record in at most one of its lists.
//!
//! It knows records and times, nothing of what they are for. The library's timer wheel is for
//! deadlines that mostly move before they come, and forgets none: entries that are deleted long before their
//! time would stay in it until then, and those with an hour to live would be armed anew each minute. Here an entry
//! is taken out of its list at once, and moved at most once a level on its way to its deadline, to which it is
//! exact.
//!
//! A level has 64 lists; those of level 0 are a millisecond long each, those of each further one as long as all of
//! the one below. An entry is on the level of the highest six bits in which its deadline differs from the time
//! that was reached. So all above those are the same in both, and the first list of the lowest level that has any
//! is the next that is due. Its invariant: the time that was reached is behind the beginning of no list.

use super::log::Log;
use super::record::{At, Half, Long, NONE, Word};

const LEVELS: usize = 8;
/// Lists of a level, and the bits of a time that tell them apart.
const LISTS: usize = 64;
const BITS: u32 = 6;
/// The list of those whose time has been reached, or that are on their way to a lower level.
const NEAR: u16 = (LEVELS * LISTS) as u16;
/// In no list.
const OUT: u16 = NEAR + 1;
/// Beyond this, in nearly 9,000 years, nothing is waited for.
const HORIZON_MS: u64 = 1 << (BITS * LEVELS as u32);

/// The deadline of what has none.
pub(super) const NEVER: u64 = u64::MAX;

/// The deadlines of a table. A record's list is right in the record only if it is the first of one, or in none.
#[derive(Debug)]
pub(super) struct Deadlines {
    /// First record of each list, that of `NEAR` last, or `NONE`.
    heads: [At; LEVELS * LISTS + 1],
    /// Which lists of each level have records.
    filled: [u64; LEVELS],
    /// Every list of a time before this one is empty.
    reached_ms: u64,
    /// No deadline is before this one, but for those in `NEAR`.
    next_ms: u64,
}

impl Deadlines {
    pub(super) const fn new() -> Deadlines {
        Deadlines { heads: [NONE; LEVELS * LISTS + 1], filled: [0; LEVELS], reached_ms: 0, next_ms: NEVER }
    }

    /// Adds a record.
    pub(super) fn link(&mut self, log: &mut Log, at: At, deadline_ms: u64) {
        log.set_long(at, Long::DeadlineMs, deadline_ms);
        if deadline_ms >= HORIZON_MS {
            log.set_half(at, Half::List, OUT);
            return;
        }
        let list = if deadline_ms <= self.reached_ms {
            NEAR
        } else {
            // They differ, so there is a highest bit in which they do.
            let level = (deadline_ms ^ self.reached_ms).ilog2() / BITS;
            let list = (deadline_ms >> (BITS * level)) as usize % LISTS;
            self.filled[level as usize] |= 1 << list;
            self.next_ms = self.next_ms.min(deadline_ms);
            (level as usize * LISTS + list) as u16
        };
        let behind = std::mem::replace(&mut self.heads[usize::from(list)], at);
        if behind != NONE {
            log.set_word(behind, Word::Before, at);
        }
        log.set_word(at, Word::Before, NONE);
        log.set_word(at, Word::Behind, behind);
        log.set_half(at, Half::List, list);
    }

    /// Gives a record another deadline.
    pub(super) fn set(&mut self, log: &mut Log, at: At, deadline_ms: u64) {
        if log.long(at, Long::DeadlineMs) != deadline_ms {
            self.unlink(log, at);
            self.link(log, at, deadline_ms);
        }
    }

    /// Takes a record out.
    pub(super) fn unlink(&mut self, log: &mut Log, at: At) {
        let list = log.half(at, Half::List);
        if list == OUT {
            return;
        }
        let (before, behind) = (log.word(at, Word::Before), log.word(at, Word::Behind));
        if behind != NONE {
            log.set_word(behind, Word::Before, before);
        }
        if before != NONE {
            log.set_word(before, Word::Behind, behind);
            return;
        }
        self.heads[usize::from(list)] = behind;
        if behind != NONE {
            log.set_half(behind, Half::List, list);
        } else if list != NEAR {
            self.filled[usize::from(list) / LISTS] &= !(1 << (usize::from(list) % LISTS));
        }
    }

    /// A record is here now.
    pub(super) fn moved(&mut self, log: &mut Log, to: At) {
        let list = log.half(to, Half::List);
        if list == OUT {
            return;
        }
        match log.word(to, Word::Before) {
            NONE => self.heads[usize::from(list)] = to,
            before => log.set_word(before, Word::Behind, to),
        }
        match log.word(to, Word::Behind) {
            NONE => {}
            behind => log.set_word(behind, Word::Before, to),
        }
    }

    /// A record whose life is over by `now_ms`: it is told until it is taken out. Each that is told, or moved on
    /// the way, is one of the `steps`; `None` if there is no other, or no step left.
    #[inline]
    pub(super) fn due(&mut self, log: &mut Log, now_ms: u64, steps: &mut usize) -> Option<At> {
        if self.heads[usize::from(NEAR)] == NONE && now_ms < self.next_ms {
            return None;
        }
        self.turn(log, now_ms, steps)
    }

    fn turn(&mut self, log: &mut Log, now_ms: u64, steps: &mut usize) -> Option<At> {
        loop {
            let near = self.heads[usize::from(NEAR)];
            if near != NONE {
                *steps = steps.checked_sub(1)?;
                let deadline_ms = log.long(near, Long::DeadlineMs);
                if deadline_ms <= self.reached_ms {
                    return Some(near);
                }
                self.unlink(log, near);
                self.link(log, near, deadline_ms);
                continue;
            }
            let Some((list, begins_ms)) = self.first() else {
                self.next_ms = NEVER;
                self.reached_ms = self.reached_ms.max(now_ms);
                return None;
            };
            if begins_ms > now_ms {
                self.next_ms = begins_ms;
                self.reached_ms = self.reached_ms.max(now_ms);
                return None;
            }
            self.reached_ms = begins_ms;
            self.move_near(log, list);
        }
    }

    /// The list that is due next, and when.
    fn first(&self) -> Option<(usize, u64)> {
        let level = self.filled.iter().position(|lists| *lists != 0)?;
        let list = self.filled[level].trailing_zeros();
        let shift = BITS * level as u32;
        let above = self.reached_ms >> (shift + BITS) << (shift + BITS);
        Some((level * LISTS + list as usize, above | u64::from(list) << shift))
    }

    /// Makes a whole list that of `NEAR`, which is empty.
    fn move_near(&mut self, log: &mut Log, list: usize) {
        let head = std::mem::replace(&mut self.heads[list], NONE);
        self.filled[list / LISTS] &= !(1 << (list % LISTS));
        self.heads[usize::from(NEAR)] = head;
        log.set_half(head, Half::List, NEAR);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::log::tests::{record, seeded};

    fn link(deadlines: &mut Deadlines, log: &mut Log, deadline_ms: u64) -> At {
        let at = record(log, 0);
        deadlines.link(log, at, deadline_ms);
        at
    }

    fn unlink(deadlines: &mut Deadlines, log: &mut Log, at: At) {
        deadlines.unlink(log, at);
        log.free(at);
    }

    /// Takes out what is due, by their deadlines.
    fn take(deadlines: &mut Deadlines, log: &mut Log, now_ms: u64) -> Vec<u64> {
        let mut taken = Vec::new();
        while let Some(at) = deadlines.due(log, now_ms, &mut usize::MAX.clone()) {
            taken.push(log.long(at, Long::DeadlineMs));
            unlink(deadlines, log, at);
        }
        taken
    }

    #[test]
    fn each_is_due_at_its_time_and_not_before() {
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
    fn many_come_go_and_move_against_a_list() {
        for seed in 0..40 {
            let mut random = seeded(seed);
            let (mut deadlines, mut log) = (Deadlines::new(), Log::new());
            let mut model = Vec::<(At, u64)>::new();
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
                        // With few steps, not all may come out, but none too early.
                        let all = random(2) == 0;
                        let mut steps = if all { usize::MAX } else { random(6) as usize };
                        while let Some(at) = deadlines.due(&mut log, now, &mut steps) {
                            let index = model.iter().position(|(known, _)| *known == at).unwrap();
                            let (_, deadline) = model.swap_remove(index);
                            assert!(deadline <= now, "seed {seed}: {deadline} at {now}");
                            unlink(&mut deadlines, &mut log, at);
                        }
                        let late = model.iter().any(|(_, deadline)| *deadline <= now);
                        assert!(!(all && late), "seed {seed}: one is late at {now}");
                    }
                    _ => {}
                }
            }
        }
    }

    /// What makes it constant: whatever the deadlines, few steps are taken for each.
    #[test]
    fn few_steps_for_each() {
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
