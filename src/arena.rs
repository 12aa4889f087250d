//! The arena: memory for values that live no longer than one request.
//!
//! A worker has one [`Arena`]. Parsers and handlers allocate in it by moving a pointer, and
//! [`reset`](Arena::reset) frees everything at once when the request is over. Values of a request therefore
//! borrow the arena for a lifetime, `'r`. To keep a value longer, copy it with
//! [`keep()`](crate::Keep::keep).
//!
//! It knows nothing of requests. The borrow checker enforces its invariant: `reset` takes `&mut self`, so it
//! does not compile while anything allocated here is still borrowed.
//!
//! ```
//! use fleeting::{Arena, Keep};
//!
//! let mut arena = Arena::new(4096);
//! let mut kept = Vec::new();
//! for id in 1..=3 {
//!     let name = arena.format(format_args!("client {id}")); // lives until the reset
//!     if id == 2 {
//!         kept.push(name.keep()); // a Box<str>, which lives as long as the list
//!     }
//!     arena.reset();
//! }
//! assert_eq!(&*kept[0], "client 2");
//! ```
//!
//! Without `keep()` this does not compile:
//!
//! ```compile_fail,E0502
//! use fleeting::Arena;
//!
//! let mut arena = Arena::new(4096);
//! let mut kept = Vec::new();
//! for id in 1..=3 {
//!     kept.push(arena.format(format_args!("client {id}")));
//!     arena.reset();
//! }
//! assert_eq!(kept[0], "client 1");
//! ```

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;
use std::fmt::{self, Write as _};
use std::io;

/// Memory for values that do not outlive a request. Allocating moves a pointer, and [`reset`](Arena::reset)
/// frees everything at once.
///
/// One arena serves all requests of a worker, one after the other. Between requests it keeps one chunk of a
/// fixed size, and returns the memory that a large request added.
///
/// Data written before a reset cannot be read after it:
///
/// - in any build, because a reference that survives [`reset`](Arena::reset) does not compile;
/// - in a debug build, because the memory is also overwritten;
/// - under `cfg(fuzzing)` or `--cfg fleeting_paranoid`, because the memory is freed. AddressSanitizer then
///   reports a reference that escaped through `unsafe` code.
///
/// ```
/// let mut arena = fleeting::Arena::new(4096);
/// let greeting = arena.alloc_str("hello");
/// assert_eq!(greeting, "hello");
/// arena.reset();
/// ```
pub struct Arena {
    bump: Bump,
    /// The size of the chunk that is kept between resets, in bytes.
    kept_bytes: usize,
    high_water_bytes: usize,
}

/// The byte that a debug build overwrites returned memory with.
pub(crate) const OVERWRITTEN: u8 = 0xdd;

impl Arena {
    /// Creates an arena that reserves `kept_bytes` bytes and keeps them between resets.
    pub fn new(kept_bytes: usize) -> Arena {
        Arena { bump: Bump::with_capacity(kept_bytes), kept_bytes, high_water_bytes: 0 }
    }

    /// Makes an arena as [`new`](Arena::new) does, or returns an error if its memory cannot be had.
    pub(crate) fn try_new(kept_bytes: usize) -> io::Result<Arena> {
        match Bump::try_with_capacity(kept_bytes) {
            Ok(bump) => Ok(Arena { bump, kept_bytes, high_water_bytes: 0 }),
            Err(_) => {
                let what = format!("the system has no memory for an arena of {kept_bytes} bytes");
                Err(io::Error::new(io::ErrorKind::OutOfMemory, what))
            }
        }
    }

    /// Moves `value` into the arena.
    ///
    /// Values in the arena are never dropped, so a type that needs `Drop` does not compile. `cargo build` reports it;
    /// `cargo check` does not, because it does not instantiate generic functions.
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

    /// Copies `text` into the arena and returns the copy.
    #[inline]
    pub fn alloc_str(&self, text: &str) -> &str {
        self.bump.alloc_str(text)
    }

    /// Copies `bytes` into the arena and returns the copy.
    #[inline]
    pub fn alloc_bytes(&self, bytes: &[u8]) -> &[u8] {
        self.bump.alloc_slice_copy(bytes)
    }

    /// Returns a slice of `len` values, each made by `make` from its index.
    ///
    /// A type that needs `Drop` does not compile.
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
        // Writing into memory fails only if a Display implementation returns an error.
        let _ = text.write_fmt(arguments);
        text.into_bump_str()
    }

    /// Returns a growing buffer in the arena, which [`finish`](ArenaWriter::finish) turns into a slice.
    #[inline]
    pub fn writer(&self) -> ArenaWriter<'_> {
        ArenaWriter { bytes: BumpVec::new_in(&self.bump) }
    }

    /// Returns a growing list in the arena, which [`finish`](ArenaList::finish) turns into a slice.
    ///
    /// Room for `capacity` values is reserved. A list that grows beyond it moves, and the memory it leaves is
    /// free only after the reset. A type that needs `Drop` does not compile.
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

    /// Frees everything in the arena.
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
            self.give_back();
        }
        if cfg!(debug_assertions) {
            // A chunk is used from its end downwards, so this allocation covers what was used before.
            self.bump.alloc_slice_fill_copy(used.min(self.bump.chunk_capacity()), OVERWRITTEN);
            self.bump.reset();
        }
    }

    /// Returns the memory that a large request added.
    #[cold]
    fn give_back(&mut self) {
        // If the system has no memory for a smaller chunk, the large one serves as well.
        if let Ok(bump) = Bump::try_with_capacity(self.kept_bytes) {
            self.bump = bump;
        }
    }

    /// Returns the largest number of bytes in use before any reset so far, including alignment.
    pub fn high_water_bytes(&self) -> usize {
        self.high_water_bytes
    }

    /// Returns the number of bytes that are reserved now.
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

/// A growing buffer in an [`Arena`], for `write!` and serializers. [`Arena::writer`] makes one.
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
    /// Returns what was written. It lives until the arena is reset.
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

/// A growing list in an [`Arena`]. [`Arena::list`] makes one.
#[derive(Debug)]
pub struct ArenaList<'r, T> {
    items: BumpVec<'r, T>,
}

impl<'r, T> ArenaList<'r, T> {
    /// Appends a value.
    #[inline]
    pub fn push(&mut self, value: T) {
        self.items.push(value);
    }

    /// Returns the number of values.
    #[inline]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Returns whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Returns the values. They live until the arena is reset.
    #[inline]
    pub fn finish(self) -> &'r [T] {
        self.items.into_bump_slice()
    }

    /// Does the same as [`finish`](ArenaList::finish), for values that will change.
    #[inline]
    pub(crate) fn finish_mut(self) -> &'r mut [T] {
        self.items.into_bump_slice_mut()
    }

    /// Takes the values out of the list, as [`finish_mut`](ArenaList::finish_mut) returns them.
    #[inline]
    pub(crate) fn take(&mut self, arena: &'r Arena) -> &'r mut [T] {
        std::mem::replace(self, arena.list(0)).finish_mut()
    }

    /// Returns the values so far.
    #[inline]
    pub(crate) fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.items
    }

    /// Forgets all values but the first `len`.
    #[inline]
    pub(crate) fn truncate(&mut self, len: usize) {
        self.items.truncate(len);
    }
}

impl<T: Copy + Default> ArenaList<'_, T> {
    /// Appends `count` values, which the caller replaces.
    #[inline]
    pub(crate) fn extend_with_default(&mut self, count: usize) {
        self.items.resize(self.items.len() + count, T::default());
    }
}

impl ArenaList<'_, u8> {
    /// Appends bytes.
    #[inline]
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        self.items.extend_from_slice_copy(bytes);
    }

    /// Returns the bytes so far.
    #[inline]
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.items
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_a_large_request_is_returned() {
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
    fn a_writer_grows_beyond_its_chunk() {
        let arena = Arena::new(64);
        let mut writer = arena.writer();
        for i in 0..1000 {
            write!(writer, "{i};").unwrap();
        }
        let expected: String = (0..1000).map(|i| format!("{i};")).collect();
        assert_eq!(writer.finish(), expected.as_bytes());
    }
}
