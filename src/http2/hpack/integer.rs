//! Integers with a prefix (RFC 7541 §5.1).
//!
//! It knows where an integer ends, not what it counts. Its invariant: an integer that is read is at most [`MAX`], so sums
//! of a few of them do not overflow.

use super::error::HpackError;

/// The largest integer that is accepted.
pub(super) const MAX: u32 = 1 << 31;

/// Bytes that may follow the prefix. Five hold 35 bits, which is more than [`MAX`] needs.
const MORE_BYTES_MAX: usize = 5;

/// Reads the integer that begins in the byte at `at`, and moves `at` behind it. `mask` has the bits of the prefix.
#[inline(always)]
pub(super) fn read(block: &[u8], at: &mut usize, mask: u8) -> Result<usize, HpackError> {
    let prefix = *block.get(*at).ok_or(HpackError::Truncated)? & mask;
    *at += 1;
    if prefix < mask { Ok(prefix as usize) } else { read_more(block, at, mask) }
}

#[inline(never)]
fn read_more(block: &[u8], at: &mut usize, mask: u8) -> Result<usize, HpackError> {
    let mut value = u64::from(mask);
    for i in 0..MORE_BYTES_MAX {
        let byte = *block.get(*at).ok_or(HpackError::Truncated)?;
        *at += 1;
        value += u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return if value <= u64::from(MAX) { Ok(value as usize) } else { Err(HpackError::Integer) };
        }
    }
    Err(HpackError::Integer)
}

/// Appends an integer. `pattern` has the bits in front of the prefix, whose bits `mask` has.
#[inline(always)]
pub(super) fn write(out: &mut Vec<u8>, pattern: u8, mask: u8, value: usize) {
    if value < mask as usize {
        out.push(pattern | value as u8);
    } else {
        write_more(out, pattern | mask, value - mask as usize);
    }
}

#[inline(never)]
fn write_more(out: &mut Vec<u8>, first: u8, mut rest: usize) {
    out.push(first);
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read() {
        fn check(block: &[u8], mask: u8, expected: Result<usize, HpackError>) {
            let mut at = 0;
            let found = read(block, &mut at, mask);
            assert_eq!(found, expected, "{block:x?}");
            if found.is_ok() {
                assert_eq!(at, block.len(), "{block:x?}");
            }
        }
        // RFC 7541 §C.1
        check(&[0b1110_1010], 0x1f, Ok(10));
        check(&[0b0001_1111, 0b1001_1010, 0b0000_1010], 0x1f, Ok(1337));
        check(&[0b0010_1010], 0xff, Ok(42));
        check(&[0x7f, 0], 0x7f, Ok(127));
        check(&[0x7f, 0x80, 0x80, 0], 0x7f, Ok(127));
        check(&[0x7f, 0x81, 0xff, 0xff, 0xff, 0x07], 0x7f, Ok(1 << 31));
        check(&[0x7f, 0x82, 0xff, 0xff, 0xff, 0x07], 0x7f, Err(HpackError::Integer));
        check(&[0x7f, 0xff, 0xff, 0xff, 0xff, 0x7f], 0x7f, Err(HpackError::Integer));
        check(&[0x7f, 0x80, 0x80, 0x80, 0x80, 0x80, 0], 0x7f, Err(HpackError::Integer));
        check(&[], 0x7f, Err(HpackError::Truncated));
        check(&[0x7f], 0x7f, Err(HpackError::Truncated));
        check(&[0x7f, 0x80], 0x7f, Err(HpackError::Truncated));
    }

    #[test]
    fn what_is_written_is_read() {
        for value in (0..70_000).chain([1 << 20, (1 << 31) - 1, 1 << 31]) {
            for mask in [0x0f, 0x1f, 0x3f, 0x7f] {
                let mut out = Vec::new();
                write(&mut out, 0, mask, value);
                let mut at = 0;
                assert_eq!((read(&out, &mut at, mask), at), (Ok(value), out.len()));
            }
        }
    }
}
