//! The bounds of a server: what a peer may send ([`Limits`]) and how long it may take ([`Timeouts`]).
//!
//! Knows no socket and no protocol. Both are plain values, set in the builder, in a configuration
//! file, in the environment or on the command line, always under the same names.

mod limits;
mod timeouts;

pub use limits::Limits;
pub(crate) use limits::READ_BYTES;
pub use timeouts::Timeouts;

use std::fmt;

/// Why a limit or a timeout could not be set.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// No limit or timeout of this name; the second field lists those there are.
    UnknownName(String, &'static [&'static str]),
    /// The value is not a number with a known unit; the second field says what would be.
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

/// Splits `value` into its leading digits and the unit behind them.
fn number_and_unit(value: &str) -> Option<(u64, &str)> {
    let value = value.trim();
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    let number = value[..digits].parse().ok()?;
    Some((number, value[digits..].trim()))
}
