//! Rules for a single source file: its first line, its length, its names, `unsafe`, and unfinished work.

use proc_macro2::{TokenStream, TokenTree};

/// The maximum number of lines before a file's tests. A longer file needs a reason in `LONG_FILES`.
pub const FILE_LINES_MAX: usize = 450;

const EMPTY_NAMES: &[&str] = &["util", "utils", "helper", "helpers", "manager", "common", "misc"];

/// Returns the identifiers and punctuation with their line numbers. A group becomes `(` and its tokens, a literal
/// becomes the word `literal`, and comments are left out.
fn tokens(text: &str) -> Vec<(usize, String)> {
    fn add(stream: TokenStream, found: &mut Vec<(usize, String)>) {
        for token in stream {
            let line = token.span().start().line;
            match token {
                TokenTree::Group(group) => {
                    found.push((line, "(".into()));
                    add(group.stream(), found);
                }
                TokenTree::Literal(_) => found.push((line, "literal".into())),
                other => found.push((line, other.to_string())),
            }
        }
    }
    let mut found = Vec::new();
    add(text.parse().unwrap_or_else(|error| panic!("{error}: {text}")), &mut found);
    found
}

/// Checks a source file's first line, its length, its path and the names in it. `is_long` says whether the file has a
/// reason to be long.
pub fn shape(path: &str, text: &str, is_long: bool) -> Vec<String> {
    let mut violations = Vec::new();
    if !text.starts_with("//!") {
        violations.push(format!("{path}:1: does not begin with `//!`"));
    }
    let lines = lines_before_tests(text);
    if (lines > FILE_LINES_MAX) != is_long {
        violations.push(match is_long {
            false => format!("{path}: {lines} lines before its tests, more than {FILE_LINES_MAX}"),
            true => format!("{path}: only {lines} lines before its tests: remove it from LONG_FILES"),
        });
    }
    for part in path.split('/') {
        let name = part.strip_suffix(".rs").unwrap_or(part);
        if EMPTY_NAMES.contains(&name) {
            violations.push(format!("{path}: `{name}` does not describe its content"));
        }
    }
    for pair in tokens(text).windows(2) {
        let ((line, first), second) = (&pair[0], pair[1].1.as_str());
        if first == "mod" && EMPTY_NAMES.contains(&second) {
            violations.push(format!("{path}:{line}: `mod {second}` does not describe its content"));
        }
        if first == "fn" && second.starts_with("get_") {
            violations.push(format!("{path}:{line}: `{second}`: omit `get_`"));
        }
    }
    violations
}

/// Returns the lines that contain `unsafe`.
pub fn unsafe_lines(path: &str, text: &str) -> Vec<String> {
    let is_unsafe = |(_, token): &&(usize, String)| token == "unsafe";
    tokens(text).iter().filter(is_unsafe).map(|(line, _)| format!("{path}:{line}: `unsafe`")).collect()
}

fn lines_before_tests(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let is_test_module = |at: usize| {
        let item = lines[at + 1..].iter().find(|line| !line.starts_with("#["));
        lines[at] == "#[cfg(test)]" && item.is_some_and(|line| line.contains("mod ") && line.ends_with('{'))
    };
    (0..lines.len()).find(|at| is_test_module(*at)).unwrap_or(lines.len())
}

/// Returns the unfinished code, the ignored tests, and the sleeps.
pub fn unfinished(path: &str, text: &str) -> Vec<String> {
    let mut violations = Vec::new();
    let mut all = tokens(text);
    all.extend([(0, String::new()), (0, String::new())]);
    for three in all.windows(3) {
        let (line, words) = (three[0].0, [&*three[0].1, &*three[1].1, &*three[2].1]);
        let problem = match words {
            ["todo" | "unimplemented", "!", _] => "is not finished",
            ["#", "(", "ignore"] => "ignores a test: a test that cannot run must fail",
            ["sleep", "(", _] => "sleeps: wait for the event itself",
            _ => continue,
        };
        violations.push(format!("{path}:{line}: {problem}"));
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planted::expect_violations;

    #[test]
    fn a_violation_in_a_source_file_is_found() {
        let check =
            |path: &str, text: &str, expected: &[&str]| expect_violations(shape(path, text, false), expected);
        check("src/arena.rs", "//! A.\nfn target() {}", &[]);
        check("src/arena.rs", "// A.\n", &["does not begin"]);
        check("src/app/util.rs", "//! A.", &["`util`"]);
        check("src/helpers/a.rs", "//! A.", &["`helpers`"]);
        check("src/arena.rs", "//! A.\nmod common;", &["src/arena.rs:2: `mod common`"]);
        check(
            "src/arena.rs",
            "//! A.\npub fn get_target() {}\nfn get() {}",
            &["src/arena.rs:2: `get_target`"],
        );
        let long = format!("//! A.\n{}", "\n".repeat(FILE_LINES_MAX));
        check("src/arena.rs", &long, &["451 lines"]);
        expect_violations(shape("src/arena.rs", &long, true), &[]);
        expect_violations(shape("src/arena.rs", "//! A.", true), &["remove it from LONG_FILES"]);
        let tested = format!(
            "//! A.\n#[cfg(test)]\nuse a;\n#[cfg(test)]\nmod tests {{\n{}}}",
            "\n".repeat(FILE_LINES_MAX)
        );
        check("src/arena.rs", &tested, &[]);
    }

    #[test]
    fn unsafe_code_is_found() {
        let check =
            |text: &str, expected: &[&str]| expect_violations(unsafe_lines("src/arena.rs", text), expected);
        check("//! A.\nfn a() { unsafe { b() } }", &["src/arena.rs:2: `unsafe`"]);
        check("//! unsafe\n#![deny(unsafe_code)]\nconst A: &str = \"unsafe\";", &[]);
    }

    #[test]
    fn unfinished_work_is_found() {
        let check = |text: &str, expected: &[&str]| expect_violations(unfinished("src/a.rs", text), expected);
        check("fn a() { b() }", &[]);
        check("fn a() {\n todo!() }", &["src/a.rs:2: is not finished"]);
        check("fn a() { unimplemented!(\"later\") }", &["is not finished"]);
        check("#[test]\n#[ignore = \"slow\"]\nfn a() {}", &["src/a.rs:2: ignores"]);
        check("fn a() { thread::sleep(second) }", &["sleeps"]);
        check("// todo!() sleep(\nfn sleep_until() {}", &[]);
    }
}
