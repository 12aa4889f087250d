//! Records the operations of several threads on a store and their results, and checks whether this history is possible.
//!
//! A register is checked as Gibbons and Korach do ("Testing Shared Memories", 1997). Every value is written once. The
//! operations on one value, its write and its reads, have a span: the time from the first response to the last request.
//! If the first response comes before the last request, the register holds the value for the whole span, so two such
//! long spans must not overlap. Otherwise all operations on the value may take effect at one moment, and such a short
//! span must not lie within a long one.

use std::collections::{BTreeSet, HashMap};

/// A moment: the value of a counter that every thread increments.
pub type Moment = u64;

/// An operation and its result.
#[derive(Debug, Clone)]
pub struct Entry {
    pub asked: Moment,
    /// `None` if it is unknown what the result is and when the operation took effect.
    pub answered: Option<Moment>,
    pub operation: Operation,
}

/// Values are identified by number; 0 is no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    Read(u64),
    Write(u64),
    /// Replaced one value by another, if it was answered.
    Swap(u64, u64),
    /// Increased the counter to this, if it was answered.
    Sum(i64),
}

/// All operations on one value.
#[derive(Debug)]
struct Span {
    value: u64,
    first_answer: Moment,
    last_request: Moment,
}

/// Returns an error if the history of a register is impossible. The register began as 0, and no value is written twice.
pub fn check_register(history: &[Entry]) -> Result<(), String> {
    // The write of each value, and all its reads.
    let mut writes: HashMap<u64, &Entry> = HashMap::new();
    let mut seen: HashMap<u64, Vec<&Entry>> = HashMap::new();
    for entry in history {
        match (&entry.operation, entry.answered) {
            (Operation::Read(value), Some(_)) => seen.entry(*value).or_default().push(entry),
            (Operation::Swap(old, new), answered) => {
                // A swap with an unknown result may have happened or not.
                if answered.is_some() {
                    seen.entry(*old).or_default().push(entry);
                }
                assert!(writes.insert(*new, entry).is_none(), "{new} is written twice");
            }
            (Operation::Write(value), _) => {
                assert!(writes.insert(*value, entry).is_none(), "{value} is written twice")
            }
            (Operation::Read(_), None) => {}
            (Operation::Sum(_), _) => panic!("not an operation on a register"),
        }
    }
    let mut spans = Vec::new();
    let values: BTreeSet<u64> = writes.keys().chain(seen.keys()).copied().collect();
    for value in values {
        let readers = seen.get(&value).map_or(&[][..], Vec::as_slice);
        let write = writes.get(&value);
        let Some(write) = write else {
            if value != 0 {
                return Err(format!("{value} was read and was never written: {readers:?}"));
            }
            // The register held 0 before the first operation.
            let last_request = readers.iter().map(|entry| entry.asked).max().unwrap_or(0);
            spans.push(Span { value, first_answer: 0, last_request });
            continue;
        };
        if let Some(early) = readers.iter().find(|reader| reader.answered.is_some_and(|at| at < write.asked))
        {
            return Err(format!("{value} was read before it was written: {early:?}, {write:?}"));
        }
        let answers = readers.iter().filter_map(|entry| entry.answered).chain(write.answered);
        // A value with an unknown write that was never read need not have been written.
        let Some(first_answer) = answers.min() else { continue };
        let last_request = readers.iter().map(|entry| entry.asked).chain([write.asked]).max();
        spans.push(Span { value, first_answer, last_request: last_request.unwrap_or(0) });
    }
    let (mut long, short): (Vec<Span>, Vec<Span>) =
        spans.into_iter().partition(|span| span.first_answer < span.last_request);
    long.sort_by_key(|span| span.first_answer);
    for pair in long.windows(2) {
        if pair[1].first_answer < pair[0].last_request {
            return Err(format!("{} or {} was seen too late: {pair:?}", pair[0].value, pair[1].value));
        }
    }
    for one in &short {
        // The last long span that begins before this one ends.
        let before = long.partition_point(|span| span.first_answer < one.last_request);
        if let Some(around) = before.checked_sub(1).map(|at| &long[at])
            && one.first_answer < around.last_request
        {
            let (outer, inner) = (around.value, one.value);
            return Err(format!("{outer} was seen before and after {inner}: {around:?}, {one:?}"));
        }
    }
    Ok(())
}

/// Returns an error if the history of a counter is impossible. It began as 0, each operation added 1, and it ended as
/// `at_last`.
pub fn check_counter(history: &[Entry], at_last: i64) -> Result<(), String> {
    let mut sums: Vec<(i64, Moment, Moment)> = Vec::new();
    for entry in history {
        if let (Operation::Sum(sum), Some(answered)) = (&entry.operation, entry.answered) {
            sums.push((*sum, entry.asked, answered));
        }
    }
    let unknown = (history.len() - sums.len()) as i64;
    let known = sums.len() as i64;
    if !(known..=known + unknown).contains(&at_last) {
        return Err(format!("{known} were added, and perhaps {unknown} more, and not {at_last}"));
    }
    sums.sort();
    let mut latest_request = 0;
    for pair in sums.windows(2) {
        if pair[0].0 == pair[1].0 {
            return Err(format!("two callers got the same number: {pair:?}"));
        }
        latest_request = pair[0].1.max(latest_request);
        if pair[1].2 < latest_request {
            return Err(format!("{} was returned before another caller asked and got less", pair[1].0));
        }
    }
    match sums.last() {
        Some((sum, ..)) if *sum > at_last => Err(format!("the counter was {sum} and ended as {at_last}")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(asked: Moment, answered: impl Into<Option<Moment>>, operation: Operation) -> Entry {
        Entry { asked, answered: answered.into(), operation }
    }

    #[test]
    fn impossible_register_histories_are_found() {
        use Operation::*;
        #[track_caller]
        fn check(history: &[Entry], expected: Result<(), &str>) {
            let found = check_register(history);
            match (&found, expected) {
                (Ok(()), Ok(())) => {}
                (Err(error), Err(expected)) if error.contains(expected) => {}
                _ => panic!("{found:?}, not {expected:?}"),
            }
        }
        let write = |value, from, to| entry(from, to, Write(value));
        let read = |value, from, to| entry(from, to, Read(value));
        check(&[], Ok(()));
        check(&[read(0, 1, 2), write(1, 3, 4), read(1, 5, 6)], Ok(()));
        check(&[write(1, 3, 4), read(0, 5, 6)], Err("before and after"));
        check(&[write(1, 3, 6), read(0, 4, 5), read(1, 4, 5)], Ok(()));
        check(&[read(7, 5, 6)], Err("was never written"));
        check(&[read(1, 1, 2), write(1, 3, 4)], Err("before it was written"));
        // A reply that was meant for another caller.
        check(&[write(1, 1, 2), write(2, 3, 4), read(1, 5, 6)], Err("before and after"));
        check(&[write(1, 1, 2), write(2, 3, 4), read(2, 5, 6)], Ok(()));
        check(&[write(1, 1, 4), write(2, 1, 4), read(1, 5, 6), read(2, 7, 8)], Err("too late"));
        check(&[write(1, 1, 4), write(2, 1, 6), read(1, 4, 5), read(2, 7, 8)], Ok(()));
        check(
            &[write(1, 1, 2), write(2, 1, 2), read(1, 3, 4), read(2, 5, 6), read(1, 7, 8)],
            Err("too late"),
        );
        // Operations with unknown results may both have happened, and late.
        let unknown = |value, from| entry(from, None, Write(value));
        check(&[write(1, 1, 2), unknown(2, 3), read(1, 5, 6)], Ok(()));
        check(&[write(1, 1, 2), unknown(2, 3), read(1, 5, 6), read(2, 7, 8)], Ok(()));
        check(&[write(1, 1, 2), unknown(2, 3), read(2, 5, 6), read(1, 7, 8)], Err("before and after"));
        // A swap has seen what it replaced.
        let swap = |old, new, from, to: Option<Moment>| entry(from, to, Swap(old, new));
        check(&[swap(0, 1, 1, Some(2)), swap(1, 2, 3, Some(4)), read(2, 5, 6)], Ok(()));
        check(&[write(1, 1, 2), swap(0, 2, 3, Some(4))], Err("before and after"));
        check(&[write(1, 1, 2), swap(0, 2, 3, None), read(1, 5, 6)], Ok(()));
    }

    #[test]
    fn impossible_counter_histories_are_found() {
        let sum = |sum, from, to: Option<Moment>| entry(from, to, Operation::Sum(sum));
        let good = [sum(1, 1, Some(3)), sum(2, 2, Some(4)), sum(0, 5, None), sum(3, 6, Some(7))];
        assert_eq!(check_counter(&good, 3), Ok(()));
        assert_eq!(check_counter(&good, 4), Ok(()));
        assert!(check_counter(&good, 2).unwrap_err().contains("not 2"));
        assert!(check_counter(&good, 5).unwrap_err().contains("not 5"));
        let same = [sum(1, 1, Some(3)), sum(1, 2, Some(4))];
        assert!(check_counter(&same, 2).unwrap_err().contains("the same number"));
        let late = [sum(2, 1, Some(2)), sum(1, 3, Some(4))];
        assert!(check_counter(&late, 2).unwrap_err().contains("got less"));
        let lost = [sum(5, 1, Some(2))];
        assert!(check_counter(&lost, 1).unwrap_err().contains("ended as 1"));
    }
}
