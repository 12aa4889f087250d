//! The error that a handler returns: a status and a sentence for the client.
//!
//! It knows neither requests nor connections.

use crate::http1::FieldError;
use std::borrow::Cow;
use std::fmt;

/// A failed request: the status of the answer, and a sentence for the client.
///
/// It is sent as `text/plain`. The client sees the message, so keep secrets out of it. There is no conversion
/// from other errors: `map_err` decides what the client may know.
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
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    status: u16,
    message: Cow<'static, str>,
}

impl Error {
    /// Makes an error with this status (400 to 599; any other becomes 500) and this message.
    pub fn new(status: u16, message: impl Into<Cow<'static, str>>) -> Error {
        let status = if (400..=599).contains(&status) { status } else { 500 };
        Error { status, message: message.into() }
    }

    /// Makes a 400 (RFC 9110 §15.5.1).
    pub fn bad_request(message: impl Into<Cow<'static, str>>) -> Error {
        Error::new(400, message)
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

    /// Returns the sentence for the client, by value.
    pub(crate) fn into_message(self) -> Cow<'static, str> {
        self.message
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
