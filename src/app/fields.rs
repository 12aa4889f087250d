//! The fields that a handler sets on a response, encoded for the wire as soon as they are set.
//!
//! It knows nothing of the rest of the response. Its invariant: every line was checked by
//! [`http1::encode_field`], so no value can break the framing.

use crate::http1::{self, FieldError};
use std::cell::Cell;
use std::fmt;

/// The field lines of a response, each ending in CRLF.
pub(crate) enum FieldBlock {
    /// The Content-Type that a constructor set, or nothing.
    Fixed(&'static [u8]),
    /// Lines in memory that the thread's next response reuses. The first `fixed_bytes` are a Content-Type
    /// that a constructor set; setting another one removes it.
    Memory { bytes: Vec<u8>, fixed_bytes: usize },
}

thread_local! {
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A block with a larger capacity is freed instead of reused.
const SPARE_BYTES_MAX: usize = 4096;

impl FieldBlock {
    pub(crate) fn push(&mut self, name: &str, value: &[u8]) -> Result<(), FieldError> {
        if let FieldBlock::Fixed(line) = *self {
            let mut bytes = SPARE.take();
            bytes.extend_from_slice(line);
            *self = FieldBlock::Memory { bytes, fixed_bytes: line.len() };
        }
        let FieldBlock::Memory { bytes, fixed_bytes } = self else { unreachable!("converted above") };
        http1::encode_field(bytes, name, value)?;
        if *fixed_bytes > 0 && name.eq_ignore_ascii_case("content-type") {
            bytes.drain(..std::mem::take(fixed_bytes));
        }
        Ok(())
    }

    /// Treats the lines pushed so far as a constructor's Content-Type: setting another one removes them.
    pub(super) fn set_fixed(&mut self) {
        if let FieldBlock::Memory { bytes, fixed_bytes } = self {
            *fixed_bytes = bytes.len();
        }
    }

    /// Inserts the fields of a deferred response before those of its answer. Only one Content-Type stays:
    /// the answer's, if it has one.
    pub(crate) fn put_in_front(&mut self, before: &FieldBlock) {
        if before.bytes().is_empty() {
            return;
        }
        let is_type =
            |line: &[u8]| line.get(..13).is_some_and(|name| name.eq_ignore_ascii_case(b"content-type:"));
        let lines = |bytes| <[u8]>::split_inclusive(bytes, |byte| *byte == b'\n');
        let typed = lines(self.bytes()).any(is_type);
        let kept = lines(before.bytes()).filter(|line| !(typed && is_type(line)));
        let bytes = kept.chain(lines(self.bytes())).flatten().copied().collect();
        *self = FieldBlock::Memory { bytes, fixed_bytes: 0 };
    }

    /// Returns the encoded lines.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            FieldBlock::Fixed(line) => line,
            FieldBlock::Memory { bytes, .. } => bytes,
        }
    }
}

impl Drop for FieldBlock {
    #[inline]
    fn drop(&mut self) {
        if let FieldBlock::Memory { bytes, .. } = self
            && bytes.capacity() <= SPARE_BYTES_MAX
        {
            let mut memory = std::mem::take(bytes);
            memory.clear();
            SPARE.set(memory);
        }
    }
}

impl fmt::Debug for FieldBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&String::from_utf8_lossy(self.bytes()), f)
    }
}
