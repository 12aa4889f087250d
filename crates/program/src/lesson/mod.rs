//! The lesson: one small application in four versions, three of which keep strings as Go's Fiber hands them out.
//!
//! It serves them ([`routes`]), plays two browser tabs against them over real sockets ([`replay`]), and tells
//! what became of the first one's record ([`report`]). What it models of Fiber is in [`memory`], [`map`],
//! [`pool`] and [`framework`]: places in a buffer that is used again, without undefined behaviour. Its
//! invariant: what is told was asked of a server, nothing of it is written down beforehand. What a client may
//! ask is in docs/lesson.md.

mod arena;
mod explain;
mod fiber;
mod fiber_copy;
mod fiber_mutex;
mod framework;
mod map;
mod memory;
mod outcome;
mod paint;
mod peer;
mod pool;
mod replay;
mod report;
mod routes;
mod stage;

pub(super) use routes::routes;
pub(super) use stage::Lesson;

use super::Failure;
use clap::ValueEnum;
use paint::Paint;
use std::fmt;
use std::io::{IsTerminal, Write};

/// A version of the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Mode {
    /// The article's application as it was
    #[value(name = "fiber")]
    Fiber,
    /// The same, with a lock around its map
    #[value(name = "fiber+mutex")]
    FiberMutex,
    /// The same, with the lock and with CopyString at every such place
    #[value(name = "fiber+copy")]
    FiberCopy,
    /// The application as it is written here
    #[value(name = "arena")]
    Arena,
}

impl Mode {
    /// All of them, each with one thing more than the one before it.
    pub(super) const ALL: [Mode; 4] = [Mode::Fiber, Mode::FiberMutex, Mode::FiberCopy, Mode::Arena];

    pub(super) fn name(self) -> &'static str {
        match self {
            Mode::Fiber => "fiber",
            Mode::FiberMutex => "fiber+mutex",
            Mode::FiberCopy => "fiber+copy",
            Mode::Arena => "arena",
        }
    }

    /// The version of this name.
    pub(super) fn named(name: &str) -> Option<Mode> {
        Mode::ALL.into_iter().find(|mode| mode.name() == name)
    }

    /// Whether a lock orders what is done with the map. It is read off the code: safe Rust has no data race
    /// that could be measured.
    pub(super) fn is_locked(self) -> bool {
        self != Mode::Fiber
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Plays the lesson in `modes`, in all if there are none, and tells how it came out; before that, the code of
/// each if it is to be explained.
pub(super) fn tell(modes: &[Mode], explained: bool) -> Result<(), Failure> {
    let modes: Vec<Mode> =
        Mode::ALL.into_iter().filter(|mode| modes.is_empty() || modes.contains(mode)).collect();
    let paint = Paint::new(std::io::stdout().is_terminal(), std::env::var_os("NO_COLOR").as_deref());
    if explained {
        print(&explain::explain(&modes, paint));
    }
    let mut outcomes = Vec::new();
    for mode in modes {
        let played = replay::play(mode);
        outcomes
            .push(played.map_err(|error| Failure::Runtime(format!("the lesson fails in {mode}: {error}")))?);
    }
    print(&report::report(&outcomes, paint));
    let differences = outcome::differences(&outcomes);
    if differences.is_empty() {
        return Ok(());
    }
    Err(Failure::Runtime(format!("the lesson did not come out as expected: {}", differences.join("; "))))
}

/// That nobody reads it is no failure.
fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}
