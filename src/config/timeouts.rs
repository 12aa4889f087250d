//! How long a peer may take.

use super::{ConfigError, number_and_unit};
use std::time::Duration;

/// Bounds on time, one for each thing a peer can be slow at. Zero means: no bound.
///
/// They are kept by a coarse timer: one may fire up to 0.2 seconds late, never early.
///
/// ```
/// use fleeting::Timeouts;
///
/// let mut timeouts = Timeouts::default();
/// timeouts.set("idle", "1500ms").unwrap();
/// assert_eq!(timeouts.idle.as_millis(), 1500);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// From the first byte of a request head to its last; then 408 (RFC 9110 §15.5.9).
    pub head: Duration,
    /// Without a request on a kept connection, or before the first; then it is closed silently.
    pub idle: Duration,
    /// Grace before the content of a request must arrive at 1 KiB a second; then 408.
    pub body_stall: Duration,
    /// For an answer that a handler has deferred; then 504 (RFC 9110 §15.6.5).
    pub answer: Duration,
    /// Without a byte taken by a peer for whom something is queued; then it is cut off.
    pub write_stall: Duration,
    /// Without a frame on a WebSocket before the server sends a ping.
    pub ping: Duration,
    /// Without a frame on a WebSocket before it is closed with 1001.
    pub ws_idle: Duration,
    /// For the peer's half of a closing handshake (RFC 6455 §7.1.1).
    pub close: Duration,
    /// For a TLS handshake.
    pub tls: Duration,
    /// For what is in flight when the server shuts down.
    pub grace: Duration,
    /// For the peer to read a last answer and close (RFC 9112 §9.6).
    pub linger: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        let s = Duration::from_secs;
        Timeouts {
            head: s(10),
            idle: s(60),
            body_stall: s(5),
            answer: s(60),
            write_stall: s(30),
            ping: s(30),
            ws_idle: s(120),
            close: s(5),
            tls: s(10),
            grace: s(30),
            linger: s(5),
        }
    }
}

impl Timeouts {
    /// The names that [`set`](Timeouts::set) takes, in the order of the fields.
    pub const NAMES: &'static [&'static str] = &[
        "head",
        "idle",
        "body_stall",
        "answer",
        "write_stall",
        "ping",
        "ws_idle",
        "close",
        "tls",
        "grace",
        "linger",
    ];

    /// Sets the timeout `name` from text: a number with `ms`, `s` or `m`; `0s` turns it off.
    ///
    /// # Errors
    /// [`ConfigError::UnknownName`] or [`ConfigError::BadValue`]; the timeouts are unchanged then.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        let field = match name {
            "head" => &mut self.head,
            "idle" => &mut self.idle,
            "body_stall" => &mut self.body_stall,
            "answer" => &mut self.answer,
            "write_stall" => &mut self.write_stall,
            "ping" => &mut self.ping,
            "ws_idle" => &mut self.ws_idle,
            "close" => &mut self.close,
            "tls" => &mut self.tls,
            "grace" => &mut self.grace,
            "linger" => &mut self.linger,
            _ => return Err(ConfigError::UnknownName(name.into(), Timeouts::NAMES)),
        };
        *field = duration(value).ok_or_else(|| {
            ConfigError::BadValue(value.into(), "a time such as 500ms, 10s, 2m, or 0s for none")
        })?;
        Ok(())
    }
}

fn duration(value: &str) -> Option<Duration> {
    let (number, unit) = number_and_unit(value)?;
    let scale = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        _ => return None,
    };
    let ms = number.checked_mul(scale)?;
    // A year is as good as for ever, and keeps every sum of times in range.
    (ms <= 366 * 86_400_000).then(|| Duration::from_millis(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        fn check(text: &str, expected: Option<u64>) {
            assert_eq!(duration(text).map(|d| d.as_millis() as u64), expected, "{text}");
        }
        check("10s", Some(10_000));
        check("250ms", Some(250));
        check("2m", Some(120_000));
        check("0s", Some(0));
        check("10", None);
        check("s", None);
        check("-1s", None);
        check("1h", None);
        check("18446744073709551615m", None);
    }

    #[test]
    fn every_name_sets_its_own_field() {
        let mut seen = Vec::new();
        for name in Timeouts::NAMES {
            let mut timeouts = Timeouts::default();
            timeouts.set(name, "12345ms").unwrap();
            assert!(!seen.contains(&timeouts), "{name}");
            seen.push(timeouts);
        }
        assert!(Timeouts::default().set("nope", "1s").is_err());
    }
}
