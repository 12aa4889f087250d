//! The masking of client frames (RFC 6455 §5.3): XOR with four bytes, repeated.
//!
//! It knows no frame. Its invariant: unmasking a payload in pieces, each with its offset, gives the same as unmasking
//! it at once.

/// XORs `payload` with `mask`. `payload` begins `offset` bytes into the frame's payload.
#[inline]
pub(super) fn unmask(payload: &mut [u8], mask: [u8; 4], offset: usize) {
    if payload.len() < LARGE {
        unmask_blocks(payload, rotated(mask, offset));
    } else {
        unmask_large(payload, mask, offset);
    }
}

/// The same for a large payload. Loads and stores that span two lines of the cache take longer, so all but the first few bytes
/// are unmasked in aligned pieces.
#[inline(never)]
fn unmask_large(payload: &mut [u8], mask: [u8; 4], offset: usize) {
    let unaligned = (payload.as_ptr() as usize).wrapping_neg() % VECTOR;
    let (first, payload) = payload.split_at_mut(unaligned);
    unmask_short(first, rotated(mask, offset));
    unmask_blocks(payload, rotated(mask, offset + unaligned));
}

#[inline(always)]
fn unmask_blocks(payload: &mut [u8], mask: [u8; 4]) {
    // Blocks of this size take a fifth fewer instructions.
    let mut blocks = payload.chunks_exact_mut(8 * WORD);
    for block in &mut blocks {
        unmask_short(block, mask);
    }
    unmask_short(blocks.into_remainder(), mask);
}

/// XORs a short payload with `mask`.
///
/// The loop compiles to stores of sixteen bytes. The copy into an answer reads in units of that size, and a
/// read that spans two stores waits for both.
#[inline(always)]
pub(super) fn unmask_short(payload: &mut [u8], mask: [u8; 4]) {
    let word = u64::from(u32::from_le_bytes(mask));
    let wide = word << 32 | word;
    let mut blocks = payload.chunks_exact_mut(WORD);
    for block in &mut blocks {
        let masked: [u8; WORD] = (&*block).try_into().expect("a block is a word");
        block.copy_from_slice(&(u64::from_le_bytes(masked) ^ wide).to_le_bytes());
    }
    for (byte, mask) in blocks.into_remainder().iter_mut().zip(wide.to_le_bytes()) {
        *byte ^= mask;
    }
}

/// Unmasks the payload that begins `header_bytes` into `frame`, and moves it down over the header to a word boundary.
/// Aligned text is validated word by word from its first byte. Returns the payload.
#[inline]
pub(super) fn unmask_aligned(frame: &mut [u8], header_bytes: usize, mask: [u8; 4]) -> &mut [u8] {
    let past_word = (frame.as_ptr() as usize).wrapping_add(header_bytes) % WORD;
    // A masked header has at least six bytes. If it has six and the boundary is seven bytes down, the payload moves by
    // six and stays unaligned.
    let start = header_bytes.saturating_sub(past_word);
    let (down, bytes) = (header_bytes - start, frame.len() - header_bytes);
    let payload = &mut frame[start..];
    let word = u128::from(u32::from_le_bytes(mask));
    let wide = word << 96 | word << 64 | word << 32 | word;
    // Moved and unmasked in one pass: what is written lies below what is still to be read.
    let mut at = 0;
    while at + VECTOR <= bytes {
        let masked: [u8; VECTOR] =
            payload[at + down..at + down + VECTOR].try_into().expect("it has that length");
        payload[at..at + VECTOR].copy_from_slice(&(u128::from_le_bytes(masked) ^ wide).to_le_bytes());
        at += VECTOR;
    }
    if at + WORD <= bytes {
        let masked: [u8; WORD] = payload[at + down..at + down + WORD].try_into().expect("it has that length");
        payload[at..at + WORD].copy_from_slice(&(u64::from_le_bytes(masked) ^ wide as u64).to_le_bytes());
        at += WORD;
    }
    while at < bytes {
        payload[at] = payload[at + down] ^ mask[at % 4];
        at += 1;
    }
    &mut payload[..bytes]
}

/// Returns the mask as it applies from `offset` on.
#[inline(always)]
fn rotated(mask: [u8; 4], offset: usize) -> [u8; 4] {
    u32::from_le_bytes(mask).rotate_right(8 * (offset % 4) as u32).to_le_bytes()
}

const WORD: usize = size_of::<u64>();
/// Bytes that are loaded and stored at a time.
const VECTOR: usize = 16;
/// The size from which on aligning a payload's pieces saves more than it costs.
const LARGE: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    fn naive(payload: &mut [u8], mask: [u8; 4], offset: usize) {
        for (index, byte) in payload.iter_mut().enumerate() {
            *byte ^= mask[(offset + index) % 4];
        }
    }

    #[test]
    fn unmasking_agrees_with_a_naive_loop_at_every_alignment_and_length() {
        let original: Vec<u8> = (0..=255u8).cycle().take(400).collect();
        for start in 0..16 {
            for len in (0..100).chain([127, 128, 255, 256, 257, 300]) {
                for offset in [0, 1, 2, 3, 4, 5, 6, 7, 1021] {
                    let mut expected = original.clone();
                    naive(&mut expected[start..start + len], MASK, offset);
                    let mut payload = original.clone();
                    unmask(&mut payload[start..start + len], MASK, offset);
                    assert_eq!(payload, expected, "start {start} len {len} offset {offset}");
                }
            }
        }
    }

    #[test]
    fn a_large_payload_is_unmasked_at_every_alignment() {
        let original: Vec<u8> = (0..=255u8).cycle().take(2 * LARGE).collect();
        for start in 0..=VECTOR {
            for len in [LARGE - 1, LARGE, LARGE + 1, LARGE + 63, LARGE + 200] {
                for offset in [0, 1, 2, 3, 1021] {
                    let mut expected = original.clone();
                    naive(&mut expected[start..start + len], MASK, offset);
                    let mut payload = original.clone();
                    unmask(&mut payload[start..start + len], MASK, offset);
                    assert!(payload == expected, "start {start} len {len} offset {offset}");
                }
            }
        }
    }

    #[test]
    fn the_payload_is_moved_to_a_word_boundary() {
        let original: Vec<u8> = (0..=255u8).cycle().take(400).collect();
        for start in 0..16 {
            for header_bytes in [6, 8, 14] {
                for len in (0..40).chain([125, 126, 300]) {
                    let end = start + header_bytes + len;
                    let mut expected = original.clone();
                    naive(&mut expected[start + header_bytes..end], MASK, 0);
                    let mut frame = original.clone();
                    let payload = unmask_aligned(&mut frame[start..end], header_bytes, MASK);
                    assert_eq!(payload, &expected[start + header_bytes..end], "{start} {header_bytes} {len}");
                    assert!(
                        (payload.as_ptr() as usize).is_multiple_of(8) || header_bytes == 6,
                        "{start} {header_bytes}"
                    );
                    assert_eq!(frame[..start], original[..start]);
                    assert_eq!(frame[end..], original[end..]);
                }
            }
        }
    }

    #[test]
    fn pieces_give_the_same_as_the_whole() {
        let original: Vec<u8> = (0..=255).collect();
        let mut expected = original.clone();
        naive(&mut expected, MASK, 0);
        for cut in 0..original.len() {
            let mut payload = original.clone();
            unmask(&mut payload[..cut], MASK, 0);
            unmask(&mut payload[cut..], MASK, cut);
            assert_eq!(payload, expected, "cut at {cut}");
        }
    }

    #[test]
    fn the_example_of_rfc_6455_is_unmasked() {
        // RFC 6455 §5.7: a masked "Hello".
        let mut payload = [0x7f, 0x9f, 0x4d, 0x51, 0x58];
        unmask(&mut payload, MASK, 0);
        assert_eq!(&payload, b"Hello");
    }
}
