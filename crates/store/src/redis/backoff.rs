//! The time between attempts to connect.
//!
//! It knows no clock. Its caller passes in the random number, so tests are exact.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// Waits that double from 20 ms to one second. Each is shortened by up to a half at random, so that clients that have
/// lost the same server do not all come back at once.
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

    /// Returns how long to wait after a failed attempt.
    pub(super) fn wait(&mut self, random: u64) -> Duration {
        let whole = self.next_ms;
        self.next_ms = (whole * 2).min(LAST_MS);
        Duration::from_millis(whole - random % (whole / 2 + 1))
    }

    /// Starts over after a successful attempt.
    pub(super) fn reset(&mut self) {
        *self = Backoff::new();
    }
}

/// Returns an unpredictable number, which two processes are unlikely to share.
pub(super) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_second() {
        let waits = |random: u64| {
            let mut backoff = Backoff::new();
            let waits: Vec<u128> = (0..9).map(|_| backoff.wait(random).as_millis()).collect();
            backoff.reset();
            assert_eq!(backoff.wait(random).as_millis(), waits[0]);
            waits
        };
        assert_eq!(waits(0), [20, 40, 80, 160, 320, 640, 1000, 1000, 1000]);
        for random in 1..3000 {
            let longest = [20, 40, 80, 160, 320, 640, 1000, 1000, 1000];
            let within = |(wait, longest): (u128, u128)| (longest / 2..=longest).contains(&wait);
            assert!(waits(random).into_iter().zip(longest).all(within), "{random}");
        }
        assert_ne!(random(), random());
    }
}
