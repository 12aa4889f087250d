//! The server's side of an HTTP/2 connection, without input and output (RFC 9113).
//!
//! It knows no socket, no clock and no request: it checks frames, keeps windows and the states of streams, and answers
//! what needs no request. Its invariant: what a peer sends either is a [`Step`] that the caller acts on, or costs a
//! place in the [`Bucket`] of what brings nothing.

use super::bucket::Bucket;
use super::frame::{
    ErrorCode, STREAM_MAX, WINDOW_INITIAL, WINDOW_MAX, kind, push_frame, push_goaway, push_reset,
    push_settings, push_window_update, setting,
};
use super::hpack::{Decoder, HpackError, TABLE_BYTES};
use super::section::Section;
use super::streams::{Stream, Streams};
use crate::config::Limits;
use std::borrow::Cow;
use std::collections::VecDeque;

/// What a peer may send on a connection before it gets more room.
const CONNECTION_WINDOW: i64 = 1 << 20;
/// The same for a stream.
pub(super) const STREAM_WINDOW: i64 = WINDOW_INITIAL;
/// Streams that were reset here, of which frames may still be on their way: those that a client has open at once, by default.
pub(super) const RESET_MAX: usize = 100;

/// The server's side of a connection. `R` is what the caller keeps for each open stream.
///
/// Bytes that have arrived go into [`next`](Connection::next), which returns [`Step`]s. What is sent on streams comes from
/// [`send_head`](Connection::send_head) and [`send_content`](Connection::send_content).
#[derive(Debug)]
pub struct Connection<R> {
    pub(super) phase: Phase,
    decoder: Decoder,
    pub(super) gathering: Option<Box<Gathering>>,
    /// The open streams. A request that is answered when it arrives has none.
    pub streams: Streams<R>,
    /// The largest identifier that the peer has used.
    pub(super) last_stream: u32,
    /// No stream between these two was ever opened: the last gap (RFC 9113 §5.1.1).
    pub(super) skipped: (u32, u32),
    /// Streams with a larger identifier are ignored, whatever arrives on them: the connection ends (RFC 9113 §6.8).
    pub(super) last_served: u32,
    pub(super) send_window: i64,
    pub(super) receive_window: i64,
    /// What the peer lets us send on a new stream.
    pub(super) peer_window: i64,
    /// The peer has made its table smaller, and expects our encoder to say that it uses none (RFC 7541 §4.2).
    pub(super) table_update_due: bool,
    pub(super) bucket: Bucket,
    pub(super) updates_earned: u32,
    /// The streams that were reset here last. It takes no memory before the first.
    pub(super) reset: VecDeque<u32>,
    pub(super) drain: Drain,
}

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The preface is awaited.
    Preface,
    /// SETTINGS must come first (RFC 9113 §3.4).
    Settings,
    Open,
    Failed,
}

/// How far the orderly end has come (RFC 9113 §6.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Drain {
    No,
    /// GOAWAY was sent for all streams to come, and a PING: requests that are on the way are served.
    Announced,
    /// GOAWAY names the last stream that is served.
    Final,
}

/// A field block of which the last frame has not arrived.
#[derive(Debug)]
pub(super) struct Gathering {
    pub(super) stream: u32,
    pub(super) ends: bool,
    pub(super) role: BlockRole,
    pub(super) frames: u32,
    pub(super) bytes: Vec<u8>,
}

/// What a field block is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockRole {
    /// The head of a request.
    Head,
    /// The same, when as many streams are open as the limit allows: it is refused.
    Refused,
    /// The trailers of an open stream.
    Trailers,
    /// Of a stream that has ended: it is decoded because later blocks may refer to it.
    Ignored,
}

/// What has arrived. `consumed` is how many bytes of the input it takes.
#[derive(Debug)]
pub enum Step<'i, R> {
    /// The next frame is not complete; `wants` bytes of it are needed at least.
    NeedsInput {
        /// Bytes.
        wants: usize,
    },
    /// It is dealt with.
    Done {
        /// Bytes.
        consumed: usize,
    },
    /// A field block, which must be decoded in any case.
    Block {
        /// Bytes.
        consumed: usize,
        /// The stream.
        stream: u32,
        /// The peer has ended its side of the stream.
        ends: bool,
        /// What it is for.
        role: BlockRole,
        /// The encoded fields.
        block: Cow<'i, [u8]>,
    },
    /// Content of an open stream, perhaps none.
    Content {
        /// Bytes.
        consumed: usize,
        /// The stream.
        stream: u32,
        /// The content.
        content: &'i [u8],
        /// The peer has ended its side of the stream.
        ends: bool,
    },
    /// A stream has ended by an error, the peer's or one that was found here.
    Reset {
        /// Bytes.
        consumed: usize,
        /// What was kept for it.
        record: R,
    },
    /// There is more room to send.
    Windows {
        /// Bytes.
        consumed: usize,
    },
    /// The connection has broken a rule. GOAWAY is in the output; nothing else is read.
    Failed(ErrorCode),
}

impl<R> Default for Connection<R> {
    fn default() -> Connection<R> {
        Connection::new()
    }
}

impl<R> Connection<R> {
    /// Makes a connection on which nothing has arrived.
    pub fn new() -> Connection<R> {
        Connection {
            phase: Phase::Preface,
            decoder: Decoder::new(TABLE_BYTES),
            gathering: None,
            streams: Streams::new(),
            last_stream: 0,
            skipped: (0, 0),
            last_served: STREAM_MAX,
            send_window: WINDOW_INITIAL,
            receive_window: CONNECTION_WINDOW,
            peer_window: WINDOW_INITIAL,
            table_update_due: false,
            bucket: Bucket::default(),
            updates_earned: 0,
            reset: VecDeque::new(),
            drain: Drain::No,
        }
    }

    /// Appends the server's preface (RFC 9113 §3.4).
    pub fn begin(&self, limits: &Limits, out: &mut Vec<u8>) {
        let bound = |limit: usize| u32::try_from(limit).unwrap_or(u32::MAX);
        push_settings(
            out,
            &[
                (setting::MAX_CONCURRENT_STREAMS, bound(limits.streams)),
                (setting::MAX_HEADER_LIST_SIZE, bound(limits.head_bytes)),
                (setting::ENABLE_CONNECT_PROTOCOL, 1),
                (setting::NO_RFC7540_PRIORITIES, 1),
            ],
        );
        push_window_update(out, 0, (CONNECTION_WINDOW - WINDOW_INITIAL) as u32);
    }

    /// Decodes a field block.
    ///
    /// # Errors
    /// The block cannot be decoded: the connection must be [failed](Connection::fail) with COMPRESSION_ERROR.
    pub fn decode(&mut self, block: &[u8], section: &mut Section<'_>) -> Result<(), HpackError> {
        self.decoder.decode(block, section)
    }

    /// Whether a field block is incomplete.
    pub fn is_gathering(&self) -> bool {
        self.gathering.is_some()
    }

    /// Whether the connection has failed.
    pub fn has_failed(&self) -> bool {
        self.phase == Phase::Failed
    }

    /// Ends the connection with GOAWAY.
    #[cold]
    pub fn fail(&mut self, code: ErrorCode, why: &str, out: &mut Vec<u8>) {
        if self.phase != Phase::Failed {
            self.phase = Phase::Failed;
            self.gathering = None;
            push_goaway(out, self.last_stream.min(self.last_served), code, why);
        }
    }

    /// Opens a stream for a request that is not answered at once. It is the one whose head has just arrived. `ends`: its
    /// content has ended. `content_length`: what its head says of it.
    pub fn open(&mut self, stream: u32, ends: bool, content_length: Option<u64>, record: R) {
        self.streams.add(Stream {
            id: stream,
            send_window: self.peer_window,
            receive_window: STREAM_WINDOW,
            uncredited: 0,
            content_left: content_length,
            remote_ended: ends,
            local_ended: false,
            record,
        });
    }

    /// Ends a stream that is [open](Connection::open), and returns what was kept for it. The peer learns of it, unless both
    /// sides have ended: `complete` means that the response is, so the rest of the request is not needed (RFC 9113 §8.1).
    pub fn close(&mut self, id: u32, complete: bool, code: ErrorCode, out: &mut Vec<u8>) -> Option<R> {
        let stream = self.streams.remove(id)?;
        if !(stream.local_ended && stream.remote_ended) {
            self.push_reset(id, if complete && stream.local_ended { ErrorCode::NO_ERROR } else { code }, out);
        }
        Some(stream.record)
    }

    /// Resets a stream that is not open, or not any more.
    pub fn push_reset(&mut self, id: u32, code: ErrorCode, out: &mut Vec<u8>) {
        if self.reset.len() == RESET_MAX {
            self.reset.pop_front();
        }
        self.reset.push_back(id);
        push_reset(out, id, code);
    }

    /// Resets a stream because of what the peer has sent, which counts as a reset by the peer (CVE-2025-8671). If there were
    /// too many, the connection fails.
    pub fn refuse(&mut self, id: u32, code: ErrorCode, now_ms: u64, out: &mut Vec<u8>) {
        self.push_reset(id, code, out);
        self.count(now_ms, out);
    }

    /// The same for an open stream. Returns what was kept for it.
    pub fn refuse_open(&mut self, id: u32, code: ErrorCode, now_ms: u64, out: &mut Vec<u8>) -> Option<R> {
        let stream = self.streams.remove(id)?;
        self.refuse(id, code, now_ms, out);
        Some(stream.record)
    }

    /// Counts a frame that makes work and brings nothing. Returns false if there were too many: the connection has failed.
    pub(super) fn count(&mut self, now_ms: u64, out: &mut Vec<u8>) -> bool {
        let has_room = self.bucket.add(now_ms);
        if !has_room {
            self.fail(ErrorCode::ENHANCE_YOUR_CALM, "too many frames that bring nothing", out);
        }
        has_room
    }

    /// Removes all streams, when the connection has ended.
    pub fn take_streams(&mut self) -> impl Iterator<Item = R> {
        self.streams.take().into_iter().map(|stream| stream.record)
    }

    /// Takes `bytes` bytes of content off the connection's window, and gives the peer new room. What is not consumed yet is
    /// bounded by the windows of the streams, so that one that is not read keeps none of the others waiting.
    pub(super) fn receive(&mut self, bytes: usize, out: &mut Vec<u8>) -> Result<(), ErrorCode> {
        self.receive_window -= bytes as i64;
        if self.receive_window < 0 {
            return Err(ErrorCode::FLOW_CONTROL_ERROR);
        }
        if self.receive_window < CONNECTION_WINDOW / 2 {
            push_window_update(out, 0, (CONNECTION_WINDOW - self.receive_window) as u32);
            self.receive_window = CONNECTION_WINDOW;
        }
        Ok(())
    }

    /// Begins the orderly end: GOAWAY announces it, and a PING finds out when the peer knows (RFC 9113 §6.8). A peer that does
    /// not answer the PING can begin some more streams.
    #[cold]
    pub fn announce_end(&mut self, out: &mut Vec<u8>) {
        if self.drain == Drain::No && !matches!(self.phase, Phase::Failed) {
            self.drain = Drain::Announced;
            // The identifiers of a peer are odd.
            self.last_served = ((self.last_stream + 2 * LATE_STREAMS_MAX - 1) | 1).min(STREAM_MAX);
            push_goaway(out, STREAM_MAX, ErrorCode::NO_ERROR, "");
            push_frame(out, kind::PING, 0, 0, DRAIN_PING);
        }
    }

    /// Ends the orderly end: what the peer sends from now on is ignored.
    pub fn announce_last(&mut self, out: &mut Vec<u8>) {
        if self.drain != Drain::Final && !matches!(self.phase, Phase::Failed) {
            self.drain = Drain::Final;
            self.last_served = self.last_served.min(self.last_stream);
            push_goaway(out, self.last_served, ErrorCode::NO_ERROR, "");
        }
    }

    /// Notes that a field block is ignored: the peer may have begun too many streams since the end was announced.
    pub fn ignore_block(&mut self, out: &mut Vec<u8>) {
        if self.drain == Drain::Announced && self.last_stream > self.last_served {
            self.announce_last(out);
        }
    }

    /// Whether the orderly end is complete: nothing more is served.
    pub fn is_drained(&self) -> bool {
        self.drain == Drain::Final && self.streams.is_empty()
    }

    /// Returns the bytes of memory that the connection has besides its own size.
    pub fn bytes(&self) -> usize {
        let gathered = self.gathering.as_ref().map_or(0, |gathering| gathering.bytes.capacity());
        let reset = self.reset.capacity() * size_of::<u32>();
        self.decoder.bytes() + self.streams.bytes() + gathered + reset
    }
}

/// Streams that are served after the end was announced: more than a peer begins before it knows.
const LATE_STREAMS_MAX: u32 = 1_000;

/// The payload of the PING that follows the first GOAWAY.
pub(super) const DRAIN_PING: &[u8; 8] = b"draining";

/// Makes a window larger.
///
/// # Errors
/// It grows beyond what is allowed (RFC 9113 §6.9.1).
pub(super) fn grow(window: &mut i64, by: i64) -> Result<(), ErrorCode> {
    *window += by;
    if *window > WINDOW_MAX { Err(ErrorCode::FLOW_CONTROL_ERROR) } else { Ok(()) }
}
