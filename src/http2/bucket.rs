//! A leaky bucket: how much of what makes work and brings nothing a peer may send.
//!
//! It knows no frame. Its invariant: no peer passes more than [`ROOM`] at once, nor [`A_SECOND`] for long.

/// What fits into an empty bucket.
const ROOM: u32 = 1_000;
/// What leaks out of it in a second.
const A_SECOND: u64 = 33;

/// Counts frames that ask for work and carry no request: resets, pings, settings, empty frames, small windows.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bucket {
    level: u32,
    /// When the level was computed, in milliseconds, modulo 2^32.
    since_ms: u32,
}

impl Bucket {
    /// Adds one. Returns whether it found room.
    pub fn add(&mut self, now_ms: u64) -> bool {
        let now_ms = now_ms as u32;
        let leaked = u64::from(now_ms.wrapping_sub(self.since_ms)) * A_SECOND / 1_000;
        if leaked >= u64::from(self.level) {
            (self.level, self.since_ms) = (0, now_ms);
        } else if leaked > 0 {
            self.level -= leaked as u32;
            self.since_ms = self.since_ms.wrapping_add((leaked * 1_000 / A_SECOND) as u32);
        }
        self.level += 1;
        self.level <= ROOM
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_fits_and_a_flood_does_not() {
        let mut bucket = Bucket::default();
        assert!((0..ROOM).all(|_| bucket.add(5)));
        assert!(!bucket.add(5));
    }

    #[test]
    fn it_leaks() {
        let mut bucket = Bucket::default();
        let steady =
            |bucket: &mut Bucket, from: u64, gap: u64| (0..5_000).find(|at| !bucket.add(from + at * gap));
        assert_eq!(steady(&mut bucket, 0, 31), None, "33 a second are fine for ever");
        assert!(steady(&mut bucket, 155_000, 20).is_some(), "50 a second are not");
        // After more than 2^32 ms.
        assert!(bucket.add((1 << 32) + 200_000_000));
    }
}
