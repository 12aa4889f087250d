//! Errors in the text of a setting.
//!
//! It knows no setting. Its invariant: the message names the text that is wrong and what is allowed instead.

use std::fmt;

/// Why a limit, a timeout or [`Compression`](crate::ws::Compression) could not be set from text.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// There is no limit or timeout of this name (first field). The second field lists the valid names.
    UnknownName(String, &'static [&'static str]),
    /// The value (first field) cannot be read. The second field says what is expected.
    BadValue(String, &'static str),
    /// The value of this limit or timeout (first field) is larger (second field) than its largest value (third field).
    TooLarge(&'static str, String, String),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::UnknownName(name, known) => {
                write!(f, "unknown name `{name}`; expected one of {}", known.join(", "))
            }
            ConfigError::TooLarge(name, value, max) => {
                write!(f, "`{name}` is {value}; at most {max} is allowed")
            }
            ConfigError::BadValue(value, expected) => write!(f, "bad value `{value}`; expected {expected}"),
        }
    }
}

impl std::error::Error for ConfigError {}
