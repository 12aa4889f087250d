//! The reasons for rejecting an opening handshake: a status, a metric label and a sentence for each.
//!
//! It knows no request. Its invariant: every reason is one line of the table.

use crate::reasons::reasons;

reasons! {
    /// Why an opening handshake is rejected (RFC 6455 §4.2).
    pub enum Rejected;
    /// Returns the status of the response (RFC 9110 §15).
    fn status() -> u16;

    /// The method is not GET.
    Method = 405, "method", "A WebSocket handshake is a GET request.";
    /// The version is HTTP/1.0.
    HttpVersion = 400, "http_version", "A WebSocket handshake needs HTTP/1.1.";
    /// `Upgrade` does not name `websocket`, or `Connection` does not name `upgrade`.
    NotAnUpgrade = 426, "not_an_upgrade", "There is only a WebSocket here: ask for an upgrade to websocket.";
    /// `Sec-WebSocket-Version` is missing.
    VersionMissing = 400, "version_missing", "Sec-WebSocket-Version is missing. The supported version is 13.";
    /// `Sec-WebSocket-Version` is not 13, or occurs more than once.
    VersionUnsupported = 426, "version_unsupported",
        "Only version 13 of the WebSocket protocol is supported.";
    /// `Sec-WebSocket-Key` is missing, occurs more than once, or does not have the form of 16 bytes in
    /// base64.
    Key = 400, "key", "Sec-WebSocket-Key must occur once, with 16 bytes in base64.";
    /// The page is of another origin, and the policy does not list that origin.
    Origin = 403, "origin", "The page's origin is not allowed to connect.";
    /// `Sec-WebSocket-Protocol` is not a list of tokens.
    Protocol = 400, "protocol", "Sec-WebSocket-Protocol must be a list of tokens.";
    /// `Sec-WebSocket-Extensions` is not a list of extensions with their parameters.
    Extensions = 400, "extensions", "Sec-WebSocket-Extensions must be a list of tokens with parameters.";
}

impl Rejected {
    /// Returns the fields that the response must have: `Allow` with 405 (RFC 9110 §15.5.6), `Upgrade` with
    /// 426 (RFC 9110 §15.5.22), which `Connection` must name (RFC 9110 §7.8), and `Sec-WebSocket-Version`
    /// if the request's version is missing or unsupported (RFC 6455 §4.4). The connection closes after the response if the
    /// request asked for the upgrade, because what follows may be frames.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rejection_has_its_own_index_label_and_sentence() {
        crate::reasons::check(Rejected::ALL, Rejected::index, Rejected::label);
        assert_eq!(Rejected::COUNT, 9);
    }

    #[test]
    fn responses_have_the_fields_that_their_status_needs() {
        for rejected in Rejected::ALL.iter().copied() {
            let has = |name| rejected.fields().iter().any(|field| field.0 == name);
            let version = matches!(rejected, Rejected::VersionMissing | Rejected::VersionUnsupported);
            assert_eq!(has("Sec-WebSocket-Version"), version);
            assert_eq!(has("Upgrade"), rejected.status() == 426);
            assert_eq!(has("Connection"), has("Upgrade"));
            assert_eq!(has("Allow"), rejected.status() == 405);
        }
    }
}
