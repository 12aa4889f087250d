//! Memory as Fiber's handlers see it: a buffer that each request is read into, and strings that point there.
//!
//! It knows no map and no lock. A string is a place in the buffer, `(offset, length)`, and what it reads as is
//! what lies there at that moment, as a Go string made without a copy does. Its invariant: a place is always
//! within the buffer, so reading one is never undefined, whatever it reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// Bytes that an id may have.
pub(super) const ID_BYTES_MAX: usize = 32;
/// Where a request's parameter lies: in each request at the same place.
const PARAM_AT: usize = 0;
/// Where the value of its field lies.
const FIELD_AT: usize = PARAM_AT + ID_BYTES_MAX;
const BUFFER_BYTES: usize = FIELD_AT + ID_BYTES_MAX;

/// The buffer. Its bytes are atomic: whoever reads a request writes them without asking for a lock, as in Go.
pub(super) struct Buffer([AtomicU8; BUFFER_BYTES]);

impl Buffer {
    pub(super) fn new() -> Buffer {
        Buffer([const { AtomicU8::new(0) }; BUFFER_BYTES])
    }

    /// Puts as much of `text` as there is room for at one of the places.
    fn write(&self, offset: usize, text: &str) -> Text {
        let bytes = &text.as_bytes()[..text.len().min(ID_BYTES_MAX)];
        for (place, byte) in self.0[offset..].iter().zip(bytes) {
            place.store(*byte, Ordering::Relaxed);
        }
        Text::Borrowed { offset, length: bytes.len() }
    }
}

/// What Go calls a string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Text {
    /// A place in the buffer: nothing was copied. It is made by [`Buffer::write`] only.
    Borrowed { offset: usize, length: usize },
    /// Memory of its own.
    Copied(Box<str>),
}

impl Text {
    /// What it reads as now.
    pub(super) fn read(&self, buffer: &Buffer) -> String {
        match self {
            Text::Borrowed { offset, length } => {
                let places = &buffer.0[*offset..offset + length];
                let bytes: Vec<u8> = places.iter().map(|place| place.load(Ordering::Relaxed)).collect();
                String::from_utf8_lossy(&bytes).into_owned()
            }
            Text::Copied(text) => text.to_string(),
        }
    }
}

/// A request as one of Fiber's handlers sees it.
pub(super) struct Ctx {
    buffer: Arc<Buffer>,
    field: Option<Text>,
    param: Option<Text>,
}

impl Ctx {
    /// A request whose field has this value: it is read into the buffer.
    pub(super) fn with_field(buffer: &Arc<Buffer>, value: &str) -> Ctx {
        Ctx { buffer: buffer.clone(), field: Some(buffer.write(FIELD_AT, value)), param: None }
    }

    /// A request whose path has this parameter.
    pub(super) fn with_param(buffer: &Arc<Buffer>, value: &str) -> Ctx {
        Ctx { buffer: buffer.clone(), field: None, param: Some(buffer.write(PARAM_AT, value)) }
    }

    /// `c.Get(name)`: the value of a field, where it lies.
    pub(super) fn get(&self, name: &str) -> Text {
        debug_assert_eq!(name, "X-Id", "the application reads no other");
        self.field.clone().unwrap_or(Text::Copied("".into()))
    }

    /// `c.Params(name)`: the value of a parameter, where it lies.
    pub(super) fn params(&self, name: &str) -> Text {
        debug_assert_eq!(name, "id", "the application's routes have no other");
        self.param.clone().unwrap_or(Text::Copied("".into()))
    }

    /// `utils.CopyString(text)`: what it reads as now, in memory of its own.
    pub(super) fn copy_string(&self, text: Text) -> Text {
        Text::Copied(text.read(&self.buffer).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_reads_as_what_lies_there_now() {
        let buffer = Arc::new(Buffer::new());
        let first = Ctx::with_field(&buffer, "alice");
        let (borrowed, copied) = (first.get("X-Id"), first.copy_string(first.get("X-Id")));
        assert_eq!(borrowed, Text::Borrowed { offset: FIELD_AT, length: 5 });
        assert_eq!(borrowed.read(&buffer), "alice");
        let second = Ctx::with_field(&buffer, "bob").get("X-Id");
        assert_eq!((borrowed.read(&buffer), second.read(&buffer)), ("bobce".into(), "bob".into()));
        assert_eq!(copied.read(&buffer), "alice");
        // A parameter lies somewhere else.
        let param = Ctx::with_param(&buffer, "carol").params("id");
        assert_eq!((param.read(&buffer), borrowed.read(&buffer)), ("carol".into(), "bobce".into()));
    }

    #[test]
    fn a_place_never_leaves_the_buffer() {
        let buffer = Arc::new(Buffer::new());
        let long = "x".repeat(BUFFER_BYTES);
        assert_eq!(Ctx::with_field(&buffer, &long).get("X-Id").read(&buffer).len(), ID_BYTES_MAX);
        assert_eq!(Ctx::with_param(&buffer, "").params("id").read(&buffer), "");
        // Half a character is no text; it is shown as such.
        let text = Ctx::with_field(&buffer, "aé").get("X-Id");
        Ctx::with_field(&buffer, "éa");
        assert_eq!(text.read(&buffer), "éa");
        Ctx::with_field(&buffer, "aaé");
        assert_eq!(text.read(&buffer), "aa\u{fffd}");
    }
}
