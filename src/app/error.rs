//! The error that a handler returns: a status, fields and a sentence for the client.
//!
//! It knows neither requests nor connections.

use super::fields::{FieldBlock, TEXT};
use crate::http1::FieldError;
use crate::pubsub::TopicError;
use std::borrow::Cow;
use std::num::{ParseFloatError, ParseIntError};
use std::str::{ParseBoolError, Utf8Error};
use std::{fmt, io};

/// A failed request: the status of the answer, a sentence for the client, and fields if it needs any.
///
/// The sentence is sent as `text/plain`. The client sees it, so keep secrets out of it. Errors that handlers meet
/// convert with `?`: what the client did wrong becomes a 400 or a 413 that says so, and what failed in the server becomes
/// a 500 or a 503 that reveals nothing. `map_err` decides otherwise.
///
/// ```
/// use fleeting::{App, Error, Response};
///
/// let app = App::new().get("/square/{n}", |req| {
///     let n: u32 = req.param("n").parse().map_err(|_| Error::bad_request("n is not a number."))?;
///     let square = n.checked_mul(n).ok_or(Error::new(422, "The square exceeds 32 bits."))?;
///     Ok(Response::text(square.to_string()))
/// });
///
/// let error = Error::bad_request("n is not a number.");
/// assert_eq!((error.status(), error.message()), (400, "n is not a number."));
///
/// let busy = Error::unavailable("Try again soon.").header("retry-after", "2");
/// let login = Error::unauthorized("Bearer realm=\"prices\"", "The token is missing.");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    status: u16,
    message: Cow<'static, str>,
    fields: FieldBlock,
}

impl Error {
    /// Makes an error with this status (400 to 599; any other becomes 500) and this message.
    pub fn new(status: u16, message: impl Into<Cow<'static, str>>) -> Error {
        let status = if (400..=599).contains(&status) { status } else { 500 };
        Error { status, message: message.into(), fields: FieldBlock::Fixed(&TEXT) }
    }

    /// Sets a field of the answer, such as Retry-After, in place of all lines of this name. An error whose field cannot be
    /// sent (see [`Response::header`](super::Response::header)) becomes a 500 that says so.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Error {
        let set = self.fields.set(name, value.as_ref());
        self.or_bug(set)
    }

    /// Adds a line to a field of the answer that may have several, in the same way.
    pub fn add_header(mut self, name: &str, value: impl AsRef<[u8]>) -> Error {
        let added = self.fields.add(name, value.as_ref());
        self.or_bug(added)
    }

    fn or_bug(self, set: Result<(), FieldError>) -> Error {
        match set {
            Ok(()) => self,
            Err(error) => error.into(),
        }
    }

    /// Makes a 400 (RFC 9110 §15.5.1).
    pub fn bad_request(message: impl Into<Cow<'static, str>>) -> Error {
        Error::new(400, message)
    }

    /// Makes a 401 with `challenge` in WWW-Authenticate, which a 401 needs (RFC 9110 §15.5.2): `Bearer` or `Basic
    /// realm="prices"`.
    pub fn unauthorized(challenge: &str, message: impl Into<Cow<'static, str>>) -> Error {
        Error::new(401, message).header("www-authenticate", challenge)
    }

    /// Makes a 403 (RFC 9110 §15.5.4).
    pub fn forbidden(message: impl Into<Cow<'static, str>>) -> Error {
        Error::new(403, message)
    }

    /// Makes a 404 (RFC 9110 §15.5.5).
    pub fn not_found(message: impl Into<Cow<'static, str>>) -> Error {
        Error::new(404, message)
    }

    /// Makes a 415 (RFC 9110 §15.5.16).
    pub fn unsupported_media_type(message: impl Into<Cow<'static, str>>) -> Error {
        Error::new(415, message)
    }

    /// Makes a 500 (RFC 9110 §15.6.1).
    pub fn internal(message: impl Into<Cow<'static, str>>) -> Error {
        Error::new(500, message)
    }

    /// Makes a 503 (RFC 9110 §15.6.4).
    pub fn unavailable(message: impl Into<Cow<'static, str>>) -> Error {
        Error::new(503, message)
    }

    /// Returns the status of the answer.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Returns the sentence for the client.
    pub fn message(&self) -> &str {
        &self.message
    }

    pub(super) fn fields(&self) -> &FieldBlock {
        &self.fields
    }

    pub(super) fn into_parts(self) -> (u16, FieldBlock, Cow<'static, str>) {
        (self.status, self.fields, self.message)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// A handler that sets a field that cannot be sent has a bug, so the status is 500.
impl From<FieldError> for Error {
    fn from(error: FieldError) -> Error {
        Error::internal(error.to_string())
    }
}

/// 404 if something does not exist, otherwise 500. The client learns nothing else.
impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::NotFound => Error::not_found("There is nothing here."),
            _ => Error::internal("The server could not read or write something."),
        }
    }
}

impl From<fmt::Error> for Error {
    fn from(_: fmt::Error) -> Error {
        Error::internal("A value could not be formatted.")
    }
}

/// 400: bytes of the request are no text.
impl From<Utf8Error> for Error {
    fn from(error: Utf8Error) -> Error {
        Error::bad_request(format!("The text is not UTF-8: {error}."))
    }
}

/// 400: text of the request is no number of the wanted type.
impl From<ParseIntError> for Error {
    fn from(error: ParseIntError) -> Error {
        Error::bad_request(format!("A number is wrong: {error}."))
    }
}

/// 400: text of the request is no number.
impl From<ParseFloatError> for Error {
    fn from(error: ParseFloatError) -> Error {
        Error::bad_request(format!("A number is wrong: {error}."))
    }
}

/// 400: text of the request is neither `true` nor `false`.
impl From<ParseBoolError> for Error {
    fn from(error: ParseBoolError) -> Error {
        Error::bad_request(format!("A value is wrong: {error}."))
    }
}

/// 413 for a message that is too long, 503 with Retry-After for a limit that is reached, otherwise 400.
impl From<TopicError> for Error {
    fn from(error: TopicError) -> Error {
        let sentence = format!("{error}.");
        match error {
            TopicError::MessageTooBig(_) => Error::new(413, sentence),
            TopicError::TooManySubscriptions(_) | TopicError::TooManyTopics(_) | TopicError::Closing => {
                Error::unavailable(sentence).header("retry-after", "1")
            }
            _ => Error::bad_request(sentence),
        }
    }
}
