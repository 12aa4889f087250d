//! Content of a response on its way from its source to the stream, in chunks or counted.
//!
//! It knows no decoder. Its invariant: what leaves is framed as the head has announced, or the connection
//! is closed in the middle of it (RFC 9112 §8); there is no more of it in memory than one piece.

use super::counters::Counters;
use super::output::Output;
use super::websocket::guarded;
use crate::app::{Progress, Room, Streamed, Waker};
use crate::http1;
use crate::transport::Stream;

/// Bytes that a source is asked for in one turn.
const ROOM_BYTES: usize = 64 << 10;
/// What stands behind the data of the last chunk but one, and the last.
const CHUNK_END: &[u8] = b"\r\n0\r\n\r\n";

/// How content is framed (RFC 9112 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frame {
    /// So many bytes are still to come.
    Counted {
        left: u64,
    },
    Chunks,
    /// The end of the connection is its end.
    Close,
}

/// A body that is sent as its source makes it.
pub(super) struct Sending {
    streamed: Streamed,
    frame: Frame,
    /// `None` until the connection is known.
    waker: Option<Waker>,
    /// The source waits to be woken.
    parked: bool,
}

/// How far sending went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Went {
    /// There is more to come.
    On,
    /// All has been sent.
    Out,
    /// It cannot be completed.
    Wrong,
}

impl Sending {
    pub(super) fn new(streamed: Streamed, frame: Frame) -> Sending {
        Sending { streamed, frame, waker: None, parked: false }
    }

    pub(super) fn bind(&mut self, waker: Waker) {
        self.waker = Some(waker);
    }

    pub(super) fn is_parked(&self) -> bool {
        self.parked
    }

    /// Whether the source goes on until somebody ends it.
    pub(super) fn is_endless(&self) -> bool {
        self.streamed.source.is_endless()
    }

    /// Tells the source that nothing has left for long, and has it asked once more.
    pub(super) fn quiet(&mut self) {
        self.streamed.source.quiet();
        self.parked = false;
    }

    /// Tells the source of a shutdown, and has it asked once more.
    pub(super) fn ending(&mut self) {
        self.streamed.source.ending();
        self.parked = false;
    }

    /// Sends one piece, if there is one. It is made in `source_buffer`, the worker's, which keeps its memory.
    pub(super) fn send<S: Stream>(
        &mut self,
        out: &mut Output<'_, S>,
        source_buffer: &mut Vec<u8>,
        counters: &mut Counters,
    ) -> Went {
        let Some(waker) = &self.waker else { return Went::On };
        // Heard before the source is asked, so that what comes meanwhile is not missed.
        let woken = waker.take_wake();
        if self.parked && !woken {
            return Went::On;
        }
        // The other bytes are those behind the last chunk's data.
        source_buffer.resize(ROOM_BYTES + CHUNK_END.len(), 0);
        let mut room = Room::new(&mut source_buffer[..ROOM_BYTES], waker);
        let Some(Ok(progress)) = guarded(counters, || self.streamed.source.read(&mut room)) else {
            return Went::Wrong;
        };
        let bytes = room.used();
        self.parked = progress == Progress::Later;
        let ends = progress == Progress::End;
        match &mut self.frame {
            Frame::Counted { left } => {
                let Some(rest) = left.checked_sub(bytes as u64) else { return Went::Wrong };
                if ends && rest > 0 {
                    return Went::Wrong;
                }
                *left = rest;
                out.bytes(&source_buffer[..bytes]);
            }
            Frame::Close => out.bytes(&source_buffer[..bytes]),
            Frame::Chunks if bytes == 0 => {
                if ends {
                    http1::encode_last_chunk(out.cork);
                }
            }
            Frame::Chunks => {
                http1::encode_chunk_size(out.cork, bytes);
                let end = if ends { CHUNK_END } else { &CHUNK_END[..2] };
                source_buffer[bytes..bytes + end.len()].copy_from_slice(end);
                out.bytes(&source_buffer[..bytes + end.len()]);
            }
        }
        if ends { Went::Out } else { Went::On }
    }
}
