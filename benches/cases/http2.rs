//! Whole turns of the engine for a connection of HTTP/2, over an in-memory stream.

use super::Case;
use super::engine::{NOW, PIPELINED, app, run_turn};
use fleeting::ConnId;
use fleeting::engine::{Engine, Settings};
use fleeting::transport::Stream;
use std::io::{self, IoSlice};

/// What each client sends first: the preface, no settings, and as large a window of the connection as is allowed.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\
    \x00\x00\x00\x04\x00\x00\x00\x00\x00\
    \x00\x00\x04\x08\x00\x00\x00\x00\x00\x7f\xff\x00\x00";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// The fields of a minimal request.
const PLAIN: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":authority", "localhost:8080"), (":path", "/")];

/// The fields of a browser's request.
const BROWSER: [(&str, &str); 17] = [
    (":method", "GET"),
    (":authority", "example.org"),
    (":scheme", "https"),
    (":path", "/hello/world?page=2"),
    ("sec-ch-ua", "\"Chromium\";v=\"140\", \"Not=A?Brand\";v=\"24\""),
    ("sec-ch-ua-mobile", "?0"),
    ("sec-ch-ua-platform", "\"Linux\""),
    ("upgrade-insecure-requests", "1"),
    (
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    ),
    ("accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"),
    ("sec-fetch-site", "same-origin"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-dest", "document"),
    ("referer", "https://example.org/hello"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("accept-language", "en-GB,en;q=0.9"),
    ("cookie", "session=0123456789abcdef0123456789abcdef"),
];

/// The fields of a request with content.
const POST: [(&str, &str); 4] =
    [(":method", "POST"), (":scheme", "http"), (":authority", "localhost:8080"), (":path", "/echo")];

/// That content.
const KIB: [u8; 1024] = [b'x'; 1024];

/// A peer that sends the same frames in every turn, each time on new streams, and accepts every answer.
struct FrameWire {
    sends: Vec<u8>,
    /// Where the identifiers of streams lie in `sends`.
    streams: Vec<usize>,
    /// What they grow by in a turn.
    step: u32,
    /// The bytes of the answer, while they are being recorded.
    answer: Option<Vec<u8>>,
}

impl Stream for FrameWire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.sends.len();
        buffer[..len].copy_from_slice(&self.sends);
        for at in &self.streams {
            let place = self.sends[*at..].first_chunk_mut().expect("a frame's head is complete");
            *place = (u32::from_be_bytes(*place) + self.step).to_be_bytes();
        }
        Ok(len)
    }

    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        if let Some(answer) = &mut self.answer {
            answer.extend_from_slice(buffer);
        }
        Ok(buffer.len())
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        buffers.iter().map(|buffer| self.write(buffer)).sum()
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn push_frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    out.extend((payload.len() as u32).to_be_bytes().iter().skip(1));
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
}

/// Encodes a head whose fields enter the dynamic table (RFC 7541 §6.2.1), as plain strings.
fn first_block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0x40);
        for text in [name, value] {
            assert!(text.len() < 127, "the length fits into one byte");
            block.push(text.len() as u8);
            block.extend(text.bytes());
        }
    }
    block
}

/// Encodes the same head again: each field is an entry of the dynamic table.
fn next_block(fields: &[(&str, &str)]) -> Vec<u8> {
    (0..fields.len()).rev().map(|index| 0x80 | (62 + index) as u8).collect()
}

/// A case of `streams` requests per turn. Checks first that each is answered with `content`.
fn answers(
    name: &str,
    streams: u64,
    fields: &'static [(&'static str, &'static str)],
    content: Option<&'static [u8]>,
    answer: &'static [u8],
) -> Case {
    Case::new(format!("http2/{name}"), streams, move || {
        let wire = FrameWire { sends: Vec::new(), streams: Vec::new(), step: 0, answer: None };
        let mut engine = Engine::new(app(), Settings::default(), NOW);
        let id = engine.accept(wire, None);
        let flags = END_HEADERS | if content.is_none() { END_STREAM } else { 0 };
        let request = |sends: &mut Vec<u8>, stream, block: &[u8]| {
            push_frame(sends, HEADERS, flags, stream, block);
            if let Some(content) = content {
                push_frame(sends, DATA, END_STREAM, stream, content);
            }
        };
        let mut first = PREFACE.to_vec();
        request(&mut first, 1, &first_block(fields));
        exchange(&mut engine, id, first, Vec::new(), 0);
        let (mut sends, mut places) = (Vec::new(), Vec::new());
        for stream in 1..=streams as u32 {
            places.push(sends.len() + 5);
            request(&mut sends, 1 + 2 * stream, &next_block(fields));
            if let Some(content) = content {
                places.push(sends.len() - content.len() - 4);
            }
        }
        let answered = exchange(&mut engine, id, sends, places, 2 * streams as u32);
        let heads =
            frames(&answered).filter(|(kind, payload)| *kind == HEADERS && payload[0] == 0x88).count();
        let contents =
            frames(&answered).filter(|(kind, payload)| *kind == DATA && *payload == answer).count();
        assert_eq!((heads as u64, contents as u64), (streams, streams), "{}", answered.escape_ascii());
        move || run_turn(&mut engine, id)
    })
}

/// Returns the types and payloads of frames.
fn frames(mut bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (head, rest) = bytes.split_first_chunk::<9>()?;
        let (payload, rest) = rest.split_at(u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize);
        bytes = rest;
        Some((head[3], payload))
    })
}

/// Runs a turn in which the peer sends `sends`, as it will in all later turns, on other streams. Returns the answer.
fn exchange(
    engine: &mut Engine<FrameWire>,
    id: ConnId,
    sends: Vec<u8>,
    streams: Vec<usize>,
    step: u32,
) -> Vec<u8> {
    let wire = engine.stream_mut(id).expect("the connection is open");
    *wire = FrameWire { sends, streams, step, answer: Some(Vec::new()) };
    run_turn(engine, id);
    let wire = engine.stream_mut(id).expect("the connection is open");
    wire.answer.take().expect("set at the start of this function")
}

pub fn requests() -> Vec<Case> {
    vec![
        answers("GET", 1, &PLAIN, None, b"hello"),
        answers("GET 16 streams", PIPELINED, &PLAIN, None, b"hello"),
        answers("GET of a browser 16 streams", PIPELINED, &BROWSER, None, b"world"),
        answers("POST 1 KiB 16 streams", PIPELINED, &POST, Some(&KIB), &KIB),
    ]
}
