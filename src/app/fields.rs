//! The fields that a handler sets on a response, encoded for the wire as soon as they are set.
//!
//! It knows nothing of the rest of the response. Its invariant: every line was checked by
//! [`http1::encode_field`], so no value can break the framing.

use crate::http1::{self, FieldError};
use std::cell::Cell;
use std::fmt;

/// The field lines of a response, each ending in CRLF.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum FieldBlock {
    /// The Content-Type that a constructor set, or nothing.
    Fixed(&'static FixedField),
    /// Lines in memory that the thread's next response reuses.
    Memory(Vec<u8>),
}

/// A field that is the same in many responses, encoded for both protocols.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FixedField {
    /// The field line of HTTP/1.1.
    line: &'static [u8],
    /// The field block of HTTP/2.
    block: &'static [u8],
}

/// Makes the [`FixedField`] of a Content-Type.
macro_rules! content_type {
    ($value:literal) => {
        $crate::app::FixedField::new(concat!("Content-Type: ", $value, "\r\n"), {
            const BLOCK: [u8; $value.len() + 3] = $crate::http2::response::content_type($value);
            &BLOCK
        })
    };
}
pub(super) use content_type;

impl FixedField {
    pub(crate) const fn new(line: &'static str, block: &'static [u8]) -> FixedField {
        FixedField { line: line.as_bytes(), block }
    }
}

/// No field.
static EMPTY: FixedField = FixedField::new("", b"");
/// The Content-Type of plain text, which errors have too.
pub(super) static TEXT: FixedField = content_type!("text/plain; charset=utf-8");

thread_local! {
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A block with a larger capacity is freed instead of reused.
const SPARE_BYTES_MAX: usize = 4096;

impl FieldBlock {
    pub(crate) const NONE: FieldBlock = FieldBlock::Fixed(&EMPTY);

    /// Sets a field, in place of all lines of this name.
    pub(crate) fn set(&mut self, name: &str, value: &[u8]) -> Result<(), FieldError> {
        let before = match self {
            // A constructor sets nothing but a Content-Type.
            FieldBlock::Fixed(field) if is_named(field.line, name) => {
                *self = FieldBlock::NONE;
                0
            }
            _ => self.bytes().len(),
        };
        let end = self.append(name, value)?.len();
        if before > 0 && end > before {
            self.remove(name, before);
        }
        Ok(())
    }

    /// Adds a line. A response has one Content-Type, so a second one replaces the first (RFC 9110 §5.3).
    pub(crate) fn add(&mut self, name: &str, value: &[u8]) -> Result<(), FieldError> {
        if name.eq_ignore_ascii_case("content-type") {
            return self.set(name, value);
        }
        self.append(name, value).map(drop)
    }

    fn append(&mut self, name: &str, value: &[u8]) -> Result<&[u8], FieldError> {
        if let FieldBlock::Fixed(field) = *self {
            let mut bytes = SPARE.take();
            bytes.extend_from_slice(field.line);
            *self = FieldBlock::Memory(bytes);
        }
        let FieldBlock::Memory(bytes) = self else { unreachable!("converted above") };
        http1::encode_field(bytes, name, value)?;
        Ok(bytes)
    }

    /// Removes the lines of this name from the first `within` bytes. Returns whether there were any.
    fn remove(&mut self, name: &str, mut within: usize) -> bool {
        let before = within;
        let mut at = 0;
        while at < within {
            let rest = &self.bytes()[at..within];
            let length = line_length(rest);
            if !is_named(&rest[..length], name) {
                at += length;
                continue;
            }
            match self {
                FieldBlock::Fixed(_) => *self = FieldBlock::NONE,
                FieldBlock::Memory(bytes) => drop(bytes.drain(at..at + length)),
            }
            within -= length;
        }
        within < before
    }

    /// Removes all lines of this name. Returns whether there were any.
    pub(super) fn unset(&mut self, name: &str) -> bool {
        self.remove(name, self.bytes().len())
    }

    /// Returns the names and values of all lines.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let mut rest = self.bytes();
        std::iter::from_fn(move || {
            let (line, more) = rest.split_at(line_length(rest));
            rest = more;
            let line = line.strip_suffix(b"\r\n")?;
            let colon = line.iter().position(|byte| *byte == b':')?;
            Some((std::str::from_utf8(&line[..colon]).ok()?, line[colon + 1..].trim_ascii_start()))
        })
    }

    /// Inserts the fields of a deferred response before those of its answer. Only one Content-Type stays:
    /// the answer's, if it has one.
    pub(crate) fn put_in_front(&mut self, before: &FieldBlock) {
        if before.bytes().is_empty() {
            return;
        }
        let is_type = |line: &[u8]| is_named(line, "content-type");
        let lines = |bytes| <[u8]>::split_inclusive(bytes, |byte| *byte == b'\n');
        let typed = lines(self.bytes()).any(is_type);
        let kept = lines(before.bytes()).filter(|line| !(typed && is_type(line)));
        let bytes = kept.chain(lines(self.bytes())).flatten().copied().collect();
        *self = FieldBlock::Memory(bytes);
    }

    /// Adds the lines of `other` whose names this block does not have.
    pub(super) fn add_missing(&mut self, other: &FieldBlock) {
        let has =
            |block: &FieldBlock, name: &str| block.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
        let missing: Vec<_> = other.iter().filter(|(name, _)| !has(self, name)).collect();
        for (name, value) in missing {
            self.append(name, value).expect("a block holds only lines that were checked");
        }
    }

    /// Returns the encoded lines.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            FieldBlock::Fixed(field) => field.line,
            FieldBlock::Memory(bytes) => bytes,
        }
    }

    /// Returns the lines as a field block of HTTP/2, if they are encoded as such already.
    #[inline]
    pub(crate) fn block(&self) -> Option<&'static [u8]> {
        match self {
            FieldBlock::Fixed(field) => Some(field.block),
            FieldBlock::Memory(_) => None,
        }
    }
}

/// Returns the length of the first line, its CRLF included.
fn line_length(lines: &[u8]) -> usize {
    lines.iter().position(|byte| *byte == b'\n').map_or(lines.len(), |at| at + 1)
}

fn is_named(line: &[u8], name: &str) -> bool {
    line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()))
        && line.get(name.len()) == Some(&b':')
}

impl Drop for FieldBlock {
    #[inline]
    fn drop(&mut self) {
        match self {
            FieldBlock::Memory(bytes) if bytes.capacity() <= SPARE_BYTES_MAX => {
                let mut memory = std::mem::take(bytes);
                memory.clear();
                SPARE.set(memory);
            }
            FieldBlock::Memory(_) | FieldBlock::Fixed(_) => {}
        }
    }
}

impl fmt::Debug for FieldBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&String::from_utf8_lossy(self.bytes()), f)
    }
}
