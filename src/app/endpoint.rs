//! All that answers the requests of one path, by method.
//!
//! It knows methods, not paths: the [router](super::router) finds the path. Its invariant: a method has one answer.

use super::Handler;
use super::early::Early;
use super::layer::Layers;
use super::request::Pattern;
use super::route_error::RouteError;
use super::upload::Uploads;
use super::websocket::Upgrade;
use crate::http1::{Head, Method};
use std::rc::Rc;

/// What a response needs to know about where its request arrived.
#[derive(Default)]
pub(crate) struct Place {
    pub(crate) pattern: Pattern,
    /// The layers around everything but a handler, which has them inside. Filled when the application is finished.
    pub(crate) layers: Rc<Layers>,
}

/// All handlers of one path.
#[derive(Default)]
pub(super) struct Endpoint {
    pub(super) place: Place,
    pub(super) scope: u32,
    pub(super) handlers: Vec<(KeptMethod, Box<dyn Handler>)>,
    pub(super) socket: Option<Box<dyn Upgrade>>,
    uploads: Vec<(KeptMethod, Box<dyn Uploads>)>,
    /// Nested applications whose prefix takes precedence over the pattern. Filled when the application is finished.
    pub(super) yields_to: Vec<u32>,
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

/// What answers a request.
pub(crate) enum Destination<'a> {
    Handler(&'a dyn Handler),
    Other(Other<'a>),
}

/// What answers a request in place of a handler.
pub(crate) enum Other<'a> {
    /// A WebSocket route, which answers the opening handshake.
    Upgrade(&'a dyn Upgrade),
    Upload(&'a dyn Uploads),
    /// An answer that needs neither a handler nor the request's content.
    Early(Early<'a>),
}

impl Endpoint {
    /// Makes an endpoint that answers no method yet.
    pub(super) fn at(place: Place) -> Endpoint {
        Endpoint { place, ..Endpoint::default() }
    }

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

    pub(super) fn has_params(&self) -> bool {
        self.place.pattern.as_str().contains('{')
    }

    pub(super) fn is_empty(&self) -> bool {
        self.handlers.is_empty() && self.uploads.is_empty() && self.socket.is_none()
    }

    #[inline]
    pub(super) fn resolve<'a>(&'a self, head: &Head<'a>) -> Destination<'a> {
        match self.handler(head.method) {
            Some(handler) => Destination::Handler(handler),
            None => self.resolve_other(head.method),
        }
    }

    #[cold]
    #[inline(never)]
    fn resolve_other(&self, method: Method<'_>) -> Destination<'_> {
        if let Some(uploads) = self.upload(method) {
            return Destination::Other(Other::Upload(uploads));
        }
        let early = |early| Destination::Other(Other::Early(early));
        match (method, &self.socket) {
            // RFC 9110 §9.3.2: HEAD is GET without content in the answer.
            (Method::Head, _) => match self.handler(Method::Get) {
                Some(handler) => Destination::Handler(handler),
                None => early(Early::MethodNotAllowed(&self.allow)),
            },
            (Method::Get, Some(socket)) => Destination::Other(Other::Upgrade(&**socket)),
            (Method::Options, _) => early(Early::Options(&self.allow)),
            (Method::Extension(_), _) => early(Early::MethodUnknown),
            _ => early(Early::MethodNotAllowed(&self.allow)),
        }
    }
}
