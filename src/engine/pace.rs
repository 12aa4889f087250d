//! How slowly content or a message may arrive: a grace period, and after it a number of bytes a second.
//!
//! It knows no connection and no clock. Its invariant: however much has arrived, a peer that sends nothing for twice the
//! grace period is too slow.

/// Bytes per second at which something must arrive once its grace period has passed.
const FLOOR: u64 = 1024;

/// How far something has arrived, measured against the slowest pace. Times are milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace {
    /// The time that it has used. What arrives faster than at the slowest pace gains time, but never more than `grace`: the
    /// rest counts as used.
    pub(super) used: u64,
    /// The time until it is too slow if nothing more arrives; 0 if it is too slow already.
    pub(super) left: u64,
}

impl Pace {
    /// `used`: the time since it began to arrive, or what was counted as used at that time and what has passed since.
    /// `bytes`: how much has arrived. A `grace` of `u64::MAX` never ends.
    #[inline]
    pub(super) fn new(used: u64, bytes: u64, grace: u64) -> Pace {
        let allowed = grace.saturating_add(bytes.saturating_mul(1000) / FLOOR);
        let left = allowed.saturating_sub(used);
        let left_max = grace.saturating_mul(2);
        Pace { used: used.saturating_add(left.saturating_sub(left_max)), left: left.min(left_max) }
    }
}

/// When a WebSocket's message began to arrive, with all its fragments and the control frames between them; or that none is
/// arriving. It is small enough for bytes of the connection's record that would be padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct MessageClock {
    runs: bool,
    /// The low 48 bits of the time in milliseconds.
    since: [u8; 6],
}

/// 48 bits.
const MASK: u64 = (1 << 48) - 1;

impl MessageClock {
    /// Notes that no message is arriving.
    #[inline]
    pub(super) fn stop(&mut self) {
        self.runs = false;
    }

    /// Notes that a message has used this much of its time.
    pub(super) fn set(&mut self, used: u64, now_ms: u64) {
        let [since @ .., _, _] = now_ms.wrapping_sub(used).to_le_bytes();
        *self = MessageClock { runs: true, since };
    }

    /// Returns the time that the message has used. One that has just begun has used none.
    pub(super) fn used(&self, now_ms: u64) -> u64 {
        if !self.runs {
            return 0;
        }
        let [a, b, c, d, e, f] = self.since;
        now_ms.wrapping_sub(u64::from_le_bytes([a, b, c, d, e, f, 0, 0])) & MASK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_arrives_gains_time_up_to_the_grace_period() {
        fn check(used: u64, bytes: u64, expected_used: u64, expected_left: u64) {
            let expected = Pace { used: expected_used, left: expected_left };
            assert_eq!(Pace::new(used, bytes, 5000), expected, "{used} ms, {bytes} bytes");
        }
        check(0, 0, 0, 5000);
        check(4000, 0, 4000, 1000);
        check(5000, 0, 5000, 0);
        check(6000, 0, 6000, 0);
        check(5000, 1024, 5000, 1000);
        check(7000, 1024, 7000, 0);
        check(0, 5 * 1024, 0, 10_000);
        // Finding C2: the rest of what came at once is not saved up.
        check(0, 6 * 1024, 1000, 10_000);
        check(0, 2048 * 1024, 2_043_000, 10_000);
        check(2_043_000 + 10_000, 2048 * 1024, 2_053_000, 0);
        check(2_043_000 + 10_000, 2049 * 1024, 2_053_000, 1000);
    }

    #[test]
    fn no_grace_period_is_too_long() {
        assert_eq!(Pace::new(u64::MAX - 1, 0, u64::MAX).left, 1);
        assert_eq!(Pace::new(0, u64::MAX, u64::MAX).left, u64::MAX);
        assert_eq!(Pace::new(0, 0, u64::MAX / 2).left, u64::MAX / 2);
        assert_eq!(Pace::new(0, u64::MAX, 1000).left, 2000);
    }

    #[test]
    fn a_clock_that_runs_keeps_its_time() {
        let mut clock = MessageClock::default();
        assert_eq!(clock.used(1_000_000), 0);
        for now in [0, 1, 1 << 47, MASK, MASK + 1, u64::MAX >> 8] {
            for used in [0, 1, 5000, 1 << 40] {
                clock.set(used, now);
                assert_eq!((clock.used(now), clock.used(now + 7)), (used, used + 7), "{now}");
            }
        }
        clock.stop();
        assert_eq!(clock.used(1_000_000), 0);
        assert_eq!((size_of::<MessageClock>(), align_of::<MessageClock>()), (7, 1));
    }
}
