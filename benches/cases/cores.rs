//! Cases of the protocol cores alone, and of the arena.

use super::{BROWSER, Case, PLAIN, frame, post};
use fleeting::http1::{ContentLength, ContentStep, Decoder, HeadStep, ResponseHead, encode_head};
use fleeting::ws::{self, Event, Opcode};
use fleeting::{Arena, Limits};
use std::hint::black_box;

const DATE: &[u8; 29] = b"Sun, 06 Nov 1994 08:49:37 GMT";

/// The bytes between two chunks of 4 KiB.
const CHUNK_LINE: &str = "\r\n1000\r\n";
const CHUNKS: usize = 16;

/// Decodes one request with its content and returns the content's length.
#[inline]
fn read(input: &mut [u8], arena: &Arena, limits: &Limits) -> usize {
    let mut decoder = Decoder::new();
    let HeadStep::Head { head, rest, .. } = decoder.head(input, arena, limits) else {
        panic!("the head is incomplete or invalid");
    };
    black_box(head.target.path_bytes());
    match decoder.content(head, rest, arena, limits) {
        ContentStep::Whole { content, .. } => black_box(content).len(),
        other => panic!("{other:?}"),
    }
}

pub fn requests() -> Vec<Case> {
    let request = |name, request: String| {
        Case::new(name, 1, || {
            let limits = Limits::default();
            let mut arena = Arena::new(limits.arena_bytes);
            let mut input = request.into_bytes();
            move || {
                black_box(read(black_box(&mut input), &arena, &limits));
                arena.reset();
            }
        })
    };
    vec![
        request("http1/decode GET 40 B", PLAIN.to_string()),
        request("http1/decode GET 431 B", BROWSER.to_string()),
        request("http1/decode POST 1 KiB", post("/echo", "text/plain", &"x".repeat(1024))),
        Case::new("http1/decode chunked 64 KiB", 1, chunked),
    ]
}

fn chunked() -> impl FnMut() {
    let limits = Limits::default();
    let mut arena = Arena::new(limits.arena_bytes);
    let head = "POST /echo HTTP/1.1\r\nHost: a:8080\r\nTransfer-Encoding: chunked";
    let chunk = [CHUNK_LINE, &"x".repeat(4096)].concat();
    let mut input = [head, "\r\n", &chunk.repeat(CHUNKS), "\r\n0\r\n\r\n"].concat().into_bytes();
    let first = head.len() + "\r\n".len();
    move || {
        // The decoder joins chunks in place, which overwrites only the lines between them. Restore those.
        for line in (first..).step_by(chunk.len()).take(CHUNKS) {
            input[line..][..CHUNK_LINE.len()].copy_from_slice(CHUNK_LINE.as_bytes());
        }
        assert_eq!(read(black_box(&mut input), &arena, &limits), 64 << 10);
        arena.reset();
    }
}

pub fn responses() -> Vec<Case> {
    let encode = || {
        let mut head = ResponseHead::new(200, ContentLength::Known(1024), DATE);
        head.fields = b"Content-Type: text/plain; charset=utf-8\r\nx-id: 7\r\n";
        let mut out = Vec::with_capacity(4096);
        move || {
            out.clear();
            encode_head(&mut out, black_box(&head));
            black_box(&out);
        }
    };
    vec![Case::new("http1/encode_head", 1, encode)]
}

pub fn frames() -> Vec<Case> {
    let mut cases = Vec::new();
    for (size, bytes) in [("16 B", 16), ("1 KiB", 1 << 10), ("64 KiB", 64 << 10)] {
        for (kind, opcode) in [("text", 1), ("binary", 2)] {
            cases.push(Case::new(format!("ws/decode {kind} {size}"), 1, move || {
                let limits = Limits::default();
                let sent = frame(opcode, bytes);
                let mut input = sent.clone();
                let mut decoder = ws::Decoder::new();
                move || {
                    // The decoder unmasks in place, so restore the frame.
                    input.copy_from_slice(&sent);
                    match decoder.next(black_box(&mut input), &limits) {
                        ws::Step::Event { event: Event::Text(text), .. } => _ = black_box(text),
                        ws::Step::Event { event: Event::Binary(bytes), .. } => _ = black_box(bytes),
                        other => panic!("{other:?}"),
                    }
                }
            }));
        }
        cases.push(Case::new(format!("ws/encode_header {size}"), 1, move || {
            let mut out = Vec::with_capacity(64);
            move || {
                out.clear();
                ws::encode_header(&mut out, Opcode::Text, true, black_box(bytes));
                black_box(&out);
            }
        }));
    }
    cases
}

pub fn arena() -> Vec<Case> {
    let allocate = |name, pieces| {
        Case::new(name, 1, move || {
            let mut arena = Arena::new(16 << 10);
            move || {
                for _ in 0..pieces {
                    black_box(arena.alloc_bytes(black_box(&[7; 64])));
                }
                arena.reset();
            }
        })
    };
    vec![allocate("arena/1 of 64 B and reset", 1), allocate("arena/16 of 64 B and reset", 16)]
}
