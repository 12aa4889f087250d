//! A request whose content, or whose answer, does not pass in one piece.
//!
//! While one is under way it is the connection's protocol, decoder and all, and nothing further of the
//! connection is parsed: answers stay in order, memory bounded. It is driven by turns as everything else;
//! other threads only ask for one. Its invariant: whoever takes part is told of the end once, in whatever
//! way it comes.

use super::conn::{Conn, Protocol, Writing};
use super::counters::Counters;
use super::deadline::Waiting;
use super::desk::{Desk, Ran, Stop};
use super::http::{Answered, Terms};
use super::output::Output;
use super::receiving::{self, Receiving};
use super::sending::{Sending, Went};
use super::websocket::guarded;
use crate::app::{ConnId, Error, FieldBlock, Promise, Response, WakeConn, Waker};
use crate::http1::Decoder;
use crate::transport::Stream;
use std::sync::Arc;

/// What a connection is busy with.
pub(super) struct Transfer {
    /// The connection's, until it is over.
    pub(super) decoder: Decoder,
    pub(super) terms: Terms,
    pub(super) stage: Stage,
}

pub(super) enum Stage {
    /// Another thread makes the answer.
    Deferred(Deferred),
    /// The content is taken as it arrives.
    Receiving(Receiving),
    /// The answer is sent as its source makes it.
    Sending(Sending),
}

/// What is known of an answer before it is there.
pub(super) struct Deferred {
    pub(super) promise: Promise,
    /// Fields that go in front of the answer's.
    pub(super) fields: FieldBlock,
    /// The connection is closed after it.
    pub(super) close: bool,
}

impl Transfer {
    /// In its first turn; [`hold`] makes it the connection's.
    pub(super) fn new(terms: Terms, stage: Stage) -> Box<Transfer> {
        Box::new(Transfer { decoder: Decoder::new(), terms, stage })
    }

    /// Whether nothing is read meanwhile.
    pub(super) fn is_held(&self) -> bool {
        match &self.stage {
            Stage::Deferred(_) | Stage::Sending(_) => true,
            Stage::Receiving(receiving) => receiving.is_paused(),
        }
    }

    pub(super) fn waiting(&self) -> Waiting {
        match &self.stage {
            Stage::Deferred(_) => Waiting::Answer,
            Stage::Receiving(receiving) if !receiving.is_paused() => Waiting::Content,
            Stage::Receiving(_) => Waiting::Application,
            Stage::Sending(sending) if sending.is_endless() => Waiting::Quiet,
            Stage::Sending(_) => Waiting::Application,
        }
    }

    /// Bytes of content that have passed.
    pub(super) fn received(&self) -> u64 {
        match &self.stage {
            Stage::Receiving(receiving) => receiving.received(),
            Stage::Deferred(_) | Stage::Sending(_) => 0,
        }
    }

    /// Whether it goes on without being asked.
    pub(super) fn is_runnable(&self) -> bool {
        match &self.stage {
            Stage::Deferred(_) | Stage::Receiving(_) => false,
            Stage::Sending(sending) => !sending.is_parked(),
        }
    }
}

/// Makes `transfer` what the connection is busy with.
#[inline(never)]
pub(super) fn hold(
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
pub(super) fn advance<S: Stream>(conn: &mut Conn<S>, id: ConnId, desk: &mut Desk) -> bool {
    let mut fresh = false;
    loop {
        let Protocol::Transfer(transfer) = &mut conn.protocol else { return fresh };
        let Desk { cork, counters, date, source_buffer, .. } = desk;
        let mut out = Output::of(&mut conn.stream, &mut conn.outbox, &mut conn.broken, cork);
        let mut terms = transfer.terms;
        terms.keep_alive &= !desk.shutting_down;
        let answered = match &mut transfer.stage {
            Stage::Deferred(deferred) => {
                let Some(answer) = deferred.promise.take() else { return fresh };
                let mut response = Response::from(answer);
                response.fields.put_in_front(&deferred.fields);
                response.close |= deferred.close;
                // A source that is not wanted is dropped, which is the application's code.
                let answered = guarded(counters, || terms.answer(&mut out, &mut response, date.text()));
                // Nobody can tell what has been encoded.
                answered.unwrap_or_else(|| {
                    *out.dead = true;
                    Answered::Closes
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
                Went::Out if transfer.terms.keep_alive => Answered::Keeps,
                Went::Out => Answered::Closes,
                Went::Wrong => {
                    *out.dead = true;
                    Answered::Closes
                }
            },
        };
        fresh = true;
        finish(conn, answered, id, desk);
    }
}

/// Does what follows from an answer.
pub(super) fn finish<S>(conn: &mut Conn<S>, answered: Answered, id: ConnId, desk: &mut Desk) {
    match answered {
        Answered::Held(next) => hold(&mut conn.protocol, next, id, &desk.wake),
        Answered::Keeps => end(conn, &mut desk.counters),
        Answered::Closes => {
            end(conn, &mut desk.counters);
            conn.writing = Writing::Last;
            conn.unfinished = false;
        }
    }
}

/// Goes on with a transfer in its input.
#[inline(never)]
pub(super) fn run<S: Stream>(conn: &mut Conn<S>, id: ConnId, input: &mut [u8], desk: &mut Desk) -> Ran {
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
pub(super) fn stop<S>(conn: &Conn<S>) -> Stop {
    if conn.writing == Writing::Open { Stop::Changed } else { Stop::Over }
}

/// Ends a transfer, if there is one, and tells who takes part.
#[inline(never)]
pub(super) fn end<S>(conn: &mut Conn<S>, counters: &mut Counters) {
    let Protocol::Transfer(transfer) = &mut conn.protocol else { return };
    if let Stage::Receiving(receiving) = &mut transfer.stage {
        receiving.abort(counters);
    }
    let decoder = std::mem::take(&mut transfer.decoder);
    let before = std::mem::replace(&mut conn.protocol, Protocol::Http(decoder));
    // What is dropped here is the application's.
    guarded(counters, move || drop(before));
}

/// The answer did not come in time (RFC 9110 §15.6.5).
pub(super) fn overdue<S: Stream>(conn: &mut Conn<S>, id: ConnId, desk: &mut Desk) {
    let Protocol::Transfer(transfer) = &mut conn.protocol else { return };
    let mut terms = transfer.terms;
    terms.keep_alive &= !desk.shutting_down;
    let mut out = Output::of(&mut conn.stream, &mut conn.outbox, &mut conn.broken, &mut desk.cork);
    let mut response = Error::new(504, "The answer took too long.").into();
    let answered = terms.answer(&mut out, &mut response, desk.date.text());
    finish(conn, answered, id, desk);
}

/// Whether it is a stream that goes on until its client leaves.
pub(super) fn is_endless<S>(conn: &Conn<S>) -> bool {
    matches!(&conn.protocol, Protocol::Transfer(transfer)
        if matches!(&transfer.stage, Stage::Sending(sending) if sending.is_endless()))
}

/// Nothing has left for long: lets an endless source say so.
pub(super) fn quiet<S>(conn: &mut Conn<S>, counters: &mut Counters) {
    tell_source(conn, counters, Sending::quiet);
}

/// The server is shutting down: tells who could go on for ever.
pub(super) fn ending<S>(conn: &mut Conn<S>, counters: &mut Counters) {
    tell_source(conn, counters, Sending::ending);
}

/// Calls the source of what is sent, if something is.
fn tell_source<S>(conn: &mut Conn<S>, counters: &mut Counters, tell: impl FnOnce(&mut Sending)) {
    if let Protocol::Transfer(transfer) = &mut conn.protocol
        && let Stage::Sending(sending) = &mut transfer.stage
        && guarded(counters, || tell(sending)).is_none()
    {
        conn.broken = true;
    }
}
