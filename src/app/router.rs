//! Finds the handler of a request: by path first, then by method.
//!
//! It knows paths and methods, not what handlers do. Fixed paths are in one hash table, so a lookup costs the
//! same however many there are. Paths with parameters are in a radix tree.

use super::Handler;
use super::request::Params;
use super::upload::Uploads;
use super::websocket::Upgrade;
use crate::arena::Arena;
use crate::http1::{Head, Method, TargetForm};
use crate::percent::{decode, decode_unreserved};
use ahash::RandomState;
use std::collections::HashMap;
use std::fmt;

/// The routes of an application.
#[derive(Default)]
pub(super) struct Router {
    pub(super) endpoints: Vec<Endpoint>,
    /// Indices into `endpoints` by path, for paths without parameters.
    fixed: HashMap<Box<[u8]>, u32, RandomState>,
    /// Indices into `endpoints`, for paths with parameters.
    patterns: matchit::Router<u32>,
}

/// All handlers of one path.
#[derive(Default)]
pub(super) struct Endpoint {
    pub(super) handlers: Vec<(KeptMethod, Box<dyn Handler>)>,
    pub(super) socket: Option<Box<dyn Upgrade>>,
    uploads: Vec<(KeptMethod, Box<dyn Uploads>)>,
    /// The value of the Allow field (RFC 9110 §10.2.1).
    allow: String,
}

/// A method that a route answers.
pub(super) enum KeptMethod {
    /// A method with a variant of its own, which is compared as a number.
    Known(Method<'static>),
    Extension(Box<str>),
}

impl KeptMethod {
    fn new(name: &str) -> KeptMethod {
        Method::known(name).map_or_else(|| KeptMethod::Extension(name.into()), KeptMethod::Known)
    }

    #[inline]
    fn as_method(&self) -> Method<'_> {
        match self {
            KeptMethod::Known(method) => *method,
            KeptMethod::Extension(name) => Method::Extension(name),
        }
    }
}

/// Why a route could not be added; see [`App::check`](super::App::check).
///
/// ```
/// use fleeting::{App, Response, RouteError};
///
/// let app = App::new().get("hello", |_req| Ok(Response::text("hello")));
/// assert_eq!(app.check(), Err(RouteError::NotAPath("hello".into())));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RouteError {
    /// The path does not begin with `/`.
    NotAPath(String),
    /// The pattern (first field) is malformed or overlaps with another one. The second field is the reason.
    Pattern(String, String),
    /// Two routes answer the same method on the same path, or the method is empty. The field names the method
    /// and the path, such as `GET on /a`.
    Twice(String),
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RouteError::NotAPath(path) => write!(f, "route {path:?}: the path does not begin with /"),
            RouteError::Pattern(path, reason) => write!(f, "route {path:?}: {reason}"),
            RouteError::Twice(method) => write!(f, "two routes answer {method}"),
        }
    }
}

impl std::error::Error for RouteError {}

/// What the router finds for a request.
pub(crate) enum Resolved<'a> {
    /// A handler and the route's parameters.
    Handler(&'a dyn Handler, Params<'a>),
    /// A WebSocket route, which answers the opening handshake, and the route's parameters.
    Upgrade(&'a dyn Upgrade, Params<'a>),
    /// An upload route and the route's parameters.
    Upload(&'a dyn Uploads, Params<'a>),
    /// An answer that needs neither a handler nor the request's content.
    Early(Early<'a>),
}

/// An answer that the router gives itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Early<'a> {
    /// 404.
    NotFound,
    /// 405 with Allow.
    MethodNotAllowed(&'a str),
    /// 204 with Allow: `OPTIONS *`, or OPTIONS on a route that has no handler for it.
    Options(&'a str),
    /// 501: an extension method without a handler, or CONNECT (RFC 9110 §9.1).
    MethodUnknown,
    /// 400: a parameter that is not UTF-8 after decoding.
    BadParameter,
}

/// The answer to `OPTIONS *`: the methods that have a shorthand in [`App`](super::App) (RFC 9110 §9.3.7).
const ALLOW_ALL: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

impl Router {
    /// Returns the endpoint of `path`, and adds one if the path is new.
    pub(super) fn endpoint(&mut self, path: &str) -> Result<&mut Endpoint, RouteError> {
        if !path.starts_with('/') {
            return Err(RouteError::NotAPath(path.into()));
        }
        let next = self.endpoints.len() as u32;
        let index = if path.contains(['{', '}']) {
            match self.patterns.insert(path, next) {
                Ok(()) => next,
                // The same pattern again names the same endpoint. A different pattern that overlaps is an
                // error.
                Err(matchit::InsertError::Conflict { with }) if with == path => {
                    *self.patterns.at(path).map_err(|_| RouteError::Pattern(path.into(), with))?.value
                }
                Err(error) => return Err(RouteError::Pattern(path.into(), error.to_string())),
            }
        } else {
            *self.fixed.entry(path.as_bytes().into()).or_insert(next)
        };
        if index == next {
            self.endpoints.push(Endpoint::default());
        }
        Ok(&mut self.endpoints[index as usize])
    }

    /// Finds what answers the request with this head. Parameters are decoded into the arena.
    #[inline]
    pub(super) fn resolve<'a>(&'a self, head: &Head<'a>, arena: &'a Arena) -> Resolved<'a> {
        let mut path = head.target.path_bytes();
        match head.target.form() {
            TargetForm::Asterisk => return Resolved::Early(Early::Options(ALLOW_ALL)),
            // RFC 9110 §9.3.6: an origin server opens no tunnel.
            TargetForm::Authority => return Resolved::Early(Early::MethodUnknown),
            TargetForm::Origin | TargetForm::Absolute => {}
        }
        if head.target.is_escaped() {
            path = decode_unreserved(path, arena);
        }
        let (index, params) = match self.fixed.get(path) {
            Some(index) => (*index, None),
            None => match self.find_pattern(path, arena) {
                Ok(found) => found,
                Err(early) => return Resolved::Early(early),
            },
        };
        self.endpoints[index as usize].resolve(head, params)
    }

    /// Finds the endpoint with parameters that matches `path`. Returns its index and the parameters.
    #[inline(never)]
    fn find_pattern<'a>(&'a self, path: &'a [u8], arena: &'a Arena) -> Result<(u32, Params<'a>), Early<'a>> {
        // A target is ASCII, and stays ASCII when only unreserved characters are decoded.
        let path = std::str::from_utf8(path).unwrap_or_default();
        let found = self.patterns.at(path).map_err(|_| Early::NotFound)?;
        let params = decode_params(&found.params, arena).ok_or(Early::BadParameter)?;
        Ok((*found.value, Some(arena.alloc(params))))
    }
}

impl Endpoint {
    /// Adds a handler. Fails if the method has one already.
    pub(super) fn add(&mut self, method: &str, handler: Box<dyn Handler>) -> Result<(), RouteError> {
        self.handlers.push((self.unanswered(method)?, handler));
        self.list_methods();
        Ok(())
    }

    /// Adds an upload. Fails if the method has one, or a handler, already.
    pub(super) fn add_upload(&mut self, method: &str, uploads: Box<dyn Uploads>) -> Result<(), RouteError> {
        self.uploads.push((self.unanswered(method)?, uploads));
        self.list_methods();
        Ok(())
    }

    /// Returns the method, or an error if something answers it already.
    fn unanswered(&self, method: &str) -> Result<KeptMethod, RouteError> {
        let kept = KeptMethod::new(method);
        let name = kept.as_method();
        if method.is_empty() || self.handler(name).is_some() || self.upload(name).is_some() {
            return Err(RouteError::Twice(method.into()));
        }
        if method == "GET" && self.socket.is_some() {
            return Err(RouteError::Twice("GET (a WebSocket's handshake)".into()));
        }
        Ok(kept)
    }

    /// Adds a WebSocket. Fails if something answers GET already.
    pub(super) fn upgrade(&mut self, socket: Box<dyn Upgrade>) -> Result<(), RouteError> {
        let taken = self.handler(Method::Get).is_some() || self.upload(Method::Get).is_some();
        if self.socket.is_some() || taken {
            return Err(RouteError::Twice("GET (a WebSocket's handshake)".into()));
        }
        self.socket = Some(socket);
        self.list_methods();
        Ok(())
    }

    fn list_methods(&mut self) {
        let mut methods: Vec<&str> =
            self.handlers.iter().map(|(method, _)| method.as_method().as_str()).collect();
        methods.extend(self.uploads.iter().map(|(method, _)| method.as_method().as_str()));
        let get = self.handler(Method::Get).is_some();
        if self.socket.is_some() {
            methods.push("GET");
        }
        if get && !methods.contains(&"HEAD") {
            methods.push("HEAD");
        }
        if !methods.contains(&"OPTIONS") {
            methods.push("OPTIONS");
        }
        self.allow = methods.join(", ");
    }

    #[inline]
    fn handler(&self, method: Method<'_>) -> Option<&dyn Handler> {
        self.handlers.iter().find(|(kept, _)| kept.as_method() == method).map(|(_, handler)| &**handler)
    }

    fn upload(&self, method: Method<'_>) -> Option<&dyn Uploads> {
        self.uploads.iter().find(|(kept, _)| kept.as_method() == method).map(|(_, uploads)| &**uploads)
    }

    #[inline]
    fn resolve<'a>(&'a self, head: &Head<'a>, params: Params<'a>) -> Resolved<'a> {
        let method = head.method;
        if let Some(handler) = self.handler(method) {
            return Resolved::Handler(handler, params);
        }
        if let Some(uploads) = self.upload(method) {
            return Resolved::Upload(uploads, params);
        }
        match method {
            // RFC 9110 §9.3.2: HEAD is GET without content in the answer.
            Method::Head if self.handler(Method::Get).is_some() => {
                Resolved::Handler(self.handler(Method::Get).expect("checked by the guard"), params)
            }
            Method::Get if self.socket.is_some() => {
                Resolved::Upgrade(&**self.socket.as_ref().expect("checked by the guard"), params)
            }
            Method::Options => Resolved::Early(Early::Options(&self.allow)),
            Method::Extension(_) => Resolved::Early(Early::MethodUnknown),
            _ => Resolved::Early(Early::MethodNotAllowed(&self.allow)),
        }
    }
}

/// Percent-decodes the parameters. Returns `None` if a decoded value is not UTF-8.
fn decode_params<'a>(params: &matchit::Params<'a, 'a>, arena: &'a Arena) -> Option<&'a [(&'a str, &'a str)]> {
    let out = arena.alloc_slice_with(params.len(), |_| ("", ""));
    for (slot, (name, value)) in out.iter_mut().zip(params.iter()) {
        *slot = (name, if value.contains('%') { decode(value, arena)? } else { value });
    }
    Some(out)
}
