//! What the workers share, and how handlers get it.

use super::store::Notes;
use super::users::Sessions;
use fleeting::{Error, HandlerFn, Request, Response};

/// State that all workers share, because any of them may get a client's next request: a log-in on one worker counts on
/// the others. So each part is behind an `Arc` and a lock.
#[derive(Clone, Default)]
pub struct Shared {
    pub notes: Notes,
    pub sessions: Sessions,
}

/// Makes a handler of a function that needs state.
pub fn with<S: Clone + 'static>(
    state: &S,
    function: for<'r> fn(&S, &Request<'r>) -> Result<Response<'r>, Error>,
) -> impl HandlerFn + use<S> {
    let state = state.clone();
    move |req| function(&state, req)
}
