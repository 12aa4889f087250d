//! A request whose content, or whose answer, does not pass in one piece.
//!
//! While one is under way it is the connection's protocol, decoder and all, and nothing further of the
//! connection is parsed: answers stay in order, memory bounded. It is driven by turns as everything else;
//! other threads only ask for one. Its invariant: whoever takes part is told of the end once, in whatever
//! way it comes.

use crate::app::{Awaited, ConnId, Error, FieldBlock, Pending, Promise, Response, WakeConn, Waker};
use crate::engine::conn::{Conn, Protocol, Writing};
use crate::engine::context::{Desk, Ran, Stop};
use crate::engine::counters::Counters;
use crate::engine::http::answer::{AfterAnswer, ResponseContext};
use crate::engine::http::receiving::{self, Receiving};
use crate::engine::http::sending::{Sending, Went};
use crate::engine::output::Output;
use crate::engine::timer::Waiting;
use crate::http1::Decoder;
use crate::panics::catch_counted;
use crate::transport::Stream;
use std::sync::Arc;

/// What a connection is busy with.
pub(in crate::engine) struct Transfer {
    /// The connection's, until it is over.
    pub(in crate::engine) decoder: Decoder,
    pub(in crate::engine) terms: ResponseContext,
    pub(in crate::engine) stage: Stage,
}

pub(in crate::engine) enum Stage {
    /// Another thread makes the answer.
    Deferred(Deferred),
    /// The content is taken as it arrives.
    Receiving(Receiving),
    /// The answer is sent as its source makes it.
    Sending(Sending),
}

/// What is known of an answer before it is there.
pub(in crate::engine) struct Deferred {
    pub(in crate::engine) promise: Promise,
    /// Fields that go in front of the answer's.
    pub(in crate::engine) fields: FieldBlock,
    /// The connection is closed after it.
    pub(in crate::engine) close: bool,
}

impl Transfer {
    /// In its first turn; [`hold`] makes it the connection's.
    pub(in crate::engine) fn new(terms: ResponseContext, stage: Stage) -> Box<Transfer> {
        Box::new(Transfer { decoder: Decoder::new(), terms, stage })
    }

    /// Of a response whose body is pending.
    #[inline(never)]
    fn of(terms: &ResponseContext, pending: Pending, response: &mut Response<'_>) -> Box<Transfer> {
        match pending.into_awaited() {
            Awaited::Answer(promise) => {
                let fields = std::mem::replace(&mut response.fields, FieldBlock::Fixed(b""));
                let deferred = Deferred { promise, fields, close: response.close };
                Transfer::new(*terms, Stage::Deferred(deferred))
            }
            Awaited::Source(streamed) => {
                let (terms, frame) = terms.streaming(streamed.length, response.close);
                Transfer::new(terms, Stage::Sending(Sending::new(streamed, frame)))
            }
        }
    }

    /// Whether nothing is read meanwhile.
    pub(in crate::engine) fn is_held(&self) -> bool {
        match &self.stage {
            Stage::Deferred(_) | Stage::Sending(_) => true,
            Stage::Receiving(receiving) => receiving.is_paused(),
        }
    }

    pub(in crate::engine) fn waiting(&self) -> Waiting {
        match &self.stage {
            Stage::Deferred(_) => Waiting::Answer,
            Stage::Receiving(receiving) if !receiving.is_paused() => Waiting::Content,
            Stage::Receiving(_) => Waiting::Application,
            Stage::Sending(sending) if sending.is_endless() => Waiting::Quiet,
            Stage::Sending(_) => Waiting::Application,
        }
    }

    /// Bytes of content that have passed.
    pub(in crate::engine) fn received(&self) -> u64 {
        match &self.stage {
            Stage::Receiving(receiving) => receiving.received(),
            Stage::Deferred(_) | Stage::Sending(_) => 0,
        }
    }

    /// Whether it goes on without being asked.
    pub(in crate::engine) fn is_runnable(&self) -> bool {
        match &self.stage {
            Stage::Deferred(_) | Stage::Receiving(_) => false,
            Stage::Sending(sending) => !sending.is_parked(),
        }
    }
}

/// What follows an answer: [`AfterAnswer`] with the transfer that a pending one becomes.
pub(in crate::engine) enum Answered {
    KeepAlive,
    Close,
    Held(Box<Transfer>),
}

/// Encodes as much of a response as is there; what is not becomes a transfer.
#[inline]
pub(in crate::engine) fn answer<S: Stream>(
    terms: &ResponseContext,
    out: &mut Output<'_, S>,
    response: &mut Response<'_>,
    date: &[u8; 29],
) -> Answered {
    match terms.answer(out, response, date) {
        AfterAnswer::KeepAlive => Answered::KeepAlive,
        AfterAnswer::Close => Answered::Close,
        AfterAnswer::Pending(pending) => Answered::Held(Transfer::of(terms, pending, response)),
    }
}

/// Makes `transfer` what the connection is busy with.
#[inline(never)]
pub(in crate::engine) fn hold(
    protocol: &mut Protocol,
    mut transfer: Box<Transfer>,
    id: ConnId,
    wake: &Arc<dyn WakeConn>,
) {
    match protocol {
        Protocol::Http(decoder) => transfer.decoder = std::mem::take(decoder),
        Protocol::Transfer(before) => transfer.decoder = std::mem::take(&mut before.decoder),
        Protocol::WebSocket(_) => unreachable!("a WebSocket has no requests"),
    }
    match &mut transfer.stage {
        Stage::Deferred(deferred) => deferred.promise.bind(Waker::new(id, wake.clone())),
        Stage::Sending(sending) => sending.bind(Waker::new(id, wake.clone())),
        // Few are ever paused.
        Stage::Receiving(_) => {}
    }
    *protocol = Protocol::Transfer(transfer);
}

/// Goes on with what needs no input. Returns whether something was completed.
#[inline(never)]
pub(in crate::engine) fn advance<S: Stream>(conn: &mut Conn<S>, id: ConnId, desk: &mut Desk) -> bool {
    let mut fresh = false;
    loop {
        let Protocol::Transfer(transfer) = &mut conn.protocol else { return fresh };
        let Desk { cork, counters, date, source_buffer, .. } = desk;
        let mut out = Output::new(&mut conn.io, cork);
        let mut terms = transfer.terms;
        terms.keep_alive &= !desk.shutting_down;
        let answered = match &mut transfer.stage {
            Stage::Deferred(deferred) => {
                let Some(mut response) = deferred.promise.take() else { return fresh };
                response.fields.put_in_front(&deferred.fields);
                response.close |= deferred.close;
                // A source that is not wanted is dropped, which is the application's code.
                let answered = catch_counted(&mut counters.panics, || {
                    answer(&terms, &mut out, &mut response, date.text())
                });
                // Nobody can tell what has been encoded.
                answered.unwrap_or_else(|| {
                    out.io.broken = true;
                    Answered::Close
                })
            }
            Stage::Receiving(receiving) => {
                if !receiving.look() {
                    return fresh;
                }
                // It may have paused at the end of its content: nothing more would come to tell of that.
                let ran = receiving::run(conn, id, &mut [], desk);
                if !ran.fresh {
                    return fresh;
                }
                fresh = true;
                continue;
            }
            Stage::Sending(sending) => match sending.send(&mut out, source_buffer, counters) {
                Went::On => return fresh,
                Went::Out if transfer.terms.keep_alive => Answered::KeepAlive,
                Went::Out => Answered::Close,
                Went::Wrong => {
                    out.io.broken = true;
                    Answered::Close
                }
            },
        };
        fresh = true;
        finish(conn, answered, id, desk);
    }
}

/// Does what follows from an answer.
pub(in crate::engine) fn finish<S>(conn: &mut Conn<S>, answered: Answered, id: ConnId, desk: &mut Desk) {
    match answered {
        Answered::Held(next) => hold(&mut conn.protocol, next, id, &desk.wake),
        Answered::KeepAlive => end(conn, &mut desk.counters),
        Answered::Close => {
            end(conn, &mut desk.counters);
            conn.writing = Writing::Last;
            conn.unfinished = false;
        }
    }
}

/// Goes on with a transfer in its input.
#[inline(never)]
pub(in crate::engine) fn run<S: Stream>(
    conn: &mut Conn<S>,
    id: ConnId,
    input: &mut [u8],
    desk: &mut Desk,
) -> Ran {
    let receives = |transfer: &Transfer| matches!(transfer.stage, Stage::Receiving(_)) && !transfer.is_held();
    if matches!(&conn.protocol, Protocol::Transfer(transfer) if receives(transfer)) {
        return receiving::run(conn, id, input, desk);
    }
    advance(conn, id, desk);
    let stop = match &conn.protocol {
        Protocol::Transfer(transfer) if !receives(transfer) => Stop::Blocked,
        _ => stop(conn),
    };
    Ran { from: 0, to: input.len(), stop, fresh: stop != Stop::Blocked }
}

/// Whether the input goes on to whatever the connection is after an answer.
pub(in crate::engine) fn stop<S>(conn: &Conn<S>) -> Stop {
    if conn.writing == Writing::Open { Stop::Changed } else { Stop::Over }
}

/// Ends a transfer, if there is one, and tells who takes part.
#[inline(never)]
pub(in crate::engine) fn end<S>(conn: &mut Conn<S>, counters: &mut Counters) {
    let Protocol::Transfer(transfer) = &mut conn.protocol else { return };
    if let Stage::Receiving(receiving) = &mut transfer.stage {
        receiving.abort(counters);
    }
    let decoder = std::mem::take(&mut transfer.decoder);
    let before = std::mem::replace(&mut conn.protocol, Protocol::Http(decoder));
    // What is dropped here is the application's.
    catch_counted(&mut counters.panics, move || drop(before));
}

/// The answer did not come in time (RFC 9110 §15.6.5).
pub(in crate::engine) fn overdue<S: Stream>(conn: &mut Conn<S>, id: ConnId, desk: &mut Desk) {
    let Protocol::Transfer(transfer) = &mut conn.protocol else { return };
    let mut terms = transfer.terms;
    terms.keep_alive &= !desk.shutting_down;
    let mut out = Output::new(&mut conn.io, &mut desk.cork);
    let mut response = Error::new(504, "The answer took too long.").into();
    let answered = answer(&terms, &mut out, &mut response, desk.date.text());
    finish(conn, answered, id, desk);
}

/// Whether it is a stream that goes on until its client leaves.
pub(in crate::engine) fn is_endless<S>(conn: &Conn<S>) -> bool {
    matches!(&conn.protocol, Protocol::Transfer(transfer)
        if matches!(&transfer.stage, Stage::Sending(sending) if sending.is_endless()))
}

/// Nothing has left for long: lets an endless source say so.
pub(in crate::engine) fn quiet<S>(conn: &mut Conn<S>, counters: &mut Counters) {
    tell_source(conn, counters, Sending::quiet);
}

/// The server is shutting down: tells who could go on for ever.
pub(in crate::engine) fn ending<S>(conn: &mut Conn<S>, counters: &mut Counters) {
    tell_source(conn, counters, Sending::ending);
}

/// Calls the source of what is sent, if something is.
fn tell_source<S>(conn: &mut Conn<S>, counters: &mut Counters, tell: impl FnOnce(&mut Sending)) {
    if let Protocol::Transfer(transfer) = &mut conn.protocol
        && let Stage::Sending(sending) = &mut transfer.stage
        && catch_counted(&mut counters.panics, || tell(sending)).is_none()
    {
        conn.io.broken = true;
    }
}
