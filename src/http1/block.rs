//! Searches sixteen bytes at a time for the end of a target, a name or a value.
//!
//! It knows characters and no grammar. Its invariant: bytes behind the end of the input read as NUL, and
//! every search stops at NUL. So no search goes beyond the input.

use wide::u8x16;

/// Sixteen bytes of the input; NULs stand in for bytes behind its end.
#[derive(Clone, Copy)]
pub(crate) struct Block(u8x16);

/// A set of bytes in a block: bit `i` stands for byte `i`.
pub(crate) type Mask = u32;

/// The number of bytes in a block.
pub(crate) const BYTES: usize = 16;

impl Block {
    /// Returns the block that begins at `at`, a position of 32 bits, like all positions in a head.
    #[inline(always)]
    pub(crate) fn at(input: &[u8], at: usize) -> Block {
        debug_assert!(u32::try_from(at).is_ok());
        // Shows the compiler that the sum does not overflow, so that one comparison is enough.
        let at = at as u32 as usize;
        match input.get(at..at + BYTES).and_then(<[u8]>::first_chunk::<BYTES>) {
            Some(bytes) => Block(u8x16::new(*bytes)),
            None => Block(u8x16::new(last(input, at).to_ne_bytes())),
        }
    }

    /// Returns the bytes that equal `byte`.
    #[inline(always)]
    pub(crate) fn is(self, byte: u8) -> Mask {
        self.0.cmp_eq(u8x16::splat(byte)).move_mask() as Mask
    }

    /// Returns the control characters. The only one that a field value can contain is HTAB (RFC 9110 §5.5).
    #[inline(always)]
    pub(crate) fn control(self) -> Mask {
        let low = self.0.min(u8x16::splat(0x1f)).cmp_eq(self.0);
        let delete = self.0.cmp_eq(u8x16::splat(0x7f));
        (low | delete).move_mask() as Mask
    }

    /// Returns the bytes outside visible ASCII: a target cannot contain them (RFC 3986 §2).
    #[inline(always)]
    pub(super) fn not_visible(self) -> Mask {
        let from_exclamation = self.0 - u8x16::splat(b'!');
        let visible = from_exclamation.min(u8x16::splat(b'~' - b'!')).cmp_eq(from_exclamation);
        (!visible).move_mask() as Mask
    }

    /// Returns the bytes that are neither lowercase letter, digit nor hyphen. Most field names in HTTP/2 contain none of
    /// these bytes.
    #[inline(always)]
    pub(crate) fn not_lower_word(self) -> Mask {
        let from_upper = self.0 - u8x16::splat(b'A');
        let upper = from_upper.min(u8x16::splat(25)).cmp_eq(from_upper);
        self.not_word() | upper.move_mask() as Mask
    }

    /// Returns the bytes that are neither letter, digit nor hyphen. Most field names contain none of these
    /// bytes.
    #[inline(always)]
    pub(super) fn not_word(self) -> Mask {
        let from_a = (self.0 | u8x16::splat(0x20)) - u8x16::splat(b'a');
        let letter = from_a.min(u8x16::splat(25)).cmp_eq(from_a);
        let from_0 = self.0 - u8x16::splat(b'0');
        let digit = from_0.min(u8x16::splat(9)).cmp_eq(from_0);
        let hyphen = self.0.cmp_eq(u8x16::splat(b'-'));
        (!(letter | digit | hyphen)).move_mask() as Mask
    }
}

/// Returns the last bytes of `input`, which are fewer than sixteen. The result is a number because numbers
/// are returned in registers.
#[inline(never)]
fn last(input: &[u8], at: usize) -> u128 {
    let mut bytes = [0; BYTES];
    let rest = input.get(at..).unwrap_or_default();
    bytes[..rest.len()].copy_from_slice(rest);
    u128::from_ne_bytes(bytes)
}

/// Returns the first position from `at` on that is in `ends`, or the input's length.
#[inline(always)]
pub(crate) fn find(input: &[u8], at: usize, ends: impl Fn(Block) -> Mask) -> usize {
    find_from(input, at, ends(Block::at(input, at)), ends)
}

/// Does the same as [`find`], when `mask` already holds `ends` of the block at `at`.
#[inline(always)]
pub(super) fn find_from(input: &[u8], mut at: usize, mut mask: Mask, ends: impl Fn(Block) -> Mask) -> usize {
    while mask == 0 {
        at += BYTES;
        mask = ends(Block::at(input, at));
    }
    at + mask.trailing_zeros() as usize
}

/// Returns the bits below the lowest bit of `mask`, or all bits if `mask` is empty.
#[inline(always)]
pub(super) fn below(mask: Mask) -> Mask {
    mask.wrapping_sub(1) & !mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_classified_at_every_position() {
        fn check(name: &str, mask: fn(Block) -> Mask, expected: fn(u8) -> bool) {
            for byte in 0..=255u8 {
                for at in 0..BYTES {
                    // The bytes around it must make no difference.
                    for filler in [b'a', b' ', 0xff, byte.wrapping_add(1)] {
                        let mut bytes = [filler; BYTES];
                        bytes[at] = byte;
                        let found = mask(Block::at(&bytes, 0)) >> at & 1 == 1;
                        assert_eq!(found, expected(byte), "{name} {byte:#x} at {at} in {filler:#x}");
                    }
                }
            }
        }
        check("is", |block| block.is(b'?'), |byte| byte == b'?');
        check("control", Block::control, |byte| byte.is_ascii_control());
        check("visible", Block::not_visible, |byte| !byte.is_ascii_graphic());
        check("word", Block::not_word, |byte| !byte.is_ascii_alphanumeric() && byte != b'-');
    }

    #[test]
    fn a_search_ends_with_the_input() {
        for length in 0..50 {
            let mut input = vec![b'a'; length];
            for at in 0..=length {
                assert_eq!(find(&input, at, Block::not_word), length, "{at} of {length}");
                if at < length {
                    input[at] = b':';
                    assert_eq!(find(&input, 0, Block::not_word), at, "{at} of {length}");
                    input[at] = b'a';
                }
            }
        }
    }

    #[test]
    fn below_returns_the_bits_under_the_lowest() {
        assert_eq!(below(0b1000), 0b111);
        assert_eq!(below(0b1001), 0);
        assert_eq!(below(0), u32::MAX);
    }
}
