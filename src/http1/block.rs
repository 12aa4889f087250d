//! Sixteen bytes at a time: which of them end a target, a name or a value.
//!
//! It knows characters and no grammar. Its invariant: bytes behind the end of the input count as NUL,
//! which ends everything, so a search stops at the end of the input at the latest.

use wide::u8x16;

/// Sixteen bytes of the input, or fewer and NULs behind them.
#[derive(Clone, Copy)]
pub(super) struct Block(u8x16);

/// Bit `i` is set if byte `i` of a block is among those that were asked for.
pub(super) type Mask = u32;

/// Bytes of a block.
pub(super) const BYTES: usize = 16;

impl Block {
    /// The bytes from `at` on.
    #[inline(always)]
    pub(super) fn at(input: &[u8], at: usize) -> Block {
        match input.get(at..).and_then(<[u8]>::first_chunk::<BYTES>) {
            Some(bytes) => Block(u8x16::new(*bytes)),
            None => Block(u8x16::new(last(input, at).to_ne_bytes())),
        }
    }

    /// Those that are `byte`.
    #[inline(always)]
    pub(super) fn is(self, byte: u8) -> Mask {
        self.0.simd_eq(u8x16::splat(byte)).to_bitmask()
    }

    /// Control characters. All but HTAB cannot be in a field value (RFC 9110 §5.5).
    #[inline(always)]
    pub(super) fn control(self) -> Mask {
        let low = self.0.min(u8x16::splat(0x1f)).simd_eq(self.0);
        let delete = self.0.simd_eq(u8x16::splat(0x7f));
        (low | delete).to_bitmask()
    }

    /// Those that cannot be in a target: all but visible ASCII (RFC 3986 §2).
    #[inline(always)]
    pub(super) fn not_visible(self) -> Mask {
        let from_exclamation = self.0 - u8x16::splat(b'!');
        let visible = from_exclamation.min(u8x16::splat(b'~' - b'!')).simd_eq(from_exclamation);
        (!visible).to_bitmask()
    }

    /// Those that are neither letter, digit nor hyphen: most field names hold nothing else.
    #[inline(always)]
    pub(super) fn not_word(self) -> Mask {
        let from_a = (self.0 | u8x16::splat(0x20)) - u8x16::splat(b'a');
        let letter = from_a.min(u8x16::splat(25)).simd_eq(from_a);
        let from_0 = self.0 - u8x16::splat(b'0');
        let digit = from_0.min(u8x16::splat(9)).simd_eq(from_0);
        let hyphen = self.0.simd_eq(u8x16::splat(b'-'));
        (!(letter | digit | hyphen)).to_bitmask()
    }
}

/// The last bytes of `input`, fewer than sixteen. As a number it is returned in registers.
#[inline(never)]
fn last(input: &[u8], at: usize) -> u128 {
    let mut bytes = [0; BYTES];
    let rest = input.get(at..).unwrap_or_default();
    bytes[..rest.len()].copy_from_slice(rest);
    u128::from_ne_bytes(bytes)
}

/// The first position from `at` on that `ends` picks, at most the input's length.
#[inline(always)]
pub(super) fn find(input: &[u8], at: usize, ends: impl Fn(Block) -> Mask) -> usize {
    find_on(input, at, ends(Block::at(input, at)), ends)
}

/// As [`find`], for who has looked at the block at `at` already.
#[inline(always)]
pub(super) fn find_on(input: &[u8], mut at: usize, mut mask: Mask, ends: impl Fn(Block) -> Mask) -> usize {
    while mask == 0 {
        at += BYTES;
        mask = ends(Block::at(input, at));
    }
    at + mask.trailing_zeros() as usize
}

/// The bits below the lowest that is set; all, if none is.
#[inline(always)]
pub(super) fn below(mask: Mask) -> Mask {
    mask.wrapping_sub(1) & !mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_at_every_place() {
        fn check(name: &str, mask: fn(Block) -> Mask, expected: fn(u8) -> bool) {
            for byte in 0..=255u8 {
                for at in 0..BYTES {
                    // Whatever stands around it.
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
    fn bits_below() {
        assert_eq!(below(0b1000), 0b111);
        assert_eq!(below(0b1001), 0);
        assert_eq!(below(0), u32::MAX);
    }
}
