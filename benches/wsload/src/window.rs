//! When the measured time of a run begins and ends, and what the CPU times were when it began.

use crate::args::Args;
use crate::die::die;
use crate::hist::Hist;
use crate::report::{cpu_now, finish, Cpu};
use std::time::{Duration, Instant};

/// The longest time without an event.
const PATIENCE: Duration = Duration::from_secs(5);

/// A warm-up, and the measured time behind it.
pub struct Window<'a> {
    a: &'a Args,
    /// When the warm-up ends, and then the measured time.
    until: Instant,
    /// Since when it is measured, and the CPU times then.
    begun: Option<(Instant, Cpu)>,
    last_progress: Instant,
}

/// What a moment is.
pub enum Moment {
    Within,
    /// The measured time has just begun: what was counted before does not count.
    Begin,
    End,
}

impl<'a> Window<'a> {
    /// The warm-up begins at `start`.
    pub fn new(a: &'a Args, start: Instant) -> Window<'a> {
        let until = start + Duration::from_secs_f64(a.warmup);
        Window {
            a,
            until,
            begun: None,
            last_progress: start,
        }
    }

    /// Looks at the clock after a wait that ended `now` with `events` events. Ends the program with `stalled` if nothing has
    /// happened for long.
    pub fn step(&mut self, now: Instant, events: usize, stalled: &str) -> Moment {
        let mut moment = Moment::Within;
        if now >= self.until {
            if self.begun.is_some() {
                return Moment::End;
            }
            let cpu = cpu_now(self.a);
            let begin = Instant::now();
            self.begun = Some((begin, cpu));
            self.until = begin + Duration::from_secs_f64(self.a.secs);
            moment = Moment::Begin;
        }
        if events > 0 {
            self.last_progress = now;
        } else if now.duration_since(self.last_progress) > PATIENCE {
            die(stalled);
        }
        moment
    }

    /// Prints the report of what was counted in the measured time: `count` of `what`.
    pub fn finish(self, what: &str, count: u64, hist: Hist, wire: Option<u64>) {
        let (begun, cpu0) = self.begun.expect("the measured time has begun");
        let secs = begun.elapsed().as_secs_f64();
        finish(self.a, what, count, secs, hist, (cpu0, cpu_now(self.a)), wire);
    }
}
