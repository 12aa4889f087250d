//! One connection's turn: send what is queued, answer what has come, read more, flush once.
//!
//! It knows no other connection. Its invariants: the cork is empty before and after; every byte that was read is
//! consumed, kept in the inbox, or dropped because nothing more will be answered; a connection's protocol is changed
//! here and nowhere else.

use super::conn::{Conn, Protocol, Source, Writing};
use super::context::{Context, Services};
use super::cork::Cork;
use super::http::requests::{self, Client};
use super::http2::requests as frames;
use super::input::read;
use super::output::Output;
use super::progress::{Next, Outcome, Progress, StopReason};
use super::websocket::socket::OpenSocket;
use crate::app::ConnId;
use crate::buffer::Taken;
use crate::config::READ_BYTES;
use crate::http1::Decoder;
use crate::transport::Stream;

/// How many reads a lingering connection gets in one turn; their bytes are thrown away.
const DISCARD_READS: usize = 4;

/// One connection's turn.
pub(super) struct Turn<'a, S> {
    pub(super) conn: &'a mut Conn<S>,
    pub(super) id: ConnId,
    pub(super) context: &'a mut Context,
    /// The worker's; empty between turns.
    pub(super) cork: &'a mut Cork,
    /// Something was completed, so the wait starts over.
    pub(super) fresh: bool,
}

impl<'a, S: Stream> Turn<'a, S> {
    #[inline]
    pub(super) fn new(
        conn: &'a mut Conn<S>,
        id: ConnId,
        context: &'a mut Context,
        cork: &'a mut Cork,
    ) -> Turn<'a, S> {
        Turn { conn, id, context, cork, fresh: false }
    }

    /// Takes the turn. `writable`: the stream may take what is queued.
    #[inline]
    pub(super) fn take(&mut self, writable: bool) -> Outcome {
        if self.conn.io.outbox.as_ref().is_some_and(|outbox| writable || outbox.is_paused()) {
            self.send_queued();
        }
        if !self.conn.is_blocked() {
            match &self.conn.protocol {
                Protocol::Opening(_) | Protocol::Http(_) | Protocol::Http2(_) => {}
                Protocol::Transfer(_) => self.advance(),
                // The cork may hold the message that this turn is for.
                Protocol::WebSocket(..) if !self.cork.is_empty() => {}
                Protocol::WebSocket(..) if self.would_publish_too_much() => {}
                Protocol::WebSocket(..) => self.drain(),
            }
        }
        if self.conn.can_answer() && !self.would_publish_too_much() {
            let (waits, fresh) = (self.conn.io.outbox.is_some(), self.fresh);
            self.answer();
            // Input does not show that the peer takes what is queued for it.
            if waits {
                self.fresh = fresh;
            }
        }
        // After input was worked through: the end may have come together with the request.
        if self.conn.is_left() && !self.context.services.half_close {
            self.ended();
        }
        if let Protocol::Http2(_) = self.conn.protocol {
            self.send_frames();
        }
        self.conn.output(self.cork).flush();
        self.settle();
        if self.conn.io.broken {
            return Outcome::Close;
        }
        if self.conn.writing == Writing::Open || self.conn.io.outbox.is_some() {
            return Outcome::KeepOpen;
        }
        self.finish()
    }

    /// Whether its session must not be called yet, because it may publish and the batch is full.
    #[inline]
    fn would_publish_too_much(&self) -> bool {
        self.context.services.publisher.topics.is_full()
            && matches!(self.conn.protocol, Protocol::WebSocket(..))
    }

    /// Whether nothing is under way on the connection.
    pub(super) fn is_idle(&self) -> bool {
        self.conn.is_idle()
    }

    /// Ends a connection that is idle.
    pub(super) fn end(&mut self) -> Outcome {
        self.announce_last();
        self.conn.writing = Writing::Last;
        if self.conn.io.outbox.is_some() { Outcome::KeepOpen } else { self.finish() }
    }

    /// Ends the subscriptions of a WebSocket that is closing.
    #[inline]
    pub(super) fn leave_if_closing(&mut self) {
        match &mut self.conn.protocol {
            Protocol::WebSocket(open, _) if !open.is_open() => {
                open.leave(&mut self.context.services);
            }
            _ => {}
        }
    }

    /// Reports to the application that the connection is dropped, counts the publications that are lost, and returns
    /// the inbox to its pool.
    pub(super) fn abandon(&mut self) {
        if self.conn.is_idle() {
            self.announce_last();
            self.conn.io.stream.announce_end();
        }
        self.end_protocol();
        let Context { app, services, .. } = &mut *self.context;
        let Services { completions, counters, .. } = services;
        let Conn { peer, io, .. } = &*self.conn;
        counters.dropped_closing += io.outbox.as_ref().map_or(0, |outbox| outbox.published());
        if completions.is_on() {
            completions.abandon(self.id, peer, io.outbox.as_deref(), self.cork, app, &mut counters.panics);
        }
        self.conn.give_back(&self.context.scratch.pool);
    }

    /// Answers a request for which another thread did not make the answer in time.
    pub(super) fn answer_overdue(&mut self) {
        let Protocol::Transfer(transfer) = &mut self.conn.protocol else { return };
        let mut out = Output::new(&mut self.conn.io, self.cork);
        let before = out.cork.position();
        let next = transfer.answer_overdue(&mut out, self.context, self.id);
        note_transfer(self.id, &out, self.context, before, 0, &next);
        self.apply(next);
    }

    #[inline]
    fn drain(&mut self) {
        let id = self.id;
        if let Some((open, mut out, services)) = self.socket() {
            open.drain(&mut out, services, id);
        }
    }

    #[inline]
    pub(super) fn socket(&mut self) -> Option<(&mut OpenSocket, Output<'_, S>, &mut Services)> {
        let Protocol::WebSocket(open, _) = &mut self.conn.protocol else { return None };
        Some((open, Output::new(&mut self.conn.io, self.cork), &mut self.context.services))
    }

    fn send_queued(&mut self) {
        loop {
            let delivered = &mut self.context.services.counters.delivered;
            match self.conn.output(self.cork).send_outbox(delivered) {
                Taken::All | Taken::Paused => self.fresh = true,
                Taken::Blocked { progress } => self.fresh |= progress,
                Taken::Gap { progress } => {
                    self.fresh |= progress;
                    self.tell_gap();
                    continue;
                }
            }
            break;
        }
        self.settle();
    }

    /// Reports the requests whose last byte has left.
    #[inline]
    fn settle(&mut self) {
        let Context { app, services, .. } = &mut *self.context;
        let Services { completions, counters, .. } = services;
        if completions.is_on() && !self.conn.io.broken {
            let Conn { peer, io, .. } = &*self.conn;
            completions.settle(self.id, peer, io.outbox.as_deref(), self.cork, app, &mut counters.panics);
        }
    }

    /// Goes on with a transfer, without input.
    #[inline(never)]
    fn advance(&mut self) {
        let Protocol::Transfer(transfer) = &mut self.conn.protocol else { return };
        let mut out = Output::new(&mut self.conn.io, self.cork);
        let before = out.cork.position();
        let (fresh, next) = transfer.advance(&mut out, self.context, self.id);
        note_transfer(self.id, &out, self.context, before, 0, &next);
        self.fresh |= fresh;
        self.apply(next);
    }

    /// Works through the inbox, then reads once and works through that.
    #[inline]
    fn answer(&mut self) {
        let limits = &self.context.services.limits;
        let mut budget = match self.conn.protocol {
            Protocol::Http2(_) => limits.pipeline.max(limits.streams).max(1),
            _ => limits.pipeline.max(1),
        };
        if self.conn.unfinished {
            self.work_through_inbox(&mut budget);
            if self.conn.unfinished || !self.conn.can_answer() {
                return;
            }
        }
        if self.conn.may_read() {
            self.read(&mut budget);
        }
    }

    fn work_through_inbox(&mut self, budget: &mut usize) {
        let Some(mut inbox) = self.conn.inbox.take() else { return };
        let (from, to) = self.work_through(inbox.bytes_mut(), budget);
        inbox.keep(from, to);
        if inbox.is_empty() {
            self.context.scratch.pool.give(inbox);
        } else {
            self.conn.inbox = Some(inbox);
        }
    }

    #[inline]
    fn read(&mut self, budget: &mut usize) {
        if self.context.services.has_no_memory() {
            self.refuse_input();
        } else if self.conn.inbox.is_some() {
            let wants = self.conn.wants();
            let conn = &mut *self.conn;
            let pool = &self.context.scratch.pool;
            let inbox = conn.inbox.as_mut().expect("just seen");
            if inbox.make_room(wants).is_err() && (!pool.clear() || inbox.make_room(wants).is_err()) {
                return self.no_memory(None);
            }
            if let Some(bytes) = read(&mut conn.io, &mut conn.source, inbox.room()) {
                inbox.filled(bytes);
                self.work_through_inbox(budget);
            }
        } else {
            // Taken out of the context while slices of it are alive.
            let mut buffer = std::mem::take(&mut self.context.scratch.read_buffer);
            if let Some(bytes) = read(&mut self.conn.io, &mut self.conn.source, &mut buffer) {
                let (from, to) = self.work_through(&mut buffer[..bytes], budget);
                if from < to {
                    let (wants, pool) = (self.conn.wants(), &self.context.scratch.pool);
                    let (mut inbox, rest) = (pool.take(), &buffer[from..to]);
                    if inbox.push(rest, wants).is_ok() || pool.clear() && inbox.push(rest, wants).is_ok() {
                        self.conn.inbox = Some(inbox);
                    } else {
                        self.no_memory(Some(rest));
                    }
                }
                if cfg!(any(fuzzing, fleeting_paranoid)) {
                    // Freed, so that AddressSanitizer finds a slice of it that is still in use.
                    buffer = vec![0; READ_BYTES];
                }
            }
            self.context.scratch.read_buffer = buffer;
        }
        if self.conn.source == Source::Ended {
            self.ended();
        }
    }

    /// Handles the peer's end: what is queued for it still leaves (RFC 9112 §9.6).
    fn ended(&mut self) {
        if self.outlives_the_end() {
            return;
        }
        self.conn.writing = Writing::Last;
        self.conn.unfinished = false;
        self.end_protocol();
    }

    /// Works through `input`. Returns the bounds of what must be shown again.
    #[inline]
    fn work_through(&mut self, input: &mut [u8], budget: &mut usize) -> (usize, usize) {
        let (mut from, mut to) = (0, input.len());
        loop {
            if matches!(self.conn.protocol, Protocol::Opening(_)) && self.waits_for_preface(&input[from..to])
            {
                return (from, to);
            }
            let input = &mut input[from..to];
            let conn = &mut *self.conn;
            let mut out = Output::new(&mut conn.io, self.cork);
            let (progress, next) = match &mut conn.protocol {
                Protocol::Opening(_) => unreachable!("it has just become another"),
                Protocol::Http(decoder) => {
                    let client =
                        Client { conn: self.id, peer: &conn.peer, is_stream: out.io.stream.is_multiplexed() };
                    let (progress, next) =
                        requests::run(decoder, &mut out, self.context, &client, input, budget);
                    // Nearly always. What a connection may become is large, and passing it on costs a pass over it.
                    if let Next::Same(reason) = next {
                        return self.stop(from, &progress, reason);
                    }
                    (progress, next.map(Protocol::from))
                }
                Protocol::Transfer(transfer) => {
                    let before = out.cork.position();
                    let (progress, next) = transfer.run(&mut out, self.context, self.id, input);
                    note_transfer(self.id, &out, self.context, before, progress.from, &next);
                    (progress, next.map(Protocol::Http))
                }
                Protocol::WebSocket(open, clock) => {
                    let ping = conn.timer.unanswered_ping();
                    let (progress, next) =
                        open.run(&mut out, &mut self.context.services, self.id, ping, clock, input);
                    if progress.fresh {
                        conn.timer.hear();
                    }
                    if let Next::Same(reason) = next {
                        return self.stop(from, &progress, reason);
                    }
                    (progress, next.map(|never| match never {}))
                }
                Protocol::Http2(mux) => {
                    let client = Client { conn: self.id, peer: &conn.peer, is_stream: false };
                    let (progress, next) = frames::run(mux, &mut out, self.context, &client, input, budget);
                    (progress, next.map(|never| match never {}))
                }
            };
            self.fresh |= progress.fresh;
            (from, to) = (from + progress.from, from + progress.to);
            match next {
                Next::Same(reason) => return self.stop(0, &Progress { from, to, ..progress }, reason),
                Next::Change(protocol) => self.change(protocol),
                Next::Close => {
                    self.last();
                    return (to, to);
                }
            }
        }
    }

    /// Notes how far the input that begins at `start` was worked through. Returns the bounds of what must be shown again.
    #[inline(always)]
    fn stop(&mut self, start: usize, progress: &Progress, reason: StopReason) -> (usize, usize) {
        let (from, to) = (start + progress.from, start + progress.to);
        self.fresh |= progress.fresh;
        self.conn.unfinished = reason != StopReason::NeedsInput && from < to;
        (from, to)
    }

    /// Applies what a transfer has returned that ran without input.
    fn apply(&mut self, next: Next<Decoder>) {
        match next {
            Next::Same(_) => {}
            Next::Change(decoder) => self.change(Protocol::Http(decoder)),
            Next::Close => self.last(),
        }
    }

    /// Ends the sending side once the outbox has left: nothing more will be answered.
    fn last(&mut self) {
        self.conn.writing = Writing::Last;
        self.conn.unfinished = false;
        if let Protocol::Transfer(_) = self.conn.protocol {
            self.change(Protocol::Http(Decoder::new()));
        }
    }

    #[inline(never)]
    pub(super) fn change(&mut self, protocol: Protocol) {
        if let Protocol::WebSocket(..) = protocol {
            self.conn.timer.hear();
        }
        if let Protocol::Transfer(transfer) = std::mem::replace(&mut self.conn.protocol, protocol) {
            transfer.end(&mut self.context.services);
        }
    }

    /// Reports to the application that the connection has ended.
    pub(super) fn end_protocol(&mut self) {
        match &mut self.conn.protocol {
            Protocol::Opening(_) | Protocol::Http(_) => {}
            Protocol::Http2(mux) => mux.borrow_mut().end(),
            Protocol::Transfer(_) => self.change(Protocol::Http(Decoder::new())),
            Protocol::WebSocket(open, _) => {
                open.end(None, "", &mut self.context.services.counters.panics);
                open.leave(&mut self.context.services);
            }
        }
    }

    /// Ends our side once everything has left, and waits for the peer's end.
    fn finish(&mut self) -> Outcome {
        let conn = &mut *self.conn;
        if conn.source == Source::Ended {
            if conn.io.stream.is_multiplexed() {
                // A tunnel that its client has ended without an error ends without one (RFC 8441 §5).
                let _ = conn.io.stream.shutdown_write();
            }
            conn.io.stream.announce_end();
            return Outcome::Close;
        }
        if conn.writing == Writing::Last {
            if conn.io.stream.shutdown_write().is_err() || !conn.lingers() {
                return Outcome::Close;
            }
            conn.writing = Writing::Lingering;
            conn.unfinished = false;
            conn.give_back(&self.context.scratch.pool);
        }
        for _ in 0..DISCARD_READS {
            if !conn.may_read() {
                break;
            }
            read(&mut conn.io, &mut conn.source, &mut self.context.scratch.read_buffer);
            if conn.io.broken || conn.source == Source::Ended {
                return Outcome::Close;
            }
        }
        Outcome::KeepOpen
    }
}

/// Notes how far a transfer has come since the cork was at the position `before`, for the completion hook.
#[inline]
pub(super) fn note_transfer<S: Stream>(
    conn: ConnId,
    out: &Output<'_, S>,
    context: &mut Context,
    before: u64,
    bytes_in: usize,
    next: &Next<Decoder>,
) {
    let completions = &mut context.services.completions;
    if completions.is_on() {
        let position = out.cork.position();
        // A response that is broken off never ends.
        let ended = (!matches!(next, Next::Same(_)) && !out.io.broken).then_some(position);
        completions.advance(conn, bytes_in, position.wrapping_sub(before), ended);
    }
}
