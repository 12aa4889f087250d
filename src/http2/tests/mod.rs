//! Tests of the core: frames go in; steps, replies and the state of the connection come out.
//!
//! A field block is one word here, which says what is done about it: `later` opens a stream, a number opens one with this
//! Content-Length, and anything else is answered at once. So the tests know no HPACK.

mod floods;
mod receiving;
mod sending;

use super::connection::Connection;
use super::frame::{ErrorCode, FRAME_HEAD_BYTES, FrameHead, PREFACE, flag, kind, push_frame, push_settings};
use super::{BlockRole, Step};
use crate::config::Limits;

/// The flag END_STREAM.
const END: u8 = flag::END_STREAM;
/// A stream's first frame, with a whole field block.
const HEAD: u8 = flag::END_HEADERS;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    push_frame(&mut out, kind, flags, stream, payload);
    out
}

/// HEADERS with a whole field block. `flags` are further flags.
fn head(stream: u32, block: &str, flags: u8) -> Vec<u8> {
    frame(kind::HEADERS, HEAD | flags, stream, block.as_bytes())
}

fn data(stream: u32, content: &str, flags: u8) -> Vec<u8> {
    frame(kind::DATA, flags, stream, content.as_bytes())
}

fn reset(stream: u32) -> Vec<u8> {
    frame(kind::RST_STREAM, 0, stream, &ErrorCode::CANCEL.0.to_be_bytes())
}

fn update(stream: u32, more: u32) -> Vec<u8> {
    frame(kind::WINDOW_UPDATE, 0, stream, &more.to_be_bytes())
}

fn settings(settings: &[(u16, u32)]) -> Vec<u8> {
    let mut out = Vec::new();
    push_settings(&mut out, settings);
    out
}

fn ping(flags: u8, payload: &[u8]) -> Vec<u8> {
    frame(kind::PING, flags, 0, payload)
}

/// What the owner of a connection does with its steps, without requests.
#[derive(Debug)]
struct Owner {
    core: Connection<u32>,
    limits: Limits,
    now_ms: u64,
    out: Vec<u8>,
    /// Steps and replies, as words.
    log: Vec<String>,
}

impl Owner {
    /// Of a connection on which nothing has arrived.
    fn new() -> Owner {
        let limits = Limits { streams: 3, head_bytes: 40, ..Limits::default() };
        Owner { core: Connection::new(), limits, now_ms: 0, out: Vec::new(), log: Vec::new() }
    }

    /// Of a connection on which the preface and SETTINGS have arrived.
    fn begun() -> Owner {
        let mut owner = Owner::new();
        owner.take(&[&PREFACE[..], &settings(&[])].concat());
        owner.log.clear();
        owner
    }

    /// Shows frames to the core until it needs more. Returns how many bytes it has consumed.
    fn take(&mut self, input: &[u8]) -> usize {
        let mut from = 0;
        loop {
            let step = self.core.next(&input[from..], self.now_ms, &self.limits, &mut self.out);
            let (consumed, words) = match step {
                Step::NeedsInput { wants } => {
                    assert!(wants > input.len() - from, "{wants} bytes are there");
                    self.read_replies();
                    return from;
                }
                Step::Failed(_) => {
                    self.read_replies();
                    return input.len();
                }
                Step::Done { consumed } => (consumed, None),
                Step::Windows { consumed } => (consumed, Some("windows".to_owned())),
                Step::Reset { consumed, record } => (consumed, Some(format!("reset {record}"))),
                Step::Content { consumed, stream, content, ends } => {
                    let (content, end) = (content.escape_ascii(), if ends { " end" } else { "" });
                    (
                        consumed,
                        Some(format!("content {stream} {content:?}{end}", content = content.to_string())),
                    )
                }
                Step::Block { consumed, stream, ends, role, block } => {
                    let word = String::from_utf8_lossy(&block).into_owned();
                    let end = if ends { " end" } else { "" };
                    self.log.push(format!("{role:?} {stream} {word}{end}"));
                    self.take_block(stream, ends, role, &word);
                    (consumed, None)
                }
            };
            self.log.extend(words);
            self.read_replies();
            from += consumed;
        }
    }

    fn take_block(&mut self, stream: u32, ends: bool, role: BlockRole, word: &str) {
        let Owner { core, out, now_ms, .. } = self;
        match (role, word) {
            (BlockRole::Ignored, _) => core.ignore_block(out),
            (BlockRole::Refused, _) => core.refuse(stream, ErrorCode::REFUSED_STREAM, *now_ms, out),
            (BlockRole::Trailers, _) => {
                if !(ends && core.end_content(stream)) {
                    core.refuse_open(stream, ErrorCode::PROTOCOL_ERROR, *now_ms, out);
                }
            }
            (BlockRole::Head, "later") => core.open(stream, ends, None, stream),
            (BlockRole::Head, word) => {
                if let Ok(length) = word.parse() {
                    core.open(stream, ends, Some(length), stream);
                }
            }
        }
    }

    /// Moves the replies to the log.
    fn read_replies(&mut self) {
        let out = std::mem::take(&mut self.out);
        self.log.extend(words(&out));
    }

    /// Makes the streams 1, 3 and so on, whose responses come later.
    fn with_streams(count: u32) -> Owner {
        let mut owner = Owner::begun();
        for at in 0..count {
            owner.take(&head(1 + 2 * at, "later", 0));
        }
        owner.log.clear();
        owner
    }

    /// Checks what happened since the last time.
    #[track_caller]
    fn expect(&mut self, expected: &str) {
        self.read_replies();
        assert_eq!(self.log.join("; "), expected);
        self.log.clear();
    }
}

/// Returns a description of each frame that the core has written.
fn words(out: &[u8]) -> Vec<String> {
    let (mut rest, mut words) = (out, Vec::new());
    while !rest.is_empty() {
        let head = FrameHead::read(rest).expect("a whole frame");
        let payload = &rest[FRAME_HEAD_BYTES..FRAME_HEAD_BYTES + head.length];
        rest = &rest[FRAME_HEAD_BYTES + head.length..];
        let number = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().expect("four bytes"));
        let FrameHead { stream, flags, length, .. } = head;
        words.push(match head.kind {
            kind::RST_STREAM => format!("> reset {stream} {}", number(0)),
            kind::SETTINGS if flags == flag::ACK => "> ack".to_owned(),
            kind::PING => format!("> ping {flags} {}", payload.escape_ascii()),
            kind::GOAWAY => format!("> goaway {} {}", number(0), number(4)),
            kind::WINDOW_UPDATE => format!("> update {stream} {}", number(0)),
            kind => format!("> frame {kind} {flags:#x} {stream} {length}"),
        });
    }
    words
}

/// Plays a connection that has not begun, cut into pieces. Returns what happened, and the state.
fn play(owner: Owner, pieces: &[&[u8]]) -> (String, String) {
    let (mut owner, mut kept) = (owner, Vec::new());
    for piece in pieces {
        kept.extend_from_slice(piece);
        let consumed = owner.take(&kept);
        kept.drain(..consumed);
    }
    (owner.log.join("; "), format!("{:?} {}", owner.core, kept.escape_ascii()))
}

/// Shows frames to a connection that has begun. Every way to cut them in two or three must lead to the same.
#[track_caller]
fn check(frames: &[Vec<u8>], expected: &str) {
    check_of(Owner::begun, &frames.concat(), expected);
}

#[track_caller]
fn check_of(owner: fn() -> Owner, input: &[u8], expected: &str) {
    let whole = play(owner(), &[input]);
    assert_eq!(whole.0, expected);
    for first in 0..=input.len() {
        for second in first..=input.len() {
            let pieces = [&input[..first], &input[first..second], &input[second..]];
            assert_eq!(play(owner(), &pieces), whole, "cut at {first} and {second}");
        }
    }
}
