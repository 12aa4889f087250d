//! The lesson: one small application in four versions, three of which keep strings as Go's Fiber hands them out.
//!
//! It serves the versions ([`routes`]), a set for each visitor ([`rooms`]), runs two browser tabs against them over real sockets ([`replay`]), and reports
//! what happened to the first tab's record ([`report`]). It models Fiber ([`buffer`], [`go_map`], [`pool`],
//! [`framework`]) without undefined behaviour: a string is an offset into a buffer that each request overwrites. Its
//! invariant: everything reported was observed on a running server. docs/lesson.md describes the routes.

mod application;
mod arena;
mod buffer;
mod client;
mod color;
mod explain;
mod fiber;
mod fiber_copy;
mod fiber_mutex;
mod framework;
mod go_map;
mod mode;
mod outcome;
mod pool;
mod replay;
mod report;
mod rooms;
mod routes;
mod versions;

pub(super) use mode::Mode;
pub(super) use rooms::Lesson;
pub(super) use routes::routes;

use crate::failure::Failure;
use color::Colors;
use std::io::{IsTerminal, Write};

/// Replays the lesson in `modes`, or in all modes if the list is empty, and prints the report. With `explain`, prints
/// the code of each version first.
pub(super) fn run(modes: &[Mode], explain: bool) -> Result<(), Failure> {
    let modes: Vec<Mode> =
        Mode::ALL.into_iter().filter(|mode| modes.is_empty() || modes.contains(mode)).collect();
    let colors = Colors::new(std::io::stdout().is_terminal(), std::env::var_os("NO_COLOR").as_deref());
    if explain {
        print(&explain::explain(&modes, colors));
    }
    let mut outcomes = Vec::new();
    for mode in modes {
        let outcome = replay::replay(mode);
        outcomes.push(
            outcome
                .map_err(|error| Failure::Runtime(format!("the lesson failed in mode {mode}: {error}")))?,
        );
    }
    print(&report::report(&outcomes, colors));
    let differences = outcome::differences(&outcomes);
    if differences.is_empty() {
        return Ok(());
    }
    Err(Failure::Runtime(format!("the lesson did not come out as expected: {}", differences.join("; "))))
}

/// Prints the text. A closed standard output is not a failure of the lesson.
fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}
