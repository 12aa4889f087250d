//! The application: a table of routes, built once per worker.

use super::handler::Wrapped;
use super::router::{Resolved, RouteError, Router};
use super::socket_options::SocketOptions;
use super::upload::{Upload, UploadRoute};
use super::websocket::{Endpoint, WebSocket};
use super::{Error, Handler, Request, Response};
use crate::arena::Arena;
use crate::http1::Head;
use std::fmt;
use std::rc::Rc;

/// Routes and what answers them. Each worker has its own, so handlers need be neither `Send` nor
/// `Sync`.
///
/// Paths may have parameters, `/hello/{name}`, and end in a wildcard, `/files/{*rest}`. A fixed path
/// goes before one with parameters. HEAD is answered by GET's handler, OPTIONS by the methods there
/// are, a known path with another method by 405 and Allow.
///
/// ```
/// use fleeting::{App, Response};
///
/// let app = App::new()
///     .get("/", |_req| Ok(Response::text("hello")))
///     .get("/hello/{name}", |req| Ok(Response::text(req.param("name"))));
/// assert!(app.check().is_ok());
/// ```
#[derive(Default)]
pub struct App {
    router: Router,
    /// Of each WebSocket route, in the order in which they were added.
    sockets: Vec<SocketOptions>,
    error: Option<RouteError>,
}

/// The methods that take a closure: the bound stands here, so that a closure's lifetimes are inferred.
macro_rules! routes {
    ($($name:ident $method:literal),*) => {$(
        #[doc = concat!("Answers ", $method, " on `path`.")]
        pub fn $name<F>(self, path: &str, handler: F) -> App
        where
            F: for<'a, 'r> Fn(&'a Request<'r>) -> Result<Response<'r>, Error> + 'static,
        {
            self.route($method, path, handler)
        }
    )*};
}

impl App {
    /// An application without routes: it answers 404.
    pub fn new() -> App {
        App::default()
    }

    routes!(get "GET", head "HEAD", post "POST", put "PUT", patch "PATCH", delete "DELETE", options "OPTIONS");

    /// Answers `method` (a token, RFC 9110 §9.1) on `path`, with a function or a type that is a
    /// [`Handler`]. A closure's lifetimes are not inferred here: see [`get`](App::get) and its like.
    ///
    /// A mistake is remembered: the server does not start, [`check`](App::check) tells why.
    pub fn route(mut self, method: &str, path: &str, handler: impl Handler + 'static) -> App {
        let added = self.router.endpoint(path).and_then(|endpoint| endpoint.add(method, Box::new(handler)));
        self.note(added);
        self
    }

    /// Takes the content of `method` on `path` as it arrives, instead of gathering it for a handler. What
    /// [`wrap`](App::wrap) puts around handlers does not go around uploads.
    pub fn upload<U: Upload>(mut self, method: &str, path: &str, server: U) -> App {
        let uploads = Box::new(UploadRoute(Rc::new(server)));
        let added = self.router.endpoint(path).and_then(|endpoint| endpoint.add_upload(method, uploads));
        self.note(added);
        self
    }

    /// Serves WebSockets on `path`, to clients of the same origin.
    pub fn ws<W: WebSocket>(self, path: &str, server: W) -> App {
        self.ws_with(path, SocketOptions::default(), server)
    }

    /// Serves WebSockets on `path`, as `options` say; a [`Policy`](crate::ws::Policy) alone will do.
    pub fn ws_with<W: WebSocket>(mut self, path: &str, options: impl Into<SocketOptions>, server: W) -> App {
        let options = options.into();
        let policy = options.policy.clone();
        let number = self.sockets.len() as u16;
        self.sockets.push(options);
        let socket = Box::new(Endpoint { server: Rc::new(server), policy, number });
        let added = self.router.endpoint(path).and_then(|endpoint| endpoint.upgrade(socket));
        self.note(added);
        self
    }

    /// Puts `around` around every handler that is there so far. It may answer itself, or call the
    /// handler it is given and change the response.
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

    /// The first mistake that was made in building it.
    ///
    /// # Errors
    /// That mistake.
    pub fn check(&self) -> Result<(), RouteError> {
        self.error.clone().map_or(Ok(()), Err)
    }

    fn note(&mut self, added: Result<(), RouteError>) {
        if let (Err(error), None) = (added, &self.error) {
            self.error = Some(error);
        }
    }

    /// The options of all WebSocket routes, by their number.
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
