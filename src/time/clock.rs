//! The machine's clocks, read once a turn.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A point in time, as one turn of the loop sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since some fixed point; never goes back.
    pub ms: u64,
    /// Seconds since 1970-01-01 UTC, for the Date field.
    pub unix_secs: u64,
}

/// Reads the time.
#[derive(Debug, Clone)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that begins at 1 ms.
    pub fn new() -> Clock {
        Clock { start: Instant::now() }
    }

    /// The time at this moment.
    pub fn now(&self) -> Now {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { ms: self.now_ms(), unix_secs: unix.as_secs() }
    }

    /// The milliseconds of the time at this moment.
    pub fn now_ms(&self) -> u64 {
        self.start.elapsed().as_millis() as u64 + 1
    }
}

impl Default for Clock {
    fn default() -> Clock {
        Clock::new()
    }
}
