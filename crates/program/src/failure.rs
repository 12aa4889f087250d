//! How a command fails: one line on standard error and an exit status.
//!
//! It knows no command. Its invariant: a reported failure is exactly one line, even if it quotes text from the
//! user.

use crate::log;
use std::io;
use std::process::ExitCode;

/// Why the program ends without doing what it was asked to do.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A flag, variable or file is wrong: exit status 2.
    Usage(String),
    /// Something the program needs is unavailable: exit status 1.
    Runtime(String),
}

impl Failure {
    /// The system refused to start a thread.
    pub(crate) fn no_thread(error: io::Error) -> Failure {
        Failure::Runtime(format!("cannot start a thread: {error}"))
    }

    /// Returns the message, without an exit status.
    pub(crate) fn message(&self) -> &str {
        match self {
            Failure::Usage(message) | Failure::Runtime(message) => message,
        }
    }

    /// Reports the failure in one line and returns the exit status.
    pub(crate) fn report(&self) -> ExitCode {
        let status = match self {
            Failure::Usage(_) => 2,
            Failure::Runtime(_) => 1,
        };
        log::line(&format!("fleeting: {}", log::one_line(self.message())));
        ExitCode::from(status)
    }
}
