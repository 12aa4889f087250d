//! The application: a table of routes, which each worker builds once.
//!
//! It knows how routes are added. The router finds them.

use super::error_page::ErrorPage;
use super::handler::HandlerFn;
use super::layer::LayerFn;
use super::route_error::RouteError;
use super::router::{Resolved, Router};
use super::socket_options::SocketOptions;
use super::upload::{Upload, UploadRoute};
use super::websocket::{SocketRoute, WebSocket};
use super::{Completion, Error, Handler, Response};
use crate::arena::Arena;
use crate::http1::Head;
use crate::panics::catch_counted;
use std::fmt;
use std::rc::Rc;

/// A table of routes and their handlers. Each worker builds its own, so handlers need be neither `Send` nor
/// `Sync`.
///
/// A path may have parameters, `/hello/{name}`, and may end in a wildcard, `/files/{*rest}`. A fixed path
/// takes precedence over one with parameters. Percent-encoded unreserved characters of a request's path are
/// decoded before it is matched (RFC 3986 §6.2.2.2).
///
/// A path without a handler for HEAD answers it with the handler for GET. A path without a handler for
/// OPTIONS answers it with 204 and the path's methods (Allow). Another method on a known path gets 405 with
/// Allow, or 501 if it is no standard method. An unknown path gets 404.
///
/// ```
/// use fleeting::{App, Response};
///
/// let app = App::new()
///     .get("/", |_req| Ok(Response::text("hello")))
///     .get("/hello/{name}", |req| Ok(Response::text(req.param("name"))))
///     .post("/echo", |req| Ok(Response::bytes(req.body())));
/// assert_eq!(app.check(), Ok(()));
/// ```
#[derive(Default)]
pub struct App {
    router: Router,
    /// The options of each WebSocket route, in the order in which the routes were added.
    sockets: Vec<SocketOptions>,
    error: Option<RouteError>,
    error_page: Option<ErrorPage>,
    on_complete: Option<CompletionHook>,
    finished: bool,
}

type CompletionHook = Box<dyn Fn(&Completion<'_>)>;

/// The methods that take a closure. They state the bound themselves, so that a closure's lifetimes are inferred.
macro_rules! routes {
    ($($name:ident $method:literal),*) => {$(
        #[doc = concat!("Answers ", $method, " on `path` with a closure or a function. A mistake is ")]
        /// reported by [`check`](App::check).
        pub fn $name(self, path: &str, handler: impl HandlerFn + 'static) -> App {
            self.route($method, path, handler)
        }
    )*};
}

impl App {
    /// Makes an application without routes. It answers 404.
    pub fn new() -> App {
        App::default()
    }

    routes!(get "GET", head "HEAD", post "POST", put "PUT", patch "PATCH", delete "DELETE", options "OPTIONS");

    /// Answers `method` (a token, RFC 9110 §9.1) on `path` with a closure or a function. For a value of a type that
    /// implements [`Handler`], see [`route_handler`](App::route_handler).
    ///
    /// ```
    /// use fleeting::{App, Response};
    ///
    /// let app = App::new().route("PURGE", "/cache/{*path}", |req| Ok(Response::text(req.param("path"))));
    /// ```
    ///
    /// A mistake in the path or the method keeps the server from starting; [`check`](App::check) reports it.
    pub fn route(self, method: &str, path: &str, handler: impl HandlerFn + 'static) -> App {
        self.route_handler(method, path, handler)
    }

    /// The same as [`route`](App::route) for any [`Handler`]: a value of a type of your own, or a `Box<dyn Handler>`.
    /// A closure's lifetimes are not inferred here.
    ///
    /// ```
    /// use fleeting::{App, Error, Handler, Request, Response};
    ///
    /// struct Fixed(&'static str);
    ///
    /// impl Handler for Fixed {
    ///     fn call<'r>(&self, _req: &Request<'r>) -> Result<Response<'r>, Error> {
    ///         Ok(Response::text(self.0))
    ///     }
    /// }
    ///
    /// let app = App::new().route_handler("GET", "/version", Fixed("0.1"));
    /// ```
    pub fn route_handler(mut self, method: &str, path: &str, handler: impl Handler + 'static) -> App {
        let added = self.router.endpoint(path).and_then(|endpoint| endpoint.add(method, Box::new(handler)));
        self.note(path, added);
        self
    }

    /// Answers `method` on `path` with an [`Upload`], which gets the content in pieces as it arrives. A
    /// mistake is reported by [`check`](App::check).
    pub fn upload<U: Upload>(mut self, method: &str, path: &str, server: U) -> App {
        let uploads = Box::new(UploadRoute(Rc::new(server)));
        let added = self.router.endpoint(path).and_then(|endpoint| endpoint.add_upload(method, uploads));
        self.note(path, added);
        self
    }

    /// Serves WebSockets (RFC 6455) on `path`, to clients of the same origin.
    pub fn ws<W: WebSocket>(self, path: &str, server: W) -> App {
        self.ws_with(path, SocketOptions::default(), server)
    }

    /// Serves WebSockets on `path` with these options: [`SocketOptions`] or a [`Policy`](crate::ws::Policy)
    /// alone.
    pub fn ws_with<W: WebSocket>(mut self, path: &str, options: impl Into<SocketOptions>, server: W) -> App {
        let options = options.into();
        let policy = options.policy.clone();
        let number = self.sockets.len() as u16;
        self.sockets.push(options);
        let socket = Box::new(SocketRoute { server: Rc::new(server), policy, number });
        let added = self.router.endpoint(path).and_then(|endpoint| endpoint.upgrade(socket));
        self.note(path, added);
        self
    }

    /// Puts `layer` around everything that answers the application's requests: handlers, the fallback, the application's
    /// own 404, 405, 501 and answers to OPTIONS, uploads before they begin, WebSockets before they open, nested
    /// applications, and the 500 of a handler that panics. The layer that is added last is the outermost one, and the
    /// layers of a nested application are inside all layers of the outer application. Routes that are added after a layer
    /// are covered too. Two things are not covered: requests that cannot be read or are too large, and what is sent later.
    /// Of a deferred answer, an upload or a WebSocket, a layer sees only the response that begins it. An
    /// [`error_page`](App::error_page) renders the errors among these.
    ///
    /// A layer may answer by itself, or call `next` and change the response that comes back. The fields that it sets are
    /// also sent with a deferred answer, with the answer to an upload and with the 101 of a WebSocket, even if that answer
    /// turns out to be an error or a timeout. If a layer returns a different response or replaces the content, the deferred
    /// answer, the upload or the WebSocket is dropped. A WebSocket is also dropped if a layer changes the status of its
    /// 101. A layer cannot change the status of a deferred answer or of the answer to an upload, which is not known yet.
    /// CONNECT is never answered with 2xx, which would open a tunnel (RFC 9110 §9.3.6).
    ///
    /// ```
    /// use fleeting::{App, Error, Response};
    ///
    /// let app = App::new()
    ///     .get("/", |_req| Ok(Response::text("hello")))
    ///     .layer(|req, next| match req.header("authorization") {
    ///         Some("Bearer secret") => next.call(req),
    ///         _ => Err(Error::unauthorized("Bearer", "The token is missing or wrong.")),
    ///     })
    ///     .layer(|req, next| match next.call(req) {
    ///         Ok(response) => response.header("x-served-by", "fleeting"),
    ///         Err(error) => Err(error.header("x-served-by", "fleeting")), // still an error: see error_page
    ///     });
    /// ```
    pub fn layer(mut self, layer: impl LayerFn + 'static) -> App {
        self.router.layer(Rc::new(layer));
        self
    }

    /// Adds the routes of `app` under `prefix`. Its layers go around them, and the layers of this application around those.
    ///
    /// [`Request::path`](super::Request::path) still returns the whole path. The route `/` of `app` answers the prefix
    /// itself, without a `/` at its end. A path under the prefix that has no route gets the fallback of `app`, or that of
    /// this application if `app` has none. A route of this application that matches the prefix by a parameter, such as
    /// `/{*path}`, does not answer paths under it. A route that spells out the prefix, such as `/admin/health`, does, and
    /// the layers of `app` do not go around it.
    ///
    /// ```
    /// use fleeting::{App, Error, Response};
    ///
    /// let admin = App::new()
    ///     .get("/", |_req| Ok(Response::text("admin"))) // /admin
    ///     .delete("/users/{id}", |_req| Ok(Response::new(204))) // /admin/users/{id}
    ///     .layer(|req, next| match req.peer_addr() {
    ///         Some(addr) if addr.ip().is_loopback() => next.call(req),
    ///         _ => Err(Error::forbidden("Only from this machine.")),
    ///     });
    /// let app = App::new().get("/", |_req| Ok(Response::text("hello"))).nest("/admin", admin);
    /// assert_eq!(app.check(), Ok(()));
    /// ```
    ///
    /// A mistake is reported by [`check`](App::check).
    pub fn nest(mut self, prefix: &str, app: App) -> App {
        // Its mistakes were noted with their paths.
        self.error = self.error.or(app.error);
        let added = self.router.nest(prefix, app.router, self.sockets.len() as u16);
        self.sockets.extend(app.sockets);
        self.note(prefix, added);
        self
    }

    /// Adds the routes of `app` under their own paths, inside of its own layers: for a layer that only some routes need.
    /// Paths without a route belong to this application, so `app` may have no fallback.
    ///
    /// ```
    /// use fleeting::{App, Error, Response};
    ///
    /// let closed = App::new().get("/users", |_req| Ok(Response::text("users"))).layer(|req, next| {
    ///     req.header("authorization").ok_or_else(|| Error::unauthorized("Bearer", "The token is missing."))?;
    ///     next.call(req)
    /// });
    /// let app = App::new().get("/healthz", |_req| Ok(Response::text("ok"))).merge(closed);
    /// assert_eq!(app.check(), Ok(()));
    /// ```
    ///
    /// A mistake is reported by [`check`](App::check).
    pub fn merge(mut self, app: App) -> App {
        self.error = self.error.or(app.error);
        let added = self.router.merge(app.router, self.sockets.len() as u16);
        self.sockets.extend(app.sockets);
        self.note("a merged application", added);
        self
    }

    /// Sets what answers GET on the prefix with a `/` behind it, once this application is nested. Its route `/` answers the
    /// prefix itself.
    pub(super) fn slash_when_nested(mut self, handler: Rc<dyn Handler>) -> App {
        self.router.slash_when_nested(handler);
        self
    }

    /// Answers requests whose path has no route, in place of 404, whatever their method.
    ///
    /// ```
    /// use fleeting::{App, Response};
    ///
    /// let app = App::new().fallback(|req| {
    ///     Ok(Response::text(req.arena().format(format_args!("no page {}", req.path()))).with_status(404))
    /// });
    /// ```
    pub fn fallback(mut self, handler: impl HandlerFn + 'static) -> App {
        let added = self.router.fallback(Rc::new(handler));
        self.note("fallback", added);
        self
    }

    /// Renders errors, which are sent as plain text otherwise. It is a [`layer`](App::layer) outside of all others, and also
    /// renders the errors that happen outside of the layers: requests that cannot be read (400, 408, 413, 414, 431 and
    /// others), errors of an upload that has begun, errors that a [`Responder`](super::Responder) sends, the 500 of one that
    /// is dropped, and the 504 of one that takes too long.
    ///
    /// The response gets the error's status, and the error's fields that it does not have, such as Allow and Retry-After. If
    /// `page` fails, or its content comes later, the error is sent as plain text; so is the 500 of a
    /// [`Source`](super::Source) that panics when it is dropped. The page of a nested application is not used: a layer can
    /// render its errors.
    ///
    /// ```
    /// use fleeting::{App, Response};
    ///
    /// let app = App::new().error_page(|error| {
    ///     Ok(Response::html(format!("<h1>{}</h1><p>{}", error.status(), error.message())))
    /// });
    /// ```
    pub fn error_page(mut self, page: impl Fn(&Error) -> Result<Response<'static>, Error> + 'static) -> App {
        self.error_page = Some(ErrorPage::new(page));
        self
    }

    /// Calls `hook` once for each request, when the kernel has taken the last byte of its response or the connection
    /// has failed: for access logs and metrics. That covers all that [`layer`](App::layer) covers, and also requests that
    /// cannot be read. A deferred or streamed response is reported at its end, and a WebSocket when its 101 has left. A
    /// request that the client breaks off before it is complete is not reported, unless it is an upload. An application
    /// has one hook: a second one replaces it, and the hook of a nested application is not used.
    ///
    /// It allocates only when more requests are under way at the same time than ever before. A panic in the hook is
    /// caught and counted.
    ///
    /// ```
    /// use fleeting::{App, Response};
    ///
    /// let app = App::new().get("/", |_req| Ok(Response::text("hello"))).on_complete(|done| {
    ///     let (status, path) = (done.status().unwrap_or(0), done.path());
    ///     println!("{} {path} {status} {} B {:?}", done.method(), done.bytes_out(), done.duration());
    /// });
    /// ```
    pub fn on_complete(mut self, hook: impl Fn(&Completion<'_>) + 'static) -> App {
        self.on_complete = Some(Box::new(hook));
        self
    }

    /// Checks the routes. The server does the same when it starts.
    ///
    /// # Errors
    /// The first mistake that was made when the application was built.
    pub fn check(&self) -> Result<(), RouteError> {
        self.error.clone().map_or(Ok(()), Err)
    }

    /// Keeps the first mistake.
    fn note(&mut self, path: &str, added: Result<(), RouteError>) {
        if let (Err(error), None) = (added, &self.error) {
            self.error = Some(match error {
                RouteError::Twice(method) => RouteError::Twice(format!("{method} on {path}")),
                error => error,
            });
        }
    }

    /// Puts the layers in place, when everything has been added. Called before the application is used; it does nothing
    /// the second time.
    pub(crate) fn finish(mut self) -> App {
        if std::mem::replace(&mut self.finished, true) {
            return self;
        }
        if let Some(page) = &self.error_page {
            self.router.layer(Rc::new(page.clone()));
        }
        let finished = self.router.finish();
        self.note("nested applications", finished);
        self
    }

    /// Whether there is a completion hook.
    pub(crate) fn watches_completions(&self) -> bool {
        self.on_complete.is_some()
    }

    /// Reports a request that is over.
    pub(crate) fn completed(&self, completion: &Completion<'_>, panics: &mut u64) {
        if let Some(hook) = &self.on_complete {
            catch_counted(panics, || hook(completion));
        }
    }

    /// Returns the response for an error that happens outside of the layers.
    #[cold]
    pub(crate) fn error_response(&self, error: Error, panics: &mut u64) -> Response<'static> {
        let rendered = match &self.error_page {
            Some(page) => page.render(error, panics),
            None => Err(error),
        };
        rendered.unwrap_or_else(Response::from)
    }

    /// Returns the options of the WebSocket routes, indexed by the route's number.
    pub(crate) fn sockets(&self) -> &[SocketOptions] {
        &self.sockets
    }

    #[inline(always)]
    pub(crate) fn resolve<'a>(&'a self, head: &Head<'a>, arena: &'a Arena) -> Resolved<'a> {
        self.router.resolve(head, arena)
    }

    /// The same, out of line: the code of HTTP/1.1's path is short because it is inlined there alone.
    #[inline(never)]
    pub(crate) fn resolve_apart<'a>(&'a self, head: &Head<'a>, arena: &'a Arena) -> Resolved<'a> {
        self.resolve(head, arena)
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("error", &self.error).finish_non_exhaustive()
    }
}
