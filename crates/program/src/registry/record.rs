//! A client's record, as it lies in the store and as it is told.
//!
//! Knows no store. Its invariant: what is read back is what was written, byte for byte of what the client sent.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// What is known of a client.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Record<'a> {
    #[serde(borrow)]
    pub(super) id: Cow<'a, str>,
    /// What it sent: any JSON.
    #[serde(borrow)]
    pub(super) sent: &'a RawValue,
    /// When: milliseconds since 1970-01-01 UTC, by the server's clock.
    pub(super) at_ms: u64,
    /// From where: address and port.
    pub(super) from: Option<Cow<'a, str>>,
    /// The name of its WebSocket; never given twice.
    pub(super) connection: Option<Cow<'a, str>>,
}

impl<'a> Record<'a> {
    /// Reads a value of the store; `None` if it is nothing of ours.
    pub(super) fn decode(value: &'a [u8]) -> Option<Record<'a>> {
        serde_json::from_slice(value).ok()
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("text and JSON are written as JSON")
    }
}

/// What an id may have.
pub(super) const ID_BYTES_MAX: usize = 128;

/// Whether `id` may be one: it is a part of a path, of a key, and of a topic's name.
///
/// # Errors
/// A sentence that says why not.
pub(super) fn check_id(id: &str) -> Result<(), &'static str> {
    if id.is_empty() {
        return Err("The id is empty.");
    }
    if id.len() > ID_BYTES_MAX {
        return Err("An id has 128 bytes at most.");
    }
    if id.chars().any(char::is_control) {
        return Err("An id has no control characters.");
    }
    if id.contains(['*', '/']) {
        return Err("An id has no `*` and no `/`.");
    }
    if matches!(id, "ws" | "." | "..") {
        return Err("`ws`, `.` and `..` are no ids: in a path they mean something else.");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids() {
        fn check(id: &str, ok: bool) {
            assert_eq!(check_id(id).is_ok(), ok, "{id:?}");
        }
        check("a", true);
        check("3f9a-21", true);
        check("é € 日本", true);
        check(&"x".repeat(128), true);
        check(&"x".repeat(129), false);
        check("", false);
        check("a\n", false);
        check("a\u{85}b", false);
        check("a*", false);
        check("a/b", false);
        check("ws", false);
        check("..", false);
    }

    #[test]
    fn records_come_back_as_they_were() {
        let text = br#"{"id":"a\"b","sent":{"x" : [1.50]},"at_ms":7,"from":"[::1]:80","connection":null}"#;
        let record = Record::decode(text).unwrap();
        assert_eq!((&*record.id, record.sent.get()), ("a\"b", r#"{"x" : [1.50]}"#));
        assert_eq!(record.encode(), text);
        assert!(Record::decode(b"7").is_none() && Record::decode(b"{\"id\":\"a\"}").is_none());
    }
}
