//! The application: a table of routes, which each worker builds once.
//!
//! It knows how routes are added. The router finds them.

use super::handler::HandlerFn;
use super::layer::LayerFn;
use super::route_error::RouteError;
use super::router::{Resolved, Router};
use super::socket_options::SocketOptions;
use super::upload::{Upload, UploadRoute};
use super::websocket::{SocketRoute, WebSocket};
use super::{Body, Completion, Error, Handler, Response};
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
type ErrorPage = Box<dyn Fn(&Error) -> Result<Response<'static>, Error>>;

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
    /// applications, and the 500 of a handler that panics. It does not matter whether a route is added before or after
    /// it. A layer that is added later is outside of the earlier ones, and the layers of a nested application are inside
    /// of all of the outer one's. Not covered are requests that cannot be read or are too large, and what follows an answer
    /// that comes later: for a deferred answer, an upload and a WebSocket the response that a layer sees is the beginning.
    /// The errors among them are rendered by the [`error_page`](App::error_page).
    ///
    /// The closure may answer by itself, or call on and change the response: its fields are sent with a deferred answer,
    /// with the answer of an upload, and with the 101 of a WebSocket, also if that answer is an error or a timeout's. If it
    /// returns another response instead, or this one with other content, the deferred answer, the upload or the WebSocket is dropped. So is a WebSocket whose 101 gets
    /// another status; the status of a deferred answer and of an upload's answer is not known yet, and not a layer's to
    /// change. CONNECT is never answered with 2xx, which would open a tunnel (RFC 9110 §9.3.6).
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
    ///     .layer(|req, next| {
    ///         let response = next.call(req).unwrap_or_else(Response::from); // refusals too
    ///         response.header("x-served-by", "fleeting")
    ///     });
    /// ```
    pub fn layer(mut self, layer: impl LayerFn + 'static) -> App {
        self.router.layer(Rc::new(layer));
        self
    }

    /// Adds the routes of `app` under `prefix`, inside of its own layers. Requests keep their whole path. The route `/` of
    /// `app` answers the prefix itself, without a `/` behind it. Paths under the prefix without a route get the fallback
    /// of `app`, or the one of this application. A route of this application with a parameter before the prefix ends, such
    /// as `/{*path}`, does not answer them; one that says more, such as `/admin/health`, does, outside of the layers of
    /// `app`.
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

    /// Renders errors, which are sent as plain text otherwise: every error that no layer has made a response of, and those
    /// that happen outside of the layers. Those are requests that cannot be read (400, 408, 413, 414, 431 and others),
    /// errors of an upload that has begun, errors that a [`Responder`](super::Responder) sends, the 500 of one that is
    /// dropped, and the 504 of one that takes too long.
    ///
    /// The response gets the error's status, and the error's fields that it does not have, such as Allow and Retry-After. If
    /// `page` fails, or its content comes later, the error is sent as plain text. The page of a nested application is not
    /// used: a [`layer`](App::layer) can render its errors.
    ///
    /// ```
    /// use fleeting::{App, Response};
    ///
    /// let app = App::new().error_page(|error| {
    ///     Ok(Response::html(format!("<h1>{}</h1><p>{}", error.status(), error.message())))
    /// });
    /// ```
    pub fn error_page(mut self, page: impl Fn(&Error) -> Result<Response<'static>, Error> + 'static) -> App {
        self.error_page = Some(Box::new(page));
        self
    }

    /// Calls `hook` once for each request, when the kernel has taken the last byte of its response or the connection
    /// has failed: for access logs and metrics. That covers all that [`layer`](App::layer) covers, and also requests that
    /// cannot be read. A deferred or streamed response is reported at its end, and a WebSocket when its 101 has left. A
    /// request that the client breaks off before it is complete is not reported, but an upload is. The hook of a
    /// nested application is not used.
    ///
    /// Nothing is allocated for it, once as many requests were under way at the same time. A panic in the hook is counted.
    ///
    /// ```
    /// use fleeting::{App, Response};
    ///
    /// let app = App::new().get("/", |_req| Ok(Response::text("hello"))).on_complete(|done| {
    ///     let (status, target) = (done.status().unwrap_or(0), done.path());
    ///     println!("{} {target} {status} {} B {:?}", done.method(), done.bytes_out(), done.duration());
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

    /// Returns the response for an error that leaves the application.
    #[cold]
    pub(crate) fn error_response(&self, error: Error, panics: &mut u64) -> Response<'static> {
        let Some(page) = &self.error_page else { return error.into() };
        match catch_counted(panics, || page(&error)) {
            // It may be the connection's last response, so its content cannot come later.
            Some(Ok(mut response)) if !matches!(response.body, Body::Pending(_)) => {
                response.status = error.status();
                response.fields.add_missing(error.fields());
                response
            }
            _ => error.into(),
        }
    }

    /// Returns the options of the WebSocket routes, indexed by the route's number.
    pub(crate) fn sockets(&self) -> &[SocketOptions] {
        &self.sockets
    }

    #[inline]
    pub(crate) fn resolve<'a>(&'a self, head: &Head<'a>, arena: &'a Arena) -> Resolved<'a> {
        self.router.resolve(head, arena)
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("error", &self.error).finish_non_exhaustive()
    }
}
