//! What the values of several settings have in common.
//!
//! It knows no setting. Its invariant: an error quotes the value and says what is expected.

use fleeting::Timeouts;
use std::time::Duration;

/// Parses a duration. The syntax is that of timeouts.
pub(super) fn time(value: &str) -> Option<Duration> {
    let mut timeouts = Timeouts::default();
    timeouts.set("idle", value).ok()?;
    Some(timeouts.idle)
}

/// Parses a duration greater than zero.
pub(super) fn positive(value: &str) -> Option<Duration> {
    time(value).filter(|time| !time.is_zero())
}

pub(super) fn bad_value(value: &str, expected: &str) -> String {
    format!("bad value `{}`; expected {expected}", value.trim())
}
