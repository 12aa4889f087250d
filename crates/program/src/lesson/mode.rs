//! The versions of the application and their names.
//!
//! It knows no version's code. Its invariant: a version has one name, on the command line and in a path.

use clap::ValueEnum;
use std::fmt;

/// A version of the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
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
