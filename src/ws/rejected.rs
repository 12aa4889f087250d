//! What can be wrong with an opening handshake.
//!
//! Knows no request, only names, statuses and sentences. Invariant: one variant per reason, and every
//! reason has exactly one status, one label and one set of fields that its answer needs.

use std::fmt;

/// Why a handshake is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rejected {
    /// The method is not GET.
    Method,
    /// HTTP/1.0.
    HttpVersion,
    /// `Upgrade` does not name `websocket`, or `Connection` does not name `upgrade`.
    NotAnUpgrade,
    /// No `Sec-WebSocket-Version`.
    VersionMissing,
    /// `Sec-WebSocket-Version` is not 13, or there are several.
    VersionUnsupported,
    /// No `Sec-WebSocket-Key`, several, or one that is not 16 bytes in base64.
    Key,
    /// A page of another origin, which is not listed.
    Origin,
    /// `Sec-WebSocket-Protocol` is not a list of tokens.
    Protocol,
    /// `Sec-WebSocket-Extensions` is not a list of extensions with their parameters.
    Extensions,
}

impl Rejected {
    /// Every reason, in the order of [`index`](Rejected::index).
    pub const ALL: &'static [Rejected] = &[
        Rejected::Method,
        Rejected::HttpVersion,
        Rejected::NotAnUpgrade,
        Rejected::VersionMissing,
        Rejected::VersionUnsupported,
        Rejected::Key,
        Rejected::Origin,
        Rejected::Protocol,
        Rejected::Extensions,
    ];

    /// Its place in [`ALL`](Rejected::ALL), for an array of counters.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The status to answer with.
    pub const fn status(self) -> u16 {
        match self {
            Rejected::HttpVersion
            | Rejected::VersionMissing
            | Rejected::Key
            | Rejected::Protocol
            | Rejected::Extensions => 400,
            Rejected::Origin => 403,
            Rejected::Method => 405,
            Rejected::NotAnUpgrade | Rejected::VersionUnsupported => 426,
        }
    }

    /// Its name in metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Rejected::Method => "method",
            Rejected::HttpVersion => "http_version",
            Rejected::NotAnUpgrade => "not_an_upgrade",
            Rejected::VersionMissing => "version_missing",
            Rejected::VersionUnsupported => "version_unsupported",
            Rejected::Key => "key",
            Rejected::Origin => "origin",
            Rejected::Protocol => "protocol",
            Rejected::Extensions => "extensions",
        }
    }

    /// Whether the answer has to say `Sec-WebSocket-Version: 13` (RFC 6455 §4.4).
    pub const fn needs_version_header(self) -> bool {
        matches!(self, Rejected::VersionMissing | Rejected::VersionUnsupported)
    }

    /// The fields that the answer has to have, that of [`needs_version_header`] among them: `Allow`
    /// with 405 (RFC 9110 §15.5.6), `Upgrade` with 426 (RFC 9110 §15.5.22), which `Connection` has to
    /// name (RFC 9110 §7.8).
    ///
    /// [`needs_version_header`]: Rejected::needs_version_header
    pub const fn fields(self) -> &'static [(&'static str, &'static str)] {
        const UPGRADE: (&str, &str) = ("Upgrade", "websocket");
        const CONNECTION: (&str, &str) = ("Connection", "Upgrade");
        const VERSION: (&str, &str) = ("Sec-WebSocket-Version", "13");
        match self {
            Rejected::Method => &[("Allow", "GET")],
            Rejected::NotAnUpgrade => &[UPGRADE, CONNECTION],
            Rejected::VersionMissing => &[VERSION],
            Rejected::VersionUnsupported => &[UPGRADE, CONNECTION, VERSION],
            Rejected::HttpVersion
            | Rejected::Key
            | Rejected::Origin
            | Rejected::Protocol
            | Rejected::Extensions => &[],
        }
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rejected::Method => "a WebSocket handshake is a GET request",
            Rejected::HttpVersion => "a WebSocket handshake needs HTTP/1.1",
            Rejected::NotAnUpgrade => "this is a WebSocket endpoint: ask for an upgrade to websocket",
            Rejected::VersionMissing => "Sec-WebSocket-Version is missing; 13 is spoken here",
            Rejected::VersionUnsupported => "only version 13 of the WebSocket protocol is spoken here",
            Rejected::Key => "Sec-WebSocket-Key must be there once, with 16 bytes in base64",
            Rejected::Origin => "pages of this origin may not connect",
            Rejected::Protocol => "Sec-WebSocket-Protocol must be a list of tokens",
            Rejected::Extensions => "Sec-WebSocket-Extensions must be a list of tokens with parameters",
        })
    }
}

impl std::error::Error for Rejected {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejections() {
        for (index, rejected) in Rejected::ALL.iter().copied().enumerate() {
            assert_eq!(rejected.index(), index);
            assert_eq!(rejected.label().replace('_', ""), format!("{rejected:?}").to_lowercase());
            let has = |name| rejected.fields().iter().any(|field| field.0 == name);
            assert_eq!(has("Sec-WebSocket-Version"), rejected.needs_version_header());
            assert_eq!(has("Upgrade"), rejected.status() == 426);
            assert_eq!(has("Allow"), rejected.status() == 405);
        }
    }
}
