//! Plays a connection to a [`Decoder`] in pieces and records the events, for tests and fuzzers.
//!
//! It keeps the bytes as an engine would. The invariant that it exists to test: the events do not depend on the
//! pieces.

use fleeting::http1::{ContentStep, Decoder, Head, HeadStep, PieceStep, Refusal, assert_lexer_agrees};
use fleeting::{Arena, Limits};

/// Requests whose path begins with this are answered early, and their content is discarded.
const DISCARDED: &str = "/discard";

/// The maximum number of raw bytes that are discarded.
const DISCARD_MAX: u64 = 64;

/// Returns the events of a connection on which `pieces` arrive one after the other. It ends with a refusal, or with a
/// request that asks to close.
pub fn trace<'p>(pieces: impl IntoIterator<Item = &'p [u8]>, limits: &Limits) -> Vec<String> {
    play(pieces, limits, None).events
}

/// Like [`trace`], with all contents streamed. The events must be the same. Also returns what had arrived of content
/// that did not end.
pub fn trace_streamed<'p>(
    pieces: impl IntoIterator<Item = &'p [u8]>,
    limits: &Limits,
) -> (Vec<String>, Option<Vec<u8>>) {
    let engine = play(pieces, limits, Some(Vec::new()));
    (engine.events, engine.streaming.then_some(engine.streamed).flatten())
}

fn play<'p>(
    pieces: impl IntoIterator<Item = &'p [u8]>,
    limits: &Limits,
    streamed: Option<Vec<u8>>,
) -> Engine {
    let mut engine = Engine {
        decoder: Decoder::new(),
        arena: Arena::new(512),
        inbox: Vec::new(),
        events: Vec::new(),
        last_head: None,
        streamed,
        streaming: false,
        closes: false,
    };
    for piece in pieces {
        engine.inbox.extend_from_slice(piece);
        if !engine.turn(limits) {
            break;
        }
    }
    engine
}

struct Engine {
    decoder: Decoder,
    arena: Arena,
    inbox: Vec<u8>,
    events: Vec<String>,
    /// The head reported last, to compare it with when it comes again.
    last_head: Option<String>,
    /// The pieces of the current content; `None` if contents are reported whole.
    streamed: Option<Vec<u8>>,
    /// Inside content that is streamed.
    streaming: bool,
    /// The request whose content is streamed is the last one.
    closes: bool,
}

impl Engine {
    /// Reads what is in the inbox. Returns `false` when the connection is to be closed.
    fn turn(&mut self, limits: &Limits) -> bool {
        let mut start = 0;
        let filled = loop {
            self.arena.reset();
            let arena = &self.arena;
            let input = &mut self.inbox[start..];
            let input_len = input.len();
            if self.streaming {
                match self.decoder.piece(input, arena, limits) {
                    PieceStep::Piece { bytes, consumed } => {
                        assert!(!bytes.is_empty() && consumed <= input_len);
                        self.streamed.as_mut().expect("streaming").extend_from_slice(bytes);
                        start += consumed;
                        continue;
                    }
                    PieceStep::Incomplete { consumed } => {
                        start += consumed;
                        break self.inbox.len();
                    }
                    PieceStep::Refused(refusal) => return refused(&mut self.events, refusal),
                    PieceStep::End { trailers, consumed } => {
                        let streamed = self.streamed.as_mut().expect("streaming");
                        let content = streamed.escape_ascii();
                        self.events.push(format!("content {content} {trailers:?}"));
                        streamed.clear();
                        self.streaming = false;
                        start += consumed;
                    }
                }
                if self.closes {
                    self.events.push("close".into());
                    return false;
                }
                continue;
            }
            assert_lexer_agrees(after_blank_lines(input), limits);
            match self.decoder.head(input, arena, limits) {
                HeadStep::Incomplete { filled } => break start + filled,
                HeadStep::Skip(len) => {
                    assert!((1..=input_len).contains(&len), "skips {len} of {input_len}");
                    start += len;
                }
                HeadStep::Refused(refusal) => return refused(&mut self.events, refusal),
                HeadStep::Broken(refusal) => {
                    self.events.push(format!("broken {}", refusal.label()));
                    return false;
                }
                HeadStep::Head { head, rest, resumed } => {
                    let line = describe(head);
                    if resumed {
                        assert_eq!(self.last_head.as_deref(), Some(&*line), "a head has changed");
                    } else {
                        self.events.push(line.clone());
                        self.last_head = Some(line);
                    }
                    let keep_alive = head.keep_alive;
                    if head.target.path().starts_with(DISCARDED) {
                        if !self.decoder.discard(head, DISCARD_MAX) {
                            self.events.push("not discarded".into());
                            return false;
                        }
                        start += head.len;
                    } else if self.streamed.is_some() {
                        if let Err(refusal) = self.decoder.stream(head, limits.body_bytes as u64) {
                            return refused(&mut self.events, refusal);
                        }
                        start += head.len;
                        (self.streaming, self.closes) = (true, !keep_alive);
                        continue;
                    } else {
                        match self.decoder.content(head, rest, arena, limits) {
                            ContentStep::Incomplete { filled } => {
                                assert!(!resumed, "a resumed head has its content");
                                break start + filled;
                            }
                            ContentStep::Refused(refusal) => return refused(&mut self.events, refusal),
                            ContentStep::Whole { content, trailers, consumed } => {
                                let content = content.escape_ascii();
                                self.events.push(format!("content {content} {trailers:?}"));
                                assert!(consumed <= input_len);
                                start += consumed;
                            }
                        }
                    }
                    if !keep_alive {
                        self.events.push("close".into());
                        return false;
                    }
                }
            }
        };
        assert!(start <= filled && filled <= self.inbox.len());
        self.inbox.truncate(filled);
        self.inbox.drain(..start);
        true
    }
}

/// Skips the empty lines that `input` begins with: the lexer never sees those.
fn after_blank_lines(mut input: &[u8]) -> &[u8] {
    while let Some(rest) = input.strip_prefix(b"\r\n") {
        input = rest;
    }
    input
}

/// Records the last event of a connection.
fn refused(events: &mut Vec<String>, refusal: Refusal) -> bool {
    events.push(format!("refused {}", refusal.label()));
    false
}

fn describe(head: &Head<'_>) -> String {
    let mut text = format!("{} {} {:?} {:?}", head.method, head.target.raw(), head.version, head.framing);
    for (set, name) in
        [(head.keep_alive, " keep-alive"), (head.expects_continue, " continue"), (head.upgrade, " upgrade")]
    {
        text.push_str(if set { name } else { "" });
    }
    for part in [head.host(), head.target.path(), head.target.query().unwrap_or("-")] {
        text.push(' ');
        text.push_str(part);
    }
    for (name, value) in head.fields {
        text.push('|');
        text.push_str(name);
        text.push(':');
        text.push_str(&String::from_utf8_lossy(value));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn limits() -> Limits {
        crate::limits! { head_bytes: 200, target_bytes: 20, body_bytes: 40, headers: 60 }
    }

    /// Checks the events of a stream in one piece, and the same for all cuts in two and in three.
    fn check(stream: &str, expected: &[&str]) {
        let limits = limits();
        let bytes = stream.as_bytes();
        let whole = trace([bytes], &limits);
        let shown: Vec<_> = whole.iter().map(|event| shorten(event)).collect();
        assert_eq!(shown, expected, "{stream:?}");
        let streamed = trace_streamed([bytes], &limits);
        assert_eq!(streamed.0, whole, "{stream:?} streamed");
        assert_eq!(trace_streamed(bytes.chunks(1), &limits), streamed, "{stream:?} streamed bytewise");
        for b in 0..=bytes.len() {
            // Long streams are cut in three at some places only.
            let step = bytes.len() / 120 * 6 + 1;
            for a in (0..=b).step_by(step).chain([b]) {
                let cut = trace([&bytes[..a], &bytes[a..b], &bytes[b..]], &limits);
                assert_eq!(cut, whole, "{stream:?} cut at {a} and {b}");
                let cut = trace_streamed([&bytes[..a], &bytes[a..b], &bytes[b..]], &limits);
                assert_eq!(cut, streamed, "{stream:?} streamed, cut at {a} and {b}");
            }
        }
        assert_eq!(trace(bytes.chunks(1), &limits), whole, "{stream:?} bytewise");
        // A stream that is cut off produces a prefix of the events.
        for end in 0..bytes.len() {
            let part = trace([&bytes[..end]], &limits);
            assert!(whole.starts_with(&part), "{stream:?} ended at {end}: {part:?}");
            let streamed = trace_streamed([&bytes[..end]], &limits);
            assert_eq!(streamed.0, part, "{stream:?} streamed, ended at {end}");
            let bytewise = trace_streamed(bytes[..end].chunks(1), &limits);
            assert_eq!(bytewise, streamed, "{stream:?} streamed, ended at {end}, bytewise");
            assert_eq!(trace(bytes[..end].chunks(1), &limits), part, "{stream:?} ended at {end}, bytewise");
        }
    }

    fn shorten(event: &str) -> String {
        let words: Vec<_> = event.split(' ').collect();
        if words.len() > 3 && words[2].starts_with("Http") { words[1].to_owned() } else { event.to_owned() }
    }

    #[test]
    fn pipelined_requests_are_read_in_any_pieces() {
        check(
            "GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: b\r\nX: y\r\n\r\n",
            &["/a", "content  {}", "/b", "content  {}"],
        );
        check(
            "\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n\r\n\r\nGET /b HTTP/1.1\r\nHost: b\r\n\r\n\r\n",
            &["/a", "content  {}", "/b", "content  {}"],
        );
        check(
            "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcPOST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            &["/a", "content abc {}", "/b", "content  {}"],
        );
        check("GET /a HTTP/1.0\r\n\r\nGET /b HTTP/1.0\r\n\r\n", &["/a", "content  {}", "close"]);
        check(
            "POST /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\n\r\nGET",
            &["/a", "content \\r\\n {}", "close"],
        );
        check(
            "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 41\r\n\r\nabc",
            &["/a", "refused content_too_large"],
        );
    }

    #[test]
    fn chunked_content_is_read_in_any_pieces() {
        let post = "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let with = |chunks: &str, last: &[&str]| {
            check(&format!("{post}{chunks}"), &[&["/a"], last].concat());
        };
        with("0\r\n\r\nGET /b HTTP/1.1\r\nHost: b\r\n\r\n", &["content  {}", "/b", "content  {}"]);
        with(
            "3\r\nabc\r\n00a;x=\"y;\";z\r\n0123456789\r\n0\r\nS: 1\r\nT:\r\n\r\nGET /b HTTP/1.1\r\nHost: b\r\n\r\n",
            &["content abc0123456789 {\"S\": \"1\", \"T\": \"\"}", "/b", "content  {}"],
        );
        with("3\r\nabc\r\n0\r\nS: 1\nT: 2\r\n\r\n", &["refused bare_lf"]);
        with("3\r\nabc\r\n0\r\nHost: b\r\n\r\n", &["refused trailer_forbidden"]);
        with("3\r\nabc\r\n0\r\nbad\r\n\r\n", &["refused trailer_line"]);
        with("3\r\nabcd", &["refused chunk_end"]);
        with("3\r\nabc\r\n26\r\n", &["refused content_too_large"]);
        with("3\r\nabc\r\n25\r\n0123456789012345678901234567890123456\r\n", &[]);
        with("5 \r\n", &["refused chunk_extension"]);
        with("\r\n", &["refused chunk_size"]);
        check(
            &format!("{post}1\r\nx\r\n0\r\n\r\n{post}2\r\nyz\r\n0\r\na: b\r\n\r\n"),
            &["/a", "content x {}", "/a", "content yz {\"a\": \"b\"}"],
        );
    }

    #[test]
    fn content_is_discarded_in_any_pieces() {
        let next = "GET /b HTTP/1.1\r\nHost: b\r\n\r\n";
        let sized = |n, content: &str| {
            format!("POST /discard HTTP/1.1\r\nHost: a\r\nContent-Length: {n}\r\n\r\n{content}{next}")
        };
        let chunked = |chunks: &str| {
            format!("POST /discard HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}{next}")
        };
        check(&sized(3, "abc"), &["/discard", "/b", "content  {}"]);
        check(&sized(0, ""), &["/discard", "/b", "content  {}"]);
        check(&sized(64, &"x".repeat(64)), &["/discard", "/b", "content  {}"]);
        check(&sized(65, ""), &["/discard", "not discarded"]);
        check(&chunked("3;a=b\r\nabc\r\n1\r\nx\r\n0\r\n\r\n"), &["/discard", "/b", "content  {}"]);
        check(&chunked("0\r\nS: 1\r\n\r\n"), &["/discard", "/b", "content  {}"]);
        check(&chunked("0\r\nHost: b\r\n\r\n"), &["/discard", "broken trailer_forbidden"]);
        check(&chunked("3\r\nabcd"), &["/discard", "broken chunk_end"]);
        check(&chunked("40\r\nabcd"), &["/discard", "broken content_too_large"]);
        // 53 bytes of data are 64 with their framing.
        check(
            &chunked(&format!("35\r\n{}\r\n0\r\n\r\n", "x".repeat(53))),
            &["/discard", "/b", "content  {}"],
        );
        check(
            &chunked(&format!("36\r\n{}\r\n0\r\n\r\n", "x".repeat(54))),
            &["/discard", "broken content_too_large"],
        );
        check(
            &chunked(
                "1\r\nx\r\n0\r\nS: 0123456789012345678901234567890123456789012345678901234567890123\r\n\r\n",
            ),
            &["/discard", "broken content_too_large"],
        );
    }

    #[test]
    fn requests_are_refused_in_any_pieces() {
        let refused = |stream: &str, label: &str| check(stream, &[&format!("refused {label}")]);
        refused("GET / HTTP/1.1\nHost: a\n\n", "bare_lf");
        refused("\n", "bare_lf");
        refused("\rG", "bare_cr");
        refused("\r\n\r\n\r\nGET / HTTP/1.1\r\n", "blank_lines");
        refused("GET / HTTP/1.1\r\nHost: a\r\n\n", "bare_lf");
        refused("GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n", "bare_cr");
        refused("GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", "control_byte");
        refused("GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n", "control_byte");
        refused("GET /\x01", "control_byte");
        refused("\x16\x03\x01\x02", "control_byte");
        // The method is wrong as well, but the bare LF ends the shorter prefix.
        refused("G(T / HTTP/1.1\nHost", "bare_lf");
        refused("G(T / HTTP/1.1\r\nHost: a\r\n\r\n", "bad_method");
        refused("GET / HTTP/2.0\r\n\r\n", "unsupported_version");
        refused("GET / HTTP/1.1\r\nno colon\r\n\r\n", "field_line");
        refused("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n", "field_line");
        refused("GET / HTTP/1.1\r\n\r\n", "host_missing");
        refused("GET /0123456789012345678901234567890 HTTP/1.1\r\nHost: a\r\n\r\n", "target_too_long");
        refused(&format!("GET /{}", "a".repeat(90)), "target_too_long");
        refused(&format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "M".repeat(80)), "target_too_long");
        refused(&format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "a".repeat(180)), "head_too_large");
        refused(&format!("GET / HTTP/1.1\r\nX\r\n{}\n\r\n", "a".repeat(180)), "bare_lf");
        refused(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "length_with_encoding",
        );
        check("GET /a HTTP/1.1\r\nHost: a\r\n\r\n\0", &["/a", "content  {}", "refused control_byte"]);
    }

    #[test]
    fn many_fields_are_read_in_any_pieces() {
        let limits = crate::limits! { from limits(); head_bytes: 4000 };
        for fields in [47, 48, 59, 60] {
            let stream = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(fields));
            let whole = trace([stream.as_bytes()], &limits);
            assert_eq!(whole.len(), if fields < 60 { 2 } else { 1 });
            for cut in 0..stream.len() {
                let (a, b) = stream.as_bytes().split_at(cut);
                assert_eq!(trace([a, b], &limits), whole, "{fields} fields cut at {cut}");
            }
        }
    }

    /// Streams spliced from relevant pieces, with bytes changed, cut at random.
    #[test]
    fn random_streams_are_read_the_same_in_any_pieces() {
        const PIECES: &[&str] = &[
            "GET /a HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
            "POST /discard HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST /discard HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            "3\r\nabc\r\n",
            "5;a=\"b\"\r\nhello\r\n",
            "0\r\n\r\n",
            "0\r\nS: 1\r\n\r\n",
            "\r\n",
            "\n",
            "X: y\r\n",
            "GET http://b/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\nExpect: 100-continue\r\n\r\n",
        ];
        const BYTES: &[u8] = b"\r\n\r\n\0\t :;,\"0f/\x7f\x80";
        let limits = limits();
        let mut random = Random::new(1);
        for _ in 0..4000 {
            let mut stream = Vec::new();
            for _ in 0..random.within(1, 5) {
                stream.extend_from_slice(random.one_of(PIECES).as_bytes());
            }
            for _ in 0..random.below(3) {
                let at = random.below(stream.len());
                match random.below(3) {
                    0 => stream[at] = random.one_of(BYTES),
                    1 => stream.insert(at, random.one_of(BYTES)),
                    _ => drop(stream.drain(at..(at + 1 + random.below(3)).min(stream.len()))),
                }
                if stream.is_empty() {
                    stream.push(b'G');
                }
            }
            let whole = trace([&*stream], &limits);
            let mut pieces = Vec::new();
            let mut rest = &stream[..];
            while !rest.is_empty() {
                let (piece, tail) = rest.split_at(random.within(1, rest.len().min(24)));
                pieces.push(piece);
                rest = tail;
            }
            let text = stream.escape_ascii();
            let streamed = trace_streamed([&*stream], &limits);
            assert_eq!(streamed.0, whole, "{text} streamed");
            assert_eq!(
                trace_streamed(pieces.iter().copied(), &limits),
                streamed,
                "{text} streamed in pieces"
            );
            assert_eq!(trace(pieces, &limits), whole, "{text}");
            assert_eq!(trace(stream.chunks(1), &limits), whole, "{text} bytewise");
        }
    }
}
