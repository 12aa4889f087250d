//! What happened to the first client's record in each version, and which failures that shows.
//!
//! It knows no socket. Its invariant: [`Failures::expected`] alone says what is expected, and [`differences`] compares
//! it with what was observed.

use super::mode::Mode;
use super::versions::RecordView;

/// The ids of the two clients.
pub(super) const FIRST: &str = "alice";
pub(super) const SECOND: &str = "bob";
/// The number of clients that come and go after them, two at a time.
pub(super) const VISITORS: usize = 20;

/// What was observed of one version.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    pub(super) mode: Mode,
    /// The first client's record before any other client came.
    pub(super) stored: RecordView,
    /// The whole map after the second client has stored its id and the first one has closed its WebSocket.
    pub(super) map: Vec<RecordView>,
    /// Whether a lookup of the first client's id finds its record.
    pub(super) found: bool,
    /// Whether a lookup of what the record's key reads as now finds it, if that differs from the id.
    pub(super) found_by_current_key: Option<bool>,
    /// Whether deleting the first client succeeds.
    pub(super) deleted: bool,
    /// The number of records after both clients were deleted.
    pub(super) left: usize,
    /// The number of records after all visitors were deleted too.
    pub(super) left_at_end: usize,
    /// The `for` members of the notifications that the second client received.
    pub(super) received_by_second: Vec<String>,
}

/// The failures that an outcome shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failures {
    /// 1: a stored value has changed.
    pub(super) value_changed: bool,
    /// 2: a stored key has changed: no lookup finds the record, delete misses it, the map leaks.
    pub(super) key_lost: bool,
    /// 3: a connection's identity was reused: messages for the first client reach the second.
    pub(super) identity_reused: bool,
    /// 4: no lock orders access to the map.
    pub(super) unsynchronized: bool,
}

/// The names of the failures, in the order of their numbers.
pub(super) const NAMES: [&str; 4] =
    ["a stored value changes", "a stored key is lost", "an identity is reused", "unsynchronized access"];

impl Failures {
    /// Returns the failures in the order of their numbers.
    pub(super) fn all(self) -> [bool; 4] {
        [self.value_changed, self.key_lost, self.identity_reused, self.unsynchronized]
    }

    /// Returns the failures that a version should show. A lock prevents the fourth. A copy also prevents the first two.
    /// Only an identity that is never reused prevents the third.
    pub(super) fn expected(mode: Mode) -> Failures {
        let borrowed = matches!(mode, Mode::Fiber | Mode::FiberMutex);
        Failures {
            value_changed: borrowed,
            key_lost: borrowed,
            identity_reused: mode != Mode::Arena,
            unsynchronized: mode == Mode::Fiber,
        }
    }
}

impl Outcome {
    /// Returns the first client's record in the later map. What was stored identifies it.
    pub(super) fn first(&self) -> Option<&RecordView> {
        self.map.iter().find(|record| record.stored_key == FIRST)
    }

    /// Returns the id of the client that the first record's connection leads to later.
    pub(super) fn connection_of_first(&self) -> Option<&str> {
        self.first()?.connection.as_deref()
    }

    pub(super) fn failures(&self) -> Failures {
        let first = self.first();
        Failures {
            value_changed: first.is_some_and(|record| record.value != self.stored.value),
            key_lost: first.is_some_and(|record| record.key != self.stored.key)
                && !self.found
                && self.found_by_current_key != Some(true)
                && !self.deleted
                && (1..self.left_at_end).contains(&self.left),
            identity_reused: self.connection_of_first() == Some(SECOND)
                && self.received_by_second.iter().any(|recipient| recipient == FIRST),
            unsynchronized: !self.mode.is_locked(),
        }
    }

    /// Returns whether every detail is correct, down to the last record.
    fn is_intact(&self) -> bool {
        self.map.len() == 2
            && self.map.iter().all(|record| record.intact && record.found)
            && self.found
            && self.deleted
            && (self.left, self.left_at_end) == (0, 0)
            && self.connection_of_first().is_none()
            && self.received_by_second == [SECOND]
    }
}

/// Returns one short message for each difference from what is expected.
pub(super) fn differences(outcomes: &[Outcome]) -> Vec<String> {
    let mut differences = Vec::new();
    for outcome in outcomes {
        let mode = outcome.mode;
        let (observed, expected) = (outcome.failures().all(), Failures::expected(mode).all());
        for ((name, observed), expected) in NAMES.iter().zip(observed).zip(expected) {
            if observed != expected {
                let yes_or_no = |value: bool| if value { "yes" } else { "no" };
                let (observed, expected) = (yes_or_no(observed), yes_or_no(expected));
                differences.push(format!("{mode}: {name}: expected {expected}, observed {observed}"));
            }
        }
        if mode == Mode::Arena && !outcome.is_intact() {
            differences.push(format!("{mode}: expected everything to be intact, observed {outcome:?}"));
        }
    }
    if lock_changed_nothing(outcomes) == Some(false) {
        differences.push("expected the lock not to affect failures 1 to 3, but it did".into());
    }
    differences
}

/// Returns whether `fiber` and `fiber+mutex` differ in failure 4 only, or `None` unless both were played.
pub(super) fn lock_changed_nothing(outcomes: &[Outcome]) -> Option<bool> {
    let outcome = |mode| outcomes.iter().find(|outcome| outcome.mode == mode);
    let (without, with) = (outcome(Mode::Fiber)?, outcome(Mode::FiberMutex)?);
    let same = without.failures().all()[..3] == with.failures().all()[..3];
    Some(same && without.map == with.map && without.left_at_end == with.left_at_end)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn record(stored: &str, reads: &str, found: bool, connection: Option<&str>) -> RecordView {
        RecordView {
            key: reads.into(),
            value: reads.into(),
            stored_key: stored.into(),
            stored_value: stored.into(),
            intact: stored == reads,
            found,
            connection: connection.map(str::to_string),
        }
    }

    /// An outcome without failures.
    pub fn intact() -> Outcome {
        Outcome {
            mode: Mode::Arena,
            stored: record(FIRST, FIRST, true, Some(FIRST)),
            map: vec![record(FIRST, FIRST, true, None), record(SECOND, SECOND, true, Some(SECOND))],
            found: true,
            found_by_current_key: None,
            deleted: true,
            left: 0,
            left_at_end: 0,
            received_by_second: vec![SECOND.into()],
        }
    }

    /// An outcome with all four failures.
    pub fn broken() -> Outcome {
        Outcome {
            mode: Mode::Fiber,
            map: vec![
                record(FIRST, "bobce", false, Some(SECOND)),
                record(SECOND, SECOND, true, Some(SECOND)),
            ],
            found: false,
            found_by_current_key: Some(false),
            deleted: false,
            left: 1,
            left_at_end: 11,
            received_by_second: vec![FIRST.into(), SECOND.into()],
            ..intact()
        }
    }

    #[test]
    fn each_failure_is_detected_independently() {
        assert_eq!(broken().failures().all(), [true; 4]);
        assert_eq!(intact().failures().all(), [false; 4]);
        let check = |outcome: Outcome, number: usize| {
            let mut expected = [true; 4];
            expected[number - 1] = false;
            assert_eq!(outcome.failures().all(), expected, "{outcome:?}");
        };
        let mut outcome = broken();
        outcome.map[0].value = FIRST.into();
        check(outcome, 1);
        let mut outcome = broken();
        outcome.map[0].key = FIRST.into();
        check(outcome, 2);
        check(Outcome { found: true, ..broken() }, 2);
        check(Outcome { found_by_current_key: Some(true), ..broken() }, 2);
        check(Outcome { deleted: true, ..broken() }, 2);
        check(Outcome { left: 0, ..broken() }, 2);
        check(Outcome { left_at_end: 1, ..broken() }, 2);
        let mut outcome = broken();
        outcome.map[0].connection = None;
        check(outcome, 3);
        check(Outcome { received_by_second: vec![SECOND.into()], ..broken() }, 3);
        check(Outcome { mode: Mode::FiberMutex, ..broken() }, 4);
    }

    #[test]
    fn each_difference_is_reported() {
        let check = |outcomes: &[Outcome], expected: &[&str]| {
            let differences = differences(outcomes);
            assert_eq!(differences.len(), expected.len(), "{differences:?}");
            for (difference, expected) in differences.iter().zip(expected) {
                assert!(difference.contains(expected), "{difference:?} does not contain {expected:?}");
            }
        };
        let (fiber, arena) = (broken(), intact());
        let mutex = Outcome { mode: Mode::FiberMutex, ..broken() };
        let mut copy = Outcome { mode: Mode::FiberCopy, ..intact() };
        copy.map[0].connection = Some(SECOND.into());
        copy.received_by_second = vec![FIRST.into(), SECOND.into()];
        check(&[fiber.clone(), mutex.clone(), copy.clone(), arena.clone()], &[]);
        check(&[], &[]);
        let repaired = Outcome { mode: Mode::Fiber, ..intact() };
        check(
            std::slice::from_ref(&repaired),
            &[
                "fiber: a stored value changes: expected yes, observed no",
                "a stored key is lost",
                "an identity",
            ],
        );
        check(&[repaired, mutex.clone()], &["value", "key", "identity", "expected the lock not to affect"]);
        let mut other = mutex;
        other.left_at_end = 12;
        check(&[fiber, other], &["expected the lock not to affect"]);
        check(
            &[Outcome { mode: Mode::Arena, left: 1, ..copy }],
            &["arena: an identity is reused: expected no, observed yes", "expected everything to be intact"],
        );
    }
}
