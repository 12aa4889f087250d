//! Feeds a client's byte stream to a [`Decoder`] in pieces and records the events, for tests and fuzzers.
//!
//! It treats the bytes as a connection would: what is left over from a piece stays, and the next piece is appended. The
//! invariant that it exists to test: [`trace`] does not depend on `cuts`.

use fleeting::Limits;
use fleeting::ws::{Decoder, Event, Failure, Step};
use std::fmt::Write as _;

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The client may continue; `wanted` is the result of [`Decoder::wants`].
    Waits {
        /// Number of bytes left over.
        left: usize,
        /// The length at which they would be looked at again.
        wanted: usize,
    },
    /// A Close frame came.
    Closed,
    /// The client broke a rule in the frame that starts at this offset.
    Failed(Failure, usize),
}

/// Feeds `stream` to `decoder` in the pieces between `cuts`, which ascend; those past its end are ignored. Calls `show`
/// with each event and returns how the stream ended.
pub fn drive(
    mut decoder: Decoder,
    stream: &[u8],
    cuts: &[usize],
    limits: &Limits,
    mut show: impl FnMut(Event<'_>),
) -> End {
    let mut inbox = Vec::new();
    let mut done = 0;
    let mut from = 0;
    for cut in cuts.iter().copied().chain([stream.len()]) {
        let to = cut.clamp(from, stream.len());
        inbox.extend_from_slice(&stream[from..to]);
        from = to;
        let mut start = 0;
        loop {
            let left = inbox.len() - start;
            match decoder.next(&mut inbox[start..], limits) {
                Step::Incomplete => break assert!(decoder.wants() > left, "{decoder:?} has {left}"),
                Step::Event { event, consumed } => {
                    show(event);
                    start += consumed;
                    if matches!(event, Event::Close { .. }) {
                        return End::Closed;
                    }
                }
                Step::Failed(failure) => return End::Failed(failure, done + start),
            }
        }
        inbox.drain(..start);
        done += start;
    }
    // More only of compressed content.
    assert!(decoder.reassembly_bytes() <= limits.message_bytes + limits.message_bytes / 8 + 64);
    assert!(decoder.in_message() || decoder.reassembly_bytes() == 0);
    End::Waits { left: inbox.len(), wanted: decoder.wants() }
}

/// Feeds `stream` cut at `cuts` and returns a line for each event and for the end.
pub fn trace(stream: &[u8], cuts: &[usize], limits: &Limits) -> String {
    written(Decoder::new(), stream, cuts, limits)
}

/// The same for a connection that has agreed on compression.
pub fn trace_with_deflate(stream: &[u8], cuts: &[usize], limits: &Limits) -> String {
    written(Decoder::with_deflate(), stream, cuts, limits)
}

fn written(decoder: Decoder, stream: &[u8], cuts: &[usize], limits: &Limits) -> String {
    let mut lines = String::new();
    let end = drive(decoder, stream, cuts, limits, |event| {
        let _ = match event {
            Event::Text(text) => writeln!(lines, "text {text:?}"),
            Event::Binary(bytes) => writeln!(lines, "binary {}", hex(bytes)),
            Event::Compressed { text: true, payload } => writeln!(lines, "compressed text {}", hex(payload)),
            Event::Compressed { text: false, payload } => {
                writeln!(lines, "compressed binary {}", hex(payload))
            }
            Event::Ping(bytes) => writeln!(lines, "ping {}", hex(bytes)),
            Event::Pong(bytes) => writeln!(lines, "pong {}", hex(bytes)),
            Event::Close { code: None, .. } => writeln!(lines, "close"),
            Event::Close { code: Some(code), reason } => writeln!(lines, "close {code} {reason:?}"),
            Event::Fragment => writeln!(lines, "fragment"),
        };
    });
    let _ = match end {
        End::Waits { left, wanted } => writeln!(lines, "waits for {wanted}, has {left}"),
        End::Closed => Ok(()),
        End::Failed(failure, _) => writeln!(lines, "failed {}", failure.label()),
    };
    lines
}

/// Panics unless `stream` means the same whole, byte by byte, and cut at `cuts`, with and without
/// compression.
pub fn check_cuts(stream: &[u8], cuts: &[usize], limits: &Limits) {
    let bytewise: Vec<usize> = (1..stream.len()).collect();
    for trace in [trace, trace_with_deflate] {
        let whole = trace(stream, &[], limits);
        assert_eq!(trace(stream, cuts, limits), whole, "cut at {cuts:?}: {stream:x?}");
        assert_eq!(trace(stream, &bytewise, limits), whole, "bytewise: {stream:x?}");
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(feature = "deflate")]
    use crate::random::Random;
    use crate::ws::corpus;
    use crate::ws::frames::{Frame, frame, masked};
    #[cfg(feature = "deflate")]
    use fleeting::ws::{Deflater, Inflated, Inflater};

    #[test]
    fn the_corpus_has_the_recorded_traces() {
        for case in corpus::streams() {
            assert_eq!(trace(&case.bytes, &[], &corpus::limits()), case.expected, "{}", case.name);
        }
        for case in corpus::compressed_streams() {
            let found = trace_with_deflate(&case.bytes, &[], &corpus::limits());
            assert_eq!(found, case.expected, "{}", case.name);
            // Without agreement on compression each of them is invalid.
            let found = trace(&case.bytes, &[], &corpus::limits());
            assert!(found.ends_with("failed reserved_bits\n"), "{}: {found}", case.name);
        }
    }

    #[test]
    fn any_two_cuts_mean_the_same() {
        fn check(cases: Vec<corpus::Case>, trace: fn(&[u8], &[usize], &Limits) -> String) {
            let limits = corpus::limits();
            for case in cases {
                for first in 0..=case.bytes.len() {
                    for second in first..=case.bytes.len() {
                        let found = trace(&case.bytes, &[first, second], &limits);
                        assert_eq!(found, case.expected, "{} cut at {first} and {second}", case.name);
                    }
                }
                check_cuts(&case.bytes, &[], &limits);
            }
        }
        check(corpus::streams(), trace);
        check(corpus::compressed_streams(), trace_with_deflate);
    }

    #[test]
    fn any_prefix_means_the_same_however_cut() {
        let limits = corpus::limits();
        for case in corpus::streams().into_iter().chain(corpus::compressed_streams()) {
            for end in 0..case.bytes.len() {
                check_cuts(&case.bytes[..end], &[end / 2], &limits);
            }
        }
    }

    #[test]
    fn limits_are_exact() {
        fn check(frames: &[Frame<'_>], expected: &str) {
            let limits = crate::limits! { message_bytes: 10, frame_bytes: 8, fragments: 3 };
            assert_eq!(trace(&masked(frames), &[], &limits), expected, "{frames:x?}");
        }
        check(&[frame(0x82, b"12345678")], "binary 3132333435363738\nwaits for 14, has 0\n");
        check(&[frame(0x82, b"123456789")], "failed frame_too_big\n");
        let (first, last) = (frame(0x02, b"12345678"), frame(0x80, b"9a"));
        check(&[first, last], "fragment\nbinary 31323334353637383961\nwaits for 14, has 0\n");
        check(&[first, frame(0x80, b"9ab")], "fragment\nfailed message_too_big\n");
        check(
            &[first, frame(0x00, b"9a"), frame(0x00, b"b")],
            "fragment\nfragment\nfailed message_too_big\n",
        );
        // Empty fragments are bounded by their number.
        let (start, more, end) = (frame(0x01, b""), frame(0x00, b""), frame(0x80, b""));
        check(&[start, more, end], "fragment\nfragment\ntext \"\"\nwaits for 14, has 0\n");
        check(&[start, more, more, end], "fragment\nfragment\nfragment\nfailed too_many_fragments\n");
        check(&[start, end, start, more], "fragment\ntext \"\"\nfragment\nfragment\nwaits for 14, has 0\n");
    }

    #[cfg(feature = "deflate")]
    #[test]
    fn compressed_messages_survive_fragments_and_cuts() {
        let mut random = Random::new(1);
        let limits = Limits::default();
        for window_bits in 9..=15 {
            for takeover in [false, true] {
                // A client's messages, every third one uncompressed, each in up to three frames.
                let mut deflater = Deflater::new(window_bits, 6);
                let messages: Vec<Vec<u8>> = (0..20)
                    .map(|_| {
                        let bytes = random.below(2000);
                        random.repetitive(bytes)
                    })
                    .collect();
                let mut stream = Vec::new();
                for (index, message) in messages.iter().enumerate() {
                    let mut payload = Vec::new();
                    let first = if index % 3 == 0 {
                        payload.extend_from_slice(message);
                        0x02
                    } else {
                        deflater.message(message, takeover, &mut payload);
                        0x42
                    };
                    let (a, b) = (random.below(payload.len() + 1), random.below(payload.len() + 1));
                    let (head, tail) = payload.split_at(a.max(b));
                    let (head, middle) = head.split_at(a.min(b));
                    stream.extend(masked(&[frame(first, head), frame(0x00, middle), frame(0x80, tail)]));
                }
                let mut cuts: Vec<usize> = (0..50).map(|_| random.below(stream.len())).collect();
                cuts.sort_unstable();
                for cuts in [&[][..], &cuts] {
                    let (mut inflater, mut out) = (Inflater::new(), Inflated::new());
                    let mut found: Vec<Vec<u8>> = Vec::new();
                    let end = drive(Decoder::with_deflate(), &stream, cuts, &limits, |event| match event {
                        Event::Compressed { text: false, payload } => {
                            found.push(inflater.message(payload, takeover, &mut out, 2000).unwrap().to_vec());
                        }
                        Event::Binary(message) => found.push(message.to_vec()),
                        Event::Fragment => {}
                        other => panic!("{other:?}"),
                    });
                    assert!(matches!(end, End::Waits { left: 0, .. }), "{end:?}");
                    assert!(found == messages, "{window_bits} {takeover} cut at {cuts:?}");
                }
            }
        }
    }
}
