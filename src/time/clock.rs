//! The machine's clocks, which are read once a turn.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The time at the start of a turn of the event loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since a fixed point; never decreases.
    pub ms: u64,
    /// Seconds since 1970-01-01 UTC, for dates in fields.
    pub unix_secs: u64,
}

/// Reads the machine's clocks: a monotonic one for deadlines, and the system's time for dates.
///
/// ```
/// use fleeting::time::Clock;
///
/// let clock = Clock::new();
/// let (first, second) = (clock.now(), clock.now());
/// assert!(1 <= first.ms && first.ms <= second.ms);
/// ```
#[derive(Debug, Clone)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Creates a clock whose milliseconds begin at 1.
    pub fn new() -> Clock {
        Clock { start: Instant::now() }
    }

    /// Returns the current time.
    pub fn now(&self) -> Now {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { ms: self.now_ms(), unix_secs: unix.as_secs() }
    }

    /// Returns the milliseconds of the current time.
    pub fn now_ms(&self) -> u64 {
        self.elapsed().as_millis() as u64 + 1
    }

    /// Returns the time since the clock was made.
    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}

impl Default for Clock {
    fn default() -> Clock {
        Clock::new()
    }
}
