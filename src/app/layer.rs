//! Layers: closures around everything that answers the requests of an application.
//!
//! It knows neither routes nor connections. Its invariant: a layer that calls `next` gets a response, even if what it calls
//! panics.

use super::{Error, Handler, Request, Response};
use crate::buffer::system_is_short;
use crate::http1::Refusal;
use crate::panics::catch;
use std::fmt;
use std::rc::Rc;

/// The closures and functions that are layers: the bound of [`App::layer`](super::App::layer).
///
/// ```
/// use fleeting::{App, Error, Handler, Request, Response};
///
/// /// A layer that is a function.
/// fn log<'r>(req: &Request<'r>, next: &dyn Handler) -> Result<Response<'r>, Error> {
///     let result = next.call(req);
///     let status = result.as_ref().map_or_else(Error::status, Response::status);
///     eprintln!("{} {status}", req.path());
///     result
/// }
///
/// let app = App::new().get("/", |_req| Ok(Response::text("hello"))).layer(log);
/// ```
///
/// A layer with state is a closure that a function returns:
///
/// ```
/// use fleeting::{App, Error, LayerFn, Response};
///
/// fn token(expected: Box<str>) -> impl LayerFn {
///     move |req, next| match req.header("authorization").and_then(|field| field.strip_prefix("Bearer ")) {
///         Some(token) if *token == *expected => next.call(req),
///         _ => Err(Error::unauthorized("Bearer", "The token is missing or wrong.")),
///     }
/// }
///
/// let app = App::new().get("/", |_req| Ok(Response::text("hello"))).layer(token("secret".into()));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a layer",
    label = "not of the shape of a layer",
    note = "a layer is `|req, next| ...` or `fn name<'r>(req: &Request<'r>, next: &dyn Handler) -> Result<Response<'r>, \
            Error>`",
    note = "a layer answers by itself, or calls what is inside it with `next.call(req)`",
    note = "a layer is not `async`: the response of a handler that answers later passes through it at once"
)]
pub trait LayerFn: for<'a, 'r> Fn(&'a Request<'r>, &'a dyn Handler) -> Result<Response<'r>, Error> {}

#[diagnostic::do_not_recommend]
impl<F> LayerFn for F where F: for<'a, 'r> Fn(&'a Request<'r>, &'a dyn Handler) -> Result<Response<'r>, Error> {}

/// A closure that was passed to [`App::layer`](super::App::layer).
pub(crate) trait Layer {
    fn call<'r>(&self, req: &Request<'r>, next: &dyn Handler) -> Result<Response<'r>, Error>;
}

impl<F: LayerFn> Layer for F {
    fn call<'r>(&self, req: &Request<'r>, next: &dyn Handler) -> Result<Response<'r>, Error> {
        self(req, next)
    }
}

/// The layers around something, from the innermost to the outermost.
pub(crate) type Layers = [Rc<dyn Layer>];

/// Calls `inner` through all layers. Panics are caught at each level, so that the layers outside see a 500.
pub(crate) fn call_through<'r>(
    layers: &Layers,
    inner: &dyn Handler,
    req: &Request<'r>,
) -> Result<Response<'r>, Error> {
    Chain { layers, inner }.call(req)
}

/// What a layer calls as `next`.
struct Chain<'a> {
    layers: &'a Layers,
    inner: &'a dyn Handler,
}

impl Handler for Chain<'_> {
    fn call<'r>(&self, req: &Request<'r>) -> Result<Response<'r>, Error> {
        let result = catch(|| match self.layers.split_last() {
            Some((outermost, layers)) => outermost.call(req, &Chain { layers, inner: self.inner }),
            None => self.inner.call(req),
        });
        result.unwrap_or_else(|| {
            req.count_panics(1);
            Err(handler_failed())
        })
    }
}

/// A handler with the layers of its application.
pub(super) struct Layered {
    pub(super) layers: Rc<Layers>,
    pub(super) inner: Box<dyn Handler>,
}

impl Handler for Layered {
    fn call<'r>(&self, req: &Request<'r>) -> Result<Response<'r>, Error> {
        call_through(&self.layers, &*self.inner, req)
    }
}

impl fmt::Debug for Layered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layered").field("layers", &self.layers.len()).finish_non_exhaustive()
    }
}

/// Returns the answer for application code that panicked. It does that too when its arena cannot grow.
#[cold]
pub(crate) fn handler_failed() -> Error {
    if system_is_short() { no_memory() } else { Error::internal("The handler failed.") }
}

/// Returns the error of a request for which there is no memory (RFC 9110 §10.2.3, §15.6.4).
#[cold]
pub(crate) fn no_memory() -> Error {
    Error::unavailable(Refusal::NoMemory.to_string()).header("retry-after", "1")
}
