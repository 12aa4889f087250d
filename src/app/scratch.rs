//! Memory in which a thread composes a field value, and which its next value reuses.
//!
//! It knows no field. Its invariant: once the memory is large enough, composing a value allocates nothing.

use std::cell::Cell;

thread_local! {
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A buffer with a larger capacity is freed instead of reused.
const SPARE_BYTES_MAX: usize = 8192;

/// Calls `compose` with an empty buffer, and returns its result. Calls may be nested.
pub(super) fn with_scratch<T>(compose: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    let mut bytes = SPARE.take();
    let result = compose(&mut bytes);
    if bytes.capacity() <= SPARE_BYTES_MAX {
        bytes.clear();
        SPARE.set(bytes);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_reused_unless_it_is_large() {
        let at = with_scratch(|bytes| {
            bytes.extend_from_slice(b"abc");
            bytes.as_ptr()
        });
        with_scratch(|bytes| {
            assert!(bytes.is_empty());
            assert_eq!(bytes.as_ptr(), at);
            with_scratch(|inner| inner.push(b'x'));
            bytes.reserve(SPARE_BYTES_MAX + 1);
        });
        with_scratch(|bytes| assert!(bytes.capacity() <= SPARE_BYTES_MAX));
    }
}
