//! How the lesson came out, for somebody who has never heard of it: what happens, a table, a sentence each.
//!
//! It plays nothing: it tells what it is given. Its invariant: 80 columns are enough.

use super::Mode;
use super::outcome::{FIRST, NAMES, Outcome, SECOND, VISITORS, lock_changed_nothing};
use super::paint::{Paint, Tone};
use super::stage::Told;
use std::fmt::Write as _;

/// Columns that are enough.
pub(super) const COLUMNS: usize = 80;
/// Of them, those that say what is in a row; each version has as many as are left for it.
const LABEL_COLUMNS: usize = 28;
const CELL_COLUMNS: usize = (COLUMNS - LABEL_COLUMNS) / Mode::ALL.len();

/// What stands in one row for one version: one line below the other.
type Cell = Vec<(Tone, String)>;

/// The whole text.
pub(super) fn report(outcomes: &[Outcome], paint: Paint) -> String {
    let mut text = wrapped(&beginning(), "", "");
    text.push('\n');
    let cell = |tone, text: &str| vec![(tone, text.to_string())];
    row(&mut text, paint, "", outcomes, |outcome| cell(Tone::Strong, outcome.mode.name()));
    row(&mut text, paint, &format!("{FIRST} stored"), outcomes, |outcome| vec![entry(&outcome.stored)]);
    row(&mut text, paint, &format!("the map, once {SECOND} is there"), outcomes, |outcome| {
        outcome.map.iter().map(entry).collect()
    });
    row(&mut text, paint, &format!("looking for {FIRST}"), outcomes, |outcome| found(Some(outcome.found)));
    for name in names(outcomes) {
        let of = |outcome: &Outcome| outcome.found_as_read.filter(|_| reads(outcome) == Some(name));
        row(&mut text, paint, &format!("looking for {name}"), outcomes, |outcome| found(of(outcome)));
    }
    row(&mut text, paint, &format!("deleting {FIRST}"), outcomes, |outcome| {
        if outcome.deleted { cell(Tone::Good, "done") } else { cell(Tone::Bad, "misses") }
    });
    row(&mut text, paint, "records when both are gone", outcomes, |outcome| count(outcome.left));
    row(&mut text, paint, &format!("  and {VISITORS} more have been"), outcomes, |outcome| {
        count(outcome.left_in_the_end)
    });
    row(&mut text, paint, &format!("a message for {FIRST} gets to"), outcomes, |outcome| {
        let gets = outcome.got_by_second.iter().any(|whom| whom == FIRST);
        if gets { cell(Tone::Bad, SECOND) } else { cell(Tone::Good, "nobody") }
    });
    text.push('\n');
    for (number, name) in NAMES.iter().enumerate() {
        row(&mut text, paint, &format!("{} {name}", number + 1), outcomes, |outcome| {
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
            "What goes wrong in the others cannot be written in arena: it does not compile. docs/lesson.md has \
             the compiler's words; `fleeting lesson --explain` shows the code of each.",
            "",
            "",
        );
    }
    text
}

fn beginning() -> String {
    format!(
        "Go's Fiber hands out strings that point into a buffer, which it uses again for the next request. An \
         application keeps such strings in a map of its clients. Two browser tabs come, {FIRST} and then {SECOND}. \
         Each stores its id and opens a WebSocket; {FIRST}'s closes before {SECOND}'s opens. Here is what became \
         of {FIRST}'s record, over real sockets, in versions of that application: with nothing against it \
         (fiber), with a lock, with the lock and CopyString, and written for this server (arena)."
    )
}

/// What a record reads as, and whether that is what was stored.
fn entry(told: &Told) -> (Tone, String) {
    let tone = if told.intact { Tone::Good } else { Tone::Bad };
    (tone, format!("{}={}", told.key, told.value))
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

/// What the first one's key reads as later.
fn reads(outcome: &Outcome) -> Option<&str> {
    Some(&outcome.first()?.key)
}

/// The other names that the first one's key reads as, in any version.
fn names(outcomes: &[Outcome]) -> Vec<&str> {
    let mut names: Vec<&str> = outcomes.iter().filter_map(reads).filter(|name| *name != FIRST).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Adds a row of the table, as many lines high as its highest cell.
fn row(text: &mut String, paint: Paint, label: &str, outcomes: &[Outcome], cell: impl Fn(&Outcome) -> Cell) {
    let cells: Vec<Cell> = outcomes.iter().map(cell).collect();
    for line in 0..cells.iter().map(Vec::len).max().unwrap_or(0) {
        let mut written = format!("{:LABEL_COLUMNS$}", if line == 0 { label } else { "" });
        for cell in &cells {
            let (tone, said) = cell.get(line).map_or((Tone::Plain, ""), |(tone, said)| (*tone, said));
            let rest = CELL_COLUMNS.saturating_sub(said.chars().count());
            let _ = write!(written, "{}{:rest$}", paint.paint(tone, said), "");
        }
        text.push_str(written.trim_end());
        text.push('\n');
    }
}

/// A sentence for each of the failures.
fn verdicts(outcomes: &[Outcome]) -> [String; 4] {
    let with = |number: usize| {
        let names: Vec<&str> = outcomes
            .iter()
            .filter(|outcome| outcome.failures().all()[number - 1])
            .map(|outcome| outcome.mode.name())
            .collect();
        (!names.is_empty()).then(|| listed(&names))
    };
    let first = with(1).map(|names| {
        format!(
            "A stored value changed in {names}: it is a place in the buffer, and {SECOND}'s request was read \
             into that."
        )
    });
    let second = with(2).map(|names| {
        format!(
            "A stored key was lost in {names}: the map has it where {FIRST} belongs, but it reads otherwise. No \
             name finds it, delete misses it, and the map leaks."
        )
    });
    let third = with(3).map(|names| {
        format!(
            "An identity was used again in {names}: the record keeps a connection object, which comes from a \
             pool and is {SECOND}'s by now. It is no string: there is nothing to copy."
        )
    });
    let unordered = with(4).map(|names| {
        format!(
            "Nothing orders who uses the map in {names}. (Read off the code: Rust compiles no race to be measured.)"
        )
    });
    let lock = lock_changed_nothing(outcomes).filter(|nothing| *nothing).map(|_| {
        "The lock of fiber+mutex does, and changed nothing of the rest: whoever reads the next request into the \
         buffer does not take it."
            .to_string()
    });
    let fourth = [unordered, lock].into_iter().flatten().collect::<Vec<_>>().join(" ");
    [
        first.unwrap_or("No stored value changed.".into()),
        second.unwrap_or("No stored key was lost.".into()),
        third.unwrap_or(format!("No identity was used again: what is for {FIRST} reaches nobody else.")),
        if fourth.is_empty() { "A lock orders who uses the map.".into() } else { fourth },
    ]
}

/// `a, b and c`
fn listed(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_string(),
        [firsts @ .., last] => format!("{} and {last}", firsts.join(", ")),
    }
}

/// Text in lines that [`COLUMNS`] are enough for.
fn wrapped(text: &str, first: &str, further: &str) -> String {
    let (mut out, mut line) = (String::new(), first.to_string());
    let mut empty = true;
    for word in text.split_whitespace() {
        if !empty && line.chars().count() + 1 + word.chars().count() > COLUMNS {
            out.push_str(line.trim_end());
            out.push('\n');
            (line, empty) = (further.to_string(), true);
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
    use super::super::outcome::tests::{broken, whole};
    use super::*;

    fn plain() -> Paint {
        Paint::new(false, None)
    }

    #[test]
    fn it_says_what_it_is_given() {
        let text = report(&[broken(), whole()], plain());
        for line in text.lines() {
            assert!(line.chars().count() <= COLUMNS && line == line.trim_end(), "{line}");
        }
        let has = |line: &str| assert!(text.lines().any(|l| l == line), "{line:?} is not in\n{text}");
        has("                            fiber        arena");
        has("alice stored                alice=alice  alice=alice");
        has("the map, once bob is there  bobce=bobce  alice=alice");
        has("                            bob=bob      bob=bob");
        has("looking for alice           not found    found");
        has("looking for bobce           not found    -");
        has("deleting alice              misses       done");
        has("records when both are gone  1            0");
        has("  and 20 more have been     11           0");
        has("a message for alice gets to bob          nobody");
        has("1 a stored value changes    YES          no");
        has("4 nothing orders access     YES          no");
        assert!(text.contains("\n1 A stored value changed in fiber: it is"), "{text}");
        assert!(!text.contains("changed nothing of the rest"), "it was not played\n{text}");
    }

    #[test]
    fn what_did_not_happen_is_not_said() {
        let text = report(&[whole()], plain());
        for absent in ["YES", "bobce", "fiber+mutex", "not found", "misses"] {
            assert!(!text.contains(absent), "{absent} is in\n{text}");
        }
        assert!(text.contains("1 No stored value changed.\n2 No stored key was lost.\n"), "{text}");
        let mutex = Outcome { mode: Mode::FiberMutex, ..broken() };
        let both = report(&[broken(), mutex.clone()], plain());
        let both = both.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(both.contains("The lock of fiber+mutex does, and changed nothing of the rest"), "{both}");
        assert!(both.contains(" 1 A stored value changed in fiber and fiber+mutex: "), "{both}");
        assert!(report(&[mutex], plain()).contains("4 A lock orders who uses the map.\n"));
    }

    #[test]
    fn colours_change_no_letter() {
        let outcomes = [broken(), whole()];
        let coloured = report(&outcomes, Paint::new(true, None));
        assert!(coloured.contains("\x1b[31mbobce=bobce\x1b[0m"), "{coloured}");
        let mut bare = coloured;
        for code in ["\x1b[31m", "\x1b[32m", "\x1b[1m", "\x1b[2m", "\x1b[0m"] {
            bare = bare.replace(code, "");
        }
        // A coloured row may end in blanks, between the codes of its last cells.
        let trimmed = |text: &str| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
        assert_eq!(trimmed(&bare), trimmed(&report(&outcomes, plain())));
    }

    #[test]
    fn names_are_listed() {
        let check = |names: &[&str], expected: &str| assert_eq!(listed(names), expected);
        check(&["a"], "a");
        check(&["a", "b"], "a and b");
        check(&["a", "b", "c"], "a, b and c");
    }
}
