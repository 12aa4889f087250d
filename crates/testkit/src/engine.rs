//! Runs an engine without a poll.

use fleeting::engine::Engine;
use fleeting::time::Now;
use fleeting::transport::Stream;

/// More turns than anything takes that works.
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
    panic!("the engine never comes to rest");
}
