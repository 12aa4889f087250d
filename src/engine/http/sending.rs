//! Sends a response's content from its source, in chunks, counted, or up to the end of the connection.
//!
//! It knows no decoder. Its invariants: content leaves framed as the head announced, or the connection is closed in the
//! middle of it (RFC 9112 §8); no more than one piece of it is in memory.

use crate::app::{self, Room, Streamed, Waker};
use crate::engine::output::Output;
use crate::http1::{self, ContentLength};
use crate::panics::catch_counted;
use crate::transport::Stream;

/// Bytes that a source is asked for in one turn, at most.
const ROOM_BYTES: usize = 64 << 10;
/// What follows the data of the last chunk with data, the last chunk included.
const CHUNK_END: &[u8] = b"\r\n0\r\n\r\n";

/// How content is framed (RFC 9112 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum Frame {
    /// By its length, of which this many bytes are still to come.
    Counted { left: u64 },
    /// In chunks.
    Chunks,
    /// By the end of the connection.
    Close,
}

impl Frame {
    /// Returns how the head announces the content.
    pub(in crate::engine) fn content_length(self) -> ContentLength {
        match self {
            Frame::Counted { left } => ContentLength::Known(left),
            Frame::Chunks => ContentLength::Chunked,
            Frame::Close => ContentLength::None,
        }
    }
}

/// A body that is sent as its source makes it.
pub(in crate::engine) struct Sending {
    streamed: Streamed,
    frame: Frame,
    /// `None` until the connection is known.
    waker: Option<Waker>,
    /// The source waits to be woken.
    parked: bool,
    /// The source has been asked for a piece.
    begun: bool,
}

/// How far sending got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum SendStatus {
    /// There is more to come.
    More,
    /// All has been sent.
    Done,
    /// It cannot be completed.
    Broken,
}

impl Sending {
    pub(in crate::engine) fn new(streamed: Streamed, frame: Frame) -> Sending {
        Sending { streamed, frame, waker: None, parked: false, begun: false }
    }

    pub(in crate::engine) fn bind(&mut self, waker: Waker) {
        self.waker = Some(waker);
    }

    pub(in crate::engine) fn is_parked(&self) -> bool {
        self.parked
    }

    /// Whether this is the first call, with which the content begins.
    pub(in crate::engine) fn begins(&mut self) -> bool {
        !std::mem::replace(&mut self.begun, true)
    }

    /// Whether the source goes on until the client leaves.
    pub(in crate::engine) fn is_endless(&self) -> bool {
        self.streamed.source.is_endless()
    }

    /// Reports to the source that nothing has been sent for long; it is asked once more.
    pub(in crate::engine) fn quiet(&mut self) {
        self.streamed.source.quiet();
        self.parked = false;
    }

    /// Reports a shutdown to the source; it is asked once more.
    pub(in crate::engine) fn ending(&mut self) {
        self.streamed.source.ending();
        self.parked = false;
    }

    /// Sends one piece, if there is one. The source writes it to `source_buffer`, which is the worker's and keeps its
    /// memory.
    pub(in crate::engine) fn send<S: Stream>(
        &mut self,
        out: &mut Output<'_, S>,
        source_buffer: &mut Vec<u8>,
        panics: &mut u64,
    ) -> SendStatus {
        let Some(waker) = &self.waker else { return SendStatus::More };
        // Checked before the source is asked, so that a wake-up in between is not missed.
        let woken = waker.take_wake();
        if self.parked && !woken {
            return SendStatus::More;
        }
        // The extra bytes are for what follows a chunk's data.
        source_buffer.resize(ROOM_BYTES + CHUNK_END.len(), 0);
        let mut room = Room::new(&mut source_buffer[..ROOM_BYTES], waker);
        let Some(Ok(progress)) = catch_counted(panics, || self.streamed.source.read(&mut room)) else {
            return SendStatus::Broken;
        };
        let bytes = room.used();
        self.parked = progress == app::Progress::Later;
        let mut ends = progress == app::Progress::End;
        match &mut self.frame {
            Frame::Counted { left } => {
                let Some(rest) = left.checked_sub(bytes as u64) else { return SendStatus::Broken };
                if ends && rest > 0 {
                    return SendStatus::Broken;
                }
                *left = rest;
                // The source need not say so: there can be no more.
                ends = rest == 0;
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
        if ends { SendStatus::Done } else { SendStatus::More }
    }
}
