//! The last answer of a connection whose peer did not finish in time, or sends more than there is memory for.
//!
//! It knows no clock and no limit. Its invariant: whatever is under way learns of its end, and nothing more is answered.

use super::conn::{Protocol, Writing};
use super::context::Context;
use super::http::answer::{self, ResponseContext};
use super::http::transfer::Stage;
use super::input::read;
use super::turn::Turn;
use crate::app::FieldBlock;
use crate::http1::Refusal;
use crate::http2::ErrorCode;
use crate::transport::Stream;

impl<S: Stream> Turn<'_, S> {
    /// Answers a request that was not finished in time. It is the last answer.
    pub(super) fn request_timed_out(&mut self) {
        if self.fail_frames(ErrorCode::ENHANCE_YOUR_CALM, "a frame took too long to arrive") {
            return;
        }
        let fields = match &self.conn.protocol {
            Protocol::Transfer(transfer) => transfer.upload_fields(),
            _ => FieldBlock::NONE,
        };
        self.end_protocol();
        let head_only = self.conn.inbox.as_ref().is_some_and(|inbox| answer::is_head(inbox.bytes()));
        let mut out = self.conn.output(self.cork);
        let Context { app, services, .. } = &mut *self.context;
        answer::request_timed_out(&mut out, self.id, head_only, &fields, app, services);
        self.conn.writing = Writing::Last;
    }

    /// Reads, and refuses what has come, because there is no memory to begin anything new.
    #[cold]
    pub(super) fn refuse_input(&mut self) {
        let mut buffer = std::mem::take(&mut self.context.scratch.read_buffer);
        if let Some(bytes) = read(&mut self.conn.io, &mut self.conn.source, &mut buffer) {
            // What the inbox has came first.
            let began_before = self.conn.inbox.is_some();
            self.no_memory((!began_before).then_some(&buffer[..bytes]));
        }
        self.context.scratch.read_buffer = buffer;
    }

    /// Refuses what the peer sends, because there is no memory for it. It is the last answer. `rest` is what has arrived, if
    /// it is not in the inbox.
    #[cold]
    pub(super) fn no_memory(&mut self, rest: Option<&[u8]>) {
        let head_only = match (rest, &self.conn.inbox) {
            (Some(rest), _) => answer::is_head(rest),
            (None, inbox) => inbox.as_ref().is_some_and(|inbox| answer::is_head(inbox.bytes())),
        };
        // It goes back to the system, not to the pool.
        self.conn.inbox = None;
        self.conn.unfinished = false;
        if self.fail_frames(ErrorCode::INTERNAL_ERROR, "there is no memory for a frame") {
            return;
        }
        let sends = match &self.conn.protocol {
            Protocol::Transfer(transfer) => matches!(transfer.stage(), Stage::Sending(_)),
            _ => false,
        };
        if sends {
            // What was read is a further request. The answer that has begun cannot be ended in any other way.
            self.conn.output(self.cork).flush();
            self.conn.io.broken = true;
            return;
        }
        let id = self.id;
        if let Some((open, mut out, services)) = self.socket() {
            open.no_memory(&mut out, services, id);
            self.conn.writing = Writing::Last;
            return;
        }
        let fields = match &self.conn.protocol {
            Protocol::Transfer(transfer) => transfer.upload_fields(),
            _ => FieldBlock::NONE,
        };
        self.end_protocol();
        let mut out = self.conn.output(self.cork);
        let Context { app, services, .. } = &mut *self.context;
        let context = ResponseContext::last(head_only, out.io.stream.is_multiplexed());
        context.refuse_begun(&mut out, id, Refusal::NoMemory, &fields, app, services);
        self.conn.writing = Writing::Last;
    }
}
