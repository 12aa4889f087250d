//! A response as a handler makes it.

use super::Error;
use super::defer::Promise;
use super::source::Streamed;
use crate::buffer::FilePart;
use crate::http1::{self, FieldError};
use crate::keep;
use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

/// The answer to a request. It may borrow the request and its arena: `'r`.
///
/// ```
/// use fleeting::Response;
///
/// let created = Response::status(201).header("location", "/clients/7")?.body("made");
/// # Ok::<(), fleeting::Error>(())
/// ```
#[derive(Debug)]
pub struct Response<'r> {
    pub(crate) status: u16,
    pub(crate) fields: FieldBlock,
    pub(crate) body: Body<'r>,
    pub(crate) close: bool,
}

/// Content of a response: where it lies decides whether it is ever copied.
#[derive(Debug)]
#[non_exhaustive]
pub enum Body<'r> {
    /// No content.
    Empty,
    /// A piece of the request, or of its arena; what the socket does not take at once is copied.
    Borrowed(&'r [u8]),
    /// Bytes that are always there: never copied when they are many.
    Static(&'static [u8]),
    /// Bytes of its own: never copied when they are many.
    Owned(Vec<u8>),
    /// Bytes shared with others: never copied when they are many.
    Shared(Arc<[u8]>),
    /// A part of a file, read when it is sent: mostly by the kernel, which copies it nowhere else.
    File(Box<FilePart>),
    /// Content that is not there yet: see [`Response::defer`] and [`Response::source`].
    Pending(Pending),
}

/// Content, or a whole answer, that is not there yet.
pub struct Pending {
    awaited: Box<Awaited>,
}

/// What is not there yet.
pub(crate) enum Awaited {
    /// Another thread's answer.
    Answer(Promise),
    /// Content that is made while it is sent.
    Source(Streamed),
}

impl Pending {
    pub(crate) fn awaited(&self) -> &Awaited {
        &self.awaited
    }

    pub(crate) fn into_awaited(self) -> Awaited {
        *self.awaited
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self.awaited {
            Awaited::Answer(_) => "Pending(answer)",
            Awaited::Source(_) => "Pending(source)",
        })
    }
}

impl Body<'_> {
    pub(super) fn pending(awaited: Awaited) -> Self {
        Body::Pending(Pending { awaited: Box::new(awaited) })
    }

    /// How many bytes it has, wherever they lie.
    #[inline]
    pub fn len(&self) -> u64 {
        match self {
            Body::File(part) => part.len(),
            _ => self.bytes().len() as u64,
        }
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes in memory: none of a file's, and none of those that are not there yet.
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

const TEXT: &[u8] = b"Content-Type: text/plain; charset=utf-8\r\n";
const HTML: &[u8] = b"Content-Type: text/html; charset=utf-8\r\n";
const BYTES: &[u8] = b"Content-Type: application/octet-stream\r\n";
#[cfg(feature = "json")]
pub(super) const JSON: &[u8] = b"Content-Type: application/json\r\n";

impl<'r> Response<'r> {
    /// A response of this status, without content for now.
    ///
    /// # Panics
    /// If `status` is not a final status, 200 to 599 (RFC 9110 §15).
    #[inline]
    pub fn status(status: u16) -> Response<'r> {
        assert!((200..=599).contains(&status), "{status} is not a final status");
        Response { status, fields: FieldBlock::Fixed(b""), body: Body::Empty, close: false }
    }

    /// 200 with a Content-Type, encoded already.
    #[inline]
    pub(super) fn of_type(line: &'static [u8], body: impl Into<Body<'r>>) -> Response<'r> {
        Response { status: 200, fields: FieldBlock::Fixed(line), body: body.into(), close: false }
    }

    /// A response of this status with a Content-Type, which goes if another one is set.
    pub(super) fn typed(status: u16, media_type: &str) -> Result<Response<'r>, Error> {
        let mut response = Response::status(status).content_type(media_type)?;
        if let FieldBlock::Memory { bytes, fixed_bytes } = &mut response.fields {
            *fixed_bytes = bytes.len();
        }
        Ok(response)
    }

    /// With this Content-Type, encoded already, and no other field.
    pub(super) fn with_line(mut self, line: &'static [u8]) -> Response<'r> {
        self.fields = FieldBlock::Fixed(line);
        self
    }

    /// A response of this status that stays without content.
    #[inline]
    pub fn empty(status: u16) -> Response<'r> {
        Response::status(status)
    }

    /// 200 with `text/plain; charset=utf-8`.
    #[inline]
    pub fn text(text: impl Into<Body<'r>>) -> Response<'r> {
        Response::of_type(TEXT, text)
    }

    /// 200 with `text/html; charset=utf-8`.
    pub fn html(text: impl Into<Body<'r>>) -> Response<'r> {
        Response::of_type(HTML, text)
    }

    /// 200 with `application/octet-stream`.
    pub fn bytes(bytes: impl Into<Body<'r>>) -> Response<'r> {
        Response::of_type(BYTES, bytes)
    }

    /// Sets the content.
    #[inline]
    pub fn body(mut self, body: impl Into<Body<'r>>) -> Response<'r> {
        self.body = body.into();
        self
    }

    /// Sets the Content-Type.
    ///
    /// # Errors
    /// If the value holds a CR, LF, NUL or another control character: it never reaches the wire.
    pub fn content_type(self, value: &str) -> Result<Response<'r>, Error> {
        self.header("content-type", value)
    }

    /// Adds a field.
    ///
    /// # Errors
    /// If the name is not a token (RFC 9110 §5.6.2), if the value holds a CR, LF, NUL or another
    /// control character (RFC 9110 §5.5), or if the field belongs to the server (`Content-Length`,
    /// `Transfer-Encoding`, `Connection`, `Date`...).
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Result<Response<'r>, Error> {
        self.fields.push(name, value.as_ref())?;
        Ok(self)
    }

    /// Changes the status, for a response that came from elsewhere with its content.
    ///
    /// # Panics
    /// If `status` is not a final status, 200 to 599 (RFC 9110 §15).
    pub fn with_status(mut self, status: u16) -> Response<'r> {
        self.status = Response::status(status).status;
        self
    }

    /// Closes the connection after this response.
    pub fn close(mut self) -> Response<'r> {
        self.close = true;
        self
    }

    /// The same response, borrowing nothing: content that it has borrowed is copied, and counted as by
    /// [`Keep`](crate::Keep).
    pub fn keep(self) -> Response<'static> {
        let Response { status, fields, body, close } = self;
        let body = match body {
            Body::Borrowed(bytes) => {
                keep::count(bytes.len());
                Body::Owned(bytes.to_vec())
            }
            Body::Empty => Body::Empty,
            Body::Static(bytes) => Body::Static(bytes),
            Body::Owned(bytes) => Body::Owned(bytes),
            Body::Shared(bytes) => Body::Shared(bytes),
            Body::File(part) => Body::File(part),
            Body::Pending(pending) => Body::Pending(pending),
        };
        Response { status, fields, body, close }
    }
}

impl From<Error> for Response<'_> {
    fn from(error: Error) -> Self {
        let status = error.status();
        let body = match error.into_message() {
            Cow::Borrowed(text) => Body::Static(text.as_bytes()),
            Cow::Owned(text) => Body::Owned(text.into_bytes()),
        };
        Response { status, ..Response::of_type(TEXT, body) }
    }
}

/// Fields as they go on the wire.
pub(crate) enum FieldBlock {
    /// The Content-Type that a constructor has set, or nothing.
    Fixed(&'static [u8]),
    /// In memory that the thread's next response uses again. The first `fixed_bytes` are a Content-Type
    /// that was there already, and goes if another one is set.
    Memory { bytes: Vec<u8>, fixed_bytes: usize },
}

thread_local! {
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl FieldBlock {
    pub(crate) fn push(&mut self, name: &str, value: &[u8]) -> Result<(), FieldError> {
        if let FieldBlock::Fixed(line) = *self {
            let mut bytes = SPARE.take();
            bytes.extend_from_slice(line);
            *self = FieldBlock::Memory { bytes, fixed_bytes: line.len() };
        }
        let FieldBlock::Memory { bytes, fixed_bytes } = self else { unreachable!("just made") };
        http1::encode_field(bytes, name, value)?;
        if *fixed_bytes > 0 && name.eq_ignore_ascii_case("content-type") {
            bytes.drain(..std::mem::take(fixed_bytes));
        }
        Ok(())
    }

    /// Puts the fields of a response that was deferred in front of those of its answer. There is one
    /// Content-Type: the answer's, if it has one.
    pub(crate) fn put_in_front(&mut self, before: &FieldBlock) {
        if before.bytes().is_empty() {
            return;
        }
        let is_type =
            |line: &[u8]| line.get(..13).is_some_and(|name| name.eq_ignore_ascii_case(b"content-type:"));
        let lines = |bytes| <[u8]>::split_inclusive(bytes, |byte| *byte == b'\n');
        let typed = lines(self.bytes()).any(is_type);
        let kept = lines(before.bytes()).filter(|line| !(typed && is_type(line)));
        let bytes = kept.chain(lines(self.bytes())).flatten().copied().collect();
        *self = FieldBlock::Memory { bytes, fixed_bytes: 0 };
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            FieldBlock::Fixed(line) => line,
            FieldBlock::Memory { bytes, .. } => bytes,
        }
    }
}

impl Drop for FieldBlock {
    #[inline]
    fn drop(&mut self) {
        if let FieldBlock::Memory { bytes, .. } = self
            && bytes.capacity() <= 4096
        {
            let mut memory = std::mem::take(bytes);
            memory.clear();
            SPARE.set(memory);
        }
    }
}

impl fmt::Debug for FieldBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&String::from_utf8_lossy(self.bytes()), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_would_break_the_framing_are_errors() {
        fn check(name: &str, value: &str, ok: bool) {
            let response = Response::status(200).header(name, value);
            assert_eq!(response.is_ok(), ok, "{name}: {value:?}");
            if let Err(error) = response {
                assert_eq!(error.status(), 500);
            }
        }
        check("x-id", "1", true);
        check("x-id", "", true);
        check("x-id", "a\r\nSet-Cookie: b", false);
        check("x-id", "a\nb", false);
        check("x-id", "a\0b", false);
        check("x id", "a", false);
        check("", "a", false);
        check("Content-Length", "1", false);
        check("transfer-encoding", "chunked", false);
        check("Connection", "close", false);
        assert!(Response::status(200).content_type("text/plain\r\nx: y").is_err());
        assert!(Response::status(200).content_type("text/plain").is_ok());
    }

    #[test]
    fn a_kept_response_borrows_nothing() {
        let check = |response: Response<'_>, copied: u64| {
            let (status, close, content) = (response.status, response.close, response.body.bytes().to_vec());
            let fields = response.fields.bytes().to_vec();
            let before = keep::kept_bytes();
            let kept: Response<'static> = response.keep();
            assert_eq!(keep::kept_bytes() - before, copied);
            assert_eq!((kept.status, kept.close, kept.body.bytes()), (status, close, &*content));
            assert_eq!(kept.fields.bytes(), fields);
        };
        let borrowed = String::from("borrowed");
        check(Response::text(&*borrowed), 8);
        check(Response::status(201).header("a", "b").unwrap().body(&*borrowed).close(), 8);
        check(Response::text("owned".to_string()), 0);
        check(Response::text(Body::Static(b"static")), 0);
        check(Response::bytes(Arc::<[u8]>::from(&b"shared"[..])), 0);
        check(Response::empty(204), 0);
    }

    #[test]
    fn field_memory_is_used_again() {
        let first = Response::status(200).header("x-a", "1").unwrap();
        let at = first.fields.bytes().as_ptr();
        drop(first);
        let second = Response::status(200).header("x-b", "2").unwrap();
        assert_eq!(second.fields.bytes().as_ptr(), at);
        assert_eq!(second.fields.bytes(), b"x-b: 2\r\n");
    }

    #[test]
    fn fields_of_a_deferred_response_come_first() {
        fn check(before: Response<'_>, answer: Response<'_>, expected: &str) {
            let (before, mut answer) = (before, answer);
            answer.fields.put_in_front(&before.fields);
            assert_eq!(std::str::from_utf8(answer.fields.bytes()).unwrap(), expected);
            drop(std::mem::replace(&mut answer.fields, FieldBlock::Fixed(b"")));
        }
        let one = || Response::status(200).header("a", "1").unwrap();
        let html = "Content-Type: text/html; charset=utf-8\r\n";
        check(Response::status(200), Response::html(""), html);
        check(one(), Response::status(200), "a: 1\r\n");
        check(one(), Response::html(""), &format!("a: 1\r\n{html}"));
        check(Response::text("").header("a", "1").unwrap(), Response::html(""), &format!("a: 1\r\n{html}"));
        check(Response::html(""), one(), &format!("{html}a: 1\r\n"));
    }

    #[test]
    fn one_content_type() {
        let check = |response: Result<Response<'_>, Error>, expected: &str| {
            assert_eq!(std::str::from_utf8(response.unwrap().fields.bytes()).unwrap(), expected);
        };
        check(Ok(Response::html("")), "Content-Type: text/html; charset=utf-8\r\n");
        check(Response::html("").header("a", "b"), "Content-Type: text/html; charset=utf-8\r\na: b\r\n");
        check(Response::text("").content_type("text/css"), "content-type: text/css\r\n");
        let later = Response::text("").header("a", "b").and_then(|r| r.content_type("text/css"));
        check(later, "a: b\r\ncontent-type: text/css\r\n");
        check(Response::typed(200, "text/css"), "content-type: text/css\r\n");
        let replaced = Response::typed(200, "text/css").and_then(|r| r.content_type("text/html"));
        check(replaced, "content-type: text/html\r\n");
        check(Response::empty(204).content_type("text/css"), "content-type: text/css\r\n");
    }
}
