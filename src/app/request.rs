//! A request as a handler sees it: borrowed, all of it.

use super::ConnId;
use crate::arena::Arena;
use crate::http1::{Fields, Head, Method, Version};
use crate::keep::{self, Keep};
use crate::transport::Peer;
use std::fmt;
use std::net::SocketAddr;

/// One request. Everything it returns lives as long as `'r`: until the response has been encoded.
///
/// To keep something longer, copy it: [`keep`](Keep::keep).
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

/// A whole request, copied out of the arena in one block.
#[derive(Clone, PartialEq, Eq)]
pub struct KeptRequest {
    /// Everything, one after the other: method, path, query, then names and values, then the content.
    block: Box<[u8]>,
    /// Ends of the pieces in `block`, in their order; each is at least the one before it.
    ends: Box<[u32]>,
    has_query: bool,
}

impl KeptRequest {
    fn piece(&self, index: usize) -> &[u8] {
        let from = if index == 0 { 0 } else { self.ends[index - 1] as usize };
        &self.block[from..self.ends[index] as usize]
    }

    fn text(&self, index: usize) -> &str {
        std::str::from_utf8(self.piece(index)).expect("copied from text")
    }

    /// The method.
    pub fn method(&self) -> &str {
        self.text(0)
    }

    /// The path, as [`Request::path`].
    pub fn path(&self) -> &str {
        self.text(1)
    }

    /// The query, as [`Request::query`].
    pub fn query(&self) -> Option<&str> {
        self.has_query.then(|| self.text(2))
    }

    /// The value of the first field of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let fields = (3..self.ends.len() - 1).step_by(2);
        let at = fields.into_iter().find(|at| self.text(*at).eq_ignore_ascii_case(name))?;
        std::str::from_utf8(self.piece(at + 1)).ok()
    }

    /// The content.
    pub fn body(&self) -> &[u8] {
        self.piece(self.ends.len() - 1)
    }
}

impl fmt::Debug for KeptRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptRequest")
            .field("method", &self.method())
            .field("path", &self.path())
            .field("content_bytes", &self.body().len())
            .finish_non_exhaustive()
    }
}

impl Keep for Request<'_> {
    type Kept = KeptRequest;

    fn keep(&self) -> KeptRequest {
        let mut pieces: Vec<&[u8]> = Vec::with_capacity(4 + 2 * self.fields().len());
        pieces.push(self.parts.head.method.as_str().as_bytes());
        pieces.push(self.path().as_bytes());
        pieces.push(self.query().unwrap_or_default().as_bytes());
        for (name, value) in self.fields().iter() {
            pieces.push(name.as_bytes());
            pieces.push(value);
        }
        pieces.push(self.body());
        let block = pieces.concat();
        keep::count(block.len());
        let ends = pieces.iter().scan(0, |end, piece| {
            *end += piece.len() as u32;
            Some(*end)
        });
        KeptRequest { ends: ends.collect(), block: block.into(), has_query: self.query().is_some() }
    }
}
