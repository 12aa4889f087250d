//! The response that a handler returns.
//!
//! It knows neither the framing nor the connection: [`http1`](crate::http1) encodes the head, and the engine
//! sends the content.

use super::body::{Answer, AnswerParts, Awaited, Pending};
use super::fields::{FieldBlock, FixedField, TEXT, content_type};
use super::source::Streamed;
use super::{Body, Error, Source};
use crate::keep;
use std::borrow::Cow;

/// The answer to a request: a status, fields and a [`Body`] (RFC 9110 §3.4). It may borrow the request and
/// its arena for `'r`.
///
/// The server adds Date, Content-Length or Transfer-Encoding, and Connection.
///
/// ```
/// use fleeting::{App, Error, Response};
///
/// let app = App::new()
///     .get("/hello/{name}", |req| Ok(Response::text(req.param("name"))))
///     .post("/clients", |_req| Response::new(201).header("location", "/clients/7"))
///     .delete("/clients/{id}", |_req| Ok(Response::new(204)))
///     .get("/page", |_req| Ok(Response::html("<h1>Hello</h1>").close()));
/// ```
#[derive(Debug)]
pub struct Response<'r> {
    pub(crate) status: u16,
    pub(crate) fields: FieldBlock,
    pub(crate) body: Body<'r>,
    pub(crate) close: bool,
}

static HTML: FixedField = content_type!("text/html; charset=utf-8");
static BYTES: FixedField = content_type!("application/octet-stream");
#[cfg(feature = "json")]
pub(super) static JSON: FixedField = content_type!("application/json");

impl<'r> Response<'r> {
    /// Whether dropping the response does anything.
    #[inline]
    pub(crate) fn owns_something(&self) -> bool {
        let borrows = matches!(self.body, Body::Empty | Body::Borrowed(_) | Body::Static(_));
        !borrows || !matches!(self.fields, FieldBlock::Fixed(_))
    }

    /// Makes a response with this status. It has no content until [`body`](Response::body) sets some.
    ///
    /// # Panics
    /// If `status` is not a final status, 200 to 599 (RFC 9110 §15).
    #[inline]
    pub fn new(status: u16) -> Response<'r> {
        Response { status: checked(status), fields: FieldBlock::NONE, body: Body::Empty, close: false }
    }

    /// Makes a redirection to `location`, a URI or a path, which may be relative (RFC 9110 §10.2.2).
    ///
    /// Status 303 makes the client ask for `location` with GET, as after a form. 307 and 308 keep the method and the
    /// content; 301 and 308 are permanent, and clients remember them.
    ///
    /// ```
    /// use fleeting::{App, Response};
    ///
    /// let app = App::new().post("/orders", |_req| Response::redirect(303, "/orders/7"));
    /// ```
    ///
    /// # Errors
    /// Status 500 if `location` contains a control character.
    ///
    /// # Panics
    /// If `status` is not 301, 302, 303, 307 or 308.
    pub fn redirect(status: u16, location: &str) -> Result<Response<'r>, Error> {
        assert!(
            matches!(status, 301 | 302 | 303 | 307 | 308),
            "{status} is not a redirection with a location"
        );
        Response::new(status).header("location", location)
    }

    /// Makes a 200 with an encoded Content-Type.
    #[inline]
    pub(super) fn of_type(field: &'static FixedField, body: impl Into<Body<'r>>) -> Response<'r> {
        Response { status: 200, fields: FieldBlock::Fixed(field), body: body.into(), close: false }
    }

    /// Replaces all fields with an encoded Content-Type.
    pub(super) fn with_field(mut self, field: &'static FixedField) -> Response<'r> {
        self.fields = FieldBlock::Fixed(field);
        self
    }

    /// Makes a 200 with `text/plain; charset=utf-8`.
    #[inline]
    pub fn text(text: impl Into<Body<'r>>) -> Response<'r> {
        Response::of_type(&TEXT, text)
    }

    /// Makes a 200 with `text/html; charset=utf-8`.
    pub fn html(text: impl Into<Body<'r>>) -> Response<'r> {
        Response::of_type(&HTML, text)
    }

    /// Makes a 200 with `application/octet-stream`.
    pub fn bytes(bytes: impl Into<Body<'r>>) -> Response<'r> {
        Response::of_type(&BYTES, bytes)
    }

    /// Makes a 200 with content from `source`, of `length` bytes if that is known.
    ///
    /// Content of unknown length is sent in chunks (RFC 9112 §7.1). An HTTP/1.0 client gets it without
    /// framing; it ends when the connection closes.
    ///
    /// The source is asked for more only when its last piece has left. For HEAD, and with status 204 or 304,
    /// it is never asked. The connection reads nothing until the source has ended.
    ///
    /// See [`Source`] for an example.
    pub fn source(length: Option<u64>, source: impl Source) -> Response<'static> {
        let source = Box::new(source);
        Response::new(200).body(Body::pending(Awaited::Source(Streamed { length, source })))
    }

    /// Makes the response of a WebSocket that was opened, or of an upload that has begun. It stands for the answer that
    /// they make.
    pub(crate) fn begun(status: u16) -> Response<'r> {
        let body = Body::Pending(Pending::BEGUN);
        Response { status, fields: FieldBlock::NONE, body, close: false }
    }

    /// Whether it stands for a WebSocket that was opened, or an upload that has begun.
    pub(crate) fn is_begun(&self) -> bool {
        matches!(&self.body, Body::Pending(pending) if pending.awaited().is_none())
    }

    /// Sets the content. In a layer, this turns the 101 of a WebSocket into a 200 and drops the WebSocket: see
    /// [`App::layer`](super::App::layer).
    #[inline]
    pub fn body(mut self, body: impl Into<Body<'r>>) -> Response<'r> {
        if self.status == 101 {
            self.status = 200;
        }
        self.body = body.into();
        self
    }

    /// Sets the Content-Type (RFC 9110 §8.3), in place of the one that the response has.
    ///
    /// # Errors
    /// Status 500 if the value contains CR, LF, NUL or another control character (RFC 9110 §5.5).
    pub fn content_type(self, value: &str) -> Result<Response<'r>, Error> {
        self.header("content-type", value)
    }

    /// Sets a field, in place of all lines of this name. [`add_header`](Response::add_header) keeps them.
    ///
    /// ```
    /// use fleeting::Response;
    ///
    /// let response = Response::new(201).header("location", "/clients/7")?.body("created");
    /// assert_eq!(response.field("Location"), Some("/clients/7"));
    /// assert!(Response::new(200).header("x-id", "a\r\nset-cookie: b").is_err());
    /// assert!(Response::new(200).header("content-length", "5").is_err());
    /// # Ok::<(), fleeting::Error>(())
    /// ```
    ///
    /// # Errors
    /// Status 500 in three cases. The name is not a token (RFC 9110 §5.6.2). The value contains CR, LF, NUL
    /// or another control character (RFC 9110 §5.5). The server sets the field itself (`Content-Length`,
    /// `Transfer-Encoding`, `Connection`, `Date` and others).
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Result<Response<'r>, Error> {
        self.fields.set(name, value.as_ref())?;
        Ok(self)
    }

    /// Adds a line to a field that may have several, such as Vary, Link or Set-Cookie (RFC 9110 §5.3). A second
    /// Content-Type replaces the first.
    ///
    /// ```
    /// use fleeting::Response;
    ///
    /// let response = Response::new(204).add_header("vary", "origin")?.add_header("vary", "accept")?;
    /// let all: Vec<_> = response.fields().collect();
    /// assert_eq!(all, [("vary", &b"origin"[..]), ("vary", b"accept")]);
    /// # Ok::<(), fleeting::Error>(())
    /// ```
    ///
    /// # Errors
    /// As for [`header`](Response::header).
    pub fn add_header(mut self, name: &str, value: impl AsRef<[u8]>) -> Result<Response<'r>, Error> {
        self.fields.add(name, value.as_ref())?;
        Ok(self)
    }

    /// Removes all lines of a field.
    pub fn without_header(mut self, name: &str) -> Response<'r> {
        self.fields.unset(name);
        self
    }

    /// Replaces the status, for example of a response that another handler made. In a layer, this has no effect on a
    /// deferred answer, whose status is not known yet, and it drops a WebSocket that was opened: see
    /// [`App::layer`](super::App::layer).
    ///
    /// # Panics
    /// If `status` is not a final status, 200 to 599 (RFC 9110 §15).
    pub fn with_status(mut self, status: u16) -> Response<'r> {
        self.status = checked(status);
        self
    }

    /// Returns the status. It is 101 for a WebSocket that was opened, and 200 for an answer that is
    /// [deferred](Response::defer), whose status is not known yet.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Returns the value of the first line of this name, in any case. Returns `None` if there is no such line, or if
    /// its value is not UTF-8.
    ///
    /// Fields that the server adds, such as Date and Content-Length, are not there yet.
    pub fn field(&self, name: &str) -> Option<&str> {
        let (_, value) = self.fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(value).ok()
    }

    /// Returns the names and the values of all lines, in the order in which they are sent.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields.iter()
    }

    /// Returns the content, if it is in memory.
    pub fn content(&self) -> Option<&[u8]> {
        match &self.body {
            Body::File(_) | Body::Pending(_) => None,
            body => Some(body.bytes()),
        }
    }

    /// Returns the number of bytes of the content. Returns `None` if it is not known yet: the answer is deferred, a
    /// source makes the content, or an upload has begun.
    pub fn content_length(&self) -> Option<u64> {
        match &self.body {
            Body::Pending(pending) => match pending.awaited() {
                Some(Awaited::Source(streamed)) => streamed.length,
                _ => None,
            },
            body => Some(body.len()),
        }
    }

    /// Makes the server close the connection after this response (RFC 9112 §9.6).
    ///
    /// Over HTTP/2 the connection carries other requests, so it ends in order (RFC 9113 §6.8). GOAWAY announces the end with this
    /// response; requests that are on their way are served, at most 1,000 that begin after it, and the connection ends with the
    /// last of them. A client that opens another connection for its next request loses none.
    pub fn close(mut self) -> Response<'r> {
        self.close = true;
        self
    }

    /// Copies borrowed content, so that the response borrows nothing and may leave the handler. The copy
    /// counts towards [`kept_bytes`](crate::kept_bytes).
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

/// A response with the error's status and fields, and its message as `text/plain`.
impl From<Error> for Response<'_> {
    fn from(error: Error) -> Self {
        let (status, fields, message) = error.into_parts();
        let body = match message {
            Cow::Borrowed(text) => Body::Static(text.as_bytes()),
            Cow::Owned(text) => Body::Owned(text.into_bytes()),
        };
        Response { status, fields, body, close: false }
    }
}

impl Answer {
    pub(crate) fn into_result(self) -> Result<Response<'static>, Error> {
        let AnswerParts { status, fields, body, close } = self.0?;
        Ok(Response { status, fields, body, close })
    }
}

impl From<Response<'static>> for Answer {
    fn from(response: Response<'static>) -> Answer {
        let Response { status, fields, body, close } = response;
        Answer(Ok(AnswerParts { status, fields, body, close }))
    }
}

impl From<Error> for Answer {
    fn from(error: Error) -> Answer {
        Answer(Err(error))
    }
}

impl From<Result<Response<'static>, Error>> for Answer {
    fn from(result: Result<Response<'static>, Error>) -> Answer {
        result.map_or_else(Answer::from, Answer::from)
    }
}

#[inline]
fn checked(status: u16) -> u16 {
    assert!((200..=599).contains(&status), "{status} is not a final status (200 to 599)");
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn fields_that_would_break_the_framing_are_errors() {
        fn check(name: &str, value: &str, ok: bool) {
            let response = Response::new(200).header(name, value);
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
        assert!(Response::new(200).content_type("text/plain\r\nx: y").is_err());
        assert!(Response::new(200).content_type("text/plain").is_ok());
    }

    #[test]
    fn a_kept_response_copies_only_what_it_borrowed() {
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
        check(Response::new(201).header("a", "b").unwrap().body(&*borrowed).close(), 8);
        check(Response::text("owned".to_string()), 0);
        check(Response::text(Body::Static(b"static")), 0);
        check(Response::bytes(Arc::<[u8]>::from(&b"shared"[..])), 0);
        check(Response::new(204), 0);
    }

    #[test]
    fn the_memory_of_fields_is_reused() {
        let first = Response::new(200).header("x-a", "1").unwrap();
        let at = first.fields.bytes().as_ptr();
        drop(first);
        let second = Response::new(200).header("x-b", "2").unwrap();
        assert_eq!(second.fields.bytes().as_ptr(), at);
        assert_eq!(second.fields.bytes(), b"x-b: 2\r\n");
    }

    #[test]
    fn fields_of_a_deferred_response_come_first() {
        fn check(before: Response<'_>, answer: Response<'_>, expected: &str) {
            let (before, mut answer) = (before, answer);
            answer.fields.put_in_front(&before.fields);
            assert_eq!(std::str::from_utf8(answer.fields.bytes()).unwrap(), expected);
            drop(std::mem::replace(&mut answer.fields, FieldBlock::NONE));
        }
        let one = || Response::new(200).header("a", "1").unwrap();
        let html = "Content-Type: text/html; charset=utf-8\r\n";
        check(Response::new(200), Response::html(""), html);
        check(one(), Response::new(200), "a: 1\r\n");
        check(one(), Response::html(""), &format!("a: 1\r\n{html}"));
        check(Response::text("").header("a", "1").unwrap(), Response::html(""), &format!("a: 1\r\n{html}"));
        check(Response::html(""), one(), &format!("{html}a: 1\r\n"));
    }

    #[test]
    fn a_response_has_one_content_type() {
        let check = |response: Result<Response<'_>, Error>, expected: &str| {
            assert_eq!(std::str::from_utf8(response.unwrap().fields.bytes()).unwrap(), expected);
        };
        check(Ok(Response::html("")), "Content-Type: text/html; charset=utf-8\r\n");
        check(Response::html("").header("a", "b"), "Content-Type: text/html; charset=utf-8\r\na: b\r\n");
        check(Response::text("").content_type("text/css"), "content-type: text/css\r\n");
        let replaced_later = Response::text("").header("a", "b").and_then(|r| r.content_type("text/css"));
        check(replaced_later, "a: b\r\ncontent-type: text/css\r\n");
        // Finding A5.
        let twice = Response::new(200).content_type("text/css").and_then(|r| r.content_type("text/html"));
        check(twice, "content-type: text/html\r\n");
        let added = Response::html("").add_header("Content-Type", "text/css");
        check(added, "Content-Type: text/css\r\n");
        check(Response::new(204).content_type("text/css"), "content-type: text/css\r\n");
    }

    #[test]
    fn fields_are_replaced_added_and_removed() {
        fn check(response: Response<'_>, expected: &[(&str, &str)]) {
            let found: Vec<_> = response.fields().collect();
            let expected: Vec<_> = expected.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
            assert_eq!(found, expected);
        }
        let two = || Response::new(200).add_header("Vary", "a").unwrap().add_header("vary", "b").unwrap();
        check(two(), &[("Vary", "a"), ("vary", "b")]);
        check(two().header("VARY", "c").unwrap(), &[("VARY", "c")]);
        check(two().header("x", "1").unwrap().header("vary", "").unwrap(), &[("x", "1"), ("vary", "")]);
        check(two().without_header("vary"), &[]);
        check(two().without_header("var"), &[("Vary", "a"), ("vary", "b")]);
        check(Response::html("").without_header("content-type"), &[]);
        check(
            Response::html("").header("content", "a").unwrap().without_header("content-type"),
            &[("content", "a")],
        );
        check(Response::redirect(303, "/a").unwrap(), &[("location", "/a")]);
    }

    /// Finding A3.
    #[test]
    fn a_response_can_be_read() {
        let response = Response::text("hello").header("x-id", "7").unwrap().with_status(201);
        assert_eq!((response.status(), response.field("X-Id"), response.field("x")), (201, Some("7"), None));
        assert_eq!(response.field("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!((response.content(), response.content_length()), (Some(&b"hello"[..]), Some(5)));
        assert_eq!(Response::new(204).content(), Some(&b""[..]));
        let (deferred, _responder) = Response::defer();
        assert_eq!((deferred.status(), deferred.content(), deferred.content_length()), (200, None, None));
        let invalid = Response::new(200).header("x", [0xff]).unwrap();
        assert_eq!((invalid.field("x"), invalid.fields().next()), (None, Some(("x", &[0xff][..]))));
    }

    /// Finding A6.
    #[test]
    fn an_error_carries_fields() {
        let error = Error::unauthorized("Bearer", "no")
            .header("retry-after", "2")
            .add_header("x", "1")
            .add_header("x", "2");
        let response = Response::from(error.clone());
        assert_eq!((response.status(), response.content()), (401, Some(&b"no"[..])));
        let fields: Vec<_> = response.fields().map(|(name, _)| name).collect();
        assert_eq!(fields, ["Content-Type", "www-authenticate", "retry-after", "x", "x"]);
        let problem = Response::from(error.header("content-type", "application/problem+json"));
        assert_eq!(problem.field("content-type"), Some("application/problem+json"));
        assert_eq!(Error::forbidden("no").header("x", "a\r\nb").status(), 500);
        assert_eq!(Error::forbidden("no").add_header("date", "now").status(), 500);
    }
}
