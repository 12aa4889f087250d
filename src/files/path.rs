//! Resolves a request's path to a path beneath a root.
//!
//! It knows no file system. Its invariant: no segment of a [`RelativePath`] is empty, `.` or `..`, and none
//! contains a NUL, slash or backslash. Joined to a root, the path therefore stays beneath it, except through
//! symbolic links, which [`Root`](super::Root) handles.

use crate::percent::octet;
use std::fmt;

/// The maximum length of a path in bytes: the system's 4,096, minus room for suffixes such as
/// `/index.html.br`.
const PATH_BYTES_MAX: usize = 4_000;

/// A path beneath a root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelativePath {
    /// The decoded segments, separated by `/`; empty for the root itself.
    pub path: String,
    /// The request's path names a directory: it ends in `/`, `.` or `..`.
    pub is_directory: bool,
}

/// Why a request's path cannot be resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PathError {
    /// `..` leads out of the root.
    Climbs,
    /// The path contains a NUL, which no file name can contain.
    Nul,
    /// A decoded segment is not UTF-8.
    NotUtf8,
    /// A segment contains an encoded slash, or a backslash.
    Separator,
    /// A segment begins with a dot.
    Hidden,
    /// The resolved path is longer than 4,000 bytes.
    TooLong,
}

impl PathError {
    /// Returns the status for the answer.
    ///
    /// A path that contains a NUL or leads out of the root gets 400, as in nginx. So does a path that is not
    /// UTF-8. The other paths could name a file, but no file of that name is served, so they get 404. RFC
    /// 3986 §2.2 makes an encoded slash part of a name, where nginx treats it as a separator.
    pub fn status(self) -> u16 {
        match self {
            PathError::Climbs | PathError::Nul | PathError::NotUtf8 => 400,
            PathError::Separator | PathError::Hidden | PathError::TooLong => 404,
        }
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PathError::Climbs => "The path leads out of the root.",
            PathError::Nul => "The path contains a NUL.",
            PathError::NotUtf8 => "The path is not UTF-8 once decoded.",
            PathError::Separator | PathError::Hidden | PathError::TooLong => "There is no such file.",
        })
    }
}

impl std::error::Error for PathError {}

/// Decodes a percent-encoded path, with or without a leading slash, and removes dot segments.
///
/// Dot segments are removed after decoding, so `%2e%2e` is `..` (RFC 3986 §5.2.4). Decoding happens once:
/// `%252e` is `%2e`.
///
/// Names that begin with a dot, such as `.git`, `.env` and `.htpasswd`, are refused unless `hidden` is set.
/// `.well-known` at the root is always allowed (RFC 8615).
///
/// # Errors
/// Returns a [`PathError`] if the path does not name anything beneath the root.
pub fn resolve(path: &[u8], hidden: bool) -> Result<RelativePath, PathError> {
    let mut resolved = String::with_capacity(path.len());
    let mut is_directory = true;
    for segment in path.split(|byte| *byte == b'/') {
        let name = decode(segment)?;
        is_directory = matches!(name.as_str(), "" | "." | "..");
        match name.as_str() {
            "" | "." => continue,
            ".." if resolved.is_empty() => return Err(PathError::Climbs),
            ".." => resolved.truncate(resolved.rfind('/').unwrap_or(0)),
            name => {
                let known = resolved.is_empty() && name == ".well-known";
                if name.starts_with('.') && !hidden && !known {
                    return Err(PathError::Hidden);
                }
                if !resolved.is_empty() {
                    resolved.push('/');
                }
                resolved.push_str(name);
            }
        }
        if resolved.len() > PATH_BYTES_MAX {
            return Err(PathError::TooLong);
        }
    }
    Ok(RelativePath { path: resolved, is_directory })
}

fn decode(segment: &[u8]) -> Result<String, PathError> {
    let mut name = Vec::with_capacity(segment.len());
    let mut at = 0;
    while at < segment.len() {
        // A '%' without two hexadecimal digits is literal, as in a route's parameters.
        let octet = octet(&segment[at..]);
        let byte = octet.unwrap_or(segment[at]);
        at += if octet.is_some() { 3 } else { 1 };
        match byte {
            0 => return Err(PathError::Nul),
            // A backslash is a separator on other systems and in programs that receive the name.
            b'/' | b'\\' => return Err(PathError::Separator),
            _ => name.push(byte),
        }
    }
    String::from_utf8(name).map_err(|_| PathError::NotUtf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_resolves_beneath_the_root_or_is_refused() {
        fn check(path: &str, expected: Result<(&str, bool), PathError>) {
            let expected =
                expected.map(|(path, is_directory)| RelativePath { path: path.into(), is_directory });
            assert_eq!(resolve(path.as_bytes(), false), expected, "{path}");
        }
        check("", Ok(("", true)));
        check("/", Ok(("", true)));
        check("a.html", Ok(("a.html", false)));
        check("/a/b.html", Ok(("a/b.html", false)));
        check("/a/b/", Ok(("a/b", true)));
        check("//etc//passwd", Ok(("etc/passwd", false)));
        check("/./a/././b", Ok(("a/b", false)));
        check("/a/.", Ok(("a", true)));
        check("/a/b/..", Ok(("a", true)));
        check("/a/..", Ok(("", true)));
        check("/a/../b", Ok(("b", false)));
        check("/caf%C3%A9%20noir", Ok(("café noir", false)));
        check("/100%", Ok(("100%", false)));
        check("/%zz%4", Ok(("%zz%4", false)));
        check("/%252e%252e/x", Ok(("%2e%2e/x", false)));
        check("/..", Err(PathError::Climbs));
        check("/../etc/passwd", Err(PathError::Climbs));
        check("/a/../../etc/passwd", Err(PathError::Climbs));
        check("/a/..//../x", Err(PathError::Climbs));
        for dots in ["%2e%2e", "%2E.", ".%2e", "%2E%2e"] {
            check(&format!("/{dots}/x"), Err(PathError::Climbs));
            check(&format!("/a/{dots}"), Ok(("", true)));
        }
        check("/..%2fetc", Err(PathError::Separator));
        check("/a%2Fb", Err(PathError::Separator));
        check("/..%5cetc", Err(PathError::Separator));
        check("/a\\b", Err(PathError::Separator));
        check("/a%00", Err(PathError::Nul));
        check("/a%00/../b", Err(PathError::Nul));
        check("/%E9", Err(PathError::NotUtf8));
        check("/.git/config", Err(PathError::Hidden));
        check("/a/.env", Err(PathError::Hidden));
        check("/%2egit/config", Err(PathError::Hidden));
        check("/...", Err(PathError::Hidden));
        check("/a/.well-known", Err(PathError::Hidden));
        check("/.well-known/acme", Ok((".well-known/acme", false)));
        check(&"/aaaaaaa".repeat(500), Ok((&"/aaaaaaa".repeat(500)[1..], false)));
        check(&"/aaaaaaa".repeat(501), Err(PathError::TooLong));
    }

    #[test]
    fn hidden_names_are_resolved_if_allowed() {
        let expected = RelativePath { path: ".git/config".into(), is_directory: false };
        assert_eq!(resolve(b"/.git/config", true), Ok(expected));
        assert_eq!(resolve(b"/.git/../..", true), Err(PathError::Climbs));
    }

    #[test]
    fn paths_that_can_name_no_file_are_a_bad_request() {
        fn check(error: PathError, expected: u16) {
            assert_eq!(error.status(), expected, "{error}");
        }
        check(PathError::Climbs, 400);
        check(PathError::Nul, 400);
        check(PathError::NotUtf8, 400);
        check(PathError::Separator, 404);
        check(PathError::Hidden, 404);
        check(PathError::TooLong, 404);
    }
}
