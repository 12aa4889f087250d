//! The way out of the arena: a copy, made on purpose, and counted.
//!
//! It knows nothing of what it copies. Its invariant: the copy borrows nothing, so it can be stored
//! in a session, in a map, or sent to another thread.

use std::cell::Cell;

thread_local! {
    static KEPT_BYTES: Cell<u64> = const { Cell::new(0) };
}

/// Copies what lives only as long as a request into memory of its own.
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
    /// The copy: owns what it holds.
    type Kept: 'static;

    /// Makes the copy and adds its bytes to [`kept_bytes`].
    fn keep(&self) -> Self::Kept;
}

impl Keep for str {
    type Kept = Box<str>;

    fn keep(&self) -> Box<str> {
        count(self.len());
        self.into()
    }
}

impl Keep for [u8] {
    type Kept = Box<[u8]>;

    fn keep(&self) -> Box<[u8]> {
        count(self.len());
        self.into()
    }
}

/// Bytes that [`Keep::keep`] has copied on this thread since it began.
pub fn kept_bytes() -> u64 {
    KEPT_BYTES.get()
}

/// Adds `bytes` to [`kept_bytes`]: for stores, which copy what they are given too.
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
