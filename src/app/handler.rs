//! The trait that every handler implements.
//!
//! It knows neither routes nor connections.

use super::{Error, Request, Response};
use std::rc::Rc;
use std::sync::Arc;

/// Answers requests.
///
/// Every closure and function of the right shape is a handler; [`handler`] makes the compiler infer that shape for
/// a closure in a variable. An `Rc` or `Arc` of a handler is a handler, and so is a `Box<dyn Handler>`. (A box of a
/// type of your own has to be a `Box<dyn Handler>`: the compiler cannot rule out that the type is a closure, whose box
/// is a handler already.)
///
/// Implement the trait for a type of your own to wrap a single handler. To wrap all handlers of an application, use
/// [`App::layer`](super::App::layer).
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
///             _ => Err(Error::unauthorized("Bearer", "The token is missing or wrong.")),
///         }
///     }
/// }
///
/// fn secret<'r>(_req: &Request<'r>) -> Result<Response<'r>, Error> {
///     Ok(Response::text("42"))
/// }
///
/// let app = fleeting::App::new().route_handler("GET", "/secret", NeedsToken(secret));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    label = "this cannot answer requests",
    note = "a handler is a function `fn name<'r>(req: &Request<'r>) -> Result<Response<'r>, Error>`, a closure of \
            that shape, or a value that implements `Handler`",
    note = "make a closure with `fleeting::handler(|req| ...)`, so that its lifetimes are inferred",
    note = "a `Box` of a type of your own is a handler as `Box<dyn Handler>`"
)]
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

/// The closures and functions that are handlers: the bound of [`App::get`](super::App::get), its siblings and
/// [`handler`].
///
/// A function with this bound infers a closure's lifetimes, so a function that wraps or returns closures states it too:
///
/// ```
/// use fleeting::{App, Error, HandlerFn, Response};
///
/// fn with_token(inner: impl HandlerFn) -> impl HandlerFn {
///     move |req| match req.header("authorization") {
///         Some("Bearer secret") => inner(req),
///         _ => Err(Error::unauthorized("Bearer", "The token is missing or wrong.")),
///     }
/// }
///
/// let app = App::new().get("/path", with_token(|req| Ok(Response::text(req.path()))));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a function or closure that answers requests",
    label = "not of the shape of a handler",
    note = "a handler is `|req| ...` or `fn name<'r>(req: &Request<'r>) -> Result<Response<'r>, Error>`: it returns \
            `Ok(Response::text(...))`, not the text or the response itself",
    note = "the error is `fleeting::Error`; where `?` cannot make one, `map_err` does",
    note = "a handler is not `async`: it returns `Response::defer()` and sends the answer when it is there",
    note = "add a value that implements `Handler` with `App::route_handler`"
)]
pub trait HandlerFn: for<'a, 'r> Fn(&'a Request<'r>) -> Result<Response<'r>, Error> {}

#[diagnostic::do_not_recommend]
impl<F> HandlerFn for F where F: for<'a, 'r> Fn(&'a Request<'r>) -> Result<Response<'r>, Error> {}

#[diagnostic::do_not_recommend]
impl<F> Handler for F
where
    F: for<'a, 'r> Fn(&'a Request<'r>) -> Result<Response<'r>, Error>,
{
    #[inline]
    fn call<'r>(&self, req: &Request<'r>) -> Result<Response<'r>, Error> {
        self(req)
    }
}

/// Each pointer is a handler because its target is one. `Box` and `&` of any handler would overlap with the closures:
/// a box of a closure is a closure too.
macro_rules! pointers {
    ($([$($generics:tt)*] $pointer:ty,)*) => {$(
        impl<$($generics)*> Handler for $pointer {
            #[inline]
            fn call<'r>(&self, req: &Request<'r>) -> Result<Response<'r>, Error> {
                (**self).call(req)
            }
        }
    )*};
}

pointers! {
    [H: Handler + ?Sized] Rc<H>,
    [H: Handler + ?Sized] Arc<H>,
    [] Box<dyn Handler + '_>,
    [] Box<dyn Handler + Send + '_>,
    [] Box<dyn Handler + Send + Sync + '_>,
    [] &(dyn Handler + '_),
}

/// Returns `closure` as it is, and makes the compiler infer the shape of a [`Handler`] for it.
///
/// The compiler infers a closure's lifetimes from the function that it is passed to. [`App::get`](super::App::get)
/// and its siblings are such functions; `let` and `impl Handler` are not, and lead to "implementation of `Fn` is not
/// general enough". Pass the closure through this function where it is made:
///
/// ```
/// use fleeting::{App, Handler, Response, handler};
///
/// fn greeting(word: &'static str) -> impl Handler {
///     handler(move |req| Ok(Response::text(req.arena().format(format_args!("{word}, {}", req.param("name"))))))
/// }
///
/// let list: Vec<(&str, Box<dyn Handler>)> = vec![
///     ("/hello/{name}", Box::new(greeting("hello"))),
///     ("/path", Box::new(handler(|req| Ok(Response::text(req.path()))))),
/// ];
/// let app = list.into_iter().fold(App::new(), |app, (path, handler)| app.route_handler("GET", path, handler));
/// assert_eq!(app.check(), Ok(()));
/// ```
#[inline]
pub fn handler<F: HandlerFn>(closure: F) -> F {
    closure
}
