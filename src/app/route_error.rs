//! The mistakes that can be made when routes are added.
//!
//! It knows nothing of the router.

use std::fmt;

/// Why a route could not be added; see [`App::check`](super::App::check).
///
/// ```
/// use fleeting::{App, Response, RouteError};
///
/// let app = App::new().get("hello", |_req| Ok(Response::text("hello")));
/// assert_eq!(app.check(), Err(RouteError::NotAPath("hello".into())));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RouteError {
    /// The path does not begin with `/`.
    NotAPath(String),
    /// The pattern (first field) is malformed or overlaps with another one. The second field is the reason.
    Pattern(String, String),
    /// Two routes answer the same method on the same path, or the method is empty. The field names the method
    /// and the path, such as `GET on /a`.
    Twice(String),
    /// The prefix of a nested application does not begin with `/`, ends with it, or has a wildcard.
    Prefix(String),
    /// A merged application has a fallback, but no paths of its own without a route.
    Fallback,
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RouteError::NotAPath(path) => write!(f, "route {path:?}: the path does not begin with /"),
            RouteError::Pattern(path, reason) => write!(f, "route {path:?}: {reason}"),
            RouteError::Twice(method) => write!(f, "two routes answer {method}"),
            RouteError::Prefix(prefix) => {
                write!(f, "prefix {prefix:?}: it must begin with /, not end with it, and have no wildcard")
            }
            RouteError::Fallback => f.write_str("a merged application cannot have a fallback"),
        }
    }
}

impl std::error::Error for RouteError {}
