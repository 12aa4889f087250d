//! The trait that every handler implements, and the closure that wraps a handler.
//!
//! It knows neither routes nor connections.

use super::{Error, Request, Response};

/// Answers requests.
///
/// Every closure and function of the right shape is a handler. Implement the trait for a type of your own to
/// wrap other handlers, which is all that middleware is; [`App::wrap`](super::App::wrap) does the same with a
/// closure.
///
/// `'r` is the lifetime of the request: the handler reads data of that lifetime, and its response may borrow
/// it.
///
/// ```
/// use fleeting::{Error, Handler, Request, Response};
///
/// struct NeedsToken<H>(H);
///
/// impl<H: Handler> Handler for NeedsToken<H> {
///     fn call<'r>(&self, req: &Request<'r>) -> Result<Response<'r>, Error> {
///         match req.header("authorization") {
///             Some("Bearer secret") => self.0.call(req),
///             _ => Err(Error::new(401, "The token is missing or wrong.")),
///         }
///     }
/// }
///
/// fn secret<'r>(_req: &Request<'r>) -> Result<Response<'r>, Error> {
///     Ok(Response::text("42"))
/// }
///
/// let app = fleeting::App::new().route("GET", "/secret", NeedsToken(secret));
/// ```
pub trait Handler {
    /// Answers a request. It runs on the worker's thread, which serves other connections too, so it must not
    /// wait: see [`Offload`](super::Offload), [`Response::defer`] and [`Response::source`].
    ///
    /// A panic is caught and answered with 500.
    ///
    /// # Errors
    /// The client gets the status and the message of the [`Error`].
    fn call<'r>(&self, req: &Request<'r>) -> Result<Response<'r>, Error>;
}

impl<F> Handler for F
where
    F: for<'a, 'r> Fn(&'a Request<'r>) -> Result<Response<'r>, Error>,
{
    #[inline]
    fn call<'r>(&self, req: &Request<'r>) -> Result<Response<'r>, Error> {
        self(req)
    }
}

/// A handler and the closure around it; made by [`App::wrap`](super::App::wrap).
pub struct Wrapped<F> {
    pub(super) inner: Box<dyn Handler>,
    pub(super) around: std::rc::Rc<F>,
}

impl<F> Handler for Wrapped<F>
where
    F: for<'a, 'r> Fn(&'a Request<'r>, &'a dyn Handler) -> Result<Response<'r>, Error>,
{
    fn call<'r>(&self, req: &Request<'r>) -> Result<Response<'r>, Error> {
        (self.around)(req, &*self.inner)
    }
}

impl<F> std::fmt::Debug for Wrapped<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wrapped").finish_non_exhaustive()
    }
}
