//! Memory as Fiber's handlers see it: a buffer that each request is read into, and strings that point into it.
//!
//! It knows no map and no lock. A string is an offset and a length in the buffer. It reads as whatever lies there at
//! that moment, like a Go string made without a copy. Its invariant: a string always lies within the buffer, so reading
//! it is defined, whatever the bytes are.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// The maximum length of an id in bytes.
pub(super) const ID_BYTES_MAX: usize = 32;
/// The offset of a request's parameter, the same for every request.
const PARAM_OFFSET: usize = 0;
/// The offset of its field's value.
const FIELD_OFFSET: usize = PARAM_OFFSET + ID_BYTES_MAX;
const BUFFER_BYTES: usize = FIELD_OFFSET + ID_BYTES_MAX;

/// The buffer. Its bytes are atomic because, as in Go, reading a request overwrites them without a lock.
pub(super) struct Buffer([AtomicU8; BUFFER_BYTES]);

impl Buffer {
    pub(super) fn new() -> Buffer {
        Buffer([const { AtomicU8::new(0) }; BUFFER_BYTES])
    }

    /// Writes the first [`ID_BYTES_MAX`] bytes of `text` at `offset`, which is one of the two above.
    fn write(&self, offset: usize, text: &str) -> GoString {
        let bytes = &text.as_bytes()[..text.len().min(ID_BYTES_MAX)];
        for (target, byte) in self.0[offset..].iter().zip(bytes) {
            target.store(*byte, Ordering::Relaxed);
        }
        GoString::Borrowed { offset, length: bytes.len() }
    }
}

/// A string as Go knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum GoString {
    /// A part of the buffer, not copied. Only [`Buffer::write`] creates one.
    Borrowed { offset: usize, length: usize },
    /// A copy in its own memory.
    Copied(Box<str>),
}

impl GoString {
    /// Returns what the string reads as now.
    pub(super) fn read(&self, buffer: &Buffer) -> String {
        match self {
            GoString::Borrowed { offset, length } => {
                let slice = &buffer.0[*offset..offset + length];
                let bytes: Vec<u8> = slice.iter().map(|byte| byte.load(Ordering::Relaxed)).collect();
                String::from_utf8_lossy(&bytes).into_owned()
            }
            GoString::Copied(text) => text.to_string(),
        }
    }
}

/// A request as a Fiber handler sees it.
pub(super) struct Ctx {
    buffer: Arc<Buffer>,
    field: Option<GoString>,
    param: Option<GoString>,
}

impl Ctx {
    /// Creates a request whose X-Id field has this value, and reads it into the buffer.
    pub(super) fn with_field(buffer: &Arc<Buffer>, value: &str) -> Ctx {
        Ctx { buffer: buffer.clone(), field: Some(buffer.write(FIELD_OFFSET, value)), param: None }
    }

    /// Creates a request whose path has this parameter, and reads it into the buffer.
    pub(super) fn with_param(buffer: &Arc<Buffer>, value: &str) -> Ctx {
        Ctx { buffer: buffer.clone(), field: None, param: Some(buffer.write(PARAM_OFFSET, value)) }
    }

    /// `c.Get(name)`: the value of a field, without a copy.
    pub(super) fn get(&self, name: &str) -> GoString {
        debug_assert_eq!(name, "X-Id", "the application reads only this field");
        self.field.clone().unwrap_or(GoString::Copied("".into()))
    }

    /// `c.Params(name)`: the value of a parameter, without a copy.
    pub(super) fn params(&self, name: &str) -> GoString {
        debug_assert_eq!(name, "id", "the application's routes have only this parameter");
        self.param.clone().unwrap_or(GoString::Copied("".into()))
    }

    /// `utils.CopyString(text)`: what the string reads as now, in its own memory.
    pub(super) fn copy_string(&self, text: GoString) -> GoString {
        GoString::Copied(text.read(&self.buffer).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_borrowed_string_reads_as_the_current_bytes() {
        let buffer = Arc::new(Buffer::new());
        let first = Ctx::with_field(&buffer, "alice");
        let (borrowed, copied) = (first.get("X-Id"), first.copy_string(first.get("X-Id")));
        assert_eq!(borrowed, GoString::Borrowed { offset: FIELD_OFFSET, length: 5 });
        assert_eq!(borrowed.read(&buffer), "alice");
        let second = Ctx::with_field(&buffer, "bob").get("X-Id");
        assert_eq!((borrowed.read(&buffer), second.read(&buffer)), ("bobce".into(), "bob".into()));
        assert_eq!(copied.read(&buffer), "alice");
        // A parameter lies at another offset.
        let param = Ctx::with_param(&buffer, "carol").params("id");
        assert_eq!((param.read(&buffer), borrowed.read(&buffer)), ("carol".into(), "bobce".into()));
    }

    #[test]
    fn a_string_never_extends_past_the_buffer() {
        let buffer = Arc::new(Buffer::new());
        let long = "x".repeat(BUFFER_BYTES);
        assert_eq!(Ctx::with_field(&buffer, &long).get("X-Id").read(&buffer).len(), ID_BYTES_MAX);
        assert_eq!(Ctx::with_param(&buffer, "").params("id").read(&buffer), "");
        // Half of a character is not UTF-8, and reads as the replacement character.
        let text = Ctx::with_field(&buffer, "aé").get("X-Id");
        Ctx::with_field(&buffer, "éa");
        assert_eq!(text.read(&buffer), "éa");
        Ctx::with_field(&buffer, "aaé");
        assert_eq!(text.read(&buffer), "aa\u{fffd}");
    }
}
