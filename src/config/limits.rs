//! What a peer may send, checked before memory is taken for it.

use super::{ConfigError, number_and_unit};

/// Bounds on what one peer may make the server hold.
///
/// ```
/// use fleeting::Limits;
///
/// let mut limits = Limits::default();
/// limits.set("body_bytes", "8MiB").unwrap();
/// assert_eq!(limits.body_bytes, 8 << 20);
/// assert!(limits.set("bodybytes", "1").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Fields in a request head; more is 431 (RFC 6585 §5).
    pub headers: usize,
    /// Bytes of a request head, its last CRLF included; more is 431. Also bounds the trailer
    /// section and all chunk extensions of one request.
    pub head_bytes: usize,
    /// Bytes of a request target; more is 414 (RFC 9110 §15.5.15).
    pub target_bytes: usize,
    /// Bytes of a request's content, decoded; more is 413 (RFC 9110 §15.5.14).
    pub body_bytes: usize,
    /// Bytes of a WebSocket message, reassembled and inflated; more closes with 1009 (RFC 6455 §7.4.1). A
    /// compressed one may have an eighth more on the wire, because what cannot be compressed grows.
    pub message_bytes: usize,
    /// Bytes of a WebSocket frame's payload; more closes with 1009.
    pub frame_bytes: usize,
    /// Frames of one WebSocket message; more closes with 1008.
    pub fragments: usize,
    /// Bytes queued for a peer that reads too slowly, past which sends that nobody asked for are
    /// refused. An answer to what was just read is always taken.
    pub outbox_bytes: usize,
    /// Connections of one worker; beyond it no more are accepted until one ends.
    pub connections: usize,
    /// Pipelined requests answered for one connection in one turn, before others have their turn.
    pub pipeline: usize,
    /// Topics and filters that a worker's connections may have subscribed to.
    pub topics: usize,
    /// Subscriptions of one connection.
    pub subscriptions: usize,
    /// Bytes of a topic's name, or of a filter.
    pub topic_bytes: usize,
    /// Bytes of the arena's chunk that stay reserved between requests. One worker has one arena, and what
    /// no request has used yet takes no memory.
    pub arena_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            headers: 100,
            head_bytes: 16 << 10,
            target_bytes: 8 << 10,
            body_bytes: 1 << 20,
            message_bytes: 1 << 20,
            frame_bytes: 1 << 20,
            fragments: 1024,
            outbox_bytes: 256 << 10,
            connections: 10_000,
            pipeline: 32,
            topics: 65_536,
            subscriptions: 128,
            topic_bytes: 256,
            arena_bytes: 256 << 10,
        }
    }
}

impl Limits {
    /// The names that [`set`](Limits::set) takes, in the order of the fields.
    pub const NAMES: &'static [&'static str] = &[
        "headers",
        "head_bytes",
        "target_bytes",
        "body_bytes",
        "message_bytes",
        "frame_bytes",
        "fragments",
        "outbox_bytes",
        "connections",
        "pipeline",
        "topics",
        "subscriptions",
        "topic_bytes",
        "arena_bytes",
    ];

    /// Sets the limit `name` from text: a number of at least 1, with `KiB`, `MiB` or `GiB` if wanted.
    ///
    /// # Errors
    /// [`ConfigError::UnknownName`] or [`ConfigError::BadValue`]; the limits are unchanged then.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        let field = match name {
            "headers" => &mut self.headers,
            "head_bytes" => &mut self.head_bytes,
            "target_bytes" => &mut self.target_bytes,
            "body_bytes" => &mut self.body_bytes,
            "message_bytes" => &mut self.message_bytes,
            "frame_bytes" => &mut self.frame_bytes,
            "fragments" => &mut self.fragments,
            "outbox_bytes" => &mut self.outbox_bytes,
            "connections" => &mut self.connections,
            "pipeline" => &mut self.pipeline,
            "topics" => &mut self.topics,
            "subscriptions" => &mut self.subscriptions,
            "topic_bytes" => &mut self.topic_bytes,
            "arena_bytes" => &mut self.arena_bytes,
            _ => return Err(ConfigError::UnknownName(name.into(), Limits::NAMES)),
        };
        *field = size(value).ok_or_else(|| {
            ConfigError::BadValue(value.into(), "a number of at least 1, such as 100, 16KiB or 8MiB")
        })?;
        Ok(())
    }

    /// The most bytes of user memory that one connection holds: its inbox (a head and a body, or a frame,
    /// with one read of slack, and twice that because it grows by doubling), its reassembly buffer, its
    /// outbox up to the mark, a publication that has begun to leave, a read's pongs, and its subscriptions.
    ///
    /// An answer larger than `outbox_bytes` comes on top while it drains: its size is the handler's. So do
    /// windows of its own, if its route compresses with them:
    /// [`Compression::connection_bytes`](crate::ws::Compression::connection_bytes).
    pub fn connection_bytes(&self) -> usize {
        let request = self.head_bytes.saturating_add(self.body_bytes);
        let frame = self.frame_bytes.saturating_add(FRAME_HEADER_BYTES_MAX);
        let inbox = request.max(frame).saturating_add(READ_BYTES).saturating_mul(2);
        let begun = self.message_bytes.saturating_add(self.topic_bytes + FRAME_HEADER_BYTES_MAX);
        let subscriptions = self.subscriptions.saturating_mul(SUBSCRIPTION_BYTES);
        let parts = [self.message_bytes, self.outbox_bytes, begun, READ_BYTES, subscriptions];
        parts.iter().fold(inbox, |sum, part| sum.saturating_add(*part))
    }
}

/// RFC 6455 §5.2.
const FRAME_HEADER_BYTES_MAX: usize = 14;
/// Its place in the subscriber's list and in the topic's, both of which grow by doubling. Names are the topics'.
const SUBSCRIPTION_BYTES: usize = 2 * (8 + 8);

/// Bytes that one read may bring. Few in a fuzzer: the buffer is made anew for each read, and short
/// inputs shall need several.
pub(crate) const READ_BYTES: usize = if cfg!(fuzzing) { 2 << 10 } else { 128 << 10 };

fn size(value: &str) -> Option<usize> {
    let (number, unit) = number_and_unit(value)?;
    let scale = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    let bytes = usize::try_from(number.checked_mul(scale)?).ok()?;
    (bytes > 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        fn check(text: &str, expected: Option<usize>) {
            assert_eq!(size(text), expected, "{text}");
        }
        check("1", Some(1));
        check("16KiB", Some(16384));
        check(" 2 MiB ", Some(2 << 20));
        check("1GiB", Some(1 << 30));
        check("", None);
        check("0", None);
        check("-1", None);
        check("1kb", None);
        check("99999999999999999999", None);
        check("18446744073709551615GiB", None);
    }

    #[test]
    fn every_name_sets_its_own_field() {
        let mut seen = Vec::new();
        for name in Limits::NAMES {
            let mut limits = Limits::default();
            limits.set(name, "12345").unwrap();
            assert_ne!(limits, Limits::default(), "{name}");
            assert!(!seen.contains(&limits), "{name}");
            seen.push(limits);
        }
        assert!(Limits::default().set("nope", "1").is_err());
    }
}
