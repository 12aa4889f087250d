//! A response as a handler makes it.

use super::Error;
use crate::http1::{self, FieldError};
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
    pub(crate) content_type: Option<&'static str>,
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
}

impl Body<'_> {
    /// The bytes.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Body::Empty => &[],
            Body::Borrowed(bytes) => bytes,
            Body::Static(bytes) => bytes,
            Body::Owned(bytes) => bytes,
            Body::Shared(bytes) => bytes,
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

impl<'r> From<Cow<'r, str>> for Body<'r> {
    fn from(text: Cow<'r, str>) -> Body<'r> {
        match text {
            Cow::Borrowed(text) => text.into(),
            Cow::Owned(text) => text.into(),
        }
    }
}

const TEXT: &str = "text/plain; charset=utf-8";

impl<'r> Response<'r> {
    /// A response of this status, without content for now.
    ///
    /// # Panics
    /// If `status` is not a final status, 200 to 599 (RFC 9110 §15).
    #[inline]
    pub fn status(status: u16) -> Response<'r> {
        assert!((200..=599).contains(&status), "{status} is not a final status");
        Response {
            status,
            content_type: None,
            fields: FieldBlock::default(),
            body: Body::Empty,
            close: false,
        }
    }

    /// A response of this status that stays without content.
    #[inline]
    pub fn empty(status: u16) -> Response<'r> {
        Response::status(status)
    }

    /// 200 with `text/plain; charset=utf-8`.
    #[inline]
    pub fn text(text: impl Into<Body<'r>>) -> Response<'r> {
        Response { content_type: Some(TEXT), ..Response::status(200) }.body(text)
    }

    /// 200 with `text/html; charset=utf-8`.
    pub fn html(text: impl Into<Body<'r>>) -> Response<'r> {
        Response { content_type: Some("text/html; charset=utf-8"), ..Response::status(200) }.body(text)
    }

    /// 200 with `application/octet-stream`.
    pub fn bytes(bytes: impl Into<Body<'r>>) -> Response<'r> {
        Response { content_type: Some("application/octet-stream"), ..Response::status(200) }.body(bytes)
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
        if name.eq_ignore_ascii_case("content-type") {
            self.content_type = None;
        }
        Ok(self)
    }

    /// Closes the connection after this response.
    pub fn close(mut self) -> Response<'r> {
        self.close = true;
        self
    }
}

impl From<Error> for Response<'_> {
    fn from(error: Error) -> Self {
        let status = error.status();
        let body = match error.into_message() {
            Cow::Borrowed(text) => Body::Static(text.as_bytes()),
            Cow::Owned(text) => Body::Owned(text.into_bytes()),
        };
        Response { content_type: Some(TEXT), body, ..Response::status(status) }
    }
}

/// Fields as they go on the wire, in memory that the thread's next response uses again.
#[derive(Default)]
pub(crate) struct FieldBlock(Vec<u8>);

thread_local! {
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl FieldBlock {
    pub(crate) fn push(&mut self, name: &str, value: &[u8]) -> Result<(), FieldError> {
        if self.0.capacity() == 0 {
            self.0 = SPARE.take();
        }
        http1::encode_field(&mut self.0, name, value)
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for FieldBlock {
    #[inline]
    fn drop(&mut self) {
        if self.0.capacity() > 0 && self.0.capacity() <= 4096 {
            let mut memory = std::mem::take(&mut self.0);
            memory.clear();
            SPARE.set(memory);
        }
    }
}

impl fmt::Debug for FieldBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&String::from_utf8_lossy(&self.0), f)
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
    fn field_memory_is_used_again() {
        let first = Response::status(200).header("x-a", "1").unwrap();
        let at = first.fields.0.as_ptr();
        drop(first);
        let second = Response::status(200).header("x-b", "2").unwrap();
        assert_eq!(second.fields.0.as_ptr(), at);
        assert_eq!(second.fields.bytes(), b"x-b: 2\r\n");
    }
}
