//! The end of `--help`: the limits, the timeouts, and the other ways to set things.
//!
//! It parses nothing. Its invariant: every limit and timeout is listed, with its default.

use fleeting::{Limits, Timeouts};
use std::fmt::Write;
use std::time::Duration;

/// A limit: its name, its value, and its help.
type Limit = (&'static str, fn(&Limits) -> usize, &'static str);
/// A timeout: its name, its value, and its help.
type Timeout = (&'static str, fn(&Timeouts) -> Duration, &'static str);

const LIMITS: &[Limit] = &[
    ("headers", |l| l.headers, "fields in a request head; 431 above"),
    ("head_bytes", |l| l.head_bytes, "size of a request head; 431 above"),
    ("target_bytes", |l| l.target_bytes, "size of a request target; 414 above"),
    ("body_bytes", |l| l.body_bytes, "size of a request's content; 413 above"),
    ("message_bytes", |l| l.message_bytes, "size of a WebSocket message; close code 1009 above"),
    ("frame_bytes", |l| l.frame_bytes, "size of a WebSocket frame; close code 1009 above"),
    ("fragments", |l| l.fragments, "frames in a message; close code 1008 above"),
    ("outbox_bytes", |l| l.outbox_bytes, "queued for a slow reader before sends are refused"),
    ("connections", |l| l.connections, "connections of a worker; others wait to be accepted"),
    ("pipeline", |l| l.pipeline, "pipelined requests served before others get a turn"),
    ("topics", |l| l.topics, "topics and filters that a worker's clients may use"),
    ("subscriptions", |l| l.subscriptions, "subscriptions of a connection"),
    ("topic_bytes", |l| l.topic_bytes, "size of a topic's name"),
    ("arena_bytes", |l| l.arena_bytes, "memory kept from one request to the next"),
];

const TIMEOUTS: &[Timeout] = &[
    ("head", |t| t.head, "to receive a whole request head; then 408"),
    ("idle", |t| t.idle, "without a request; then the connection is closed"),
    ("body_stall", |t| t.body_stall, "before content must arrive at 1 KiB/s; then 408"),
    ("answer", |t| t.answer, "for a handler's deferred answer; then 504"),
    ("write_stall", |t| t.write_stall, "while the peer accepts no byte; then cut off"),
    ("ping", |t| t.ping, "without a WebSocket frame; then a ping is sent"),
    ("ws_idle", |t| t.ws_idle, "without a WebSocket frame; then close code 1001"),
    ("close", |t| t.close, "for the peer's half of a closing handshake"),
    ("tls", |t| t.tls, "for a TLS handshake (TLS is not supported yet)"),
    ("grace", |t| t.grace, "to finish open work at shutdown; then cut off"),
    ("linger", |t| t.linger, "for the peer to read a last answer and close"),
];

const ELSEWHERE: &str = "\
Settings can also come from the environment and from a TOML file. A flag overrides the environment, \
the environment overrides the file, the file overrides the default.

  FLEETING_CONFIG=fleeting.toml            # the file to read, as --config
  FLEETING_LISTEN=127.0.0.1:80,[::1]:80    # addresses, separated by commas
  FLEETING_WORKERS=2
  FLEETING_FILES=public                    # as --files
  FLEETING_COMPRESSION=shared,window=12    # as --compression
  FLEETING_SLOW_CONSUMER=conflate          # as --slow-consumer
  FLEETING_STORE=redis://:secret@cache/0   # as --store; hides the password from `ps`
  FLEETING_NODE=a                          # as --node
  FLEETING_CLIENT_LIFE=10m                 # as --client-life
  FLEETING_CLIENT_CLOSE=30s                # as --client-close
  FLEETING_LIMIT_BODY_BYTES=8MiB           # any limit, in capitals
  FLEETING_TIMEOUT_IDLE=30s                # any timeout, in capitals

  listen = [\"127.0.0.1:8080\"]              # the file; every key is optional
  workers = 2
  files = \"public\"                         # relative to the current directory
  compression = \"shared\"
  slow_consumer = \"conflate\"
  store = \"redis://127.0.0.1:6379\"
  node = \"a\"
  [clients]
  life = \"10m\"
  on_close = \"remove\"
  [limits]
  body_bytes = \"8MiB\"
  [timeouts]
  idle = \"30s\"

Exit status: 0 after SIGTERM or Ctrl-C, once open requests are answered and connections are closed; 1 if an \
address, a file or a directory is unavailable; 2 if a flag, a value or the file is wrong. A second signal ends \
the program at once.

Examples:
  fleeting
  fleeting serve --listen 0.0.0.0:8080 --workers 2
  fleeting serve --listen 127.0.0.1:0 --limit body_bytes=8MiB --timeout idle=5m
  fleeting serve --files public
  fleeting serve --compression dedicated,window=12 --slow-consumer conflate
  fleeting serve --store redis://127.0.0.1:6379 --node a
  fleeting serve --config fleeting.toml";

/// The tables of limits and timeouts, the other sources of settings, and examples.
pub(super) fn reference() -> String {
    let mut text =
        String::from("Limits (--limit NAME=VALUE): a number from 1, optionally with KiB, MiB or GiB\n");
    let limits = Limits::default();
    for (name, value, help) in LIMITS {
        let value = size(name, value(&limits));
        let _ = writeln!(text, "  {name:<14} {value:>8}  {help}");
    }
    text.push_str("\nTimeouts (--timeout NAME=VALUE): a number with ms, s or m; 0s means no timeout\n");
    let timeouts = Timeouts::default();
    for (name, value, help) in TIMEOUTS {
        let value = seconds(value(&timeouts));
        let _ = writeln!(text, "  {name:<14} {value:>8}  {help}");
    }
    text.push('\n');
    text + ELSEWHERE
}

fn size(name: &str, value: usize) -> String {
    if !name.ends_with("_bytes") {
        value.to_string()
    } else if value.is_multiple_of(1 << 20) {
        format!("{}MiB", value >> 20)
    } else if value.is_multiple_of(1 << 10) {
        format!("{}KiB", value >> 10)
    } else {
        value.to_string()
    }
}

fn seconds(timeout: Duration) -> String {
    format!("{}s", timeout.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_is_listed_with_its_own_value() {
        assert_eq!(LIMITS.iter().map(|limit| limit.0).collect::<Vec<_>>(), Limits::NAMES);
        for (name, value, _) in LIMITS {
            let mut limits = Limits::default();
            let shown = size(name, value(&limits));
            limits.set(name, &shown).unwrap();
            assert_eq!(limits, Limits::default(), "{name}");
            limits.set(name, "12345").unwrap();
            assert_eq!(value(&limits), 12345, "{name}");
        }
    }

    #[test]
    fn every_timeout_is_listed_with_its_own_value() {
        assert_eq!(TIMEOUTS.iter().map(|timeout| timeout.0).collect::<Vec<_>>(), Timeouts::NAMES);
        for (name, value, _) in TIMEOUTS {
            let mut timeouts = Timeouts::default();
            assert_eq!(value(&timeouts).subsec_nanos(), 0, "{name} is shown in seconds");
            timeouts.set(name, "12345ms").unwrap();
            assert_eq!(value(&timeouts).as_millis(), 12345, "{name}");
        }
    }

    #[test]
    fn the_readme_lists_the_same_defaults() {
        let readme = include_str!("../../../../README.md");
        let check = |name: &str, shown: String| {
            assert!(readme.contains(&format!("\n| `{name}` | {shown} | ")), "{name}: {shown}");
        };
        LIMITS.iter().for_each(|(name, value, _)| check(name, size(name, value(&Limits::default()))));
        TIMEOUTS.iter().for_each(|(name, value, _)| check(name, seconds(value(&Timeouts::default()))));
    }

    #[test]
    fn the_tables_fit_a_terminal_of_80_columns() {
        // clap wraps prose to the width of the terminal, but not tables.
        for line in reference().lines().filter(|line| line.starts_with(' ')) {
            assert!(line.len() <= 80, "{line}");
        }
    }
}
