//! Responses to requests that are answered when they arrive.
//!
//! It gives a record its work, and knows nothing else of one. Its invariant: a response is written whole, or nothing of it is and
//! it gets a record.

use super::begun::{Begun, Work};
use super::mux::Mux;
use super::text::ContentForm;
use crate::app::{Awaited, Body, Response, no_memory};
use crate::buffer::{FilePart, Outbox, Piece};
use crate::engine::context::Services;
use crate::engine::http::answer::{ResponseContext, content_length};
use crate::engine::http::requests::Client;
use crate::engine::http::transfer::Transfer;
use crate::engine::output::{GATHERED_MAX, Output};
use crate::http1::{ConnectionHeader, ContentLength, ResponseHead};
use crate::http2::response::encode_head_with;
use crate::http2::{self, ErrorCode, FRAME_BYTES, FRAME_HEAD_BYTES, FrameHead, flag, kind};
use crate::transport::Stream;
use std::io;
use std::os::unix::fs::FileExt;

/// Longer content gets a record, which sends it as the connection takes it.
const CONTENT_BYTES_MAX: usize = GATHERED_MAX / 2 * FRAME_BYTES;
/// From this size on content is written from where it lies.
const LARGE_BYTES: u64 = 16 << 10;

/// The stream that a response is for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    pub(super) stream: u32,
    /// The peer has ended its side.
    pub(super) ends: bool,
    /// The request was HEAD.
    pub(super) head_only: bool,
    /// The stream is open, because its request had content.
    pub(super) is_open: bool,
}

/// Answers a request. Returns the work of a record, whose stream is open now, if the response needs one: its body is taken out
/// of it then. Else the response is written.
#[inline]
pub(super) fn answer<S: Stream>(
    mux: &mut Mux,
    target: &Target,
    response: &mut Response<'_>,
    date: &[u8; 29],
    out: &mut Output<'_, S>,
) -> Option<Work> {
    let Target { stream, head_only, is_open, .. } = *target;
    if matches!(response.body, Body::Pending(_)) {
        return answer_later(mux, target, response, date, out);
    }
    let length = response.body.len();
    if out.is_short_for(length) && matches!(response.body, Body::Borrowed(_) | Body::Owned(_)) {
        let close = response.close;
        *response = no_memory().into();
        response.close = close;
        return answer(mux, target, response, date, out);
    }
    let (content, silent) = content_length(response.status, length);
    let has_content = !silent && !head_only && length > 0;
    let window = if is_open { mux.core.window(stream) } else { mux.core.new_window() };
    if has_content && length > window.min(CONTENT_BYTES_MAX) as u64 {
        return Some(queue(mux, target, response, content, date, out.cork.outboxes.take()));
    }
    write_head(mux, stream, response, content, date, !has_content, out.cork);
    let content_at = out.cork.len();
    if has_content {
        match &response.body {
            Body::File(part) => {
                if read_content(mux, stream, part, out).is_err() {
                    // The file is shorter than was announced.
                    out.cork.truncate(content_at);
                    mux.core.push_reset(stream, ErrorCode::INTERNAL_ERROR, out.cork);
                }
            }
            body if length >= LARGE_BYTES => send_large(mux, stream, body.bytes(), out),
            body => mux.core.send_content(stream, body.bytes(), true, out.cork),
        }
    }
    end(mux, target, response.close, out.cork);
    out.flush_if_full();
    None
}

/// Notes what became of a response, and posts one that gets a record.
#[inline]
pub(super) fn settle<S: Stream>(
    mux: &mut Mux,
    stream: u32,
    status: u16,
    work: Option<Work>,
    out: &mut Output<'_, S>,
    client: &Client<'_>,
    services: &mut Services,
) {
    let completions = &mut services.completions;
    match work {
        None if completions.is_on() => {
            completions.answered(client.conn, status, out.cork.position(), false);
        }
        None => {}
        Some(work) => {
            // A deferred response has not begun yet, and may get another status.
            let status = if work.is_deferred() { 0 } else { status };
            let completion = if completions.is_on() { completions.detach(client.conn, status) } else { None };
            mux.begin(Begun { stream, peer: client.peer.clone(), work, completion });
        }
    }
}

/// Ends a stream whose response is written. `close`: the response asks for the end of the connection.
#[inline]
fn end(mux: &mut Mux, target: &Target, close: bool, out: &mut Vec<u8>) {
    if close {
        mux.core.announce_end(out);
    }
    if target.is_open {
        mux.close_answered(target.stream, out);
    } else if !target.ends {
        // RFC 9113 §8.1: the rest of the request is not needed.
        mux.core.push_reset(target.stream, ErrorCode::NO_ERROR, out);
    }
}

/// Sends content from where it lies, in one write with all that is in the cork.
#[inline(never)]
fn send_large<S: Stream>(mux: &mut Mux, stream: u32, content: &[u8], out: &mut Output<'_, S>) {
    let mut heads = [[0; FRAME_HEAD_BYTES]; GATHERED_MAX / 2];
    let mut slices: [&[u8]; GATHERED_MAX] = [&[]; GATHERED_MAX];
    let frames = content.len().div_ceil(FRAME_BYTES);
    for (at, (head, part)) in heads.iter_mut().zip(content.chunks(FRAME_BYTES)).enumerate() {
        let flags = if at + 1 == frames { flag::END_STREAM } else { 0 };
        *head = FrameHead { length: part.len(), kind: kind::DATA, flags, stream }.bytes();
    }
    for (pair, (head, part)) in slices.chunks_mut(2).zip(heads.iter().zip(content.chunks(FRAME_BYTES))) {
        pair.copy_from_slice(&[&head[..], part]);
    }
    mux.core.spend(stream, content.len(), true);
    out.gathered(&slices[..2 * frames]);
}

/// Reads content from a file into the cork.
#[inline(never)]
fn read_content<S: Stream>(
    mux: &mut Mux,
    stream: u32,
    part: &FilePart,
    out: &mut Output<'_, S>,
) -> io::Result<()> {
    let (mut offset, end) = (part.offset(), part.offset() + part.len());
    while offset < end {
        let now = (end - offset).min(FRAME_BYTES as u64);
        let flags = if offset + now == end { flag::END_STREAM } else { 0 };
        let head = FrameHead { length: now as usize, kind: kind::DATA, flags, stream };
        out.cork.extend_from_slice(&head.bytes());
        let from = out.cork.len();
        out.cork.resize(from + now as usize, 0);
        part.file().read_exact_at(&mut out.cork[from..], offset)?;
        offset += now;
    }
    mux.core.spend(stream, part.len() as usize, true);
    Ok(())
}

fn head_of<'a>(response: &'a Response<'_>, content: ContentLength, date: &'a [u8; 29]) -> ResponseHead<'a> {
    let connection = ConnectionHeader::Implied;
    ResponseHead { status: response.status, fields: response.fields.bytes(), content, connection, date }
}

/// Writes a head. `ends`: there is no content.
#[inline(always)]
fn write_head(
    mux: &mut Mux,
    stream: u32,
    response: &Response<'_>,
    content: ContentLength,
    date: &[u8; 29],
    ends: bool,
    out: &mut Vec<u8>,
) {
    let at = mux.core.begin_head(out);
    let head = head_of(response, content, date);
    encode_head_with(out, &head, response.fields.block());
    mux.core.end_head(stream, at, ends, out);
}

fn push_head(outbox: &mut Outbox, response: &Response<'_>, content: ContentLength, date: &[u8; 29]) {
    outbox
        .push_written(|out| http2::push_head_frames(out, &head_of(response, content, date), response.close));
}

fn open(mux: &mut Mux, target: &Target) {
    if target.is_open {
        return;
    }
    mux.open(target.stream, target.ends, None, ContentForm::Plain);
}

/// Queues a response that is complete, and longer than its client or the cork takes now.
#[inline(never)]
fn queue(
    mux: &mut Mux,
    target: &Target,
    response: &mut Response<'_>,
    content: ContentLength,
    date: &[u8; 29],
    mut outbox: Box<Outbox>,
) -> Work {
    push_head(&mut outbox, response, content, date);
    match std::mem::replace(&mut response.body, Body::Empty) {
        Body::Empty | Body::Pending(_) => {}
        Body::Borrowed(bytes) => outbox.push_copy(bytes),
        Body::Static(bytes) => outbox.push(Piece::Static(bytes), 0),
        Body::Owned(bytes) => outbox.push(Piece::Owned(bytes), 0),
        Body::Shared(bytes) => outbox.push(Piece::Shared(bytes), 0),
        Body::File(part) => outbox.push_file(part),
    }
    open(mux, target);
    Work::Response(outbox)
}

/// Answers a request whose response another thread makes, or a source.
#[inline(never)]
fn answer_later<S: Stream>(
    mux: &mut Mux,
    target: &Target,
    response: &mut Response<'_>,
    date: &[u8; 29],
    out: &mut Output<'_, S>,
) -> Option<Work> {
    let Body::Pending(pending) = &response.body else {
        unreachable!("only a pending body is answered later");
    };
    let context = ResponseContext::of_stream(target.head_only);
    let length = match pending.awaited() {
        Some(Awaited::Answer(_)) | None => {
            open(mux, target);
            return Some(Work::Transfer(Transfer::pending(&context, response), None));
        }
        Some(Awaited::Source(streamed)) => streamed.length,
        Some(Awaited::Events(_)) => None,
    };
    let is_events = matches!(pending.awaited(), Some(Awaited::Events(_)));
    let (empty, silent) = content_length(response.status, 0);
    let (_, frame) = context.streaming(length, response.close);
    let content = if silent { empty } else { frame.content_length() };
    if silent || target.head_only {
        // Dropping a source runs the application's code, which may panic: nothing is written before it.
        response.body = Body::Empty;
        write_head(mux, target.stream, response, content, date, true, out.cork);
        end(mux, target, response.close, out.cork);
        return None;
    }
    // The head of a stream of events depends on whether there is room for the subscription.
    let outbox = (!is_events).then(|| {
        let mut outbox = out.cork.outboxes.take();
        push_head(&mut outbox, response, content, date);
        outbox
    });
    open(mux, target);
    Some(Work::Transfer(Transfer::pending(&context, response), outbox))
}
