//! A request head that has been parsed and checked.
//!
//! It does not know how it was parsed. Its invariant: it has passed every check, and `framing` is the only
//! valid way to frame its content.

use super::fields::Span;
use super::{Fields, Method, Target};

/// A request head: everything that a request says before its content.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Head<'r> {
    /// The request method.
    pub method: Method<'r>,
    /// The request target, split into its parts.
    pub target: Target<'r>,
    /// The version of HTTP that the client speaks.
    pub version: Version,
    /// The header fields.
    pub fields: Fields<'r>,
    /// How the content is framed.
    pub framing: Framing,
    /// The connection may be used for another request (RFC 9112 §9.3).
    pub keep_alive: bool,
    /// The client waits for `100 Continue` before it sends the content (RFC 9110 §10.1.1). Never set if there
    /// is no content, nor in HTTP/1.0.
    pub expects_continue: bool,
    /// The client asks for a WebSocket: Upgrade lists `websocket` and Connection lists `upgrade`
    /// (RFC 6455 §4.2.1), or `:protocol` is `websocket` (RFC 8441 §5). Never set in HTTP/1.0 (RFC 9110 §7.8).
    pub upgrade: bool,
    /// The length of the head in bytes, including its empty line. In HTTP/2, the size of the field section (RFC 9113 §6.5.2).
    pub len: usize,
    /// The target's authority or the Host field, in the section of `fields`.
    pub(crate) host: Span,
}

impl<'r> Head<'r> {
    /// Returns the authority that the request is for: the target's if it has one, else the Host field
    /// (RFC 9112 §3.3). It is empty if the request has neither.
    pub fn host(&self) -> &'r str {
        self.host.text(self.fields.section())
    }

    /// Returns the `len` bytes that the head was parsed from.
    pub(crate) fn bytes(&self) -> &'r [u8] {
        self.fields.section()
    }
}

/// A version of HTTP that the core supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1, and what a client sends as HTTP/1.2 to HTTP/1.9 (RFC 9110 §2.5).
    Http11,
    /// HTTP/2.
    Http2,
}

/// How a request's content is framed (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Framing {
    /// There is no content: neither Content-Length nor Transfer-Encoding.
    None,
    /// Content-Length, in bytes.
    Length(u64),
    /// `Transfer-Encoding: chunked`. In HTTP/2, content whose length is not stated (RFC 9113 §8.1).
    Chunked,
}

impl Framing {
    /// Returns whether no bytes of content follow the head.
    #[inline]
    pub const fn is_empty(self) -> bool {
        matches!(self, Framing::None | Framing::Length(0))
    }
}
