//! What administrators see and may do. A layer lets nobody else through.

use super::state::{Shared, with};
use fleeting::{App, Error, Request, Response};
use serde::Serialize;
use std::cell::Cell;
use std::rc::Rc;

#[derive(Serialize)]
struct Figures {
    notes: usize,
    sessions: usize,
    /// Of the worker that answers.
    requests: u64,
}

/// What the handlers need: a counter of this worker, and what all workers share.
type State = (Rc<Cell<u64>>, Shared);

/// The routes. `/` is the path that they are nested under.
pub fn routes(answered: Rc<Cell<u64>>, shared: &Shared) -> App {
    let state = &(answered, shared.clone());
    App::new().get("/", with(state, figures)).delete("/sessions", with(state, end_sessions))
}

fn figures<'r>((answered, shared): &State, req: &Request<'r>) -> Result<Response<'r>, Error> {
    let (notes, sessions) = (shared.notes.lock().len(), shared.sessions.count());
    Response::json(req, &Figures { notes, sessions, requests: answered.get() })
}

fn end_sessions<'r>((_, shared): &State, req: &Request<'r>) -> Result<Response<'r>, Error> {
    Response::json(req, &shared.sessions.end_all())
}
