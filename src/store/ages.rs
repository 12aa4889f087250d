//! Which entry was left alone longest.
//!
//! It knows indices and times, nothing of what they are for. Its invariant: the list from the oldest to the
//! newest has every entry once, and their times never go back along it.

use super::table::trim;

const NONE: u32 = u32::MAX;

/// Entries in the order in which they were touched.
#[derive(Debug)]
pub(super) struct Ages {
    /// Of each entry.
    links: Vec<Link>,
    /// Both an index, or `NONE` if there are no entries.
    oldest: u32,
    newest: u32,
}

#[derive(Debug, Clone, Copy)]
struct Link {
    touched_ms: u64,
    /// The entries beside it in the list, or `NONE`.
    older: u32,
    newer: u32,
}

impl Ages {
    pub(super) const fn new() -> Ages {
        Ages { links: Vec::new(), oldest: NONE, newest: NONE }
    }

    /// Adds an entry; its index is how many there were.
    pub(super) fn push(&mut self, now_ms: u64) {
        self.links.push(Link { touched_ms: now_ms, older: NONE, newer: NONE });
        self.append(self.links.len() as u32 - 1);
    }

    /// Makes an entry the newest.
    pub(super) fn touch(&mut self, index: usize, now_ms: u64) {
        self.unlink(index);
        self.links[index].touched_ms = now_ms;
        self.append(index as u32);
    }

    /// Takes an entry out; the last one gets its index.
    pub(super) fn swap_remove(&mut self, index: usize) {
        self.unlink(index);
        self.links.swap_remove(index);
        if let Some(Link { older, newer, .. }) = self.links.get(index).copied() {
            *self.newer_of(older) = index as u32;
            *self.older_of(newer) = index as u32;
        }
        trim(&mut self.links);
    }

    /// When the oldest was touched.
    pub(super) fn oldest_ms(&self) -> Option<u64> {
        self.links.get(self.oldest as usize).map(|link| link.touched_ms)
    }

    fn append(&mut self, index: u32) {
        let older = std::mem::replace(&mut self.newest, index);
        let link = &mut self.links[index as usize];
        (link.older, link.newer) = (older, NONE);
        *self.newer_of(older) = index;
    }

    fn unlink(&mut self, index: usize) {
        let Link { older, newer, .. } = self.links[index];
        *self.newer_of(older) = newer;
        *self.older_of(newer) = older;
    }

    /// What says which entry follows `index`; the beginning of the list is what follows none.
    fn newer_of(&mut self, index: u32) -> &mut u32 {
        if index == NONE { &mut self.oldest } else { &mut self.links[index as usize].newer }
    }

    /// What says which entry is before `index`; the end of the list is what is before none.
    fn older_of(&mut self, index: u32) -> &mut u32 {
        if index == NONE { &mut self.newest } else { &mut self.links[index as usize].older }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_the_one_that_was_touched_first() {
        let mut seed = 3u64;
        let mut random = move |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % below
        };
        let (mut ages, mut model) = (Ages::new(), Vec::<u64>::new());
        for now in 0..20_000 {
            match random(3) {
                0 if model.len() < 40 => {
                    ages.push(now);
                    model.push(now);
                }
                1 if !model.is_empty() => {
                    let index = random(model.len());
                    ages.touch(index, now);
                    model[index] = now;
                }
                _ if !model.is_empty() => {
                    let index = random(model.len());
                    ages.swap_remove(index);
                    model.swap_remove(index);
                }
                _ => {}
            }
            assert_eq!(ages.oldest_ms(), model.iter().min().copied());
        }
    }
}
