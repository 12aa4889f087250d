//! How long a worker polls without waiting after something has happened.
//!
//! It knows no poll and no clock. Its invariant: without a span it never asks for the time, and a worker that finds nothing for
//! as long as the span waits.

use std::time::Duration;

/// A worker's reason not to wait in its poll.
#[derive(Debug)]
pub(super) struct Spin {
    span: Duration,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The worker may wait.
    Waits,
    /// Something has happened in the last turn.
    Busy,
    /// Nothing has happened since this time of the worker's clock.
    QuietSince(Duration),
}

impl Spin {
    /// A span of zero never keeps the worker from waiting.
    pub(super) fn new(span: Duration) -> Spin {
        Spin { span, state: State::Waits }
    }

    /// Whether there is a span.
    #[inline]
    pub(super) fn is_set(&self) -> bool {
        !self.span.is_zero()
    }

    /// Whether the next poll must not wait.
    #[inline]
    pub(super) fn is_on(&self) -> bool {
        !matches!(self.state, State::Waits)
    }

    /// Notes whether something has happened in a turn. `now` reads the worker's clock. Returns whether the turn has spun in
    /// vain.
    #[inline]
    pub(super) fn note(&mut self, happened: bool, now: impl FnOnce() -> Duration) -> bool {
        if !self.is_set() {
            return false;
        }
        if happened {
            // The span begins with the first poll that finds nothing: a busy worker need not know the time.
            self.state = State::Busy;
            return false;
        }
        match self.state {
            State::Waits => return false,
            State::Busy => self.state = State::QuietSince(now()),
            State::QuietSince(since) if now().saturating_sub(since) >= self.span => self.state = State::Waits,
            State::QuietSince(_) => {}
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Duration = Duration::from_micros(50);

    fn at(micros: u64) -> impl FnOnce() -> Duration {
        move || Duration::from_micros(micros)
    }

    fn unread() -> Duration {
        panic!("the clock is read for nothing")
    }

    #[test]
    fn the_worker_waits_once_the_span_has_passed_without_anything() {
        let mut spin = Spin::new(SPAN);
        assert!(!spin.is_on(), "nothing has happened yet");
        assert!(!spin.note(false, unread) && !spin.is_on());
        assert!(!spin.note(true, unread) && spin.is_on());
        assert!(spin.note(false, at(100)) && spin.is_on(), "the span begins");
        assert!(spin.note(false, at(149)) && spin.is_on());
        assert!(!spin.note(true, unread) && spin.is_on());
        assert!(spin.note(false, at(160)) && spin.is_on(), "it begins again");
        assert!(spin.note(false, at(209)) && spin.is_on());
        assert!(spin.note(false, at(210)) && !spin.is_on());
        assert!(!spin.note(false, unread) && !spin.is_on());
    }

    #[test]
    fn without_a_span_the_worker_always_waits() {
        let mut spin = Spin::new(Duration::ZERO);
        for happened in [false, true, false] {
            assert!(!spin.note(happened, unread) && !spin.is_on());
        }
    }

    #[test]
    fn the_longest_span_has_no_end() {
        let mut spin = Spin::new(Duration::MAX);
        spin.note(true, unread);
        assert!(spin.note(false, at(1)) && spin.note(false, at(u64::MAX)) && spin.is_on());
    }
}
