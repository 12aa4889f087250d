//! A request head, read and checked.
//!
//! It knows nothing of how it was read. Its invariant: what stands here has passed every check of the
//! head; there is one way to frame the content, and it is `framing`.

use super::fields::Span;
use super::{Fields, Method, Target};

/// What a request says before its content.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Head<'r> {
    /// The request method.
    pub method: Method<'r>,
    /// The request target, taken apart.
    pub target: Target<'r>,
    /// The version of the protocol that the client speaks.
    pub version: Version,
    /// The header fields.
    pub fields: Fields<'r>,
    /// How the content is framed.
    pub framing: Framing,
    /// The connection may be used for another request (RFC 9112 §9.3).
    pub keep_alive: bool,
    /// The client waits for `100 Continue` before it sends the content (RFC 9110 §10.1.1). Never set
    /// without content, nor in HTTP/1.0.
    pub expects_continue: bool,
    /// The client asks for a WebSocket: `websocket` is in Upgrade and `upgrade` in Connection
    /// (RFC 6455 §4.2.1). Never set in HTTP/1.0 (RFC 9110 §7.8).
    pub upgrade: bool,
    /// Bytes of the head, its empty line included.
    pub len: usize,
    /// The target's authority or the Host field, in what the fields were measured in.
    pub(super) host: Span,
}

impl<'r> Head<'r> {
    /// The authority that the request is meant for: that of the target if it has one, or else the Host
    /// field (RFC 9112 §3.3). Empty if neither says one.
    pub fn host(&self) -> &'r str {
        self.host.text(self.fields.section())
    }

    /// The bytes it was read from: `len` of them.
    pub(crate) fn bytes(&self) -> &'r [u8] {
        self.fields.section()
    }
}

/// A version of HTTP that is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// How a request's content is framed (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Framing {
    /// Neither Content-Length nor Transfer-Encoding: there is no content.
    None,
    /// Content-Length, in bytes.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

impl Framing {
    /// Whether there is no content to come.
    #[inline]
    pub const fn is_empty(self) -> bool {
        matches!(self, Framing::None | Framing::Length(0))
    }
}
