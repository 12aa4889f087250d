//! What became of the first client's record, and which failures that shows.
//!
//! It knows no socket. Its invariant: what is expected stands in one place, and is compared with what was seen.

use super::Mode;
use super::stage::Told;

/// The two who come.
pub(super) const FIRST: &str = "alice";
pub(super) const SECOND: &str = "bob";
/// How many come and go after them, two at a time.
pub(super) const VISITORS: usize = 20;

/// What was seen of one version.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    pub(super) mode: Mode,
    /// The first one's record, before anybody else came.
    pub(super) stored: Told,
    /// The whole map, once the second has come, and the first has closed its WebSocket.
    pub(super) map: Vec<Told>,
    /// Whether the first one's record is found under its name.
    pub(super) found: bool,
    /// Whether it is found under what its key reads as now, if that is another name.
    pub(super) found_as_read: Option<bool>,
    /// Whether it can be deleted.
    pub(super) deleted: bool,
    /// Records that are there when both have been deleted.
    pub(super) left: usize,
    /// And when all others have come and been deleted too.
    pub(super) left_in_the_end: usize,
    /// Those whom the messages were for that the second one got.
    pub(super) got_by_second: Vec<String>,
}

/// Which of the failures show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failures {
    /// 1: a stored value has changed.
    pub(super) value_changed: bool,
    /// 2: a stored key has changed: no name finds the record, delete misses it, the map leaks.
    pub(super) key_lost: bool,
    /// 3: a connection's identity was used again: what is for the first reaches the second.
    pub(super) identity_reused: bool,
    /// 4: nothing orders what is done with the map.
    pub(super) unordered: bool,
}

/// What a failure is called.
pub(super) const NAMES: [&str; 4] =
    ["a stored value changes", "a stored key is lost", "an identity is used again", "nothing orders access"];

impl Failures {
    /// In the order of their numbers.
    pub(super) fn all(self) -> [bool; 4] {
        [self.value_changed, self.key_lost, self.identity_reused, self.unordered]
    }

    /// What is to be seen: a lock mends the fourth, a copy the first two as well, and only a name that is never
    /// given twice the third.
    pub(super) fn expected(mode: Mode) -> Failures {
        let borrowed = matches!(mode, Mode::Fiber | Mode::FiberMutex);
        Failures {
            value_changed: borrowed,
            key_lost: borrowed,
            identity_reused: mode != Mode::Arena,
            unordered: mode == Mode::Fiber,
        }
    }
}

impl Outcome {
    /// The first one's record, as it is in the map later. It is known by what was stored.
    pub(super) fn first(&self) -> Option<&Told> {
        self.map.iter().find(|told| told.stored_key == FIRST)
    }

    /// Whose WebSocket the first one's connection leads to later.
    pub(super) fn identity(&self) -> Option<&str> {
        self.first()?.connection.as_deref()
    }

    pub(super) fn failures(&self) -> Failures {
        let first = self.first();
        Failures {
            value_changed: first.is_some_and(|told| told.value != self.stored.value),
            key_lost: first.is_some_and(|told| told.key != self.stored.key)
                && !self.found
                && self.found_as_read != Some(true)
                && !self.deleted
                && (1..self.left_in_the_end).contains(&self.left),
            identity_reused: self.identity() == Some(SECOND)
                && self.got_by_second.iter().any(|whom| whom == FIRST),
            unordered: !self.mode.is_locked(),
        }
    }

    /// Whether nothing of it is as it should not be, down to the last record.
    fn is_whole(&self) -> bool {
        self.map.len() == 2
            && self.map.iter().all(|told| told.intact && told.found)
            && self.found
            && self.deleted
            && (self.left, self.left_in_the_end) == (0, 0)
            && self.identity().is_none()
            && self.got_by_second == [SECOND]
    }
}

/// What is not as it is expected to be, in a few words each.
pub(super) fn differences(outcomes: &[Outcome]) -> Vec<String> {
    let mut found = Vec::new();
    for outcome in outcomes {
        let mode = outcome.mode;
        let (seen, expected) = (outcome.failures().all(), Failures::expected(mode).all());
        for ((name, seen), expected) in NAMES.iter().zip(seen).zip(expected) {
            if seen != expected {
                let told = |is: bool| if is { "it does" } else { "it does not" };
                found.push(format!("{mode}: {name}: {}, {} was expected", told(seen), told(expected)));
            }
        }
        if mode == Mode::Arena && !outcome.is_whole() {
            found.push(format!("{mode}: not everything is whole: {outcome:?}"));
        }
    }
    if lock_changed_nothing(outcomes) == Some(false) {
        found.push("the lock has changed something of the first three".into());
    }
    found
}

/// Whether what a lock is around came out as what none is around, if both were played.
pub(super) fn lock_changed_nothing(outcomes: &[Outcome]) -> Option<bool> {
    let of = |mode| outcomes.iter().find(|outcome| outcome.mode == mode);
    let (without, with) = (of(Mode::Fiber)?, of(Mode::FiberMutex)?);
    let alike = without.failures().all()[..3] == with.failures().all()[..3];
    Some(alike && without.map == with.map && without.left_in_the_end == with.left_in_the_end)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn told(stored: &str, reads: &str, found: bool, connection: Option<&str>) -> Told {
        Told {
            key: reads.into(),
            value: reads.into(),
            stored_key: stored.into(),
            stored_value: stored.into(),
            intact: stored == reads,
            found,
            connection: connection.map(str::to_string),
        }
    }

    /// What there is to see where nothing goes wrong.
    pub fn whole() -> Outcome {
        Outcome {
            mode: Mode::Arena,
            stored: told(FIRST, FIRST, true, Some(FIRST)),
            map: vec![told(FIRST, FIRST, true, None), told(SECOND, SECOND, true, Some(SECOND))],
            found: true,
            found_as_read: None,
            deleted: true,
            left: 0,
            left_in_the_end: 0,
            got_by_second: vec![SECOND.into()],
        }
    }

    /// What there is to see where everything does.
    pub fn broken() -> Outcome {
        Outcome {
            mode: Mode::Fiber,
            map: vec![told(FIRST, "bobce", false, Some(SECOND)), told(SECOND, SECOND, true, Some(SECOND))],
            found: false,
            found_as_read: Some(false),
            deleted: false,
            left: 1,
            left_in_the_end: 11,
            got_by_second: vec![FIRST.into(), SECOND.into()],
            ..whole()
        }
    }

    #[test]
    fn failures_are_told_apart() {
        assert_eq!(broken().failures().all(), [true; 4]);
        assert_eq!(whole().failures().all(), [false; 4]);
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
        check(Outcome { found_as_read: Some(true), ..broken() }, 2);
        check(Outcome { deleted: true, ..broken() }, 2);
        check(Outcome { left: 0, ..broken() }, 2);
        check(Outcome { left_in_the_end: 1, ..broken() }, 2);
        let mut outcome = broken();
        outcome.map[0].connection = None;
        check(outcome, 3);
        check(Outcome { got_by_second: vec![SECOND.into()], ..broken() }, 3);
        check(Outcome { mode: Mode::FiberMutex, ..broken() }, 4);
    }

    #[test]
    fn what_is_not_expected_is_named() {
        let check = |outcomes: &[Outcome], expected: &[&str]| {
            let differences = differences(outcomes);
            assert_eq!(differences.len(), expected.len(), "{differences:?}");
            for (got, want) in differences.iter().zip(expected) {
                assert!(got.contains(want), "{got} does not say {want}");
            }
        };
        let (fiber, arena) = (broken(), whole());
        let mutex = Outcome { mode: Mode::FiberMutex, ..broken() };
        let mut copy = Outcome { mode: Mode::FiberCopy, ..whole() };
        copy.map[0].connection = Some(SECOND.into());
        copy.got_by_second = vec![FIRST.into(), SECOND.into()];
        check(&[fiber.clone(), mutex.clone(), copy.clone(), arena.clone()], &[]);
        check(&[], &[]);
        let mended = Outcome { mode: Mode::Fiber, ..whole() };
        check(
            std::slice::from_ref(&mended),
            &[
                "fiber: a stored value changes: it does not, it does was expected",
                "a stored key is lost",
                "an identity",
            ],
        );
        check(&[mended, mutex.clone()], &["value", "key", "identity", "the lock has changed something"]);
        let mut other = mutex;
        other.left_in_the_end = 12;
        check(&[fiber, other], &["the lock has changed something"]);
        check(
            &[Outcome { mode: Mode::Arena, left: 1, ..copy }],
            &[
                "arena: an identity is used again: it does, it does not was expected",
                "not everything is whole",
            ],
        );
    }
}
