//! How long is waited between attempts to connect.
//!
//! It knows no clock and no chance: that is passed in.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// Waits that double from 20 ms to a second, each shorter by up to a half, so that those who have lost the
/// same peer do not all come back at once.
#[derive(Debug)]
pub(super) struct Backoff {
    /// The longest that the next wait may be.
    next_ms: u64,
}

const FIRST_MS: u64 = 20;
const LAST_MS: u64 = 1000;

impl Backoff {
    pub(super) fn new() -> Backoff {
        Backoff { next_ms: FIRST_MS }
    }

    /// An attempt has failed: how long to wait before the next one.
    pub(super) fn wait(&mut self, chance: u64) -> Duration {
        let whole = self.next_ms;
        self.next_ms = (whole * 2).min(LAST_MS);
        Duration::from_millis(whole - chance % (whole / 2 + 1))
    }

    /// An attempt has not failed.
    pub(super) fn reset(&mut self) {
        *self = Backoff::new();
    }
}

/// A number that nobody can foresee, and that two will hardly have in common.
pub(super) fn chance() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_second() {
        let waits = |chance: u64| {
            let mut backoff = Backoff::new();
            let waits: Vec<u128> = (0..9).map(|_| backoff.wait(chance).as_millis()).collect();
            backoff.reset();
            assert_eq!(backoff.wait(chance).as_millis(), waits[0]);
            waits
        };
        assert_eq!(waits(0), [20, 40, 80, 160, 320, 640, 1000, 1000, 1000]);
        for chance in 1..3000 {
            let longest = [20, 40, 80, 160, 320, 640, 1000, 1000, 1000];
            let within = |(wait, longest): (u128, u128)| (longest / 2..=longest).contains(&wait);
            assert!(waits(chance).into_iter().zip(longest).all(within), "{chance}");
        }
        assert_ne!(chance(), chance());
    }
}
