//! Which keys a store accepts.

/// Bytes that a key may have.
pub const KEY_BYTES_MAX: usize = 512;

/// Returns whether a key has a length that stores accept.
#[inline]
pub(crate) fn is_valid(key: &str) -> bool {
    (1..=KEY_BYTES_MAX).contains(&key.len())
}
