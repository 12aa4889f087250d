//! The report, for a reader who has never heard of the lesson: an introduction, a table, a sentence for each failure.
//!
//! It only formats the outcomes it is given. Its invariant: no line is longer than 80 columns.

use super::color::{Colors, Tone};
use super::mode::Mode;
use super::outcome::{FIRST, NAMES, Outcome, SECOND, VISITORS, lock_changed_nothing};
use super::versions::RecordView;
use std::fmt::Write as _;

/// The maximum width of a line.
pub(super) const COLUMNS: usize = 80;
/// The width of a row's label. The versions share the rest of the line.
const LABEL_COLUMNS: usize = 28;
const CELL_COLUMNS: usize = (COLUMNS - LABEL_COLUMNS) / Mode::ALL.len();

/// The lines of one cell of the table.
type Cell = Vec<(Tone, String)>;

/// Returns the whole report.
pub(super) fn report(outcomes: &[Outcome], colors: Colors) -> String {
    let mut text = wrapped(&introduction(), "", "");
    text.push('\n');
    let cell = |tone, text: &str| vec![(tone, text.to_string())];
    row(&mut text, colors, "", outcomes, |outcome| cell(Tone::Strong, outcome.mode.name()));
    row(&mut text, colors, &format!("{FIRST}'s record, as stored"), outcomes, |outcome| {
        vec![entry(&outcome.stored)]
    });
    row(&mut text, colors, &format!("the map after {SECOND} came"), outcomes, |outcome| {
        outcome.map.iter().map(entry).collect()
    });
    row(&mut text, colors, &format!("lookup of {FIRST}"), outcomes, |outcome| found(Some(outcome.found)));
    for key in changed_keys(outcomes) {
        row(&mut text, colors, &format!("lookup of {key}"), outcomes, |outcome| {
            found(outcome.found_by_current_key.filter(|_| current_key(outcome) == Some(key)))
        });
    }
    row(&mut text, colors, &format!("delete of {FIRST}"), outcomes, |outcome| {
        if outcome.deleted { cell(Tone::Good, "deleted") } else { cell(Tone::Bad, "not found") }
    });
    row(&mut text, colors, "records after both left", outcomes, |outcome| count(outcome.left));
    row(&mut text, colors, &format!("  and after {VISITORS} more clients"), outcomes, |outcome| {
        count(outcome.left_at_end)
    });
    row(&mut text, colors, &format!("message for {FIRST} goes to"), outcomes, |outcome| {
        let misdirected = outcome.received_by_second.iter().any(|recipient| recipient == FIRST);
        if misdirected { cell(Tone::Bad, SECOND) } else { cell(Tone::Good, "nobody") }
    });
    text.push('\n');
    for (number, name) in NAMES.iter().enumerate() {
        row(&mut text, colors, &format!("{} {name}", number + 1), outcomes, |outcome| {
            if outcome.failures().all()[number] { cell(Tone::Bad, "YES") } else { cell(Tone::Good, "no") }
        });
    }
    text.push('\n');
    for (number, sentence) in verdicts(outcomes).iter().enumerate() {
        text += &wrapped(sentence, &format!("{} ", number + 1), "  ");
    }
    if outcomes.iter().any(|outcome| outcome.mode == Mode::Arena) {
        text += "\n";
        text += &wrapped(
            "In arena, the mistakes of the other versions do not compile. docs/lesson.md shows the compiler's \
             messages; `fleeting lesson --explain` shows the code of each version.",
            "",
            "",
        );
    }
    text
}

fn introduction() -> String {
    format!(
        "Go's Fiber hands out strings that point into a buffer, and reuses that buffer for the next request. An \
         application stores such strings in a map of its clients. Two browser tabs connect: first {FIRST}, then \
         {SECOND}. Each stores its id and opens a WebSocket; {FIRST}'s closes before {SECOND}'s opens. The table \
         shows what happens to {FIRST}'s record, over real sockets, in versions of that application: without \
         protection (fiber), with a lock, with the lock and CopyString, and written for this server (arena)."
    )
}

/// Formats a record as it reads now. The tone shows whether it reads as it was stored.
fn entry(record: &RecordView) -> (Tone, String) {
    let tone = if record.intact { Tone::Good } else { Tone::Bad };
    (tone, format!("{}={}", record.key, record.value))
}

fn found(found: Option<bool>) -> Cell {
    vec![match found {
        Some(true) => (Tone::Good, "found".into()),
        Some(false) => (Tone::Bad, "not found".into()),
        None => (Tone::Soft, "-".into()),
    }]
}

fn count(records: usize) -> Cell {
    vec![(if records == 0 { Tone::Good } else { Tone::Bad }, records.to_string())]
}

/// Returns what the key of the first client's record reads as later.
fn current_key(outcome: &Outcome) -> Option<&str> {
    Some(&outcome.first()?.key)
}

/// Returns, without repetition, what that key reads as in the versions where it is no longer the first client's id.
fn changed_keys(outcomes: &[Outcome]) -> Vec<&str> {
    let mut keys: Vec<&str> = outcomes.iter().filter_map(current_key).filter(|key| *key != FIRST).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// Adds a row to the table. The row is as high as its tallest cell.
fn row(
    text: &mut String,
    colors: Colors,
    label: &str,
    outcomes: &[Outcome],
    cell: impl Fn(&Outcome) -> Cell,
) {
    let cells: Vec<Cell> = outcomes.iter().map(cell).collect();
    for line in 0..cells.iter().map(Vec::len).max().unwrap_or(0) {
        let mut out = format!("{:LABEL_COLUMNS$}", if line == 0 { label } else { "" });
        for cell in &cells {
            let (tone, content) =
                cell.get(line).map_or((Tone::Plain, ""), |(tone, content)| (*tone, content));
            let padding = CELL_COLUMNS.saturating_sub(content.chars().count());
            let _ = write!(out, "{}{:padding$}", colors.apply(tone, content), "");
        }
        text.push_str(out.trim_end());
        text.push('\n');
    }
}

/// Returns a verdict on each failure.
fn verdicts(outcomes: &[Outcome]) -> [String; 4] {
    let modes_with = |number: usize| {
        let names: Vec<&str> = outcomes
            .iter()
            .filter(|outcome| outcome.failures().all()[number - 1])
            .map(|outcome| outcome.mode.name())
            .collect();
        (!names.is_empty()).then(|| listed(&names))
    };
    let first = modes_with(1).map(|names| {
        format!(
            "A stored value changed in {names}: it points into the buffer, and {SECOND}'s request overwrote \
             those bytes."
        )
    });
    let second = modes_with(2).map(|names| {
        format!(
            "A stored key was lost in {names}: its entry is still in {FIRST}'s bucket, but the key reads \
             differently. No lookup finds it, delete misses it, and the map leaks."
        )
    });
    let third = modes_with(3).map(|names| {
        format!(
            "An identity was reused in {names}: the record keeps a connection object from a pool, and that \
             object is {SECOND}'s by now. It is not a string, so there is nothing to copy."
        )
    });
    let unsynchronized = modes_with(4).map(|names| {
        format!(
            "Access to the map is unsynchronized in {names}. (The code shows it: safe Rust has no data race to \
             measure.)"
        )
    });
    let lock = lock_changed_nothing(outcomes).filter(|nothing| *nothing).map(|_| {
        "The lock of fiber+mutex fixes this and nothing else: reading the next request into the buffer does not \
         take the lock."
            .to_string()
    });
    let fourth = [unsynchronized, lock].into_iter().flatten().collect::<Vec<_>>().join(" ");
    [
        first.unwrap_or("No stored value changed.".into()),
        second.unwrap_or("No stored key was lost.".into()),
        third.unwrap_or(format!("No identity was reused: a message for {FIRST} reaches nobody else.")),
        if fourth.is_empty() { "A lock orders access to the map.".into() } else { fourth },
    ]
}

/// Joins names as in `a, b and c`.
fn listed(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_string(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

/// Wraps text to [`COLUMNS`]. The first line begins with `first`, the others with `indent`.
fn wrapped(text: &str, first: &str, indent: &str) -> String {
    let (mut out, mut line) = (String::new(), first.to_string());
    let mut empty = true;
    for word in text.split_whitespace() {
        if !empty && line.chars().count() + 1 + word.chars().count() > COLUMNS {
            out.push_str(line.trim_end());
            out.push('\n');
            (line, empty) = (indent.to_string(), true);
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    out + line.trim_end() + "\n"
}

#[cfg(test)]
mod tests {
    use super::super::outcome::tests::{broken, intact};
    use super::*;

    fn plain() -> Colors {
        Colors::new(false, None)
    }

    #[test]
    fn the_report_shows_the_outcomes() {
        let text = report(&[broken(), intact()], plain());
        for line in text.lines() {
            assert!(line.chars().count() <= COLUMNS && line == line.trim_end(), "{line}");
        }
        let has = |line: &str| assert!(text.lines().any(|l| l == line), "{line:?} is not in\n{text}");
        has("                            fiber        arena");
        has("alice's record, as stored   alice=alice  alice=alice");
        has("the map after bob came      bobce=bobce  alice=alice");
        has("                            bob=bob      bob=bob");
        has("lookup of alice             not found    found");
        has("lookup of bobce             not found    -");
        has("delete of alice             not found    deleted");
        has("records after both left     1            0");
        has("  and after 20 more clients 11           0");
        has("message for alice goes to   bob          nobody");
        has("1 a stored value changes    YES          no");
        has("4 unsynchronized access     YES          no");
        assert!(text.contains("\n1 A stored value changed in fiber: it points"), "{text}");
        assert!(!text.contains("fixes this and nothing else"), "fiber+mutex was not played\n{text}");
    }

    #[test]
    fn failures_that_did_not_occur_are_not_reported() {
        let text = report(&[intact()], plain());
        for absent in ["YES", "bobce", "fiber+mutex", "not found"] {
            assert!(!text.contains(absent), "{absent:?} is in\n{text}");
        }
        assert!(text.contains("1 No stored value changed.\n2 No stored key was lost.\n"), "{text}");
        let mutex = Outcome { mode: Mode::FiberMutex, ..broken() };
        let both = report(&[broken(), mutex.clone()], plain());
        let both = both.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(both.contains("The lock of fiber+mutex fixes this and nothing else"), "{both}");
        assert!(both.contains(" 1 A stored value changed in fiber and fiber+mutex: "), "{both}");
        assert!(report(&[mutex], plain()).contains("4 A lock orders access to the map.\n"));
    }

    #[test]
    fn colours_do_not_change_the_text() {
        let outcomes = [broken(), intact()];
        let coloured = report(&outcomes, Colors::new(true, None));
        assert!(coloured.contains("\x1b[31mbobce=bobce\x1b[0m"), "{coloured}");
        let mut bare = coloured;
        for code in ["\x1b[31m", "\x1b[32m", "\x1b[1m", "\x1b[2m", "\x1b[0m"] {
            bare = bare.replace(code, "");
        }
        // A coloured row may end in spaces between the codes of its last cells.
        let trimmed = |text: &str| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
        assert_eq!(trimmed(&bare), trimmed(&report(&outcomes, plain())));
    }

    #[test]
    fn names_are_joined_with_and() {
        let check = |names: &[&str], expected: &str| assert_eq!(listed(names), expected);
        check(&["a"], "a");
        check(&["a", "b"], "a and b");
        check(&["a", "b", "c"], "a, b and c");
    }
}
