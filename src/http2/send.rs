//! What is sent on a connection's streams: heads, content, and room for more of the peer's content (RFC 9113 §6.9, §8.1).
//!
//! It knows no response. Its invariant: no more content is sent than the windows allow, if the caller asks them first.

use super::connection::{Connection, STREAM_WINDOW};
use super::frame::{
    FRAME_BYTES, FRAME_HEAD_BYTES, FrameHead, flag, kind, push_data, push_frame, push_window_update,
};
use super::hpack::encoder::EMPTY_TABLE;
use super::response::encode_head;
use crate::http1::ResponseHead;

/// WINDOW_UPDATE frames that are expected for content: one for the stream and one for the connection.
const UPDATES_EARNED: u32 = 2;
/// As many more are expected for each further part of this size: clients give room back as they read.
const UPDATE_BYTES: usize = 4_096;
/// Earned WINDOW_UPDATE frames that are remembered.
const UPDATES_MAX: u32 = 1_000;

impl<R> Connection<R> {
    /// Returns how much content may be sent on a stream that is not open: one that was just opened by the peer.
    #[inline]
    pub fn new_window(&self) -> usize {
        usize::try_from(self.peer_window.min(self.send_window)).unwrap_or(0)
    }

    /// Returns how much content may be sent on the connection, whatever the windows of its streams are.
    #[inline]
    pub fn send_window(&self) -> usize {
        usize::try_from(self.send_window).unwrap_or(0)
    }

    /// Notes that the content of a stream ends with trailers. Returns false if it is not as long as was announced.
    pub fn end_content(&mut self, id: u32) -> bool {
        self.streams.find(id).is_some_and(|stream| stream.receive(0, true).is_ok())
    }

    /// Returns how much content may be sent on an open stream.
    #[inline]
    pub fn window(&mut self, id: u32) -> usize {
        let Some(stream) = self.streams.find(id) else { return 0 };
        usize::try_from(stream.send_window.min(self.send_window)).unwrap_or(0)
    }

    /// Appends content of a stream, which must fit into its [`window`](Connection::window), or into the
    /// [window of new streams](Connection::new_window) if it is not open.
    #[inline(always)]
    pub fn send_content(&mut self, id: u32, content: &[u8], ends: bool, out: &mut Vec<u8>) {
        self.spend(id, content.len(), ends);
        push_data(out, id, content, ends);
    }

    /// Notes that content of a stream is sent: as [`send_content`](Connection::send_content) does.
    #[inline]
    pub fn spend(&mut self, id: u32, bytes: usize, ends: bool) {
        self.send_window -= bytes as i64;
        let earned = UPDATES_EARNED * (1 + (bytes / UPDATE_BYTES) as u32);
        self.updates_earned = (self.updates_earned + earned).min(UPDATES_MAX);
        if let Some(stream) = self.streams.find(id) {
            stream.send_window -= bytes as i64;
            stream.local_ended |= ends;
        }
    }

    /// Notes that END_STREAM was sent on a stream.
    pub fn end(&mut self, id: u32) {
        if let Some(stream) = self.streams.find(id) {
            stream.local_ended = true;
        }
    }

    /// Gives the peer new room for content of a stream that has been taken.
    pub fn credit(&mut self, id: u32, bytes: usize, out: &mut Vec<u8>) {
        let Some(stream) = self.streams.find(id) else { return };
        stream.uncredited += bytes as u32;
        // A peer that has ended its side needs none, and one that has half a window left can go on.
        if stream.remote_ended || i64::from(stream.uncredited) < STREAM_WINDOW / 2 {
            return;
        }
        let more = std::mem::take(&mut stream.uncredited);
        stream.receive_window += i64::from(more);
        push_window_update(out, id, more);
    }

    /// Appends the head of a response: frames that were encoded without knowing their stream, by
    /// [`push_head_frames`]. `ends`: there is no content.
    pub fn send_head(&mut self, id: u32, frames: &[u8], ends: bool, out: &mut Vec<u8>) {
        let mut rest = frames;
        while let Some(mut head) = FrameHead::read(rest) {
            let (frame, after) = rest.split_at((FRAME_HEAD_BYTES + head.length).min(rest.len()));
            rest = after;
            head.stream = id;
            if head.kind == kind::HEADERS && ends {
                head.flags |= flag::END_STREAM;
            }
            if !std::mem::take(&mut self.table_update_due) {
                out.extend_from_slice(&head.bytes());
            } else if head.length < FRAME_BYTES {
                head.length += 1;
                out.extend_from_slice(&head.bytes());
                out.push(EMPTY_TABLE);
            } else {
                // The frame would be too long (RFC 9113 §4.2).
                push_frame(out, head.kind, head.flags & !flag::END_HEADERS, id, &[EMPTY_TABLE]);
                (head.kind, head.flags) = (kind::CONTINUATION, head.flags & flag::END_HEADERS);
                out.extend_from_slice(&head.bytes());
            }
            out.extend_from_slice(&frame[FRAME_HEAD_BYTES..]);
        }
        if ends {
            self.end(id);
        }
    }

    /// Makes room at the end of `out` for the head of a HEADERS frame, behind which the caller encodes its field block.
    /// [`end_head`](Connection::end_head) completes it.
    #[inline(always)]
    pub fn begin_head(&mut self, out: &mut Vec<u8>) -> usize {
        let at = out.len();
        out.extend_from_slice(&[0; FRAME_HEAD_BYTES]);
        if std::mem::take(&mut self.table_update_due) {
            out.push(EMPTY_TABLE);
        }
        at
    }

    /// Completes the frame that begins at `at`.
    #[inline(always)]
    pub fn end_head(&mut self, id: u32, at: usize, ends: bool, out: &mut Vec<u8>) {
        complete_head(out, at, id, if ends { flag::END_STREAM } else { 0 });
        if ends && !self.streams.is_empty() {
            self.end(id);
        }
    }
}

/// The frame of the response that asks for the content (RFC 9110 §15.2.1), which names no stream yet.
pub const CONTINUE: &[u8] = b"\0\0\x05\x01\x04\0\0\0\0\x08\x03100";

/// Whether the frames of a head, which name no stream yet, are those of an interim response (RFC 9110 §15.2).
pub fn is_interim(frames: &[u8]) -> bool {
    // No status from 100 to 199 is in the static table, so it is written in full behind the index of its name.
    frames.get(FRAME_HEAD_BYTES..).is_some_and(|block| block.starts_with(b"\x08\x031"))
}

/// Splits the frames of one head, which name no stream yet, from what follows.
pub fn split_head(bytes: &[u8]) -> (&[u8], &[u8]) {
    let mut end = 0;
    while let Some(head) = FrameHead::read(&bytes[end..]) {
        end = (end + FRAME_HEAD_BYTES + head.length).min(bytes.len());
        if head.has(flag::END_HEADERS) {
            break;
        }
    }
    bytes.split_at(if end == 0 { bytes.len() } else { end })
}

/// In place of a stream: the response asks for the end of the connection.
const CLOSES: u32 = 1;

/// Whether the frames of a head, which name no stream yet, are those of a response that asks for the end of the connection.
pub fn closes(frames: &[u8]) -> bool {
    FrameHead::read(frames).is_some_and(|head| head.stream == CLOSES)
}

/// Appends the frames of a response's head, which name no stream yet: [`Connection::send_head`] gives them one. `close`: the
/// response asks for the end of the connection.
#[inline(never)]
pub fn push_head_frames(out: &mut Vec<u8>, head: &ResponseHead<'_>, close: bool) {
    let at = out.len();
    out.extend_from_slice(&[0; FRAME_HEAD_BYTES]);
    encode_head(out, head);
    complete_head(out, at, if close { CLOSES } else { 0 }, 0);
}

/// Completes the HEADERS frame that begins at `at` in `out` and whose field block is the rest of `out`. A block that is too
/// long for one frame is continued in others.
#[inline(always)]
pub fn complete_head(out: &mut Vec<u8>, at: usize, stream: u32, flags: u8) {
    let length = out.len() - at - FRAME_HEAD_BYTES;
    if length > FRAME_BYTES {
        return continue_head(out, at, stream, flags);
    }
    let head = FrameHead { length, kind: kind::HEADERS, flags: flags | flag::END_HEADERS, stream };
    out[at..at + FRAME_HEAD_BYTES].copy_from_slice(&head.bytes());
}

#[cold]
fn continue_head(out: &mut Vec<u8>, at: usize, stream: u32, flags: u8) {
    let block = out.split_off(at + FRAME_HEAD_BYTES);
    out.truncate(at);
    let mut parts = block.chunks(FRAME_BYTES).peekable();
    let (mut kind, mut flags) = (kind::HEADERS, flags);
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            flags |= flag::END_HEADERS;
        }
        push_frame(out, kind, flags, stream, part);
        (kind, flags) = (kind::CONTINUATION, 0);
    }
}
