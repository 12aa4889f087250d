//! Cuts a stream of frames in different ways, and shows it to the library's core of HTTP/2.
//!
//! The invariant of [`http2`](fleeting::http2): steps, replies and windows do not depend on the cuts. It knows no field: of
//! each block, the first byte says what is done about the request.

use super::cuts::{BYTEWISE_MAX, cuts, pieces};
use crate::http2::frames::{Frame, PREFACE, flag, kind, setting};
use fleeting::Limits;
use fleeting::http2::{BlockRole, Connection, ErrorCode, Step};
use std::collections::BTreeMap;

/// More than an open stream takes in the list of streams, and more than the list of those that were reset takes.
const STREAM_BYTES: usize = 256;
const RESET_BYTES: usize = 1024;

/// Panics unless the frames mean the same whole, cut as the input says, and byte by byte, and unless each reply is a frame
/// that the windows allow.
pub fn http2_frames(bytes: &[u8]) {
    let (cuts, variant, rest) = cuts(bytes);
    // Small, so that the input reaches them.
    let limits = match variant & 1 {
        0 => crate::limits! { streams: 3, head_bytes: 100 },
        _ => crate::limits! { streams: 100 },
    };
    let stream = match variant & 6 {
        0 => rest.to_vec(),
        2 => [PREFACE, &Frame::settings(&[]).to_bytes(), rest].concat(),
        _ => [PREFACE, &Frame::settings(&[]).to_bytes(), &short_frames(rest)].concat(),
    };
    let whole = play([&stream[..]], &limits);
    assert!(play(pieces(&stream, &cuts), &limits) == whole, "cut at {cuts:?}");
    if stream.len() <= BYTEWISE_MAX {
        assert!(play(stream.chunks(1), &limits) == whole, "bytewise");
    }
}

/// Makes frames of a form in which a mutation seldom makes the rest senseless: type, flags, stream, length, payload.
fn short_frames(mut rest: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    while let [kind, flags, id, length, behind @ ..] = rest {
        let payload;
        (payload, rest) = behind.split_at(behind.len().min(usize::from(length & 0x3f)));
        // Long ones, too: the windows are not small.
        let payload = match length >> 6 {
            3 => [payload, &vec![0; 16_384 - payload.len()]].concat(),
            _ => payload.to_vec(),
        };
        stream.extend_from_slice(&Frame::new(kind % 17, *flags, u32::from(*id), payload).to_bytes());
    }
    stream
}

/// Plays the stream in these pieces. Returns what happened: the steps, and the replies.
fn play<'p>(pieces: impl IntoIterator<Item = &'p [u8]>, limits: &Limits) -> (Vec<String>, Vec<u8>) {
    let mut owner =
        Owner { core: Connection::new(), windows: Windows::default(), steps: Vec::new(), sent: Vec::new() };
    let (mut kept, mut out) = (Vec::new(), Vec::new());
    for piece in pieces {
        kept.extend_from_slice(piece);
        let mut from = 0;
        while let Some(consumed) = owner.step(&kept[from..], limits, &mut out) {
            from += consumed;
            owner.sent.extend_from_slice(&out);
            out.clear();
        }
        owner.sent.extend_from_slice(&out);
        out.clear();
        kept.drain(..from);
    }
    owner.steps.push(format!("{} bytes are kept", kept.len()));
    (owner.steps, owner.sent)
}

struct Owner {
    core: Connection<u32>,
    windows: Windows,
    steps: Vec<String>,
    sent: Vec<u8>,
}

impl Owner {
    /// Lets the core look at what has arrived. Returns what it has consumed, or `None` if it needs more.
    fn step(&mut self, input: &[u8], limits: &Limits, out: &mut Vec<u8>) -> Option<usize> {
        let had_failed = self.core.has_failed();
        let (before, mut done) = (self.core.streams.len(), None);
        let step = self.core.next(input, 5, limits, out);
        let consumed = match &step {
            Step::NeedsInput { wants } => {
                assert!(*wants > input.len(), "{wants} bytes are wanted, and {} are there", input.len());
                assert!(out.is_empty());
                return None;
            }
            Step::Failed(code) => {
                assert!(self.core.has_failed());
                assert!(had_failed == out.is_empty() || !had_failed, "replies after a failure");
                if !had_failed {
                    self.steps.push(format!("failed: {code:?}"));
                }
                for frame in frames(out) {
                    self.windows.reply(&frame);
                }
                return None;
            }
            Step::Done { consumed }
            | Step::Windows { consumed }
            | Step::Reset { consumed, .. }
            | Step::Content { consumed, .. }
            | Step::Block { consumed, .. } => *consumed,
        };
        assert!((1..=input.len()).contains(&consumed), "{consumed} of {} bytes", input.len());
        assert!(!had_failed, "a step after a failure");
        self.steps.push(format!("{step:?}"));
        // The preface is none.
        if let Some((frame, _)) = Frame::parse(&input[..consumed]) {
            self.windows.arrived(&frame);
        }
        match step {
            Step::Block { stream, ends, role, block, .. } => {
                self.take_block(stream, ends, role, &block, limits, out)
            }
            Step::Content { stream, content, .. } => self.core.credit(stream, content.len(), out),
            Step::Reset { record, .. } => done = Some(record),
            _ => {}
        }
        assert!(self.core.streams.len() <= limits.streams);
        assert!(done.is_none_or(|_| self.core.streams.len() < before), "a stream is reset and there");
        self.send(out);
        let memory_max =
            limits.streams.next_power_of_two().max(4) * STREAM_BYTES + RESET_BYTES + 2 * limits.head_bytes;
        assert!(self.core.bytes() <= memory_max, "{} bytes", self.core.bytes());
        for frame in frames(out) {
            self.windows.reply(&frame);
        }
        Some(consumed)
    }

    fn take_block(
        &mut self,
        id: u32,
        ends: bool,
        role: BlockRole,
        block: &[u8],
        limits: &Limits,
        out: &mut Vec<u8>,
    ) {
        let core = &mut self.core;
        match (role, block.first().map_or(0, |first| first % 8)) {
            (BlockRole::Ignored, _) => core.ignore_block(out),
            (BlockRole::Refused, _) => {
                assert_eq!(core.streams.len(), limits.streams);
                core.refuse(id, ErrorCode::REFUSED_STREAM, 5, out);
            }
            (BlockRole::Trailers, _) => {
                if !(ends && core.end_content(id)) {
                    core.refuse_open(id, ErrorCode::PROTOCOL_ERROR, 5, out);
                }
            }
            (BlockRole::Head, 0) => {
                let at = core.begin_head(out);
                out.push(0x88);
                core.end_head(id, at, true, out);
                if !ends {
                    core.push_reset(id, ErrorCode::NO_ERROR, out);
                }
            }
            (BlockRole::Head, 1) => core.refuse(id, ErrorCode::PROTOCOL_ERROR, 5, out),
            (BlockRole::Head, 2) => core.announce_end(out),
            (BlockRole::Head, 3) => core.announce_last(out),
            (BlockRole::Head, 4) => core.open(id, ends, block.get(1).map(|length| u64::from(*length)), id),
            (BlockRole::Head, _) => {
                core.open(id, ends, None, id);
                core.send_head(id, &Frame::headers(0, [0x88], false).to_bytes(), false, out);
            }
        }
    }

    /// Sends as much as the windows allow on the first stream that can take something, and closes it if that is much.
    fn send(&mut self, out: &mut Vec<u8>) {
        if self.core.has_failed() {
            return;
        }
        let ids: Vec<u32> = self.core.streams.iter_mut().map(|stream| stream.id()).collect();
        let Some((id, window)) =
            ids.into_iter().map(|id| (id, self.core.window(id))).find(|(_, window)| *window > 0)
        else {
            return;
        };
        let ends = window > 20_000;
        self.core.send_content(id, &vec![b'x'; window.min(40_000)], ends, out);
        if ends {
            self.core.close(id, true, ErrorCode::INTERNAL_ERROR, out);
        }
    }
}

/// Returns the frames of the replies, each of which must be complete.
fn frames(mut out: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while !out.is_empty() {
        let (frame, length) = Frame::parse(out).unwrap_or_else(|| panic!("no frame: {}", out.escape_ascii()));
        assert!(frame.payload.len() <= 16_384, "{frame:?}");
        frames.push(frame);
        out = &out[length..];
    }
    frames
}

/// What the peer lets the server send, kept a second time (RFC 9113 §6.9).
#[derive(Debug)]
struct Windows {
    initial: i64,
    connection: i64,
    /// Of the streams on which something was sent, or a window has changed: what differs from `initial`.
    changes: BTreeMap<u32, i64>,
    /// The identifier in the last GOAWAY.
    last_stream: u32,
}

impl Default for Windows {
    fn default() -> Windows {
        Windows { initial: 65_535, connection: 65_535, changes: BTreeMap::new(), last_stream: u32::MAX }
    }
}

impl Windows {
    /// A frame that has arrived, and which was not found to be wrong.
    fn arrived(&mut self, frame: &Frame) {
        match frame.kind {
            kind::WINDOW_UPDATE => {
                let more = i64::from(frame.number(0).unwrap_or_default() & 0x7fff_ffff);
                match frame.stream {
                    0 => self.connection += more,
                    id => *self.changes.entry(id).or_default() += more,
                }
            }
            kind::SETTINGS if !frame.has(flag::ACK) => {
                for (id, value) in frame.entries().unwrap_or_default() {
                    if id == setting::INITIAL_WINDOW_SIZE {
                        self.initial = value.into();
                    }
                }
            }
            _ => {}
        }
    }

    /// A frame that the server sends.
    fn reply(&mut self, frame: &Frame) {
        match frame.kind {
            kind::DATA => {
                let length = frame.payload.len() as i64;
                let change = self.changes.entry(frame.stream).or_default();
                (self.connection, *change) = (self.connection - length, *change - length);
                assert!(self.connection >= 0, "the window of the connection: {frame:?}");
                assert!(length == 0 || self.initial + *change >= 0, "the window of the stream: {frame:?}");
            }
            kind::GOAWAY => {
                let last = frame.number(0).unwrap_or_else(|| panic!("{frame:?}"));
                assert!(last <= self.last_stream, "GOAWAY for more: {frame:?}");
                assert!(frame.stream == 0 && frame.payload.len() >= 8, "{frame:?}");
                self.last_stream = last;
            }
            kind::RST_STREAM => assert!(frame.stream % 2 == 1 && frame.payload.len() == 4, "{frame:?}"),
            kind::WINDOW_UPDATE => {
                let more = frame.number(0).filter(|_| frame.payload.len() == 4);
                assert!(more.is_some_and(|more| (1..=1 << 30).contains(&more)), "{frame:?}");
            }
            kind::PING => assert!(frame.stream == 0 && frame.payload.len() == 8, "{frame:?}"),
            kind::SETTINGS => assert_eq!(*frame, Frame::settings_ack()),
            kind::HEADERS => assert!(frame.stream % 2 == 1 && frame.has(flag::END_HEADERS), "{frame:?}"),
            _ => panic!("no server sends {frame:?}"),
        }
    }
}
