//! What arrives on a connection: the rules for each type of frame (RFC 9113 §5.1, §6).
//!
//! It knows no output but a buffer for replies. Its invariant: a frame is looked at once, when all of it has arrived.

use super::connection::{BlockRole, Connection, DRAIN_PING, Drain, Gathering, Phase, Step, grow};
use super::frame::{
    ErrorCode, FRAME_BYTES, FRAME_HEAD_BYTES, FrameHead, PREFACE, STREAM_MAX, flag, kind, push_frame,
};
use crate::config::Limits;
use std::borrow::Cow;

/// CONTINUATION frames of one field block (CVE-2024-27316 and others).
const CONTINUATIONS_MAX: u32 = 8;

/// What a function for one type of frame has found: a step, or why the connection fails.
pub(super) type Found<'i, R> = Result<Step<'i, R>, (ErrorCode, &'static str)>;

impl<R> Connection<R> {
    /// Looks at the first frame of `input`, which holds what has arrived and is not consumed. Replies are appended to `out`.
    /// `now_ms` is any clock in milliseconds, by which what makes work is counted.
    #[inline(always)]
    pub fn next<'i>(
        &mut self,
        input: &'i [u8],
        now_ms: u64,
        limits: &Limits,
        out: &mut Vec<u8>,
    ) -> Step<'i, R> {
        if let Some(step) = self.request(input, limits) {
            return step;
        }
        // Its outcome has another type, and so a place of its own: the step above stays in registers.
        match self.look_at(input, now_ms, limits, out) {
            Ok(Step::Done { .. } | Step::Windows { .. }) if self.has_failed() => {
                Step::Failed(ErrorCode::ENHANCE_YOUR_CALM)
            }
            Ok(step) => step,
            Err((code, why)) => {
                self.fail(code, why, out);
                Step::Failed(code)
            }
        }
    }

    /// Returns the step for the most common frame: the head of the next request, as a whole. It is inlined, because copying a
    /// step takes as long as all checks of such a frame.
    #[inline(always)]
    fn request<'i>(&mut self, input: &'i [u8], limits: &Limits) -> Option<Step<'i, R>> {
        let head = FrameHead::read(input)?;
        let is_plain = head.flags & !flag::END_STREAM == flag::END_HEADERS;
        if head.kind != kind::HEADERS || !is_plain || head.length > FRAME_BYTES {
            return None;
        }
        if self.phase != Phase::Open || self.gathering.is_some() {
            return None;
        }
        let id = head.stream;
        if id <= self.last_stream || id % 2 == 0 {
            return None;
        }
        let consumed = FRAME_HEAD_BYTES + head.length;
        let block = Cow::Borrowed(input.get(FRAME_HEAD_BYTES..consumed)?);
        let (ends, role) = (head.has(flag::END_STREAM), self.begin_stream(id, limits));
        Some(Step::Block { consumed, stream: id, ends, role, block })
    }

    /// Notes that the peer has begun a stream, and returns what its field block is for.
    #[inline(always)]
    fn begin_stream(&mut self, id: u32, limits: &Limits) -> BlockRole {
        if id > self.last_stream + 2 {
            self.skipped = (self.last_stream, id);
        }
        self.last_stream = id;
        if id > self.last_served {
            BlockRole::Ignored
        } else if self.streams.are_as_many_as(limits.streams) {
            BlockRole::Refused
        } else {
            BlockRole::Head
        }
    }

    #[inline(never)]
    fn look_at<'i>(
        &mut self,
        input: &'i [u8],
        now_ms: u64,
        limits: &Limits,
        out: &mut Vec<u8>,
    ) -> Found<'i, R> {
        match self.phase {
            Phase::Open => {}
            Phase::Failed => return Ok(Step::Failed(ErrorCode::NO_ERROR)),
            Phase::Preface => return self.preface(input),
            Phase::Settings => {}
        }
        let Some(head) = FrameHead::read(input) else {
            return Ok(Step::NeedsInput { wants: FRAME_HEAD_BYTES });
        };
        if head.length > FRAME_BYTES {
            return Err((ErrorCode::FRAME_SIZE_ERROR, "a frame is longer than 16,384 bytes"));
        }
        if self.phase == Phase::Settings && (head.kind != kind::SETTINGS || head.has(flag::ACK)) {
            return Err((ErrorCode::PROTOCOL_ERROR, "the first frame is not SETTINGS"));
        }
        if let Some(gathering) = &self.gathering {
            if head.kind != kind::CONTINUATION || head.stream != gathering.stream {
                return Err((ErrorCode::PROTOCOL_ERROR, "a field block is not continued"));
            }
        }
        let consumed = FRAME_HEAD_BYTES + head.length;
        let Some(payload) = input.get(FRAME_HEAD_BYTES..consumed) else {
            return Ok(Step::NeedsInput { wants: consumed });
        };
        match head.kind {
            kind::HEADERS => self.headers(head, payload, consumed, limits),
            kind::DATA => self.data(head, payload, consumed, now_ms, out),
            kind::WINDOW_UPDATE => self.window_update(head, payload, consumed, now_ms, out),
            kind::CONTINUATION => self.continuation(payload, head, consumed, limits),
            kind::RST_STREAM => self.rst_stream(head, payload, consumed, now_ms, out),
            kind::SETTINGS => self.settings(head, payload, consumed, now_ms, out),
            _ => self.other(head, payload, consumed, now_ms, out),
        }
    }

    fn preface<'i>(&mut self, input: &[u8]) -> Found<'i, R> {
        let arrived = input.len().min(PREFACE.len());
        if input[..arrived] != PREFACE[..arrived] {
            return Err((ErrorCode::PROTOCOL_ERROR, "the preface is wrong"));
        }
        if arrived < PREFACE.len() {
            return Ok(Step::NeedsInput { wants: PREFACE.len() });
        }
        self.phase = Phase::Settings;
        Ok(Step::Done { consumed: arrived })
    }

    /// Whether a stream was never used, by this side or the peer (RFC 9113 §5.1.1).
    fn is_idle(&self, stream: u32) -> bool {
        stream > self.last_stream || stream % 2 == 0
    }

    /// Ends an open stream because of what was sent on it.
    fn stream_error<'i>(
        &mut self,
        id: u32,
        code: ErrorCode,
        consumed: usize,
        now_ms: u64,
        out: &mut Vec<u8>,
    ) -> Step<'i, R> {
        match self.refuse_open(id, code, now_ms, out) {
            Some(record) => Step::Reset { consumed, record },
            None => Step::Done { consumed },
        }
    }

    #[inline]
    fn headers<'i>(
        &mut self,
        head: FrameHead,
        payload: &'i [u8],
        consumed: usize,
        limits: &Limits,
    ) -> Found<'i, R> {
        let id = head.stream;
        if id % 2 == 0 {
            return Err((ErrorCode::PROTOCOL_ERROR, "HEADERS on a stream that no client opens"));
        }
        let mut block = unpadded(head, payload)?;
        if head.has(flag::PRIORITY) {
            block = block.get(5..).ok_or(match head.has(flag::PADDED) {
                true => (ErrorCode::PROTOCOL_ERROR, "the padding leaves no room for the priority"),
                false => (ErrorCode::FRAME_SIZE_ERROR, "a HEADERS frame is too short"),
            })?;
        }
        let role = if id > self.last_stream {
            self.begin_stream(id, limits)
        } else {
            match self.streams.find(id) {
                Some(stream) if stream.remote_ended => {
                    return Err((ErrorCode::STREAM_CLOSED, "HEADERS after the end of a stream"));
                }
                Some(_) => BlockRole::Trailers,
                None if id > self.last_served || self.reset.contains(&id) => BlockRole::Ignored,
                None if self.skipped.0 < id && id < self.skipped.1 => {
                    return Err((
                        ErrorCode::PROTOCOL_ERROR,
                        "a stream is opened after one with a larger number",
                    ));
                }
                None => return Err((ErrorCode::STREAM_CLOSED, "HEADERS on a closed stream")),
            }
        };
        let ends = head.has(flag::END_STREAM);
        if !head.has(flag::END_HEADERS) {
            self.gathering =
                Some(Box::new(Gathering { stream: id, ends, role, frames: 0, bytes: Vec::new() }));
            return self.gather(block, consumed, limits);
        }
        Ok(Step::Block { consumed, stream: id, ends, role, block: Cow::Borrowed(block) })
    }

    #[cold]
    fn gather<'i>(&mut self, part: &[u8], consumed: usize, limits: &Limits) -> Found<'i, R> {
        let Some(gathering) = &mut self.gathering else {
            return Err((ErrorCode::PROTOCOL_ERROR, "CONTINUATION without HEADERS"));
        };
        if gathering.bytes.len() + part.len() > limits.head_bytes {
            return Err((ErrorCode::ENHANCE_YOUR_CALM, "a field block is too long"));
        }
        if gathering.bytes.try_reserve_exact(part.len()).is_err() {
            return Err((ErrorCode::INTERNAL_ERROR, "there is no memory for a field block"));
        }
        gathering.bytes.extend_from_slice(part);
        Ok(Step::Done { consumed })
    }

    #[cold]
    fn continuation<'i>(
        &mut self,
        payload: &[u8],
        head: FrameHead,
        consumed: usize,
        limits: &Limits,
    ) -> Found<'i, R> {
        self.gather(payload, consumed, limits)?;
        let Some(mut gathering) = self.gathering.take() else { return Ok(Step::Done { consumed }) };
        gathering.frames += 1;
        if gathering.frames > CONTINUATIONS_MAX {
            return Err((ErrorCode::ENHANCE_YOUR_CALM, "a field block has too many frames"));
        }
        if !head.has(flag::END_HEADERS) {
            self.gathering = Some(gathering);
            return Ok(Step::Done { consumed });
        }
        let Gathering { stream, ends, role, bytes, .. } = *gathering;
        Ok(Step::Block { consumed, stream, ends, role, block: Cow::Owned(bytes) })
    }

    /// Takes the content of a request whose head has just arrived, if all of it follows in one frame: no stream is opened then.
    /// `is_right` says whether it may have a length. Returns the content, and how many bytes of the input it takes.
    pub fn whole_content<'i>(
        &mut self,
        stream: u32,
        is_right: impl FnOnce(usize) -> bool,
        input: &'i [u8],
        out: &mut Vec<u8>,
    ) -> Option<(&'i [u8], usize)> {
        let head = FrameHead::read(input)?;
        let is_whole = (head.kind, head.flags, head.stream) == (kind::DATA, flag::END_STREAM, stream);
        let fits = head.length <= FRAME_BYTES && head.length as i64 <= self.receive_window;
        if !is_whole || !fits || !is_right(head.length) {
            return None;
        }
        let consumed = FRAME_HEAD_BYTES + head.length;
        let content = input.get(FRAME_HEAD_BYTES..consumed)?;
        self.receive(content.len(), out).ok()?;
        Some((content, consumed))
    }

    fn data<'i>(
        &mut self,
        head: FrameHead,
        payload: &'i [u8],
        consumed: usize,
        now_ms: u64,
        out: &mut Vec<u8>,
    ) -> Found<'i, R> {
        let id = head.stream;
        if self.is_idle(id) {
            return Err((ErrorCode::PROTOCOL_ERROR, "DATA on a stream that is not open"));
        }
        let content = unpadded(head, payload)?;
        let padding = payload.len() - content.len();
        // Padding counts, too (RFC 9113 §6.9.1).
        self.receive(payload.len(), out)
            .map_err(|code| (code, "more content than the connection's window"))?;
        let ends = head.has(flag::END_STREAM);
        if content.is_empty() && !ends && !self.count(now_ms, out) {
            return Ok(Step::Done { consumed });
        }
        let Some(stream) = self.streams.find(id) else {
            if !self.reset.contains(&id) && id <= self.last_served {
                self.refuse(id, ErrorCode::STREAM_CLOSED, now_ms, out);
            }
            return Ok(Step::Done { consumed });
        };
        if stream.remote_ended {
            return Ok(self.stream_error(id, ErrorCode::STREAM_CLOSED, consumed, now_ms, out));
        }
        stream.receive_window -= payload.len() as i64;
        if stream.receive_window < 0 {
            return Ok(self.stream_error(id, ErrorCode::FLOW_CONTROL_ERROR, consumed, now_ms, out));
        }
        if let Err(code) = stream.receive(content.len(), ends) {
            return Ok(self.stream_error(id, code, consumed, now_ms, out));
        }
        if padding > 0 {
            self.credit(id, padding, out);
        }
        Ok(Step::Content { consumed, stream: id, content, ends })
    }

    #[cold]
    fn rst_stream<'i>(
        &mut self,
        head: FrameHead,
        payload: &[u8],
        consumed: usize,
        now_ms: u64,
        out: &mut Vec<u8>,
    ) -> Found<'i, R> {
        if payload.len() != 4 {
            return Err((ErrorCode::FRAME_SIZE_ERROR, "RST_STREAM has four bytes"));
        }
        if self.is_idle(head.stream) {
            return Err((ErrorCode::PROTOCOL_ERROR, "RST_STREAM on a stream that is not open"));
        }
        // CVE-2023-44487: what was begun and is not wanted.
        if !self.count(now_ms, out) {
            return Ok(Step::Done { consumed });
        }
        match self.streams.remove(head.stream) {
            Some(stream) => Ok(Step::Reset { consumed, record: stream.record }),
            None => Ok(Step::Done { consumed }),
        }
    }

    fn window_update<'i>(
        &mut self,
        head: FrameHead,
        payload: &[u8],
        consumed: usize,
        now_ms: u64,
        out: &mut Vec<u8>,
    ) -> Found<'i, R> {
        let Ok(bytes) = <[u8; 4]>::try_from(payload) else {
            return Err((ErrorCode::FRAME_SIZE_ERROR, "WINDOW_UPDATE has four bytes"));
        };
        let more = u32::from_be_bytes(bytes) & STREAM_MAX;
        if self.updates_earned > 0 {
            self.updates_earned -= 1;
        } else {
            self.count(now_ms, out);
        }
        if head.stream == 0 {
            if more == 0 {
                return Err((ErrorCode::PROTOCOL_ERROR, "a WINDOW_UPDATE of nothing"));
            }
            grow(&mut self.send_window, i64::from(more))
                .map_err(|code| (code, "the connection's window is too large"))?;
            return Ok(Step::Windows { consumed });
        }
        if self.is_idle(head.stream) {
            return Err((ErrorCode::PROTOCOL_ERROR, "WINDOW_UPDATE on a stream that is not open"));
        }
        let Some(stream) = self.streams.find(head.stream) else { return Ok(Step::Done { consumed }) };
        if more == 0 {
            return Ok(self.stream_error(head.stream, ErrorCode::PROTOCOL_ERROR, consumed, now_ms, out));
        }
        match grow(&mut stream.send_window, i64::from(more)) {
            Ok(()) => Ok(Step::Windows { consumed }),
            Err(code) => Ok(self.stream_error(head.stream, code, consumed, now_ms, out)),
        }
    }

    /// The types of frames that a client rarely sends.
    #[cold]
    fn other<'i>(
        &mut self,
        head: FrameHead,
        payload: &[u8],
        consumed: usize,
        now_ms: u64,
        out: &mut Vec<u8>,
    ) -> Found<'i, R> {
        match head.kind {
            kind::PING | kind::GOAWAY | kind::PRIORITY_UPDATE if head.stream != 0 => {
                return Err((ErrorCode::PROTOCOL_ERROR, "a frame of the connection is on a stream"));
            }
            kind::PING if payload.len() != 8 => {
                return Err((ErrorCode::FRAME_SIZE_ERROR, "PING has eight bytes"));
            }
            kind::PING if head.has(flag::ACK) && self.drain == Drain::Announced && payload == DRAIN_PING => {
                self.announce_last(out);
                return Ok(Step::Done { consumed });
            }
            kind::PING if head.has(flag::ACK) => {}
            kind::PING => push_frame(out, kind::PING, flag::ACK, 0, payload),
            kind::GOAWAY if payload.len() < 8 => {
                return Err((ErrorCode::FRAME_SIZE_ERROR, "GOAWAY has eight bytes at least"));
            }
            kind::PRIORITY if head.stream == 0 => {
                return Err((ErrorCode::PROTOCOL_ERROR, "PRIORITY without a stream"));
            }
            kind::PRIORITY if payload.len() != 5 => {
                return Err((ErrorCode::FRAME_SIZE_ERROR, "PRIORITY has five bytes"));
            }
            kind::PRIORITY_UPDATE => {
                let Some(id) = payload.first_chunk::<4>() else {
                    return Err((ErrorCode::FRAME_SIZE_ERROR, "PRIORITY_UPDATE has four bytes at least"));
                };
                if u32::from_be_bytes(*id) & STREAM_MAX == 0 {
                    return Err((ErrorCode::PROTOCOL_ERROR, "PRIORITY_UPDATE without a stream"));
                }
            }
            kind::PUSH_PROMISE => return Err((ErrorCode::PROTOCOL_ERROR, "a client pushes nothing")),
            _ => {}
        }
        self.count(now_ms, out);
        Ok(Step::Done { consumed })
    }
}

/// Returns a payload without its padding (RFC 9113 §6.1).
#[inline]
fn unpadded(head: FrameHead, payload: &[u8]) -> Result<&[u8], (ErrorCode, &'static str)> {
    if !head.has(flag::PADDED) {
        return Ok(payload);
    }
    let Some((padding, rest)) = payload.split_first() else {
        return Err((ErrorCode::FRAME_SIZE_ERROR, "a frame has no length of its padding"));
    };
    let Some(length) = rest.len().checked_sub(usize::from(*padding)) else {
        return Err((ErrorCode::PROTOCOL_ERROR, "the padding is longer than the frame"));
    };
    Ok(&rest[..length])
}
