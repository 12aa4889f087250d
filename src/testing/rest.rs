//! Runs an engine without a poll.
//!
//! It knows no connection. Its invariant: an engine is left only when it has nothing more to do at this time.

use crate::engine::Engine;
use crate::time::Now;
use crate::transport::Stream;

/// More turns than a working engine needs.
const TURNS_MAX: usize = 10_000;

/// Runs the turn that has begun, and further ones until the engine has nothing more to do at this time.
///
/// # Panics
/// If the engine never comes to rest.
pub fn run_to_rest<S: Stream>(engine: &mut Engine<S>, now: Now) {
    for _ in 0..TURNS_MAX {
        engine.run();
        if engine.next_ms() != Some(0) {
            return;
        }
        engine.begin(now);
    }
    panic!(
        "the engine never comes to rest: is there a response without an end, and a client that takes all of it?"
    );
}

/// Returns the time at which the engine wants its next turn, if that is `until` or before. The seconds of the date grow
/// with the milliseconds.
pub fn next_turn<S: Stream>(engine: &Engine<S>, now: Now, until: u64) -> Option<Now> {
    // After a shutdown the engine asks for the time of its end again and again.
    let next = engine.next_ms().filter(|_| !engine.is_over());
    next.filter(|next| *next <= until).map(|next| later(now, next.max(now.ms)))
}

/// Returns `now` at `ms`.
pub fn later(now: Now, ms: u64) -> Now {
    Now { ms, unix_secs: now.unix_secs + (ms / 1000 - now.ms / 1000) }
}
