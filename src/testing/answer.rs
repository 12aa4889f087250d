//! A whole response, as a test sees it.
//!
//! It knows no connection. Its invariant: the head was well-formed, so its fields can be read from the bytes.

use super::wire::Head;
use std::fmt;

/// A response that has arrived.
///
/// ```
/// use fleeting::{App, Response, testing};
///
/// let app = testing::serve(App::new().get("/", |_req| Response::text("hello").header("x-count", "1")));
/// let answer = app.get("/").send();
/// assert_eq!(answer.status(), 200);
/// assert_eq!(answer.header("x-count"), Some("1"));
/// assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
/// assert_eq!(answer.text(), "hello");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    interim: Vec<Head>,
    head: Head,
    pub(super) body: Vec<u8>,
    /// The trailer section, with the empty line that ends it.
    pub(super) trailers: Vec<u8>,
}

impl Answer {
    pub(super) fn new(interim: Vec<Head>, head: Head) -> Answer {
        Answer { interim, head, body: Vec::new(), trailers: Vec::new() }
    }

    /// Returns the status code (RFC 9110 §15).
    pub fn status(&self) -> u16 {
        self.head.status()
    }

    /// Returns the value of the first field with this name, in any case.
    ///
    /// # Panics
    /// If the value is not UTF-8; [`fields`](Answer::fields) returns any bytes.
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).next()
    }

    /// Returns the values of all fields with this name, in their order: those of `Set-Cookie`, for example.
    ///
    /// # Panics
    /// The iterator panics at a value that is not UTF-8.
    pub fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        self.head.values(name).map(move |value| match std::str::from_utf8(value) {
            Ok(value) => value,
            Err(_) => panic!("the field {name} is not UTF-8: \"{}\"", value.escape_ascii()),
        })
    }

    /// Returns the names and values of all fields, in their order.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.head.fields()
    }

    /// Returns the status line and the field lines as they were on the wire, with the empty line behind them.
    pub fn head(&self) -> &[u8] {
        self.head.bytes()
    }

    #[doc(hidden)]
    pub fn into_parts(self) -> (Head, Vec<u8>) {
        (self.head, self.body)
    }

    /// Returns the content, without its chunks.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Returns the content as text.
    ///
    /// # Panics
    /// If it is not UTF-8.
    #[track_caller]
    pub fn text(&self) -> &str {
        match std::str::from_utf8(&self.body) {
            Ok(text) => text,
            Err(error) => panic!("the content is not UTF-8: {error}: {self:?}"),
        }
    }

    /// Reads the content as JSON, whatever its Content-Type is.
    ///
    /// ```
    /// use fleeting::{App, Response, testing};
    ///
    /// let app = testing::serve(App::new().get("/primes", |req| Response::json(req, &[2, 3, 5, 7])));
    /// assert_eq!(app.get("/primes").send().json::<Vec<u32>>(), [2, 3, 5, 7]);
    /// ```
    ///
    /// # Panics
    /// If it is not JSON, or does not have the shape of `T`.
    #[cfg(feature = "json")]
    #[track_caller]
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> T {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("the content is not the expected JSON: {error}: {self:?}"),
        }
    }

    /// Returns the names and values of the trailers, which follow chunked content (RFC 9110 §6.5).
    pub fn trailers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        super::wire::field_lines(&self.trailers)
    }

    /// Returns the statuses of the interim responses before this one, such as 100 (RFC 9110 §15.2).
    pub fn interim(&self) -> impl Iterator<Item = u16> {
        self.interim.iter().map(Head::status)
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut answer = f.debug_struct("Answer");
        answer.field("head", &self.head).field("body", &format_args!("\"{}\"", self.body.escape_ascii()));
        if !self.trailers.is_empty() {
            answer.field("trailers", &format_args!("\"{}\"", self.trailers.escape_ascii()));
        }
        answer.finish()
    }
}
