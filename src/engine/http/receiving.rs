//! Passes a request's content to its upload, piece by piece.
//!
//! It keeps no bytes: pieces are slices of what was read. It knows no output. Its invariant: a session that was opened
//! learns of its end once, however it ends, even by its own panic.

use crate::app::{
    ConnId, Error, FieldBlock, Flow, Handler, Layers, LiveUpload, PauseGate, Request, Response, Uploads,
    call_through, handler_failed,
};
use crate::arena::{Arena, OVERWRITTEN};
use crate::engine::context::Services;
use crate::engine::counters::Counters;
use crate::http1::{Decoder, Fields, PieceStep, Refusal};
use crate::panics::catch_counted;
use std::cell::Cell;
use std::sync::Arc;

/// An upload under way.
pub(in crate::engine) struct Receiving {
    live: Box<dyn LiveUpload>,
    gate: Option<Arc<PauseGate>>,
    /// Nothing is read while the gate is on.
    paused: bool,
    /// Bytes of content since the last pause.
    received: u64,
    /// Fields of the layers, which precede the answer's.
    fields: FieldBlock,
    /// The connection is closed after the answer.
    close: bool,
}

/// Why an upload does not begin.
pub(in crate::engine) enum Unopened<'r> {
    Refused(Refusal),
    Answer(Result<Response<'r>, Error>),
}

/// The innermost handler of an upload. It opens the session, once.
struct Opening<'a> {
    uploads: &'a dyn Uploads,
    live: Cell<Option<Box<dyn LiveUpload>>>,
}

impl Handler for Opening<'_> {
    fn call<'r>(&self, req: &Request<'r>) -> Result<Response<'r>, Error> {
        let live = self.uploads.open(req)?;
        if let Some(mut second) = self.live.replace(Some(live)) {
            second.abort();
        }
        Ok(Response::begun(200))
    }
}

/// The outcome of passing content to the session.
pub(in crate::engine) enum Received {
    NeedsInput,
    Paused,
    /// The request has its answer. An `Err` may leave some of the content unread.
    Answer(Result<Response<'static>, Error>),
    Refused(Refusal),
}

impl Receiving {
    /// Opens the upload of a request of which only the head has arrived, inside of the layers of its application.
    ///
    /// # Errors
    /// What to answer instead.
    pub(in crate::engine) fn open<'r>(
        uploads: &dyn Uploads,
        layers: &Layers,
        request: &Request<'r>,
        decoder: &mut Decoder,
        counters: &mut Counters,
    ) -> Result<Receiving, Unopened<'r>> {
        // If the limit panics, no content is allowed.
        let limit = catch_counted(&mut counters.panics, || uploads.limit()).unwrap_or(0);
        // Checked before the application does anything for it.
        decoder.stream(request.head(), limit).map_err(Unopened::Refused)?;
        counters.requests += 1;
        let opening = Opening { uploads, live: Cell::new(None) };
        let result = call_through(layers, &opening, request);
        counters.panics += request.panics();
        match (result, opening.live.into_inner()) {
            (Ok(response), Some(live)) if response.is_begun() => {
                let Response { fields, close, .. } = response;
                Ok(Receiving { live, gate: None, paused: false, received: 0, fields, close })
            }
            (result, live) => {
                // A layer has not let it pass.
                if let Some(mut live) = live {
                    catch_counted(&mut counters.panics, || live.abort());
                }
                Err(Unopened::Answer(result))
            }
        }
    }

    /// Adds to the answer what the layers of the upload have set.
    pub(in crate::engine) fn complete(&self, response: &mut Response<'_>) {
        response.fields.put_in_front(&self.fields);
        response.close |= self.close;
    }

    /// Returns what the layers of the upload have set.
    pub(in crate::engine) fn fields(&self) -> &FieldBlock {
        &self.fields
    }

    pub(in crate::engine) fn is_paused(&self) -> bool {
        self.paused
    }

    /// Returns the bytes of content since the last pause.
    pub(in crate::engine) fn received(&self) -> u64 {
        self.received
    }

    /// Ends a pause whose gate is open. Returns whether it did.
    pub(in crate::engine) fn resume(&mut self) -> bool {
        let over = self.paused && !self.gate.as_ref().is_some_and(|gate| gate.is_on());
        if over {
            self.paused = false;
            self.received = 0;
        }
        over
    }

    /// Reports to the session that the rest will not arrive, unless the session has ended.
    pub(in crate::engine) fn abort(&mut self, panics: &mut u64) {
        catch_counted(panics, || self.live.abort());
    }

    /// Passes the content in `input` to the session. Returns how many bytes are consumed, and the outcome.
    pub(in crate::engine) fn take(
        &mut self,
        decoder: &mut Decoder,
        conn: ConnId,
        input: &mut [u8],
        services: &mut Services,
        arena: &mut Arena,
    ) -> (usize, Received) {
        let Services { limits, counters, wake, .. } = services;
        let mut from = 0;
        loop {
            if self.paused {
                return (from, Received::Paused);
            }
            let before = from;
            match decoder.piece(&input[from..], arena, limits) {
                PieceStep::Piece { bytes, consumed } => {
                    self.received += bytes.len() as u64;
                    let (live, gate) = (&mut self.live, &mut self.gate);
                    let taken = catch_counted(&mut counters.panics, || {
                        live.piece(bytes, &mut Flow::new(gate, conn, wake))
                    });
                    from += consumed;
                    match taken {
                        Some(Ok(())) => {}
                        Some(Err(error)) => return (from, Received::Answer(Err(error))),
                        None => return (from, Received::Answer(Err(handler_failed()))),
                    }
                    self.paused = self.gate.as_ref().is_some_and(|gate| gate.is_on());
                }
                PieceStep::End { trailers, consumed } => {
                    let result = self.finish(trailers, &mut counters.panics);
                    arena.reset();
                    return (from + consumed, Received::Answer(result));
                }
                PieceStep::Incomplete { consumed } => return (from + consumed, Received::NeedsInput),
                PieceStep::Refused(refusal) => return (from, Received::Refused(refusal)),
            }
            if cfg!(debug_assertions) {
                input[before..from].fill(OVERWRITTEN);
            }
        }
    }

    fn finish(&mut self, trailers: Fields<'_>, panics: &mut u64) -> Result<Response<'static>, Error> {
        catch_counted(panics, || self.live.finish(trailers)).unwrap_or_else(|| Err(handler_failed()))
    }
}
