//! When each entry's life is over: a wheel of wheels, each entry in at most one of its lists.
//!
//! It knows indices and times, nothing of what they are for. [`time::Wheel`](crate::time::Wheel) is for
//! deadlines that mostly move before they come, and forgets none: entries that are deleted long before their
//! time would stay in it until then, and those with an hour to live would be armed anew each minute. Here an entry
//! is taken out of its list at once, and moved at most once a level on its way to its deadline, to which it is
//! exact.
//!
//! A level has 64 lists; those of level 0 are a millisecond long each, those of each further one as long as all of
//! the one below. An entry is on the level of the highest six bits in which its deadline differs from the time
//! that was reached. So all above those are the same in both, and the first list of the lowest level that has any
//! is the next that is due. Its invariant: the time that was reached is behind the beginning of no list.

use super::table::trim;

const NONE: u32 = u32::MAX;
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

/// The deadlines of a table.
#[derive(Debug)]
pub(super) struct Deadlines {
    /// First entry of each list, that of `NEAR` last: an index, or `NONE`.
    heads: [u32; LEVELS * LISTS + 1],
    /// Which lists of each level have entries.
    filled: [u64; LEVELS],
    /// Of each entry.
    links: Vec<Link>,
    /// Every list of a time before this one is empty.
    reached_ms: u64,
    /// No deadline is before this one, but for those in `NEAR`.
    next_ms: u64,
}

#[derive(Debug, Clone, Copy)]
struct Link {
    deadline_ms: u64,
    /// The entries beside it in its list, or `NONE`.
    before: u32,
    behind: u32,
    /// Which list it is in. Right only for the first entry of one, and for those in none.
    list: u16,
}

impl Deadlines {
    pub(super) const fn new() -> Deadlines {
        Deadlines {
            heads: [NONE; LEVELS * LISTS + 1],
            filled: [0; LEVELS],
            links: Vec::new(),
            reached_ms: 0,
            next_ms: NEVER,
        }
    }

    /// Adds an entry; its index is how many there were.
    pub(super) fn push(&mut self, deadline_ms: u64) {
        self.links.push(Link { deadline_ms, before: NONE, behind: NONE, list: OUT });
        self.link(self.links.len() - 1);
    }

    /// Gives an entry another deadline.
    pub(super) fn set(&mut self, index: usize, deadline_ms: u64) {
        if self.links[index].deadline_ms != deadline_ms {
            self.unlink(index);
            self.links[index].deadline_ms = deadline_ms;
            self.link(index);
        }
    }

    /// Takes an entry out; the last one gets its index.
    pub(super) fn swap_remove(&mut self, index: usize) {
        self.unlink(index);
        self.links.swap_remove(index);
        if let Some(Link { before, behind, list, .. }) = self.links.get(index).copied()
            && list != OUT
        {
            match before {
                NONE => self.heads[usize::from(list)] = index as u32,
                before => self.links[before as usize].behind = index as u32,
            }
            if behind != NONE {
                self.links[behind as usize].before = index as u32;
            }
        }
        trim(&mut self.links);
    }

    /// When the entry's life is over.
    #[inline]
    pub(super) fn of(&self, index: usize) -> u64 {
        self.links[index].deadline_ms
    }

    /// An entry whose life is over by `now_ms`: it is told until it is taken out. Each that is told, or moved on
    /// the way, is one of the `steps`; `None` if there is no other, or no step left.
    #[inline]
    pub(super) fn due(&mut self, now_ms: u64, steps: &mut usize) -> Option<usize> {
        if self.heads[usize::from(NEAR)] == NONE && now_ms < self.next_ms {
            return None;
        }
        self.turn(now_ms, steps)
    }

    fn turn(&mut self, now_ms: u64, steps: &mut usize) -> Option<usize> {
        loop {
            let near = self.heads[usize::from(NEAR)];
            if near != NONE {
                let index = near as usize;
                *steps = steps.checked_sub(1)?;
                if self.links[index].deadline_ms <= self.reached_ms {
                    return Some(index);
                }
                self.unlink(index);
                self.link(index);
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
            self.move_near(list);
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
    fn move_near(&mut self, list: usize) {
        let head = std::mem::replace(&mut self.heads[list], NONE);
        self.filled[list / LISTS] &= !(1 << (list % LISTS));
        self.heads[usize::from(NEAR)] = head;
        self.links[head as usize].list = NEAR;
    }

    /// Puts an entry into the list of its deadline.
    fn link(&mut self, index: usize) {
        let deadline_ms = self.links[index].deadline_ms;
        if deadline_ms >= HORIZON_MS {
            (self.links[index].list, self.links[index].before) = (OUT, NONE);
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
        let behind = std::mem::replace(&mut self.heads[usize::from(list)], index as u32);
        if behind != NONE {
            self.links[behind as usize].before = index as u32;
        }
        let link = &mut self.links[index];
        (link.before, link.behind, link.list) = (NONE, behind, list);
    }

    /// Takes an entry out of its list.
    fn unlink(&mut self, index: usize) {
        let Link { before, behind, list, .. } = self.links[index];
        if behind != NONE {
            self.links[behind as usize].before = before;
        }
        if before != NONE {
            self.links[before as usize].behind = behind;
        } else if list != OUT {
            self.heads[usize::from(list)] = behind;
            if behind != NONE {
                self.links[behind as usize].list = list;
            } else if list != NEAR {
                self.filled[usize::from(list) / LISTS] &= !(1 << (usize::from(list) % LISTS));
            }
        }
        let link = &mut self.links[index];
        (link.before, link.behind, link.list) = (NONE, NONE, OUT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seeded(mut seed: u64) -> impl FnMut(u64) -> u64 {
        move |below| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 16) % below
        }
    }

    /// Takes out what is due, by their deadlines.
    fn take(deadlines: &mut Deadlines, now_ms: u64) -> Vec<u64> {
        let mut taken = Vec::new();
        while let Some(index) = deadlines.due(now_ms, &mut usize::MAX.clone()) {
            taken.push(deadlines.of(index));
            deadlines.swap_remove(index);
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
                let mut deadlines = Deadlines::new();
                assert_eq!(take(&mut deadlines, begin), [0; 0]);
                deadlines.push(deadline);
                assert_eq!(take(&mut deadlines, deadline - 1), [0; 0], "{deadline} from {begin}");
                assert_eq!(take(&mut deadlines, deadline), [deadline], "from {begin}");
            }
        }
        let mut deadlines = Deadlines::new();
        for never in [NEVER, HORIZON_MS, NEVER - 1] {
            deadlines.push(never);
        }
        assert_eq!(take(&mut deadlines, HORIZON_MS - 1), [0; 0]);
    }

    #[test]
    fn many_come_go_and_move_against_a_list() {
        for seed in 0..40 {
            let mut random = seeded(seed);
            let (mut deadlines, mut model) = (Deadlines::new(), Vec::<u64>::new());
            let mut now = random(1 << 30);
            for _ in 0..2000 {
                let far = [10, 100, 5000, 1_000_000, 1 << 45][random(5) as usize];
                let deadline = if random(20) == 0 { NEVER } else { now + random(far) };
                match random(8) {
                    0..3 => {
                        deadlines.push(deadline);
                        model.push(deadline);
                    }
                    3 if !model.is_empty() => {
                        let index = random(model.len() as u64) as usize;
                        deadlines.set(index, deadline);
                        model[index] = deadline;
                    }
                    4 if !model.is_empty() => {
                        let index = random(model.len() as u64) as usize;
                        deadlines.swap_remove(index);
                        model.swap_remove(index);
                    }
                    5 => {
                        // With few steps, not all may come out, but none too early.
                        let mut steps = random(6) as usize;
                        while let Some(index) = deadlines.due(now, &mut steps) {
                            assert!(model[index] <= now);
                            assert_eq!(deadlines.of(index), model[index]);
                            deadlines.swap_remove(index);
                            model.swap_remove(index);
                        }
                    }
                    6 => {
                        let jump = [2, 70, 5000, 1 << 22, 1 << 44][random(5) as usize];
                        now += random(jump);
                        now = now.min(HORIZON_MS - 1);
                        while let Some(index) = deadlines.due(now, &mut usize::MAX.clone()) {
                            assert!(model[index] <= now, "{} at {now}", model[index]);
                            deadlines.swap_remove(index);
                            model.swap_remove(index);
                        }
                        assert!(
                            model.iter().all(|deadline| *deadline > now),
                            "seed {seed}: one is late at {now}"
                        );
                    }
                    _ => {}
                }
            }
            for (index, deadline) in model.iter().enumerate() {
                assert_eq!(deadlines.of(index), *deadline);
            }
        }
    }

    /// What makes it constant: whatever the deadlines, few steps are taken for each.
    #[test]
    fn few_steps_for_each() {
        let mut random = seeded(9);
        let (mut deadlines, mut steps, mut pushed) = (Deadlines::new(), 0, 0);
        for now in (0..2_000_000).step_by(100) {
            for _ in 0..5 {
                deadlines.push(now + 1 + random(3_600_000));
                pushed += 1;
            }
            let mut left = usize::MAX;
            while let Some(index) = deadlines.due(now, &mut left) {
                deadlines.swap_remove(index);
            }
            steps += usize::MAX - left;
        }
        assert!(steps < pushed * 5, "{steps} steps for {pushed} entries");
    }
}
