//! Which keys a store accepts.

/// The largest length of a key, in bytes. The smallest is 1.
pub const KEY_BYTES_MAX: usize = 512;

/// Returns whether `key` has a length that stores accept.
#[inline]
pub(crate) fn is_valid(key: &str) -> bool {
    (1..=KEY_BYTES_MAX).contains(&key.len())
}
