//! Limits on what a peer may send, checked before memory is taken for it.
//!
//! It knows no parser. Its invariant: every limit can be set by its name, and a limit that was set from text
//! is at least 1.

use super::table::{Value, number_and_unit, scaled, settings};
use super::{ConfigError, Setting};

settings! {
    /// Bounds on what one peer can make the server hold.
    ///
    /// ```
    /// use fleeting::Limits;
    ///
    /// let mut limits = Limits::default();
    /// limits.set("body_bytes", "8MiB").unwrap();
    /// assert_eq!(limits.body_bytes, 8 << 20);
    /// assert!(limits.set("bodybytes", "1").is_err());
    ///
    /// for limit in Limits::describe() {
    ///     println!("{:<14} {:>8}  {}", limit.name, limit.default, limit.help);
    /// }
    /// ```
    ///
    /// Each limit has a largest value. A server whose limits exceed it does not start.
    pub struct Limits of usize;
    /// Sets the limit `name` from text: a number of at least 1, optionally with `KiB`, `MiB` or `GiB`, or with `KB`,
    /// `MB` or `GB` for powers of 1000. `memory` may also be `auto`.
    ///
    /// # Errors
    /// [`ConfigError::UnknownName`], [`ConfigError::BadValue`] or [`ConfigError::TooLarge`]. The limits are unchanged then.
    fn set;
    /// Checks that no limit exceeds its largest value. [`Builder`](crate::Builder) does that at start.
    ///
    /// # Errors
    /// [`ConfigError::TooLarge`] for the first that does.
    fn check;

    /// Fields in a request head. A head with more is refused with 431 (RFC 6585 §5).
    headers = 100, max COUNT_MAX, "fields in a request head; more is 431";
    /// Bytes of a request head, including its last CRLF. A longer head is refused with 431. Also bounds the
    /// trailer section of a request, and the sum of its chunk extensions.
    head_bytes = 16 << 10, max SPAN_BYTES_MAX, "size of a request head; more is 431";
    /// Bytes of a request target. A longer one is refused with 414 (RFC 9110 §15.5.15).
    target_bytes = 8 << 10, max SPAN_BYTES_MAX, "size of a request target; more is 414";
    /// Bytes of a request's content, decoded. Longer content is refused with 413 (RFC 9110 §15.5.14).
    body_bytes = 1 << 20, max BYTES_MAX, "size of a request's content; more is 413";
    /// Bytes of a WebSocket message, reassembled and inflated. A longer one closes the connection with 1009
    /// (RFC 6455 §7.4.1). A compressed message may have an eighth more on the wire, because data that
    /// cannot be compressed grows.
    message_bytes = 1 << 20, max SPAN_BYTES_MAX, "size of a WebSocket message; more closes with 1009";
    /// Bytes of a WebSocket frame's payload. A longer one closes the connection with 1009.
    frame_bytes = 1 << 20, max SPAN_BYTES_MAX, "size of a WebSocket frame; more closes with 1009";
    /// Frames of one WebSocket message. A message of more frames closes the connection with 1008.
    fragments = 1024, max COUNT_MAX, "frames of one message; more closes with 1008";
    /// Bytes queued for a peer that reads too slowly. Beyond that, unsolicited messages are refused. The
    /// answer to what was just read is always queued.
    outbox_bytes = 256 << 10, max BYTES_MAX, "queued for a slow client before sends are refused";
    /// Connections of one worker. At this number, a new connection goes to another worker that has fewer. If there is
    /// none, a connection is closed: one that has had its last response and only waits for its client to close or, without
    /// such a one, the one that has been idle for longest. If none has waited for 100 ms, the new
    /// one waits until a connection ends.
    connections = 10_000, max COUNT_MAX, "connections of a worker; then idle ones give way";
    /// Pipelined requests of one connection that are answered in one turn, before other connections get
    /// theirs.
    pipeline = 32, max COUNT_MAX, "requests of a connection before others get a turn";
    /// Streams of an HTTP/2 connection that are open at the same time (RFC 9113 §5.1.2). A request beyond them is refused, and
    /// the client sends it again later.
    streams = 100, max COUNT_MAX, "requests of an HTTP/2 connection at the same time";
    /// Topics and filters that the connections of one worker may have subscribed to.
    topics = 65_536, max COUNT_MAX, "topics and filters with subscribers, per worker";
    /// Subscriptions of one connection.
    subscriptions = 128, max COUNT_MAX, "subscriptions of a connection";
    /// Bytes of the name of a topic, or of a filter.
    topic_bytes = 256, max 64 << 10, "length of a topic's name";
    /// Messages, publications and other commands of other threads that wait for one worker. Beyond that,
    /// [`Handle`](crate::Handle) reports that its mailbox is full. Announcements have a little more room.
    mailbox = 65_536, max COUNT_MAX, "commands from other threads that wait for a worker";
    /// Bytes of the messages and publications that wait for one worker.
    mailbox_bytes = 64 << 20, max BYTES_MAX, "size of the messages that wait for a worker";
    /// Bytes that the buffers of the whole server may have together: received content, heads and frames that are not
    /// complete, messages in fragments, what clients have not taken, messages that wait for a worker, and the arenas. When
    /// they are used up, what needs a buffer is refused: a request with 503 (RFC 9110 §15.6.4), a WebSocket with 1013, a
    /// publication for a slow subscriber as its policy says. A response that its client does not take is cut off. Requests
    /// that need no buffer go on. `None`, as text `auto`, is half of the memory that the process may have: the least of
    /// the machine's, its control group's and its address space.
    memory: Option<usize> = None, max Some(BYTES_MAX), "buffers of the server; auto is half of the RAM";
    /// Bytes of the arena's chunk that stay reserved between requests. Each worker has one arena. The system
    /// provides this memory only when a request first uses it.
    arena_bytes = 256 << 10, max 1 << 30, "memory kept from one request to the next";
}

impl Limits {
    /// Returns the most bytes of memory that one connection can make the server hold.
    ///
    /// It is the sum of the connection's inbox (a head and a body, or a frame, plus one read, and twice that
    /// because it grows by doubling), its reassembly buffer, its outbox up to `outbox_bytes`, a publication
    /// that has begun to leave, the pongs of one read, and its subscriptions. To that it adds 80 KiB, the messages that
    /// the kernel may hold for a subscriber that conflates, or a stream of [`Response::events`](crate::Response::events),
    /// before it has sent them: what
    /// [`TcpOptions::pushed_unsent_bytes`](crate::TcpOptions::pushed_unsent_bytes) allows by default, and a segment.
    ///
    /// Four things are not included: a response larger than `outbox_bytes` while it drains, whose size the
    /// handler decides; six bytes for each line break of a publication that leaves as an event; the connection's own windows
    /// if its route compresses with them, see
    /// [`Compression::connection_bytes`](crate::ws::Compression::connection_bytes); and in the kernel, what was sent and
    /// not acknowledged, what was received and not read, and what is unsent for other connections (`net.ipv4.tcp_wmem` and
    /// `tcp_rmem` bound them).
    pub fn connection_bytes(&self) -> usize {
        let request = self.head_bytes.saturating_add(self.body_bytes);
        let frame = self.frame_bytes.saturating_add(FRAME_HEADER_BYTES_MAX);
        let inbox = request.max(frame).saturating_add(READ_BYTES).saturating_mul(2);
        let begun =
            self.message_bytes.saturating_add(self.topic_bytes).saturating_add(FRAME_HEADER_BYTES_MAX);
        let subscriptions = self.subscriptions.saturating_mul(SUBSCRIPTION_BYTES);
        let unsent = PUSHED_UNSENT_BYTES as usize + SEGMENT_BYTES_MAX;
        let parts = [self.message_bytes, self.outbox_bytes, begun, READ_BYTES, subscriptions, unsent];
        parts.iter().fold(inbox, |sum, part| sum.saturating_add(*part))
    }

    /// Returns the most bytes of memory that one connection of HTTP/2 can make the server hold.
    ///
    /// Each of its [`streams`](Limits::streams) may have as much as a connection of HTTP/1.1, and what its window allows before it
    /// is read: 64 KiB, at most doubled because it grows. To that come the frames that wait for the connection, its own inbox, the
    /// table of HPACK and a field block in several frames. What is not included is the same. The limit [`memory`](Limits::memory)
    /// bounds all connections together, and a connection that has no request under way holds nothing but the table.
    pub fn http2_connection_bytes(&self) -> usize {
        let stream = self.connection_bytes().saturating_add(2 * STREAM_WINDOW_BYTES);
        let own =
            READ_BYTES.saturating_mul(3).saturating_add(self.head_bytes).saturating_add(HPACK_BYTES_MAX);
        self.streams.saturating_mul(stream).saturating_add(own)
    }
}

/// What a peer may send on a stream of HTTP/2 before it is read.
const STREAM_WINDOW_BYTES: usize = 64 << 10;
/// The table of HPACK, and the list of its entries.
const HPACK_BYTES_MAX: usize = 8 << 10;

/// Things are numbered with 32 bits.
const COUNT_MAX: usize = u32::MAX as usize;
/// What is parsed in one piece: its parts are found by offsets of 31 bits.
const SPAN_BYTES_MAX: usize = 1 << 30;
/// More than any machine has, and little enough for sums.
const BYTES_MAX: usize = if usize::BITS < 64 { 1 << 30 } else { 1 << (usize::BITS - 24) };

/// RFC 6455 §5.2.
const FRAME_HEADER_BYTES_MAX: usize = 14;
/// An entry in the subscriber's list and one in the topic's. Both lists grow by doubling. The name belongs to
/// the topic.
const SUBSCRIPTION_BYTES: usize = 2 * (8 + 8);

/// Bytes of messages that the system holds for a peer before it has sent them: the default of `TcpOptions`.
pub(crate) const PUSHED_UNSENT_BYTES: u32 = 16 << 10;
/// A segment that has begun is completed even beyond that. Segmentation offload makes it this long.
const SEGMENT_BYTES_MAX: usize = 64 << 10;

/// Bytes that one read may return. It is small in a fuzzer, which allocates the buffer for each read and
/// whose short inputs should need several reads.
pub(crate) const READ_BYTES: usize = if cfg!(fuzzing) { 2 << 10 } else { 128 << 10 };

impl Value for usize {
    const EXPECTED: &'static str = "a number of at least 1, such as 100, 16KiB, 8MiB or 8MB";

    fn read(text: &str) -> Option<usize> {
        let (number, unit) = number_and_unit(text);
        let scale = match unit {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "kB" | "KB" => 1000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            _ => return None,
        };
        let value = usize::try_from(scaled(number, scale)?).ok()?;
        (value > 0).then_some(value)
    }

    fn write(&self, name: &str) -> String {
        if name.ends_with("_bytes") { write_bytes(*self) } else { self.to_string() }
    }
}

/// Bytes, or `None` if the server chooses their number. That is less than any number.
impl Value for Option<usize> {
    const EXPECTED: &'static str = "auto, or a number of at least 1, such as 64MiB, 8GiB or 8GB";

    fn read(text: &str) -> Option<Option<usize>> {
        if text.trim() == AUTO { Some(None) } else { usize::read(text).map(Some) }
    }

    fn write(&self, _name: &str) -> String {
        self.map_or_else(|| AUTO.into(), write_bytes)
    }
}

/// The text of a value that the server chooses.
const AUTO: &str = "auto";

/// Writes a number of bytes with the largest unit that divides it.
fn write_bytes(bytes: usize) -> String {
    let (mib, kib) = (1 << 20, 1 << 10);
    match bytes {
        _ if bytes % (mib << 10) == 0 => format!("{}GiB", bytes / (mib << 10)),
        _ if bytes % mib == 0 => format!("{}MiB", bytes / mib),
        _ if bytes % kib == 0 => format!("{}KiB", bytes / kib),
        _ => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::table;

    #[test]
    fn sizes_are_read_with_their_units() {
        fn check(text: &str, expected: Option<usize>) {
            assert_eq!(usize::read(text), expected, "{text}");
        }
        check("1", Some(1));
        check("16KiB", Some(16384));
        check(" 2 MiB ", Some(2 << 20));
        check("1GiB", Some(1 << 30));
        // Finding F6.
        check("8MB", Some(8_000_000));
        check("64kB", Some(64_000));
        check("64KB", Some(64_000));
        check("1GB", Some(1_000_000_000));
        check("1.5MiB", Some(3 << 19));
        check("1.5", None);
        check("1.3KiB", None);
        check("", None);
        check("0", None);
        check("-1", None);
        check("1kb", None);
        check("99999999999999999999", None);
        check("18446744073709551615GiB", None);
    }

    #[test]
    fn the_memory_of_a_server_is_automatic_or_a_size() {
        fn check(text: &str, expected: Option<Option<usize>>, written: &str) {
            let read = <Option<usize>>::read(text);
            assert_eq!(read, expected, "{text}");
            assert_eq!(read.map(|value| value.write("memory")).unwrap_or_default(), written, "{text}");
        }
        check("auto", Some(None), "auto");
        check(" auto ", Some(None), "auto");
        check("64MB", Some(Some(64_000_000)), "62500KiB");
        check("1024GiB", Some(Some(1 << 40)), "1024GiB");
        check("Auto", None, "");
        check("0", None, "");
        check("", None, "");
        let mut limits = Limits::default();
        let error = limits.set("memory", "none").unwrap_err().to_string();
        assert_eq!(error, format!("bad value `none`; expected {}", <Option<usize>>::EXPECTED));
        let error = limits.set("headers", "auto").unwrap_err().to_string();
        assert_eq!(error, format!("bad value `auto`; expected {}", usize::EXPECTED));
    }

    /// Finding A17.
    #[test]
    fn the_memory_of_a_connection_saturates() {
        let fields: [fn(&mut Limits) -> &mut usize; 7] = [
            |limits| &mut limits.head_bytes,
            |limits| &mut limits.body_bytes,
            |limits| &mut limits.message_bytes,
            |limits| &mut limits.frame_bytes,
            |limits| &mut limits.outbox_bytes,
            |limits| &mut limits.subscriptions,
            |limits| &mut limits.topic_bytes,
        ];
        for field in fields {
            let mut limits = Limits::default();
            *field(&mut limits) = usize::MAX;
            assert_eq!(limits.connection_bytes(), usize::MAX);
            assert_eq!(limits.http2_connection_bytes(), usize::MAX);
        }
        let limits = Limits { streams: usize::MAX, ..Limits::default() };
        assert_eq!(limits.http2_connection_bytes(), usize::MAX);
        let limits = Limits { streams: 1, ..Limits::default() };
        assert!(limits.http2_connection_bytes() > limits.connection_bytes());
    }

    #[test]
    fn every_limit_is_set_by_its_name_and_listed_in_the_readme() {
        let beyond = |max: &str| (usize::read(max).unwrap() + 1).to_string();
        table::check(Limits::describe(), Limits::set, Limits::NAMES, "12345", beyond);
    }

    /// Finding A17.
    #[test]
    fn the_largest_values_are_allowed_and_larger_ones_are_not() {
        let mut limits = Limits::default();
        for Setting { name, max, .. } in Limits::describe() {
            limits.set(name, &max).unwrap();
        }
        assert_eq!(limits.check(), Ok(()));
        limits.arena_bytes = 64 << 30;
        let error = limits.check().unwrap_err().to_string();
        assert_eq!(error, "`arena_bytes` is 64GiB; at most 1GiB is allowed");
    }
}
