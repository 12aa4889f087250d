//! Finds the handler of a request: by path first, then by method.
//!
//! It knows paths and methods, not what handlers do. Fixed paths are in one hash table, so a lookup costs the
//! same however many there are. Paths with parameters are in a radix tree.

use super::Handler;
use super::early::{ALLOW_ALL, Early};
use super::endpoint::{Destination, Endpoint, Other, Place};
use super::layer::{Layer, Layered, Layers};
use super::precedence::prefix_precedes;
use super::request::{Params, Pattern};
use super::route_error::RouteError;
use crate::arena::Arena;
use crate::http1::{Head, TargetForm};
use crate::percent::{decode, decode_unreserved};
use ahash::RandomState;
use std::collections::HashMap;
use std::rc::Rc;

/// The routes of an application, those of nested applications included.
pub(super) struct Router {
    pub(super) endpoints: Vec<Endpoint>,
    /// The application itself, then the nested ones.
    scopes: Vec<Scope>,
    /// Prefixes of the nested applications, each with its scope.
    prefixes: Vec<(Box<str>, u32)>,
    /// Finds the scope of a path without a route. Filled by [`finish`](Router::finish).
    nested: matchit::Router<u32>,
    /// Indices into `endpoints` by path, for paths without parameters.
    fixed: HashMap<Box<[u8]>, u32, RandomState>,
    /// Indices into `endpoints`, for paths with parameters.
    patterns: matchit::Router<u32>,
}

/// What an application adds around its routes.
#[derive(Default)]
struct Scope {
    /// Its own layers, in the order in which they were added. [`finish`](Router::finish) appends those of the
    /// applications that it is nested in.
    layers: Vec<Rc<dyn Layer>>,
    /// Answers paths without a route. [`finish`](Router::finish) adds the layers, and lets a nested application inherit
    /// it.
    fallback: Option<Rc<dyn Handler>>,
    /// That of paths without a route.
    place: Place,
    parent: Option<u32>,
    /// Answers GET on the application's prefix with a `/` behind it, and the scope that it belongs to.
    slash: Option<(Rc<dyn Handler>, u32)>,
}

/// What the router finds for a request.
pub(crate) struct Resolved<'a> {
    pub(crate) to: Destination<'a>,
    pub(crate) params: Params<'a>,
    pub(crate) place: &'a Place,
}

/// Why no pattern was found.
enum Missing {
    Route,
    /// A parameter of the pattern with this index is not UTF-8 after decoding.
    BadParameter(u32),
}

/// The scope of the application itself.
const ROOT: usize = 0;
/// The parameter for the rest of a path under a prefix, a name that no pattern of an application is likely to have.
const REST: &str = "fleeting rest";

impl Default for Router {
    fn default() -> Router {
        Router {
            endpoints: Vec::new(),
            scopes: vec![Scope::default()],
            prefixes: Vec::new(),
            nested: matchit::Router::new(),
            fixed: HashMap::default(),
            patterns: matchit::Router::new(),
        }
    }
}

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
            let place = Place { pattern: Pattern::new(path), ..Place::default() };
            self.endpoints.push(Endpoint::at(place));
        }
        Ok(&mut self.endpoints[index as usize])
    }

    /// Adds an endpoint for `path`, which must be new.
    fn new_endpoint(&mut self, path: &str) -> Result<&mut Endpoint, RouteError> {
        let endpoint = self.endpoint(path)?;
        if endpoint.is_empty() {
            Ok(endpoint)
        } else {
            Err(RouteError::Pattern(path.into(), "a nested or merged application has this path too".into()))
        }
    }

    /// Adds a layer around everything of the application.
    pub(super) fn layer(&mut self, layer: Rc<dyn Layer>) {
        self.scopes[ROOT].layers.push(layer);
    }

    /// Sets the handler for paths without a route. Fails if there is one.
    pub(super) fn fallback(&mut self, handler: Rc<dyn Handler>) -> Result<(), RouteError> {
        match self.scopes[ROOT].fallback.replace(handler) {
            None => Ok(()),
            Some(_) => Err(RouteError::Twice("paths without a route".into())),
        }
    }

    /// Sets what answers GET on the application's prefix with a `/` behind it, once it is nested.
    pub(super) fn slash_when_nested(&mut self, handler: Rc<dyn Handler>) {
        self.scopes[ROOT].slash = Some((handler, ROOT as u32));
    }

    /// Adds the routes of `other` under `prefix`. `sockets` is the number of WebSocket routes so far.
    pub(super) fn nest(&mut self, prefix: &str, mut other: Router, sockets: u16) -> Result<(), RouteError> {
        if !prefix.starts_with('/') || prefix.ends_with('/') || prefix.contains("{*") {
            return Err(RouteError::Prefix(prefix.into()));
        }
        let base = self.scopes.len() as u32;
        if let Some((handler, scope)) = other.scopes[ROOT].slash.take() {
            let endpoint = self.new_endpoint(&format!("{prefix}/"))?;
            endpoint.scope = base + scope;
            endpoint.add("GET", Box::new(handler))?;
        }
        self.prefixes.push((prefix.into(), base));
        self.add(prefix, other, sockets)
    }

    /// Adds the routes of `other` under their own paths. `sockets` is the number of WebSocket routes so far.
    pub(super) fn merge(&mut self, mut other: Router, sockets: u16) -> Result<(), RouteError> {
        if other.scopes[ROOT].fallback.is_some() {
            return Err(RouteError::Fallback);
        }
        if let Some((handler, scope)) = other.scopes[ROOT].slash.take() {
            self.scopes[ROOT].slash = Some((handler, self.scopes.len() as u32 + scope));
        }
        self.add("", other, sockets)
    }

    /// Adds the scopes and routes of `other`, with `prefix` before each path.
    fn add(&mut self, prefix: &str, other: Router, sockets: u16) -> Result<(), RouteError> {
        let base = self.scopes.len() as u32;
        for (inner, scope) in other.prefixes {
            self.prefixes.push((format!("{prefix}{inner}").into(), base + scope));
        }
        self.scopes.extend(other.scopes.into_iter().map(|scope| {
            let parent = scope.parent.map_or(ROOT as u32, |parent| base + parent);
            Scope { parent: Some(parent), ..scope }
        }));
        for mut endpoint in other.endpoints {
            // The nested application's `/` is the prefix itself.
            let path = match endpoint.place.pattern.as_str() {
                "/" if !prefix.is_empty() => prefix.into(),
                path => format!("{prefix}{path}"),
            };
            let outer = self.new_endpoint(&path)?;
            if let Some(socket) = &mut endpoint.socket {
                socket.renumber(sockets);
            }
            endpoint.place = std::mem::take(&mut outer.place);
            endpoint.scope += base;
            *outer = endpoint;
        }
        Ok(())
    }

    /// Puts the layers around handlers and fallbacks. Nothing may be added afterwards.
    pub(super) fn finish(&mut self) -> Result<(), RouteError> {
        // A nested application comes after the one that it is nested in.
        for at in 0..self.scopes.len() {
            if let Some(parent) = self.scopes[at].parent {
                let Scope { layers, fallback, .. } = &self.scopes[parent as usize];
                let (outer, inherited) = (layers.clone(), fallback.clone());
                self.scopes[at].layers.extend(outer);
                if self.scopes[at].fallback.is_none() {
                    self.scopes[at].fallback = inherited;
                }
            }
        }
        let around: Vec<Rc<Layers>> =
            self.scopes.iter().map(|scope| scope.layers.as_slice().into()).collect();
        for (scope, layers) in self.scopes.iter_mut().zip(&around).filter(|(_, layers)| !layers.is_empty()) {
            scope.place.layers = layers.clone();
            scope.fallback = scope.fallback.take().map(|inner| {
                let inner = Box::new(inner) as Box<dyn Handler>;
                Rc::new(Layered { layers: layers.clone(), inner }) as Rc<dyn Handler>
            });
        }
        for endpoint in self.endpoints.iter_mut().filter(|endpoint| endpoint.has_params()) {
            let own = std::iter::successors(Some(endpoint.scope), |at| self.scopes[*at as usize].parent);
            let own: Vec<u32> = own.collect();
            let others = self.prefixes.iter().filter(|(prefix, scope)| {
                !own.contains(scope) && prefix_precedes(prefix, endpoint.place.pattern.as_str())
            });
            endpoint.yields_to = others.map(|(_, scope)| *scope).collect();
        }
        for endpoint in &mut self.endpoints {
            let layers = &around[endpoint.scope as usize];
            if !layers.is_empty() {
                endpoint.place.layers = layers.clone();
                let wrap = |inner| Box::new(Layered { layers: layers.clone(), inner }) as Box<dyn Handler>;
                let handlers = std::mem::take(&mut endpoint.handlers);
                endpoint.handlers =
                    handlers.into_iter().map(|(method, inner)| (method, wrap(inner))).collect();
            }
        }
        for (prefix, scope) in &self.prefixes {
            for pattern in [prefix.to_string(), format!("{prefix}/"), format!("{prefix}/{{*{REST}}}")] {
                self.nested
                    .insert(pattern, *scope)
                    .map_err(|error| RouteError::Pattern(prefix.to_string(), error.to_string()))?;
            }
        }
        Ok(())
    }

    /// Finds what answers the request with this head. Parameters are decoded into the arena.
    #[inline(always)]
    pub(super) fn resolve<'a>(&'a self, head: &Head<'a>, arena: &'a Arena) -> Resolved<'a> {
        let mut path = head.target.path_bytes();
        match head.target.form() {
            TargetForm::Asterisk => return self.early(Early::Options(ALLOW_ALL), ROOT as u32),
            // RFC 9110 §9.3.6: an origin server opens no tunnel.
            TargetForm::Authority => return self.early(Early::MethodUnknown, ROOT as u32),
            TargetForm::Origin | TargetForm::Absolute => {}
        }
        if head.target.is_escaped() {
            path = decode_unreserved(path, arena);
        }
        let (endpoint, params) = match self.fixed.get(path) {
            Some(index) => (&self.endpoints[*index as usize], None),
            None => match find_pattern(&self.patterns, path, arena) {
                Ok((index, params)) => {
                    let endpoint = &self.endpoints[index as usize];
                    if !endpoint.yields_to.is_empty() && self.yields(endpoint, path) {
                        return self.fall_back(Missing::Route, path, arena);
                    }
                    (endpoint, params)
                }
                Err(missing) => return self.fall_back(missing, path, arena),
            },
        };
        Resolved { to: endpoint.resolve(head), params, place: &endpoint.place }
    }

    /// Whether an endpoint that matches the path leaves it to a nested application, which may have no route for it.
    #[inline(never)]
    fn yields(&self, endpoint: &Endpoint, path: &[u8]) -> bool {
        let found = self.nested.at(std::str::from_utf8(path).unwrap_or_default());
        found.is_ok_and(|found| endpoint.yields_to.contains(found.value))
    }

    /// Returns what answers a path without a route: the fallback of the application that has the path, or 404.
    #[cold]
    fn fall_back<'a>(&'a self, missing: Missing, path: &'a [u8], arena: &'a Arena) -> Resolved<'a> {
        match missing {
            Missing::BadParameter(index) => {
                let endpoint = &self.endpoints[index as usize];
                if !self.yields(endpoint, path) {
                    return self.early(Early::BadParameter, endpoint.scope);
                }
            }
            Missing::Route => {}
        }
        let (scope, params) = match find_pattern(&self.nested, path, arena) {
            Ok(found) => found,
            Err(Missing::BadParameter(scope)) => return self.early(Early::BadParameter, scope),
            Err(Missing::Route) => (ROOT as u32, None),
        };
        match &self.scopes[scope as usize] {
            Scope { fallback: Some(handler), place, .. } => {
                Resolved { to: Destination::Handler(&**handler), params, place }
            }
            _ => self.early(Early::NotFound, scope),
        }
    }

    fn early<'a>(&'a self, early: Early<'a>, scope: u32) -> Resolved<'a> {
        let place = &self.scopes[scope as usize].place;
        Resolved { to: Destination::Other(Other::Early(early)), params: None, place }
    }
}

/// Finds the pattern that matches `path`, and decodes its parameters.
#[inline(never)]
fn find_pattern<'a>(
    patterns: &'a matchit::Router<u32>,
    path: &'a [u8],
    arena: &'a Arena,
) -> Result<(u32, Params<'a>), Missing> {
    // A target is ASCII, and stays ASCII when only unreserved characters are decoded.
    let path = std::str::from_utf8(path).unwrap_or_default();
    let found = patterns.at(path).map_err(|_| Missing::Route)?;
    let params = decode_params(&found.params, arena).ok_or(Missing::BadParameter(*found.value))?;
    Ok((*found.value, Some(arena.alloc(params))))
}

/// Percent-decodes the parameters. Returns `None` if a decoded value is not UTF-8.
fn decode_params<'a>(params: &matchit::Params<'a, 'a>, arena: &'a Arena) -> Option<&'a [(&'a str, &'a str)]> {
    let out = arena.alloc_slice_with(params.len(), |_| ("", ""));
    for (slot, (name, value)) in out.iter_mut().zip(params.iter()) {
        *slot = (name, if value.contains('%') { decode(value, arena)? } else { value });
    }
    Some(out)
}
