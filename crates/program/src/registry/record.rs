//! A client's record, as the store and the clients see it.
//!
//! It knows no store. Its invariant: what the client sent is read back byte for byte.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A client's record.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Record<'a> {
    #[serde(borrow)]
    pub(super) id: Cow<'a, str>,
    /// What the client sent: any JSON.
    #[serde(borrow)]
    pub(super) sent: &'a RawValue,
    /// When it was sent: milliseconds since 1970-01-01 UTC, by the server's clock.
    pub(super) at_ms: u64,
    /// Where it came from: address and port.
    pub(super) from: Option<Cow<'a, str>>,
    /// The name of the WebSocket that holds the record. A name is never reused.
    pub(super) connection: Option<Cow<'a, str>>,
}

impl<'a> Record<'a> {
    /// Parses a value of the store. Returns `None` if it is not a record.
    pub(super) fn decode(value: &'a [u8]) -> Option<Record<'a>> {
        serde_json::from_slice(value).ok()
    }

    /// Returns the record as JSON.
    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("text and JSON are written as JSON")
    }
}

/// The largest size of an id.
pub(super) const ID_BYTES_MAX: usize = 128;

/// Checks an id, which becomes part of a path, of a key and of a topic's name.
///
/// # Errors
/// A sentence that says why the id is not allowed.
pub(super) fn check_id(id: &str) -> Result<(), &'static str> {
    if id.is_empty() {
        return Err("The id is empty.");
    }
    if id.len() > ID_BYTES_MAX {
        return Err("An id may have at most 128 bytes.");
    }
    if id.chars().any(char::is_control) {
        return Err("An id may not contain control characters.");
    }
    if id.contains(['*', '/']) {
        return Err("An id may not contain `*` or `/`.");
    }
    if matches!(id, "ws" | "." | "..") {
        return Err("An id may not be `ws`, `.` or `..`, which mean something else in a path.");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_checked() {
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
    fn a_record_is_read_back_as_it_was_written() {
        let text = br#"{"id":"a\"b","sent":{"x" : [1.50]},"at_ms":7,"from":"[::1]:80","connection":null}"#;
        let record = Record::decode(text).unwrap();
        assert_eq!((&*record.id, record.sent.get()), ("a\"b", r#"{"x" : [1.50]}"#));
        assert_eq!(record.encode(), text);
        assert!(Record::decode(b"7").is_none() && Record::decode(b"{\"id\":\"a\"}").is_none());
    }
}
