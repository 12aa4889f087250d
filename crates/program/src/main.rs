//! The program `fleeting`: a small real-time hub on top of the library. `fleeting --help` describes it.
//!
//! It uses only public items of the library and the store. Invariant: a mistake at start-up is one line on
//! standard error, never a panic, and the exit status says whose mistake it is ([`Failure`]).

mod args;
mod bounds;
mod census;
mod command;
mod content;
mod delivery;
mod file;
mod hub;
mod lesson;
mod origin;
mod page;
mod registry;
mod routes;
mod serve;
mod settings;
mod sources;
mod store;
mod topics;

use args::{Asked, asked};
use std::io::{self, Write};
use std::process::ExitCode;

/// Why the program ends without having done what it was asked.
#[derive(Debug)]
enum Failure {
    /// It was asked for something that cannot be meant: status 2.
    Usage(String),
    /// What it needs is not to be had: status 1.
    Runtime(String),
}

impl Failure {
    /// The system gives no more threads.
    fn no_thread(error: io::Error) -> Failure {
        Failure::Runtime(format!("cannot start a thread: {error}"))
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let (status, message) = match failure {
                Failure::Usage(message) => (2, message),
                Failure::Runtime(message) => (1, message),
            };
            say(&format!("fleeting: {}", one_line(&message)));
            ExitCode::from(status)
        }
    }
}

/// Does what the command line asks for.
fn run() -> Result<(), Failure> {
    match asked(std::env::args_os())? {
        Asked::Serve(flags) => serve::serve(sources::gather(&flags, std::env::vars_os())?),
        Asked::Lesson(wanted) => lesson::run(&wanted.mode, wanted.explain),
        Asked::Told => Ok(()),
    }
}

/// Writes a line to standard error; that nobody reads it is no reason to end.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// A message may quote what the user wrote: whatever that holds, it stays one line.
fn one_line(message: &str) -> String {
    let mut line = String::with_capacity(message.len());
    for c in message.chars() {
        if c.is_control() { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}
