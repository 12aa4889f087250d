//! The way out of the arena: an explicit copy, which is counted.
//!
//! It knows nothing of what it copies. Its invariant: a copy borrows nothing, so it can be stored in a
//! session or a map, or sent to another thread.

use std::cell::Cell;
use std::collections::TryReserveError;

thread_local! {
    static KEPT_BYTES: Cell<u64> = const { Cell::new(0) };
}

/// Copies a value that lives only as long as a request into memory of its own.
///
/// What a handler reads from a request borrows the read buffer and the arena, and the compiler rejects code
/// that stores it. `keep()` is the explicit copy that may be stored:
///
/// ```
/// use fleeting::Keep;
///
/// let mut arena = fleeting::Arena::new(4096);
/// let kept: Box<str> = arena.alloc_str("X-Id").keep();
/// arena.reset();
/// assert_eq!(&*kept, "X-Id");
/// ```
pub trait Keep {
    /// The type of the copy, which owns its memory.
    type Kept: 'static;

    /// Returns a copy and adds its length in bytes to [`kept_bytes`].
    ///
    /// # Panics
    /// If the system has no memory for it. The request is then answered with 503.
    fn keep(&self) -> Self::Kept;
}

impl Keep for str {
    type Kept = Box<str>;

    fn keep(&self) -> Box<str> {
        let mut copy = String::new();
        room(copy.try_reserve_exact(self.len()));
        copy.push_str(self);
        count(copy.len());
        copy.into()
    }
}

impl Keep for [u8] {
    type Kept = Box<[u8]>;

    fn keep(&self) -> Box<[u8]> {
        let mut copy = Vec::new();
        room(copy.try_reserve_exact(self.len()));
        copy.extend_from_slice(self);
        count(copy.len());
        copy.into()
    }
}

/// Panics if there was no room for a copy. Without this the process would be aborted.
pub(crate) fn room(reserved: Result<(), TryReserveError>) {
    reserved.expect("the system has no memory for a copy");
}

/// Returns the number of bytes that [`Keep::keep`] has copied on this thread so far.
pub fn kept_bytes() -> u64 {
    KEPT_BYTES.get()
}

/// Adds `bytes` to [`kept_bytes`], for code that copies request data by other means.
#[doc(hidden)]
pub fn count(bytes: usize) {
    KEPT_BYTES.set(KEPT_BYTES.get() + bytes as u64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_counted() {
        let before = kept_bytes();
        let text: Box<str> = "abc".keep();
        let bytes: Box<[u8]> = [1u8, 2].keep();
        assert_eq!((&*text, &*bytes), ("abc", &[1u8, 2][..]));
        assert_eq!(kept_bytes() - before, 5);
    }
}
