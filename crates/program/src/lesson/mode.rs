//! The versions of the application and their names.
//!
//! It knows no version's code. Its invariant: a version has the same name on the command line, in a path and in the
//! report.

use clap::ValueEnum;
use std::fmt;

/// A version of the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// The application without protection
    #[value(name = "fiber")]
    Fiber,
    /// The same, with a lock around its map
    #[value(name = "fiber+mutex")]
    FiberMutex,
    /// The same, with the lock, and CopyString for every string it stores
    #[value(name = "fiber+copy")]
    FiberCopy,
    /// The application written for this server
    #[value(name = "arena")]
    Arena,
}

impl Mode {
    /// All versions. Each protects against one failure more than the version before it.
    pub(super) const ALL: [Mode; 4] = [Mode::Fiber, Mode::FiberMutex, Mode::FiberCopy, Mode::Arena];

    pub(super) fn name(self) -> &'static str {
        match self {
            Mode::Fiber => "fiber",
            Mode::FiberMutex => "fiber+mutex",
            Mode::FiberCopy => "fiber+copy",
            Mode::Arena => "arena",
        }
    }

    /// Returns the version with this name.
    pub(super) fn from_name(name: &str) -> Option<Mode> {
        Mode::ALL.into_iter().find(|mode| mode.name() == name)
    }

    /// Returns whether a lock orders access to the map. This is a property of the code: safe Rust has no data race
    /// to measure.
    pub(super) fn is_locked(self) -> bool {
        self != Mode::Fiber
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
