//! The code of the versions, side by side.
//!
//! It runs nothing. Its invariant: it shows the code between the marks in the sources that were compiled.

use super::color::{Colors, Tone};
use super::mode::Mode;
use super::report::COLUMNS;
use std::fmt::Write as _;

/// The lines around the code in the sources.
const MARKS: [&str; 2] = ["    // shown from here\n", "    // to here\n"];
/// The number of columns between two versions.
const GAP: usize = 2;
const CELL_COLUMNS: usize = (COLUMNS - GAP) / 2;

/// Returns the lines of a version's code, without the indentation of its source.
pub(super) fn code(mode: Mode) -> Vec<&'static str> {
    let source = match mode {
        Mode::Fiber => include_str!("fiber.rs"),
        Mode::FiberMutex => include_str!("fiber_mutex.rs"),
        Mode::FiberCopy => include_str!("fiber_copy.rs"),
        Mode::Arena => include_str!("arena.rs"),
    };
    let after = source.split_once(MARKS[0]).map_or("", |(_, after)| after);
    let shown = after.split_once(MARKS[1]).map_or("", |(shown, _)| shown);
    shown.lines().map(|line| line.strip_prefix("    ").unwrap_or(line)).collect()
}

/// Returns what is notable in a version.
fn remark(mode: Mode) -> &'static str {
    match mode {
        Mode::Fiber => "id points into the buffer",
        Mode::FiberMutex => "a lock around the map",
        Mode::FiberCopy => "a lock, and CopyString",
        Mode::Arena => "id borrows from the request",
    }
}

/// Returns the code of `modes`, in pairs. On a terminal the lines that differ from `fiber` stand out.
pub(super) fn explain(modes: &[Mode], colors: Colors) -> String {
    let mut text = String::new();
    for pair in modes.chunks(2) {
        let cells: Vec<Vec<(Tone, String)>> = pair.iter().map(|mode| cell(*mode)).collect();
        for line in 0..cells.iter().map(Vec::len).max().unwrap_or(0) {
            let mut out = String::new();
            for cell in &cells {
                let (tone, content) =
                    cell.get(line).map_or((Tone::Plain, ""), |(tone, content)| (*tone, content));
                let padding = (CELL_COLUMNS + GAP).saturating_sub(content.chars().count());
                let _ = write!(out, "{}{:padding$}", colors.apply(tone, content), "");
            }
            text.push_str(out.trim_end());
            text.push('\n');
        }
        text.push('\n');
    }
    text
}

fn cell(mode: Mode) -> Vec<(Tone, String)> {
    let original = code(Mode::Fiber);
    let mut cell = vec![(Tone::Strong, format!("{mode}: {}", remark(mode)))];
    for line in code(mode) {
        let tone = if original.contains(&line) { Tone::Plain } else { Tone::Strong };
        cell.push((tone, line.to_string()));
    }
    cell
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_between_the_marks_is_complete_and_fits() {
        for mode in Mode::ALL {
            let code = code(mode);
            let text = code.join("\n");
            for function in ["fn post(&self, ", "fn open(&self, id: &str, ", "fn delete(&self, "] {
                assert_eq!(text.matches(function).count(), 1, "{mode}: {function}\n{text}");
            }
            assert!(text.ends_with('}'), "{mode}\n{text}");
            for (_, line) in cell(mode) {
                assert!(line.chars().count() <= CELL_COLUMNS, "{line} does not fit into a column");
            }
        }
    }

    #[test]
    fn each_version_adds_to_the_one_before() {
        let lines = |mode| code(mode).join("\n");
        let without = |text: String, line: &str| text.replace(line, "");
        let lock = "\n    let xpto = self.lock();";
        let fiber = lines(Mode::Fiber).replace("self.xpto.", "xpto.");
        assert_eq!(without(lines(Mode::FiberMutex), lock), fiber);
        let copy = "\n    let id = c.copy_string(id);";
        assert_eq!(without(lines(Mode::FiberCopy), copy), lines(Mode::FiberMutex));
        assert_eq!(lines(Mode::Arena).matches("id.keep()").count(), 2);
    }

    #[test]
    fn two_versions_are_shown_side_by_side() {
        let text = explain(&Mode::ALL, Colors::new(false, None));
        for line in text.lines() {
            assert!(line.chars().count() <= COLUMNS, "{line}");
        }
        let first = text.lines().next().unwrap();
        assert_eq!(first, "fiber: id points into the buffer         fiber+mutex: a lock around the map");
        let alone = explain(&[Mode::Arena], Colors::new(false, None));
        assert!(
            alone.starts_with("arena: id borrows from the request\nfn post(&self, id: &str) {\n"),
            "{alone}"
        );
    }
}
