//! Which versions of HTTP a server speaks.
//!
//! It knows no protocol.

use std::fmt;
use std::str::FromStr;

/// Which versions of HTTP a server speaks: see [`Builder::http`](crate::Builder::http).
///
/// With TLS, server and client agree upon one in the handshake (ALPN, RFC 7301). Without it, a client that knows beforehand
/// that the server speaks HTTP/2 begins with its preface (RFC 9113 §3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum HttpVersions {
    /// HTTP/1.1 and HTTP/1.0 only.
    Http1,
    /// HTTP/2 only.
    Http2,
    /// Whichever the client speaks.
    #[default]
    Both,
}

impl HttpVersions {
    const ALL: [HttpVersions; 3] = [HttpVersions::Http1, HttpVersions::Http2, HttpVersions::Both];

    fn name(self) -> &'static str {
        match self {
            HttpVersions::Http1 => "1",
            HttpVersions::Http2 => "2",
            HttpVersions::Both => "both",
        }
    }

    /// Whether HTTP/1.1 is spoken.
    pub(crate) fn has_http1(self) -> bool {
        self != HttpVersions::Http2
    }

    /// Whether HTTP/2 is spoken.
    pub(crate) fn has_http2(self) -> bool {
        self != HttpVersions::Http1
    }
}

impl fmt::Display for HttpVersions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for HttpVersions {
    type Err = String;

    /// Reads the name that [`Display`](fmt::Display) writes.
    ///
    /// # Errors
    /// A sentence that lists the valid names.
    fn from_str(name: &str) -> Result<HttpVersions, String> {
        let found = HttpVersions::ALL.into_iter().find(|versions| versions.name() == name);
        found.ok_or_else(|| {
            format!("`{name}` is not one of {}", HttpVersions::ALL.map(HttpVersions::name).join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_becomes_the_value_and_back() {
        for versions in HttpVersions::ALL {
            assert_eq!(versions.to_string().parse(), Ok(versions));
        }
        assert_eq!("3".parse::<HttpVersions>(), Err("`3` is not one of 1, 2, both".into()));
    }
}
