//! The application: a table of routes, which each worker builds once.
//!
//! It knows how routes are added. The router finds them.

use super::handler::{HandlerFn, Wrapped};
use super::router::{Resolved, RouteError, Router};
use super::socket_options::SocketOptions;
use super::upload::{Upload, UploadRoute};
use super::websocket::{SocketRoute, WebSocket};
use super::{Error, Handler, Request, Response};
use crate::arena::Arena;
use crate::http1::Head;
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
}

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
    /// mistake is reported by [`check`](App::check). [`wrap`](App::wrap) does not apply to uploads.
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

    /// Wraps every handler added so far in `around`. The closure may answer by itself, or call the wrapped
    /// handler and change its response.
    ///
    /// ```
    /// use fleeting::{App, Response};
    ///
    /// let app = App::new().get("/", |_req| Ok(Response::text("hello"))).wrap(|req, handler| {
    ///     handler.call(req)?.header("x-served-by", "fleeting")
    /// });
    /// ```
    pub fn wrap<F>(mut self, around: F) -> App
    where
        F: for<'a, 'r> Fn(&'a Request<'r>, &'a dyn Handler) -> Result<Response<'r>, Error> + 'static,
    {
        let around = Rc::new(around);
        for endpoint in &mut self.router.endpoints {
            let wrap = |inner| Box::new(Wrapped { inner, around: around.clone() }) as Box<dyn Handler>;
            let handlers = std::mem::take(&mut endpoint.handlers);
            endpoint.handlers = handlers.into_iter().map(|(method, inner)| (method, wrap(inner))).collect();
        }
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
