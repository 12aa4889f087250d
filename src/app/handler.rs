//! What answers a request.

use super::{Error, Request, Response};

/// Answers requests. Any closure of the right shape is one; implement it for a type of your own to
/// wrap other handlers (which is all that middleware is).
///
/// `'r` is the request's lifetime: what the handler reads, and what its response may borrow.
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
///             _ => Err(Error::new(401, "no token")),
///         }
///     }
/// }
/// ```
pub trait Handler {
    /// Makes the response.
    ///
    /// # Errors
    /// An [`Error`] is answered with its status and message.
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

/// A handler and what goes around it; made by [`App::wrap`](super::App::wrap).
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
