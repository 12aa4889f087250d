//! The bump arena that a request lives in, reset when the request is over.
//!
//! It knows nothing of requests. Its invariant is the borrow checker's: [`Arena::reset`] takes
//! `&mut self`, so it does not compile while anything allocated here is still alive.

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;
use std::fmt::{self, Write as _};
use std::io;

/// Memory for what does not outlive a request: allocation moves a pointer, [`reset`](Arena::reset)
/// frees everything at once.
///
/// One arena serves all requests of a worker, one after the other. It keeps one chunk of a set size
/// between requests; what a rare large request added is given back.
///
/// What was written into it before a reset cannot be read after it:
///
/// - in every build, because no reference survives [`reset`](Arena::reset): it does not compile;
/// - in a debug build, it is overwritten as well;
/// - under `cfg(fuzzing)` or `--cfg fleeting_paranoid`, it is freed, so that AddressSanitizer reports
///   a reference that got out by `unsafe` means.
///
/// ```
/// let mut arena = fleeting::Arena::new(4096);
/// let greeting = arena.alloc_str("hello");
/// assert_eq!(greeting, "hello");
/// arena.reset();
/// ```
pub struct Arena {
    bump: Bump,
    /// Bytes of the chunk kept between resets.
    kept_bytes: usize,
    high_water_bytes: usize,
}

/// What a debug build writes over memory that has been given back.
pub(crate) const OVERWRITTEN: u8 = 0xdd;

impl Arena {
    /// An arena that keeps `kept_bytes` bytes between resets (and has them from the start).
    pub fn new(kept_bytes: usize) -> Arena {
        Arena { bump: Bump::with_capacity(kept_bytes), kept_bytes, high_water_bytes: 0 }
    }

    /// Moves `value` into the arena.
    ///
    /// A type that needs `Drop` is refused at compile time: nothing here is ever dropped.
    ///
    /// ```compile_fail
    /// let arena = fleeting::Arena::new(4096);
    /// arena.alloc(String::from("its heap memory would leak"));
    /// ```
    #[inline]
    pub fn alloc<T>(&self, value: T) -> &mut T {
        const { assert!(!std::mem::needs_drop::<T>(), "a type with Drop cannot live in the arena") };
        self.bump.alloc(value)
    }

    /// Copies `text` into the arena.
    #[inline]
    pub fn alloc_str(&self, text: &str) -> &str {
        self.bump.alloc_str(text)
    }

    /// Copies `bytes` into the arena.
    #[inline]
    pub fn alloc_bytes(&self, bytes: &[u8]) -> &[u8] {
        self.bump.alloc_slice_copy(bytes)
    }

    /// A slice of `len` values, each made by `make` from its index.
    ///
    /// A type that needs `Drop` is refused at compile time.
    #[inline]
    pub fn alloc_slice_with<T>(&self, len: usize, make: impl FnMut(usize) -> T) -> &mut [T] {
        const { assert!(!std::mem::needs_drop::<T>(), "a type with Drop cannot live in the arena") };
        self.bump.alloc_slice_fill_with(len, make)
    }

    /// Formats into the arena, as `format!` does into a `String`.
    ///
    /// ```
    /// let arena = fleeting::Arena::new(4096);
    /// assert_eq!(arena.format(format_args!("{} + {}", 1, 2)), "1 + 2");
    /// ```
    pub fn format(&self, arguments: fmt::Arguments<'_>) -> &str {
        let mut text = bumpalo::collections::String::new_in(&self.bump);
        // Writing into memory fails only when a Display implementation says so.
        let _ = text.write_fmt(arguments);
        text.into_bump_str()
    }

    /// A growing buffer in the arena, to be written into and then taken as a slice.
    #[inline]
    pub fn writer(&self) -> ArenaWriter<'_> {
        ArenaWriter { bytes: BumpVec::new_in(&self.bump) }
    }

    /// A growing list in the arena, to be filled and then taken as a slice. There is room for `capacity`
    /// values at once; beyond, what is outgrown stays behind until the reset.
    ///
    /// A type that needs `Drop` is refused at compile time.
    ///
    /// ```
    /// let arena = fleeting::Arena::new(4096);
    /// let mut squares = arena.list(3);
    /// for n in 1..=4 {
    ///     squares.push(n * n);
    /// }
    /// assert_eq!(squares.finish(), [1, 4, 9, 16]);
    /// ```
    #[inline]
    pub fn list<T>(&self, capacity: usize) -> ArenaList<'_, T> {
        const { assert!(!std::mem::needs_drop::<T>(), "a type with Drop cannot live in the arena") };
        ArenaList { items: BumpVec::with_capacity_in(capacity, &self.bump) }
    }

    /// Ends the life of everything in the arena.
    #[inline]
    pub fn reset(&mut self) {
        let used = self.bump.allocated_bytes() - self.bump.chunk_capacity();
        self.high_water_bytes = self.high_water_bytes.max(used);
        if cfg!(any(fuzzing, fleeting_paranoid)) {
            self.bump = Bump::with_capacity(self.kept_bytes);
            return;
        }
        self.bump.reset();
        if self.bump.allocated_bytes() > self.kept_bytes * 2 {
            self.bump = Bump::with_capacity(self.kept_bytes);
        }
        if cfg!(debug_assertions) {
            // A chunk is used from its end on: what was used last comes first now.
            self.bump.alloc_slice_fill_copy(used.min(self.bump.chunk_capacity()), OVERWRITTEN);
            self.bump.reset();
        }
    }

    /// Bytes that the largest request so far has taken here, alignment included.
    pub fn high_water_bytes(&self) -> usize {
        self.high_water_bytes
    }

    /// Bytes reserved at this moment.
    pub fn reserved_bytes(&self) -> usize {
        self.bump.allocated_bytes()
    }
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena")
            .field("reserved_bytes", &self.reserved_bytes())
            .field("high_water_bytes", &self.high_water_bytes)
            .finish_non_exhaustive()
    }
}

/// A growing buffer in an [`Arena`]; takes what `write!` and serializers write.
///
/// ```
/// use std::io::Write;
///
/// let arena = fleeting::Arena::new(4096);
/// let mut writer = arena.writer();
/// writer.write_all(b"abc")?;
/// assert_eq!(writer.finish(), b"abc");
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug)]
pub struct ArenaWriter<'r> {
    bytes: BumpVec<'r, u8>,
}

impl<'r> ArenaWriter<'r> {
    /// What was written, for as long as the arena is not reset.
    pub fn finish(self) -> &'r [u8] {
        self.bytes.into_bump_slice()
    }
}

impl io::Write for ArenaWriter<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice_copy(bytes);
        Ok(bytes.len())
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes.extend_from_slice_copy(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Write for ArenaWriter<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes.extend_from_slice_copy(text.as_bytes());
        Ok(())
    }
}

/// A growing list in an [`Arena`].
#[derive(Debug)]
pub struct ArenaList<'r, T> {
    items: BumpVec<'r, T>,
}

impl<'r, T> ArenaList<'r, T> {
    /// Adds a value.
    #[inline]
    pub fn push(&mut self, value: T) {
        self.items.push(value);
    }

    /// How many values there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The values, for as long as the arena is not reset.
    #[inline]
    pub fn finish(self) -> &'r [T] {
        self.items.into_bump_slice()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_request_gives_its_memory_back() {
        let mut arena = Arena::new(4096);
        arena.alloc_bytes(&[1; 100]);
        arena.reset();
        let small = arena.reserved_bytes();
        arena.alloc_bytes(&vec![2; 1 << 20]);
        assert!(arena.reserved_bytes() >= 1 << 20);
        arena.reset();
        assert!(arena.reserved_bytes() <= small.max(8192), "{} bytes kept", arena.reserved_bytes());
        assert!(arena.high_water_bytes() >= 1 << 20);
    }

    #[test]
    fn small_requests_reuse_one_chunk() {
        let mut arena = Arena::new(4096);
        for _ in 0..100 {
            arena.alloc_bytes(&[1; 1000]);
            arena.reset();
        }
        assert!(arena.reserved_bytes() <= 8192);
        assert!((1000..4096).contains(&arena.high_water_bytes()));
    }

    #[test]
    fn writers_grow() {
        let arena = Arena::new(64);
        let mut writer = arena.writer();
        for i in 0..1000 {
            write!(writer, "{i};").unwrap();
        }
        let expected: String = (0..1000).map(|i| format!("{i};")).collect();
        assert_eq!(writer.finish(), expected.as_bytes());
    }
}
