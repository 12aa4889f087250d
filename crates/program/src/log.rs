//! The program's log: lines on standard error.

use std::io::Write;

/// Writes a line to standard error. A closed standard error does not stop the program.
pub(crate) fn line(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Escapes control characters, so that a message that quotes the user's text stays one line.
pub(crate) fn one_line(message: &str) -> String {
    let mut line = String::with_capacity(message.len());
    for c in message.chars() {
        if c.is_control() { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}
