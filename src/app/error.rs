//! What a handler returns instead of a response.

use crate::http1::FieldError;
use std::borrow::Cow;
use std::fmt;

/// A failed request: a status and a sentence for the client.
///
/// ```
/// use fleeting::Error;
///
/// let error = Error::bad_request("no X-Id");
/// assert_eq!(error.status(), 400);
/// assert_eq!(error.to_string(), "no X-Id");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    status: u16,
    message: Cow<'static, str>,
}

impl Error {
    /// An error answered with `status` (400 to 599; anything else becomes 500) and `message` as text.
    pub fn new(status: u16, message: impl Into<Cow<'static, str>>) -> Error {
        let status = if (400..=599).contains(&status) { status } else { 500 };
        Error { status, message: message.into() }
    }

    /// 400 (RFC 9110 §15.5.1).
    pub fn bad_request(message: impl Into<Cow<'static, str>>) -> Error {
        Error::new(400, message)
    }

    /// 403 (RFC 9110 §15.5.4).
    pub fn forbidden(message: impl Into<Cow<'static, str>>) -> Error {
        Error::new(403, message)
    }

    /// 404 (RFC 9110 §15.5.5).
    pub fn not_found(message: impl Into<Cow<'static, str>>) -> Error {
        Error::new(404, message)
    }

    /// 415 (RFC 9110 §15.5.16).
    pub fn unsupported_media_type(message: impl Into<Cow<'static, str>>) -> Error {
        Error::new(415, message)
    }

    /// 500 (RFC 9110 §15.6.1). The message goes to the client: keep secrets out of it.
    pub fn internal(message: impl Into<Cow<'static, str>>) -> Error {
        Error::new(500, message)
    }

    /// 503 (RFC 9110 §15.6.4).
    pub fn unavailable(message: impl Into<Cow<'static, str>>) -> Error {
        Error::new(503, message)
    }

    /// The status it is answered with.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The sentence it is answered with.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The sentence, taken out.
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

/// A field that a handler must not send is the handler's mistake: 500.
impl From<FieldError> for Error {
    fn from(error: FieldError) -> Error {
        Error::internal(error.to_string())
    }
}
