//! A coarse hashed timer wheel.
//!
//! It knows keys, not connections. Its invariant: an entry fires in the tick it was armed
//! for, never before.
//!
//! An entry is not moved when its deadline moves. The owner keeps the deadline as a number, compares when the
//! entry fires, and arms again if the deadline has moved on. Activity on a connection therefore costs only a
//! store.

/// The length of a tick in milliseconds, which is how late an entry may fire.
const TICK_MS: u64 = 128;
/// The number of ticks that the wheel spans, about a minute.
const SLOTS: u64 = 512;
const NONE: u32 = u32::MAX;

/// A number of ticks since the wheel's start. An entry's tick is never 0. The type is small because every
/// connection stores one. 32 bits last for 17 years.
pub type Tick = u32;

/// An entry whose tick has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The key that the entry was armed with.
    pub key: u32,
    /// The tick that the entry was armed for, as [`Wheel::arm`] returned it.
    pub tick: Tick,
}

#[derive(Debug)]
struct Node {
    key: u32,
    /// Index into `nodes`, or `NONE`.
    next: u32,
}

/// A timer wheel: arming and firing an entry take constant time.
///
/// After [`advance`](Wheel::advance), [`pop`](Wheel::pop) returns the entries that are due.
#[derive(Debug)]
pub struct Wheel {
    /// The first node in each slot's list: an index into `nodes`, or `NONE`.
    slots: Box<[u32]>,
    /// The start of tick 0.
    start_ms: u64,
    nodes: Vec<Node>,
    /// The first node in the list of free nodes: an index into `nodes`, or `NONE`.
    free: u32,
    /// All ticks up to this one have fired.
    fired: u64,
    /// The current tick: entries for ticks up to this one are due.
    current: u64,
    /// The tick of the first armed entry; `u64::MAX` if nothing is armed.
    earliest: u64,
    armed: usize,
}

impl Wheel {
    /// Creates an empty wheel that starts at `now_ms` and does not move its first `room` entries.
    pub fn new(now_ms: u64, room: usize) -> Wheel {
        Wheel {
            slots: vec![NONE; SLOTS as usize].into(),
            start_ms: now_ms,
            nodes: Vec::with_capacity(room),
            free: NONE,
            fired: 0,
            current: 0,
            earliest: u64::MAX,
            armed: 0,
        }
    }

    /// Returns the tick in which a deadline is noticed: the first tick that begins after the deadline.
    #[inline]
    pub fn tick_of(&self, deadline_ms: u64) -> u64 {
        deadline_ms.saturating_sub(self.start_ms) / TICK_MS + 1
    }

    /// Arms an entry for `deadline_ms` and returns its tick. A deadline beyond the wheel's span is armed for
    /// the last tick; the owner arms it again when it fires.
    pub fn arm(&mut self, key: u32, deadline_ms: u64) -> Tick {
        let tick = self.tick_of(deadline_ms).clamp(self.fired + 1, self.fired + SLOTS - 1);
        let slot = (tick % SLOTS) as usize;
        let node = Node { key, next: self.slots[slot] };
        let index = if self.free == NONE {
            self.nodes.push(node);
            (self.nodes.len() - 1) as u32
        } else {
            let index = self.free;
            self.free = std::mem::replace(&mut self.nodes[index as usize], node).next;
            index
        };
        self.slots[slot] = index;
        self.earliest = self.earliest.min(tick);
        self.armed += 1;
        tick as Tick
    }

    /// Sets the time. [`pop`](Wheel::pop) then returns the entries that are due.
    #[inline]
    pub fn advance(&mut self, now_ms: u64) {
        self.current = self.current.max(now_ms.saturating_sub(self.start_ms) / TICK_MS);
    }

    /// Removes and returns the next entry that is due, in the order of ticks.
    #[inline]
    pub fn pop(&mut self) -> Option<Due> {
        if !self.is_due() {
            self.fired = self.current;
            return None;
        }
        Some(self.pop_due())
    }

    fn pop_due(&mut self) -> Due {
        self.fired = self.fired.max(self.earliest - 1);
        let slot = (self.earliest % SLOTS) as usize;
        let index = self.slots[slot];
        let node = &mut self.nodes[index as usize];
        let due = Due { key: node.key, tick: self.earliest as Tick };
        self.slots[slot] = std::mem::replace(&mut node.next, self.free);
        self.free = index;
        self.armed -= 1;
        if self.slots[slot] == NONE {
            self.find_earliest();
        }
        due
    }

    /// Moves `earliest` to the next slot with an entry.
    fn find_earliest(&mut self) {
        let from = self.earliest + 1;
        // All entries are within SLOTS ticks of the one that fires.
        self.earliest = if self.armed == 0 {
            u64::MAX
        } else {
            (from..from + SLOTS).find(|tick| self.slots[(tick % SLOTS) as usize] != NONE).unwrap_or(u64::MAX)
        };
    }

    /// Returns whether [`pop`](Wheel::pop) would return an entry.
    #[inline]
    pub fn is_due(&self) -> bool {
        self.earliest <= self.current
    }

    /// Returns when the next entry fires, in the milliseconds of `now_ms`; `None` if nothing is armed.
    #[inline]
    pub fn next_ms(&self) -> Option<u64> {
        (self.earliest != u64::MAX).then(|| self.start_ms + self.earliest * TICK_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(wheel: &mut Wheel, now_ms: u64) -> Vec<u32> {
        wheel.advance(now_ms);
        std::iter::from_fn(|| wheel.pop()).map(|due| due.key).collect()
    }

    #[test]
    fn an_entry_fires_after_its_deadline_within_a_tick() {
        for deadline in [0, 1, 127, 128, 129, 1000, 10_000, 60_000] {
            let mut wheel = Wheel::new(0, 0);
            wheel.arm(7, deadline);
            assert_eq!(due(&mut wheel, deadline), [0; 0], "{deadline}: early");
            assert!(wheel.next_ms().unwrap() > deadline);
            assert!(wheel.next_ms().unwrap() <= deadline + TICK_MS);
            assert_eq!(due(&mut wheel, deadline + TICK_MS), [7], "{deadline}");
            assert_eq!(wheel.next_ms(), None);
        }
    }

    #[test]
    fn a_wheel_may_start_at_any_time() {
        for start in [1, 1000, 1 << 40, u64::MAX / 2] {
            let mut wheel = Wheel::new(start, 0);
            assert_eq!(wheel.arm(7, start), 1, "{start}");
            assert_eq!(due(&mut wheel, start + TICK_MS - 1), [0; 0], "{start}");
            assert_eq!(wheel.next_ms(), Some(start + TICK_MS));
            assert_eq!(due(&mut wheel, start + TICK_MS), [7], "{start}");
        }
    }

    #[test]
    fn a_far_deadline_is_armed_again_on_the_way() {
        let mut wheel = Wheel::new(1000, 0);
        let deadline = 1000 + 10 * SLOTS * TICK_MS;
        let mut tick = wheel.arm(1, deadline);
        let mut rounds = 0;
        loop {
            let now = wheel.next_ms().unwrap();
            wheel.advance(now);
            let due = wheel.pop().unwrap();
            assert_eq!(due, Due { key: 1, tick });
            rounds += 1;
            if now >= deadline {
                break;
            }
            tick = wheel.arm(1, deadline);
            assert_eq!(wheel.pop(), None);
        }
        assert!((10..13).contains(&rounds), "{rounds}");
    }

    #[test]
    fn each_entry_fires_once_and_in_order_when_time_jumps() {
        let mut wheel = Wheel::new(0, 0);
        let mut seed = 1u64;
        let mut random = move |below: u64| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 33) % below
        };
        let mut waiting = std::collections::BTreeMap::new();
        let (mut now, mut key) = (0, 0);
        for _ in 0..20_000 {
            if random(3) > 0 {
                let deadline = now + random(SLOTS * TICK_MS - 2 * TICK_MS);
                wheel.arm(key, deadline);
                waiting.insert(key, deadline);
                key += 1;
            } else {
                let jump = if random(20) == 0 { 200_000 } else { 300 };
                now += random(jump);
                wheel.advance(now);
                let mut last = 0;
                while let Some(due) = wheel.pop() {
                    let deadline = waiting.remove(&due.key).expect("fires once");
                    assert!(deadline < now && due.tick >= last);
                    last = due.tick;
                }
                assert!(waiting.values().all(|deadline| deadline + TICK_MS >= now));
            }
        }
        assert!(wheel.nodes.len() < 3000, "{} nodes: free ones must be reused", wheel.nodes.len());
    }
}
