//! The application: what is served under which path, and which layers lie around it.
//!
//! It knows no address and no thread, so a test can serve it too. Its invariant: nothing below `/api/notes` and
//! `/admin` is reached without a user.

mod admin;
mod attachments;
mod changes;
mod layers;
mod notes;
mod problems;
mod rate;
mod state;
mod store;
mod users;

pub use state::Shared;

use fleeting::{App, Error, Response, WorkerContext};
use state::with;
use std::cell::Cell;
use std::rc::Rc;

/// Bytes of a request's content, at most. Attachments have limits of their own.
pub const CONTENT_BYTES_MAX: usize = 64 << 10;
/// Pages of these origins may use the API, besides the service's own.
const ORIGINS: &[&str] = &["https://notes.example"];

/// Makes the application of one worker.
///
/// Each worker calls this once, on its own thread. What it makes here belongs to that worker alone and needs no lock: the
/// number of answers, and the buckets of the rate limit. The price is that each worker sees only its own connections,
/// so a client with connections to both workers has twice the rate.
pub fn app(worker: &WorkerContext, shared: &Shared) -> App {
    let answered = Rc::new(Cell::new(0));
    let counted = answered.clone();
    let api = notes::routes(&shared.notes, &worker.handle).layer(layers::users(shared.sessions.clone()));
    let admin = admin::routes(answered, shared)
        .layer(layers::only_admins)
        .layer(layers::users(shared.sessions.clone()));
    App::new()
        .get("/login", |_req| Ok(Response::html(users::FORM)))
        .post("/login", with(&shared.sessions, users::log_in))
        .post("/logout", with(&shared.sessions, users::log_out))
        .nest("/api/notes", api)
        .nest("/admin", admin)
        .fallback(|_req| Err(Error::not_found("There is nothing at this path.")))
        // From the innermost to the outermost: each is around all that stands above it.
        .layer(layers::rate_limit())
        .layer(problems::as_json)
        .layer(layers::cross_origin(ORIGINS))
        .layer(layers::request_ids(worker.index))
        // Requests that cannot be read or are too large reach no layer.
        .error_page(problems::page)
        .on_complete(move |done| {
            counted.set(counted.get() + 1);
            // Not the query: it may hold what does not belong into a log.
            let (method, path, status) = (done.method(), done.path(), done.status().unwrap_or(0));
            println!("{method} {path} {status} {} B {:?}", done.bytes_out(), done.duration());
        })
}
