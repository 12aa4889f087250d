//! The publishing mode whose subscribers are event streams (WHATWG HTML §9.2): every event must carry what was published.

use crate::args::Args;
use crate::die::die;
use crate::frames::payload;
use crate::http;
use crate::pubsub::{publish_to, Deliveries};

/// A chunk of more bytes than this is an error.
const CHUNK_BYTES_MAX: usize = 1 << 30;

/// Runs the load.
pub fn run(a: &Args) {
    let mut event = b"data: ".to_vec();
    event.extend_from_slice(&payload(a.size));
    event.extend_from_slice(b"\n\n");
    publish_to(a, &a.pub_path, &payload(a.size), || {
        let path = a.sub_path.as_deref().unwrap_or("/events");
        let (link, chunked, content) = http::event_stream(a, path);
        let mut stream = EventStream::new(&event, chunked);
        match stream.take(&content) {
            Ok(0) => (link, stream),
            Ok(_) => die("the server sent an event before the first message"),
            Err(wrong) => die(wrong),
        }
    });
}

/// Where in the chunked coding (RFC 9112 §7.1) the next byte lies.
#[derive(Clone, Copy)]
enum Chunk {
    /// Not chunked: everything is data.
    None,
    /// In the size, which is this so far.
    Size(usize),
    /// Before the line feed that ends the size.
    SizeEnd(usize),
    /// In data, with this much of it left.
    Data(usize),
    /// Before the line break that ends the data.
    DataEnd,
    /// Before its line feed.
    DataLineFeed,
}

/// The content of a response that is an event stream.
struct EventStream<'a> {
    /// The whole event that is expected, again and again.
    event: &'a [u8],
    chunk: Chunk,
    /// The beginning of a line, unless whole events lie one after another.
    line: Vec<u8>,
    /// A line of data has arrived, and not yet the blank line that ends its event.
    has_data: bool,
}

impl Deliveries for EventStream<'_> {
    fn take(&mut self, mut read: &[u8]) -> Result<usize, &'static str> {
        let mut events = 0;
        while let Some(&first) = read.first() {
            let mut used = 1;
            self.chunk = match (self.chunk, first) {
                (Chunk::None, _) => {
                    used = read.len();
                    events += self.content(read)?;
                    Chunk::None
                }
                (Chunk::Size(size @ 1..), b'\r') => Chunk::SizeEnd(size),
                (Chunk::Size(0), b'\r') => return Err("the stream has ended"),
                (Chunk::Size(size), digit) => {
                    let digit = char::from(digit).to_digit(16).ok_or("wrong chunk size")?;
                    let size = size * 16 + digit as usize;
                    if size > CHUNK_BYTES_MAX {
                        return Err("wrong chunk size");
                    }
                    Chunk::Size(size)
                }
                (Chunk::SizeEnd(size), b'\n') => Chunk::Data(size),
                (Chunk::Data(left), _) => {
                    used = left.min(read.len());
                    events += self.content(&read[..used])?;
                    if used == left {
                        Chunk::DataEnd
                    } else {
                        Chunk::Data(left - used)
                    }
                }
                (Chunk::DataEnd, b'\r') => Chunk::DataLineFeed,
                (Chunk::DataLineFeed, b'\n') => Chunk::Size(0),
                (Chunk::SizeEnd(_) | Chunk::DataEnd | Chunk::DataLineFeed, _) => return Err("wrong end of a chunk"),
            };
            read = &read[used..];
        }
        Ok(events)
    }
}

impl<'a> EventStream<'a> {
    fn new(event: &'a [u8], chunked: bool) -> Self {
        EventStream {
            event,
            chunk: if chunked { Chunk::Size(0) } else { Chunk::None },
            line: Vec::new(),
            has_data: false,
        }
    }

    /// Takes data. Returns how many events it completes.
    fn content(&mut self, mut data: &[u8]) -> Result<usize, &'static str> {
        let mut events = 0;
        while !data.is_empty() {
            if self.line.is_empty() && !self.has_data && data.starts_with(self.event) {
                events += 1;
                data = &data[self.event.len()..];
                continue;
            }
            let end = data.iter().position(|b| *b == b'\n');
            self.line.extend_from_slice(&data[..end.unwrap_or(data.len())]);
            let Some(end) = end else { break };
            data = &data[end + 1..];
            events += self.end_line()?;
        }
        Ok(events)
    }

    /// Takes the end of a line. Returns 1 if it ends an event, and 0 otherwise.
    fn end_line(&mut self) -> Result<usize, &'static str> {
        let line = self.line.as_slice();
        if line.is_empty() {
            return Ok(std::mem::take(&mut self.has_data).into());
        }
        let expected = &self.event[..self.event.len() - 2];
        // The space is optional. Servers may number their events, and send comments.
        let is_data = line == expected || line.strip_prefix(b"data:").is_some_and(|value| value == &expected[6..]);
        let is_ignored = line.starts_with(b":") || line.starts_with(b"id:");
        if is_data && !self.has_data {
            self.has_data = true;
        } else if !is_ignored {
            return Err("wrong delivery");
        }
        self.line.clear();
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &[u8] = b"data: abc\n\n";

    /// Reads `stream` in two pieces, cut anywhere.
    fn check(chunked: bool, stream: &[u8], expected: Result<usize, &'static str>) {
        for cut in 0..=stream.len() {
            let mut events = EventStream::new(EVENT, chunked);
            let (first, second) = stream.split_at(cut);
            let counted = events.take(first).and_then(|n| Ok(n + events.take(second)?));
            assert_eq!(counted, expected, "{} cut at {cut}", String::from_utf8_lossy(stream));
        }
    }

    #[test]
    fn events_are_counted_across_reads() {
        check(false, b":\n\ndata: abc\n\ndata: abc\n\n", Ok(2));
        check(false, b"id: 7\ndata:abc\n\n: ping\n\ndata: abc\n", Ok(1));
        check(true, b"B\r\ndata: abc\n\n\r\nb\r\ndata: abc\n\n\r\n", Ok(2));
        check(
            true,
            b"3\r\n:\n\n\r\n5\r\ndata:\r\n11\r\n abc\n\ndata: abc\n\n\r\n",
            Ok(2),
        );
    }

    #[test]
    fn wrong_bytes_are_errors() {
        check(false, b"data: abd\n\n", Err("wrong delivery"));
        check(false, b"data: ab\n\n", Err("wrong delivery"));
        check(false, b"data: abc\ndata: abc\n\n", Err("wrong delivery"));
        check(false, b"event: gap\ndata: 1\n\n", Err("wrong delivery"));
        check(true, b"b\r\ndata: abc\n\n\n", Err("wrong end of a chunk"));
        check(true, b"x\r\n", Err("wrong chunk size"));
        check(true, b"b\r\ndata: abc\n\n\r\n0\r\n\r\n", Err("the stream has ended"));
    }
}
