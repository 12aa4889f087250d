//! What `--help` says about limits and timeouts, and where else they can be set.

use fleeting::{Limits, Timeouts};
use std::fmt::Write;
use std::time::Duration;

/// A limit's name, its value, and what it bounds.
type Limit = (&'static str, fn(&Limits) -> usize, &'static str);
/// A timeout's name, its value, and what it bounds.
type Timeout = (&'static str, fn(&Timeouts) -> Duration, &'static str);

const LIMITS: &[Limit] = &[
    ("headers", |l| l.headers, "fields in a request head; more is 431"),
    ("head_bytes", |l| l.head_bytes, "a request head; more is 431"),
    ("target_bytes", |l| l.target_bytes, "a request target; more is 414"),
    ("body_bytes", |l| l.body_bytes, "a request's content; more is 413"),
    ("message_bytes", |l| l.message_bytes, "a WebSocket message; more closes with 1009"),
    ("frame_bytes", |l| l.frame_bytes, "a WebSocket frame; more closes with 1009"),
    ("fragments", |l| l.fragments, "frames of one message; more closes with 1008"),
    ("outbox_bytes", |l| l.outbox_bytes, "queued for a slow reader before sends are refused"),
    ("connections", |l| l.connections, "connections of a worker; more wait to be accepted"),
    ("pipeline", |l| l.pipeline, "requests of a connection before others have a turn"),
    ("topics", |l| l.topics, "topics and filters that a worker's connections have"),
    ("subscriptions", |l| l.subscriptions, "subscriptions of a connection"),
    ("topic_bytes", |l| l.topic_bytes, "a topic's name"),
    ("arena_bytes", |l| l.arena_bytes, "memory kept from one request for the next"),
];

const TIMEOUTS: &[Timeout] = &[
    ("head", |t| t.head, "for a whole request head; then 408"),
    ("idle", |t| t.idle, "without a request; then closed"),
    ("body_stall", |t| t.body_stall, "grace before content must come at 1 KiB/s; then 408"),
    ("answer", |t| t.answer, "for an answer that a handler has deferred; then 504"),
    ("write_stall", |t| t.write_stall, "without a byte taken of what is queued; then cut off"),
    ("ping", |t| t.ping, "without a WebSocket frame; then a ping"),
    ("ws_idle", |t| t.ws_idle, "without a WebSocket frame; then closed with 1001"),
    ("close", |t| t.close, "for the peer's half of a closing handshake"),
    ("tls", |t| t.tls, "for a TLS handshake (there is no TLS yet)"),
    ("grace", |t| t.grace, "for what is in flight at a shutdown; then cut off"),
    ("linger", |t| t.linger, "for the peer to read a last answer and close"),
];

const ELSEWHERE: &str = "\
Settings may also come from the environment and from a TOML file. A flag goes before the \
environment, that before the file, that before the default.

  FLEETING_CONFIG=fleeting.toml            # where the file is, without --config
  FLEETING_LISTEN=127.0.0.1:80,[::1]:80    # addresses, with commas
  FLEETING_WORKERS=2
  FLEETING_FILES=public                    # a directory to serve, as --files
  FLEETING_COMPRESSION=shared,window=12    # as --compression
  FLEETING_SLOW_CONSUMER=conflate          # as --slow-consumer
  FLEETING_STORE=redis://:secret@cache/0   # as --store, and no secret in `ps`
  FLEETING_NODE=a                          # as --node
  FLEETING_CLIENT_LIFE=10m                 # as --client-life
  FLEETING_CLIENT_CLOSE=30s                # as --client-close
  FLEETING_LIMIT_BODY_BYTES=8MiB           # any limit, in capitals
  FLEETING_TIMEOUT_IDLE=30s                # any timeout

  listen = [\"127.0.0.1:8080\"]              # the file; every key may be left out
  workers = 2
  files = \"public\"                         # from where the program was started
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

Exit status: 0 after SIGTERM or Ctrl-C, once all is answered and closed; 1 when an address or a file or \
a directory is not to be had; 2 for a wrong flag, value or file. A second signal ends it at once.

Examples:
  fleeting
  fleeting serve --listen 0.0.0.0:8080 --workers 2
  fleeting serve --listen 127.0.0.1:0 --limit body_bytes=8MiB --timeout idle=5m
  fleeting serve --files public
  fleeting serve --compression dedicated,window=12 --slow-consumer conflate
  fleeting serve --store redis://127.0.0.1:6379 --node a
  fleeting serve --config fleeting.toml";

/// The tables of names, and the ways to set them.
pub(super) fn reference() -> String {
    let mut text =
        String::from("Limits (--limit NAME=VALUE): a number of at least 1, or one with KiB, MiB or GiB\n");
    let limits = Limits::default();
    for (name, value, what) in LIMITS {
        let value = size(name, value(&limits));
        let _ = writeln!(text, "  {name:<14} {value:>8}  {what}");
    }
    text.push_str("\nTimeouts (--timeout NAME=VALUE): a number with ms, s or m; 0s is none\n");
    let timeouts = Timeouts::default();
    for (name, value, what) in TIMEOUTS {
        let value = seconds(value(&timeouts));
        let _ = writeln!(text, "  {name:<14} {value:>8}  {what}");
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
    fn the_readme_has_the_same_defaults() {
        let readme = include_str!("../../../../README.md");
        let check = |name: &str, shown: String| {
            assert!(readme.contains(&format!("\n| `{name}` | {shown} | ")), "{name}: {shown}");
        };
        LIMITS.iter().for_each(|(name, value, _)| check(name, size(name, value(&Limits::default()))));
        TIMEOUTS.iter().for_each(|(name, value, _)| check(name, seconds(value(&Timeouts::default()))));
    }

    #[test]
    fn the_reference_fits_a_terminal() {
        // Prose is wrapped where it is shown, tables are not.
        for line in reference().lines().filter(|line| line.starts_with(' ')) {
            assert!(line.len() <= 80, "{line}");
        }
    }
}
