//! The request that a handler gets. All of it is borrowed.
//!
//! It knows neither routes nor sockets. Its invariant: nothing it returns outlives the read buffer and the arena.

use super::ConnId;
use super::extensions::Extensions;
use super::forwarded::{self, Forwarded};
use crate::arena::Arena;
use crate::http1::{Fields, Head, Method, Version};
use crate::percent::normal_path;
use crate::transport::{Peer, ProxyHeader};
use std::cell::Cell;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// One request (RFC 9110 §3.4). Everything it returns lives for `'r`, until the response is encoded.
///
/// ```
/// use fleeting::{App, Error, Response};
///
/// let app = App::new().post("/echo/{name}", |req| {
///     let media_type = req.header("content-type").unwrap_or("application/octet-stream");
///     if req.body().is_empty() {
///         return Err(Error::bad_request("There is no content."));
///     }
///     let name = req.arena().format(format_args!("{}-{}", req.conn_id(), req.param("name")));
///     Response::bytes(req.body()).content_type(media_type)?.header("x-name", name)
/// });
/// ```
///
/// To keep a value longer, copy it with [`keep`](crate::Keep::keep). Without that, the compiler objects:
///
/// ```compile_fail
/// // Error: borrowed data escapes.
/// let seen = std::cell::RefCell::new(Vec::new());
/// let app = fleeting::App::new().get("/", move |req| {
///     seen.borrow_mut().push(req.path());
///     Ok(fleeting::Response::new(204))
/// });
/// ```
pub struct Request<'r> {
    parts: RequestParts<'r>,
}

/// Names and decoded values of a route's parameters, if it has any. A reference to a slice reference is one word. A
/// slice reference alone is two words, which are written one by one and read at once, and such a read stalls.
pub(crate) type Params<'r> = Option<&'r &'r [(&'r str, &'r str)]>;

/// The parts of a [`Request`].
pub(crate) struct RequestParts<'r> {
    pub(crate) head: &'r Head<'r>,
    pub(crate) content: &'r [u8],
    pub(crate) trailers: Fields<'r>,
    pub(crate) params: Params<'r>,
    pub(crate) arena: &'r Arena,
    pub(crate) conn: ConnId,
    pub(crate) peer: &'r Peer,
    pub(crate) pattern: &'r Pattern,
    pub(crate) state: RequestState<'r>,
}

/// The path of a route as it was added. Empty if the request has no route.
#[derive(Debug, Default)]
pub(crate) struct Pattern(String);

impl Pattern {
    pub(crate) const NONE: &'static Pattern = &Pattern(String::new());

    pub(crate) fn new(path: &str) -> Pattern {
        Pattern(path.into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// What is noted about a request while it is answered.
#[derive(Default)]
pub(crate) struct RequestState<'r> {
    extensions: Extensions<'r>,
    /// Panics that layers saw as a 500.
    panics: Cell<u64>,
}

impl<'r> Request<'r> {
    #[inline]
    pub(crate) fn new(parts: RequestParts<'r>) -> Request<'r> {
        Request { parts }
    }

    /// Returns the method (RFC 9110 §9).
    pub fn method(&self) -> Method<'r> {
        self.parts.head.method
    }

    /// Returns the target's path, percent-encoded and without the query, as routes are compared with it: unreserved
    /// characters are decoded (RFC 3986 §6.2.2.2), so that a [layer](super::App::layer) that decides by the path sees
    /// `/admin` for `/%61dmin`. It begins with `/`, except that it is `*` for `OPTIONS *` and empty for CONNECT (RFC 9112
    /// §3.2).
    pub fn path(&self) -> &'r str {
        let target = &self.parts.head.target;
        if target.is_escaped() { normal_path(target.path(), self.parts.arena) } else { target.path() }
    }

    /// Returns the target's query as it was sent: the text behind the first `?`. Returns `None` if there is no `?`. See
    /// also [`query_pairs`](Request::query_pairs).
    pub fn query(&self) -> Option<&'r str> {
        self.parts.head.target.query()
    }

    /// Returns the authority that the request is for: what a [trusted](crate::Proxies::trust) proxy says that its client has
    /// asked for; otherwise the target's if it is absolute, otherwise the Host field (RFC 9112 §3.2.2).
    pub fn host(&self) -> &'r str {
        self.forwarded().and_then(|forwarded| forwarded.host).unwrap_or_else(|| self.parts.head.host())
    }

    /// Returns the version of the protocol (RFC 9112 §2.3).
    pub fn version(&self) -> Version {
        self.parts.head.version
    }

    /// Returns the value of the first field of this name, in any case. Returns `None` if there is no such field,
    /// or if its value is not UTF-8 (see [`fields`](Request::fields) for those).
    #[inline]
    pub fn header(&self, name: &str) -> Option<&'r str> {
        std::str::from_utf8(self.parts.head.fields.get(name)?).ok()
    }

    /// Returns all fields of the head, with values as bytes (RFC 9110 §5.5).
    pub fn fields(&self) -> Fields<'r> {
        self.parts.head.fields
    }

    /// Returns the trailer fields, which only chunked content can have (RFC 9112 §7.1.2). Most requests have none.
    pub fn trailers(&self) -> Fields<'r> {
        self.parts.trailers
    }

    /// Returns the content, decoded from its transfer coding (RFC 9112 §7). It is empty if the request has none.
    #[inline]
    pub fn body(&self) -> &'r [u8] {
        self.parts.content
    }

    /// Returns the value of a parameter of the route, percent-decoded.
    ///
    /// # Panics
    /// If the route has no parameter of this name. The client then gets 500. See also
    /// [`try_param`](Request::try_param).
    pub fn param(&self, name: &str) -> &'r str {
        match self.try_param(name) {
            Some(value) => value,
            None => panic!("the route of {} has no parameter {name:?}", self.path()),
        }
    }

    /// Returns the value of a parameter of the route, percent-decoded, or `None` if the route has no parameter of
    /// this name.
    pub fn try_param(&self, name: &str) -> Option<&'r str> {
        self.parts.params?.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// Returns the path of the route as it was added to the application, such as `/users/{id}`, with the prefixes of
    /// nested applications. Returns `None` if no route matches the path, and for a request that was
    /// [kept](super::KeptRequest), as those of an [`Offload`](super::Offload) are.
    pub fn route(&self) -> Option<&'r str> {
        let route = self.parts.pattern.as_str();
        (!route.is_empty()).then_some(route)
    }

    /// Passes a value on to the handler, to [`WebSocket::open`](super::WebSocket::open) and to inner
    /// [layers](super::App::layer), which find it by its type with [`extension`](Request::extension). A second value of
    /// the same type hides the first. A [`KeptRequest`](super::KeptRequest) does not contain these values, so the handlers
    /// of an [`Offload`](super::Offload) do not find them.
    ///
    /// The value lives in the request's arena, so it may not own memory: a `String` or an `Arc` does not
    /// [compile](Arena::alloc). Nor may it borrow: the type is `'static`. Numbers, flags and enums go in here, and text,
    /// such as a user's name, with [`insert_text`](Request::insert_text).
    ///
    /// ```
    /// use fleeting::{App, Error, Response};
    ///
    /// #[derive(Clone, Copy)]
    /// struct UserId(u32);
    ///
    /// let app = App::new()
    ///     .get("/me", |req| {
    ///         let UserId(id) = *req.extension().ok_or(Error::forbidden("Log in first."))?;
    ///         Ok(Response::text(req.arena().format(format_args!("user {id}"))))
    ///     })
    ///     .layer(|req, next| {
    ///         if req.header("authorization") == Some("Bearer secret") {
    ///             req.insert(UserId(7));
    ///         }
    ///         next.call(req)
    ///     });
    /// ```
    pub fn insert<T: 'static>(&self, value: T) -> &'r T {
        // The arena asserts this too, but the compiler's message would not point at the caller.
        const { assert!(!std::mem::needs_drop::<T>(), "a value with Drop cannot be inserted: see insert_text") };
        let value: &'r T = self.arena().alloc(value);
        self.parts.state.extensions.insert(value, self.arena());
        value
    }

    /// Returns the value of this type that was [inserted](Request::insert) last.
    pub fn extension<T: 'static>(&self) -> Option<&'r T> {
        self.parts.state.extensions.value()
    }

    /// Passes text on, as [`insert`](Request::insert) does with values: text of the request, or a copy of other text, which
    /// [`Arena::alloc_str`] makes. `K` is its name: any type, usually an empty one.
    ///
    /// ```
    /// use fleeting::{App, Response};
    ///
    /// struct UserName;
    ///
    /// let app = App::new()
    ///     .get("/me", |req| Ok(Response::text(req.extension_text::<UserName>().unwrap_or("nobody"))))
    ///     .layer(|req, next| {
    ///         if let Some(name) = req.header("x-user") {
    ///             req.insert_text::<UserName>(name);
    ///         }
    ///         next.call(req)
    ///     });
    /// ```
    pub fn insert_text<K: 'static>(&self, text: &'r str) {
        self.parts.state.extensions.insert_text::<K>(text, self.arena());
    }

    /// Returns the text of this name that was [inserted](Request::insert_text) last.
    pub fn extension_text<K: 'static>(&self) -> Option<&'r str> {
        self.parts.state.extensions.text::<K>()
    }

    /// Returns the request's arena, to build the response in.
    #[inline]
    pub fn arena(&self) -> &'r Arena {
        self.parts.arena
    }

    /// Returns the connection that the request arrived on.
    pub fn conn_id(&self) -> ConnId {
        self.parts.conn
    }

    /// Returns the address of the client that has made the request, if it is known: what a [trusted](crate::Proxies::trust) proxy
    /// says, otherwise the [peer's](Request::peer_addr). A proxy need not say its client's port.
    pub fn client_ip(&self) -> Option<IpAddr> {
        let peer = self.parts.peer;
        forwarded::forwarded_ip(peer, &self.parts.head.fields).or_else(|| peer.ip())
    }

    /// Returns what a proxy has said about its client at the beginning of the connection:
    /// [`Proxies::proxy_protocol`](crate::Proxies::proxy_protocol).
    pub fn proxy_header(&self) -> Option<&'r ProxyHeader> {
        self.parts.peer.proxy_header()
    }

    /// Returns what a trusted proxy says of its client in the request.
    #[inline]
    fn forwarded(&self) -> Option<Forwarded<'r>> {
        forwarded::of_fields(self.parts.peer, &self.parts.head.fields)
    }

    /// Returns the peer's address, if the transport has one. The client of a Unix socket has none. If the connection begins with
    /// a [header](Request::proxy_header) of the PROXY protocol, it is the one in there; see also
    /// [`client_ip`](Request::client_ip).
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.parts.peer.addr()
    }

    /// Whether the client's connection is encrypted: that to a proxy, if there is one that says so and is
    /// [believed](crate::Proxies); otherwise the one to this server.
    pub fn is_secure(&self) -> bool {
        let said = self.forwarded().and_then(|forwarded| forwarded.is_secure);
        said.unwrap_or_else(|| self.parts.peer.client_is_secured())
    }

    /// Returns the scheme that the client has used: `https` if its connection is [secure](Request::is_secure), otherwise
    /// `http` (RFC 9110 §4.2).
    pub fn scheme(&self) -> &'static str {
        if self.is_secure() { "https" } else { "http" }
    }

    /// Returns the certificate that the client has shown, in DER (RFC 5280). It is signed by one of the authorities that the
    /// server asks for with [`TlsOptions::clients`](crate::TlsOptions::clients).
    #[cfg(feature = "tls")]
    pub fn client_certificate(&self) -> Option<&'r [u8]> {
        self.parts.peer.certificates().first().map(|certificate| &**certificate)
    }

    pub(crate) fn peer(&self) -> &'r Peer {
        self.parts.peer
    }

    pub(crate) fn head(&self) -> &'r Head<'r> {
        self.parts.head
    }

    /// Returns the number of panics that were caught inside of layers.
    pub(crate) fn panics(&self) -> u64 {
        self.parts.state.panics.get()
    }

    pub(super) fn count_panics(&self, more: u64) {
        let panics = &self.parts.state.panics;
        panics.set(panics.get() + more);
    }

    pub(super) fn parts(&self) -> &RequestParts<'r> {
        &self.parts
    }
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method().as_str())
            .field("path", &self.path())
            .field("content_bytes", &self.body().len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::Limits;
    use crate::http1::{Decoder, HeadStep};

    /// Runs `test` on a request with this method and target, these field lines, each ending in CRLF, and this content.
    pub(in crate::app) fn with_request<T>(
        line: &str,
        fields: &str,
        content: &[u8],
        test: impl for<'r> FnOnce(&Request<'r>) -> T,
    ) -> T {
        let mut input = format!("{line} HTTP/1.1\r\nHost: test\r\n{fields}\r\n").into_bytes();
        let (arena, mut decoder) = (Arena::new(4096), Decoder::new());
        let HeadStep::Head { head, .. } = decoder.head(&mut input, &arena, &Limits::default()) else {
            panic!("{fields:?} is not a valid head");
        };
        let conn = ConnId { worker: 0, index: 0, generation: 0 };
        let (trailers, params, peer) = (Fields::default(), None, &Peer::None);
        let (pattern, state) = (Pattern::NONE, RequestState::default());
        test(&Request::new(RequestParts {
            head,
            content,
            trailers,
            params,
            arena: &arena,
            conn,
            peer,
            pattern,
            state,
        }))
    }
}
