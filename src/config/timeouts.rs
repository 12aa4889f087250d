//! How long a peer may take.
//!
//! It knows no clock. Its invariant: every timeout can be set by its name, and a timeout that was set from
//! text is at most a year.

use super::table::{Value, number_and_unit, scaled, settings};
use super::{ConfigError, Setting};
use std::time::Duration;

settings! {
    /// Bounds on time, one for each thing a peer can be slow at. Zero means no bound.
    ///
    /// A coarse timer enforces them: a timeout may fire up to 0.2 seconds late, never early. The longest is a year of 366
    /// days. A server with a longer one does not start.
    ///
    /// ```
    /// use fleeting::Timeouts;
    ///
    /// let mut timeouts = Timeouts::default();
    /// timeouts.set("idle", "1500ms").unwrap();
    /// assert_eq!(timeouts.idle.as_millis(), 1500);
    /// ```
    pub struct Timeouts of Duration;
    /// Sets the timeout `name` from text: a number with `ms`, `s`, `m` or `h`, such as `1.5s`. `0s` turns it off.
    ///
    /// # Errors
    /// [`ConfigError::UnknownName`], [`ConfigError::BadValue`] or [`ConfigError::TooLarge`]. The timeouts are unchanged
    /// then.
    fn set;
    /// Checks that no timeout is longer than a year. [`Builder`](crate::Builder) does that at start.
    ///
    /// # Errors
    /// [`ConfigError::TooLarge`] for the first that is.
    fn check;

    /// Time from the beginning of a connection to the first byte of its first request. After that the connection is closed
    /// without an answer.
    first_byte = Duration::from_secs(10), max YEAR, "for a connection's first byte; then closed";
    /// The same for a connection with TLS: from its beginning to the first byte of its first request, the handshake included.
    tls = Duration::from_secs(10), max YEAR, "for a TLS handshake and the first byte; then closed";
    /// Time from the first byte of a request head to its last. After that the answer is 408 (RFC 9110
    /// §15.5.9).
    head = Duration::from_secs(10), max YEAR, "for the whole request head; then 408";
    /// Time between two requests on a persistent connection. After that the connection is closed without an answer.
    idle = Duration::from_secs(60), max YEAR, "without a request; then closed";
    /// Grace period before the content of a request must arrive at 1 KiB a second or more. After that, slower
    /// content is answered with 408. What arrives faster gains time, but never more than the grace period once more, so
    /// nothing may pause for longer than twice this time.
    body_stall = Duration::from_secs(5), max YEAR, "grace before content must come at 1 KiB/s; then 408";
    /// Time for the answer to a request that a handler has deferred. After that the answer is 504 (RFC 9110
    /// §15.6.5).
    answer = Duration::from_secs(60), max YEAR, "for a response that a handler deferred; then 504";
    /// Time in which a peer takes none of the bytes queued for it. After that the connection is cut off.
    write_stall = Duration::from_secs(30), max YEAR, "without a byte taken of what is queued; then cut off";
    /// Time without a frame on a WebSocket before the server sends a ping, and without an event on an event
    /// stream before it sends a comment.
    ping = Duration::from_secs(30), max YEAR, "without a WebSocket frame; then a ping";
    /// Time without a frame on a WebSocket before it is closed with 1001.
    ws_idle = Duration::from_secs(120), max YEAR, "without a WebSocket frame; then closed with 1001";
    /// Grace period before a WebSocket message that has begun must arrive at 1 KiB a second or more. It begins with the first
    /// byte, and includes all fragments and the control frames between them. After that the WebSocket is closed with 1008.
    /// What arrives faster gains time, as with [`body_stall`](Timeouts::body_stall).
    message_stall = Duration::from_secs(10), max YEAR, "grace before messages must come at 1 KiB/s; then 1008";
    /// Time for the peer's half of a closing handshake (RFC 6455 §7.1.1).
    close = Duration::from_secs(5), max YEAR, "for the peer's half of a closing handshake";
    /// Time for requests in flight when the server shuts down. After that they are cut off.
    grace = Duration::from_secs(30), max YEAR, "for requests in flight at shutdown; then cut off";
    /// Time for the peer to read the last response and close (RFC 9112 §9.6).
    linger = Duration::from_secs(5), max YEAR, "for the peer to read the last response and close";
}

/// As good as forever, and keeps every sum of times in range.
const YEAR: Duration = Duration::from_secs(366 * 86_400);

impl Value for Duration {
    const EXPECTED: &'static str = "a time such as 500ms, 1.5s, 2m or 1h, or 0s for none";

    fn read(text: &str) -> Option<Duration> {
        let (number, unit) = number_and_unit(text);
        let scale = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        scaled(number, scale).map(Duration::from_millis)
    }

    fn write(&self, _name: &str) -> String {
        match self.subsec_nanos() {
            0 => format!("{}s", self.as_secs()),
            nanos if nanos % 1_000_000 == 0 => format!("{}ms", self.as_millis()),
            _ => format!("{self:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::table;

    #[test]
    fn times_are_read_with_their_units() {
        fn check(text: &str, expected: Option<u64>) {
            assert_eq!(Duration::read(text).map(|d| d.as_millis() as u64), expected, "{text}");
        }
        check("10s", Some(10_000));
        check("250ms", Some(250));
        check("2m", Some(120_000));
        check("0s", Some(0));
        // Finding F6.
        check("1h", Some(3_600_000));
        check("1.5s", Some(1500));
        check("0.25 h", Some(900_000));
        check("1.0ms", Some(1));
        check("1.5ms", None);
        check("0.0001s", None);
        check("1.s", None);
        check(".5s", None);
        check("1..5s", None);
        check("10", None);
        check("s", None);
        check("-1s", None);
        check("1d", None);
        check("18446744073709551615m", None);
    }

    #[test]
    fn every_timeout_is_set_by_its_name_and_listed_in_the_readme() {
        let beyond = |max: &str| format!("{}001ms", max.strip_suffix('s').unwrap());
        table::check(Timeouts::describe(), Timeouts::set, Timeouts::NAMES, "12345ms", beyond);
    }

    /// Finding A17.
    #[test]
    fn a_year_is_allowed_and_more_is_not() {
        let timeouts = Timeouts { idle: YEAR, ..Timeouts::default() };
        assert_eq!(timeouts.check(), Ok(()));
        let timeouts = Timeouts { idle: Duration::MAX, ..timeouts };
        let error = timeouts.check().unwrap_err().to_string();
        assert_eq!(error, "`idle` is 18446744073709551615.999999999s; at most 31622400s is allowed");
    }
}
