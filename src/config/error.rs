//! Errors in the text of a setting.
//!
//! It knows no setting. Its invariant: the message names the text that is wrong and what is allowed instead.

use std::fmt;

/// Why a limit, a timeout, an address or [`Compression`](crate::ws::Compression) could not be set from text.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// There is no limit or timeout of this name (first field). The second field lists the valid names.
    UnknownName(String, &'static [&'static str]),
    /// The value (first field) cannot be read. The second field says what is expected.
    BadValue(String, &'static str),
    /// The text (first field) is not an address to listen on. The second field says why.
    BadAddress(String, &'static str),
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
            ConfigError::BadAddress(text, why) => write!(
                f,
                "bad address `{text}`: {why}; expected HOST:PORT, such as 127.0.0.1:8080 or [::]:80, unix:PATH, fd:NUMBER \
                 or systemd[:NAME]"
            ),
            ConfigError::BadValue(value, expected) => write!(f, "bad value `{value}`; expected {expected}"),
        }
    }
}

impl std::error::Error for ConfigError {}
