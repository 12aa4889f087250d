//! How long a turn may wait, which both loops ask the engine.

use fleeting::engine::Engine;
use fleeting::time::Clock;
use fleeting::transport::Stream;
use std::time::Duration;

/// Returns how long the ring may wait until the engine has something to do; `None` is without a limit.
pub fn patience<S: Stream>(engine: &Engine<S>, clock: &Clock) -> Option<Duration> {
    engine.next_ms().map(|next_ms| match next_ms {
        0 => Duration::ZERO,
        next_ms => Duration::from_millis(next_ms.saturating_sub(clock.now().ms)),
    })
}
