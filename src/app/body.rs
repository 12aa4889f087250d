//! A response's content: bytes in memory or in a file, or content that is made later.
//!
//! It knows neither handlers nor framing. Its invariant: a [`Body`] is moved, never copied, except where
//! [`Response::keep`](super::Response::keep) copies borrowed bytes.

use super::Error;
use super::events_options::TopicEvents;
use super::fields::FieldBlock;
use super::slot::Receiver;
use super::source::Streamed;
use crate::buffer::FilePart;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// The content of a response (RFC 9110 §6.4). Each variant says where the bytes are, which decides whether
/// they are copied on their way to the socket.
///
/// Content below 16 KiB is copied behind its head, so that both leave in one write. Larger content is sent
/// from where it is. Only [`Borrowed`](Body::Borrowed) bytes that the socket does not accept at once are
/// copied.
///
/// Text, slices, vectors, `Arc<[u8]>` and [`FilePart`] convert into a body, so code rarely names the type.
/// Name [`Body::Static`] for `'static` content, which would otherwise convert into [`Body::Borrowed`]:
///
/// ```
/// use fleeting::{App, Body, Response};
///
/// static LOGO: [u8; 4] = *b"\x89PNG";
///
/// let app = App::new()
///     .get("/logo", |_req| Response::bytes(Body::Static(&LOGO)).content_type("image/png"))
///     .get("/path", |req| Ok(Response::text(req.path()))) // borrowed
///     .get("/list", |_req| Ok(Response::text(format!("{:?}", [1, 2, 3])))); // owned
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Body<'r> {
    /// No content.
    Empty,
    /// Bytes of the request or of its arena. What the socket does not accept at once is copied.
    Borrowed(&'r [u8]),
    /// Bytes that live as long as the program. Not copied from 16 KiB on.
    Static(&'static [u8]),
    /// Bytes that the body owns. Not copied from 16 KiB on.
    Owned(Vec<u8>),
    /// Bytes shared with other owners. Not copied from 16 KiB on.
    Shared(Arc<[u8]>),
    /// A part of a file, read when it is sent. From 16 KiB on the kernel sends it (`sendfile`).
    File(Box<FilePart>),
    /// Content that does not exist yet: see [`Response::defer`](super::Response::defer) and
    /// [`Response::source`](super::Response::source).
    Pending(Pending),
}

/// Content, or a whole answer, that does not exist yet. Only [`Response`](super::Response)'s constructors
/// make one.
pub struct Pending {
    /// `None` if an upload or a WebSocket has begun, which makes the answer itself.
    awaited: Option<Box<Awaited>>,
}

/// What completes a [`Pending`] body.
pub(crate) enum Awaited {
    /// Another thread's answer.
    Answer(Promise),
    /// Content that is made while it is sent.
    Source(Streamed),
    /// Publications, from now on.
    Events(TopicEvents),
}

/// The connection's end of a deferred answer.
pub(crate) type Promise = Receiver<Answer>;

/// What a [`Responder`](super::Responder) sends: a [`Response`](super::Response), an [`Error`], or a `Result` of both, as
/// handlers return it. Each converts into it.
#[derive(Debug)]
pub struct Answer(pub(super) Result<AnswerParts, Error>);

/// The parts that a [`Response`](super::Response) consists of. `Response` is built on [`Body`], so a body that awaits a
/// whole answer refers to the parts instead.
#[derive(Debug)]
pub(super) struct AnswerParts {
    pub(super) status: u16,
    pub(super) fields: FieldBlock,
    pub(super) body: Body<'static>,
    pub(super) close: bool,
}

impl Pending {
    pub(super) const BEGUN: Pending = Pending { awaited: None };

    pub(crate) fn awaited(&self) -> Option<&Awaited> {
        self.awaited.as_deref()
    }

    pub(crate) fn into_awaited(self) -> Option<Awaited> {
        self.awaited.map(|awaited| *awaited)
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.awaited() {
            Some(Awaited::Answer(_)) => "Pending(answer)",
            Some(Awaited::Source(_)) => "Pending(source)",
            Some(Awaited::Events(_)) => "Pending(events)",
            None => "Pending(begun)",
        })
    }
}

impl Body<'_> {
    pub(super) fn pending(awaited: Awaited) -> Self {
        Body::Pending(Pending { awaited: Some(Box::new(awaited)) })
    }

    /// Returns the number of bytes, in memory or in a file. Pending content has 0.
    #[inline]
    pub fn len(&self) -> u64 {
        match self {
            Body::File(part) => part.len(),
            _ => self.bytes().len() as u64,
        }
    }

    /// Whether [`len`](Body::len) is 0.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the bytes in memory. A file and pending content have none.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Body::Empty => &[],
            Body::Borrowed(bytes) => bytes,
            Body::Static(bytes) => bytes,
            Body::Owned(bytes) => bytes,
            Body::Shared(bytes) => bytes,
            Body::File(_) | Body::Pending(_) => &[],
        }
    }
}

impl<'r> From<&'r str> for Body<'r> {
    fn from(text: &'r str) -> Body<'r> {
        Body::Borrowed(text.as_bytes())
    }
}

impl<'r> From<&'r [u8]> for Body<'r> {
    fn from(bytes: &'r [u8]) -> Body<'r> {
        Body::Borrowed(bytes)
    }
}

impl<'r, const N: usize> From<&'r [u8; N]> for Body<'r> {
    fn from(bytes: &'r [u8; N]) -> Body<'r> {
        Body::Borrowed(bytes)
    }
}

impl From<String> for Body<'_> {
    fn from(text: String) -> Self {
        Body::Owned(text.into_bytes())
    }
}

impl From<Vec<u8>> for Body<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Body::Owned(bytes)
    }
}

impl From<Arc<[u8]>> for Body<'_> {
    fn from(bytes: Arc<[u8]>) -> Self {
        Body::Shared(bytes)
    }
}

impl From<FilePart> for Body<'_> {
    fn from(part: FilePart) -> Self {
        Body::File(Box::new(part))
    }
}

impl<'r> From<Cow<'r, str>> for Body<'r> {
    fn from(text: Cow<'r, str>) -> Body<'r> {
        match text {
            Cow::Borrowed(text) => text.into(),
            Cow::Owned(text) => text.into(),
        }
    }
}
