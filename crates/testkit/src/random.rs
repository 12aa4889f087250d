//! Random numbers that are the same in every run: splitmix64.
//!
//! It knows no clock and no system. Invariant: a seed decides all that follows.

/// A sequence of numbers that is decided by a seed.
#[derive(Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        // Mixed, so that the sequence of one seed is not a piece of another's.
        let mut random = Random(seed);
        random.bits();
        Random(random.bits() ^ seed.rotate_left(32))
    }

    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number from 0 up to, but not including, `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.bits() % end as u64) as usize
    }

    /// Returns a number from `low` to `high`, both included.
    pub fn within(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    /// Returns `true` in `per_mille` of a thousand cases.
    pub fn chance(&mut self, per_mille: usize) -> bool {
        self.below(1000) < per_mille
    }

    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// Returns `length` random bytes, which no compression makes smaller.
    pub fn noise(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.bits() as u8).collect()
    }

    /// Returns `length` bytes made of at most 20 words: compressible, how well depends on the draw.
    pub fn repetitive(&mut self, length: usize) -> Vec<u8> {
        let words: Vec<Vec<u8>> = (0..self.within(1, 20))
            .map(|_| {
                let bytes = self.within(1, 30);
                self.noise(bytes)
            })
            .collect();
        let mut message = Vec::new();
        while message.len() < length {
            message.extend_from_slice(&words[self.below(words.len())]);
        }
        message.truncate(length);
        message
    }
}
