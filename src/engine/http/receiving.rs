//! Content of a request on its way from the stream to its upload, piece by piece.
//!
//! It keeps no bytes: pieces are slices of what was read. Its invariant: a session that was opened is told
//! of the end once, whatever ends it, its own panics included.

use crate::app::{ConnId, Error, Flow, LiveUpload, PauseGate, Request, Response, Uploads};
use crate::arena::OVERWRITTEN;
use crate::engine::conn::{Conn, Protocol};
use crate::engine::context::{Desk, Ran, Stop};
use crate::engine::counters::Counters;
use crate::engine::http::answer::handler_failed;
use crate::engine::http::requests::DISCARD_BYTES_MAX;
use crate::engine::http::transfer::Answered;
use crate::engine::http::transfer::{self, Stage, Transfer};
use crate::engine::output::Output;
use crate::http1::{Decoder, Fields, PieceStep, Refusal};
use crate::panics::catch_counted;
use crate::transport::Stream;
use std::sync::Arc;

/// An upload under way.
pub(in crate::engine) struct Receiving {
    live: Box<dyn LiveUpload>,
    gate: Option<Arc<PauseGate>>,
    /// Nothing is read until the gate is off.
    paused: bool,
    /// Bytes of content since the last pause.
    received: u64,
}

impl Receiving {
    pub(in crate::engine) fn is_paused(&self) -> bool {
        self.paused
    }

    pub(in crate::engine) fn received(&self) -> u64 {
        self.received
    }

    /// Looks whether a pause is over, and tells so.
    pub(in crate::engine) fn look(&mut self) -> bool {
        let over = self.paused && !self.gate.as_ref().is_some_and(|gate| gate.is_on());
        if over {
            self.paused = false;
            self.received = 0;
        }
        over
    }

    /// Tells the session that the rest will not come, if it does not know of the end.
    pub(in crate::engine) fn abort(&mut self, counters: &mut Counters) {
        catch_counted(&mut counters.panics, || self.live.abort());
    }
}

/// Opens the upload that `request` begins, of which only the head is there.
///
/// # Errors
/// What is to be answered instead.
pub(in crate::engine) fn open(
    uploads: &dyn Uploads,
    request: &Request<'_>,
    decoder: &mut Decoder,
    counters: &mut Counters,
) -> Result<Receiving, Unopened> {
    // One that cannot tell takes nothing.
    let limit = catch_counted(&mut counters.panics, || uploads.limit()).unwrap_or(0);
    // Before the application does anything for it.
    decoder.stream(request.head(), limit).map_err(Unopened::Refused)?;
    counters.requests += 1;
    let live = catch_counted(&mut counters.panics, || uploads.open(request))
        .unwrap_or_else(|| Err(handler_failed()));
    let live = live.map_err(Unopened::Error)?;
    Ok(Receiving { live, gate: None, paused: false, received: 0 })
}

/// Why an upload does not begin.
pub(in crate::engine) enum Unopened {
    Refused(Refusal),
    Error(Error),
}

/// What one look at the input came to.
enum Step {
    Starved,
    Paused,
    /// The request has its answer, made of what `Ok` holds; or without the rest of its content.
    Answer(Result<Response<'static>, Error>),
    Refused(Refusal),
}

/// Hands the session what is in `input`.
pub(in crate::engine) fn run<S: Stream>(
    conn: &mut Conn<S>,
    id: ConnId,
    input: &mut [u8],
    desk: &mut Desk,
) -> Ran {
    let to = input.len();
    let Protocol::Transfer(transfer) = &mut conn.protocol else {
        unreachable!("only a transfer is run here");
    };
    let Transfer { decoder, terms, stage: Stage::Receiving(receiving) } = &mut **transfer else {
        unreachable!("only an upload is run here");
    };
    let (from, step) = receiving.take(decoder, id, input, desk);
    let mut terms = *terms;
    terms.keep_alive &= !desk.shutting_down;
    let Desk { cork, counters, date, .. } = desk;
    let date = date.text();
    let mut out = Output::new(&mut conn.io, cork);
    let answered = match step {
        Step::Starved => return Ran { from, to, stop: Stop::Starved, fresh: false },
        Step::Paused => return Ran { from, to, stop: Stop::Blocked, fresh: false },
        Step::Refused(refusal) => {
            counters.count_refused(refusal);
            receiving.abort(counters);
            terms.refuse(&mut out, refusal, date);
            Answered::Close
        }
        Step::Answer(result) => {
            if result.is_err() {
                // Of content that has ended nothing is left.
                terms.keep_alive &= decoder.is_idle() || decoder.discard_rest(DISCARD_BYTES_MAX);
                receiving.abort(counters);
            }
            let mut response = result.unwrap_or_else(Response::from);
            catch_counted(&mut counters.panics, || transfer::answer(&terms, &mut out, &mut response, date))
                .unwrap_or_else(|| {
                    out.io.broken = true;
                    Answered::Close
                })
        }
    };
    transfer::finish(conn, answered, id, desk);
    Ran { from, to, stop: transfer::stop(conn), fresh: true }
}

impl Receiving {
    /// Returns how much of `input` is done with.
    fn take(
        &mut self,
        decoder: &mut Decoder,
        id: ConnId,
        input: &mut [u8],
        desk: &mut Desk,
    ) -> (usize, Step) {
        let Desk { limits, arena, counters, wake, .. } = desk;
        let mut from = 0;
        loop {
            if self.paused {
                return (from, Step::Paused);
            }
            let before = from;
            match decoder.piece(&input[from..], arena, limits) {
                PieceStep::Piece { bytes, consumed } => {
                    self.received += bytes.len() as u64;
                    let (live, gate) = (&mut self.live, &mut self.gate);
                    let taken = catch_counted(&mut counters.panics, || {
                        live.piece(bytes, &mut Flow::new(gate, id, wake))
                    });
                    from += consumed;
                    match taken {
                        Some(Ok(())) => {}
                        Some(Err(error)) => return (from, Step::Answer(Err(error))),
                        None => return (from, Step::Answer(Err(handler_failed()))),
                    }
                    self.paused = self.gate.as_ref().is_some_and(|gate| gate.is_on());
                }
                PieceStep::End { trailers, consumed } => {
                    let result = finish(&mut *self.live, trailers, counters);
                    arena.reset();
                    return (from + consumed, Step::Answer(result));
                }
                PieceStep::Incomplete { consumed } => return (from + consumed, Step::Starved),
                PieceStep::Refused(refusal) => return (from, Step::Refused(refusal)),
            }
            if cfg!(debug_assertions) {
                input[before..from].fill(OVERWRITTEN);
            }
        }
    }
}

fn finish(
    live: &mut dyn LiveUpload,
    trailers: Fields<'_>,
    counters: &mut Counters,
) -> Result<Response<'static>, Error> {
    catch_counted(&mut counters.panics, || live.finish(trailers)).unwrap_or_else(|| Err(handler_failed()))
}
