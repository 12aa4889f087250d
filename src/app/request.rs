//! A request as a handler sees it: borrowed, all of it.

use super::ConnId;
use crate::arena::Arena;
use crate::http1::{Fields, Head, Method, Version};
use crate::transport::Peer;
use std::fmt;
use std::net::SocketAddr;

/// One request. Everything it returns lives as long as `'r`: until the response has been encoded.
///
/// To keep something longer, copy it: [`keep`](crate::Keep::keep).
///
/// ```compile_fail
/// // A piece of the request cannot leave the handler: "borrowed data escapes".
/// let seen = std::cell::RefCell::new(Vec::new());
/// let app = fleeting::App::new().get("/", move |req| {
///     seen.borrow_mut().push(req.path());
///     Ok(fleeting::Response::empty(204))
/// });
/// ```
pub struct Request<'r> {
    parts: RequestParts<'r>,
}

/// Names and decoded values of a route's parameters, if it has any. A thin pointer: a slice is two words,
/// which are written one by one, read as one, and so waited for.
pub(crate) type Params<'r> = Option<&'r &'r [(&'r str, &'r str)]>;

/// What a request is put together from.
pub(crate) struct RequestParts<'r> {
    pub(crate) head: &'r Head<'r>,
    pub(crate) content: &'r [u8],
    pub(crate) trailers: Fields<'r>,
    pub(crate) params: Params<'r>,
    pub(crate) arena: &'r Arena,
    pub(crate) conn: ConnId,
    pub(crate) peer: &'r Peer,
}

impl<'r> Request<'r> {
    #[inline]
    pub(crate) fn new(parts: RequestParts<'r>) -> Request<'r> {
        Request { parts }
    }

    /// The method (RFC 9110 §9).
    pub fn method(&self) -> Method<'r> {
        self.parts.head.method
    }

    /// The target's path as it was sent, percent-encoded, without the query; begins with `/`.
    pub fn path(&self) -> &'r str {
        self.parts.head.target.path()
    }

    /// What follows the `?` of the target, as it was sent.
    pub fn query(&self) -> Option<&'r str> {
        self.parts.head.target.query()
    }

    /// The authority that the request is for: Host, or that of an absolute target (RFC 9112 §3.2.2).
    pub fn host(&self) -> &'r str {
        self.parts.head.host()
    }

    /// The protocol's version.
    pub fn version(&self) -> Version {
        self.parts.head.version
    }

    /// The value of the first field of this name, in any case; `None` if there is none or if it is not
    /// UTF-8 (for that, see [`fields`](Request::fields)).
    #[inline]
    pub fn header(&self, name: &str) -> Option<&'r str> {
        std::str::from_utf8(self.parts.head.fields.get(name)?).ok()
    }

    /// All fields of the head, values as bytes (RFC 9110 §5.5).
    pub fn fields(&self) -> Fields<'r> {
        self.parts.head.fields
    }

    /// The trailer fields of chunked content (RFC 9112 §7.1.2); mostly none.
    pub fn trailers(&self) -> Fields<'r> {
        self.parts.trailers
    }

    /// The content, decoded from its transfer coding; empty if there was none.
    #[inline]
    pub fn body(&self) -> &'r [u8] {
        self.parts.content
    }

    /// The value of a parameter of the route, percent-decoded.
    ///
    /// # Panics
    /// If the route has no parameter of this name (the client then gets 500): see
    /// [`try_param`](Request::try_param).
    pub fn param(&self, name: &str) -> &'r str {
        match self.try_param(name) {
            Some(value) => value,
            None => panic!("the route of {} has no parameter {name:?}", self.path()),
        }
    }

    /// The value of a parameter of the route, percent-decoded, if there is one of this name.
    pub fn try_param(&self, name: &str) -> Option<&'r str> {
        self.parts.params?.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// The arena of this request, to build the response in.
    #[inline]
    pub fn arena(&self) -> &'r Arena {
        self.parts.arena
    }

    /// The connection it came on.
    pub fn conn_id(&self) -> ConnId {
        self.parts.conn
    }

    /// The peer's address, where the transport has one.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.parts.peer.addr()
    }

    pub(crate) fn head(&self) -> &'r Head<'r> {
        self.parts.head
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
