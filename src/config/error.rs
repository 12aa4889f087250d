//! Errors in the text of a setting.
//!
//! Knows no setting. Invariant: the message names the text that is wrong and what is allowed instead.

use std::fmt;

/// Why a limit, a timeout or [`Compression`](crate::ws::Compression) could not be set from text.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// There is no limit or timeout of this name. The second field lists the names there are.
    UnknownName(String, &'static [&'static str]),
    /// The value cannot be read. The second field says what is expected.
    BadValue(String, &'static str),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::UnknownName(name, known) => {
                write!(f, "unknown name `{name}`; there are: {}", known.join(" "))
            }
            ConfigError::BadValue(value, expected) => write!(f, "bad value `{value}`; expected {expected}"),
        }
    }
}

impl std::error::Error for ConfigError {}
