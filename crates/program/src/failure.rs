//! How a command fails, and how the program reports it: one line on standard error and an exit status.
//!
//! It knows no command. Its invariant: a reported message is one line, whatever text of the user's it quotes.

use std::io::{self, Write};
use std::process::ExitCode;

/// Why the program ends without having done what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It was asked for something that cannot be meant: status 2.
    Usage(String),
    /// What it needs is not to be had: status 1.
    Runtime(String),
}

impl Failure {
    /// The system gives no more threads.
    pub(crate) fn no_thread(error: io::Error) -> Failure {
        Failure::Runtime(format!("cannot start a thread: {error}"))
    }

    /// Says why in one line, and with which status the program is to end.
    pub(crate) fn report(self) -> ExitCode {
        let (status, message) = match self {
            Failure::Usage(message) => (2, message),
            Failure::Runtime(message) => (1, message),
        };
        say(&format!("fleeting: {}", one_line(&message)));
        ExitCode::from(status)
    }
}

/// Writes a line to standard error; that nobody reads it is no reason to end.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// A message may quote what the user wrote: whatever that holds, it stays one line.
pub(crate) fn one_line(message: &str) -> String {
    let mut line = String::with_capacity(message.len());
    for c in message.chars() {
        if c.is_control() { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}
