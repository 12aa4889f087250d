//! Decodes the Huffman code (RFC 7541 §5.2, Appendix B).
//!
//! The code is canonical: codes of one length ascend with their symbols, and longer codes follow shorter ones. So the
//! lengths define it, and the tables are made of them when this file is compiled.
//!
//! It knows bits and no fields. Its invariant: it writes nothing beyond [`room_for`] a string.

use super::error::HpackError;

/// The length of each symbol's code in bits. The last symbol is EOS.
static LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28,
    28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6,
    6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7,
    8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7,
    15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24,
    23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23,
    23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26,
    26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20,
    21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27,
    27, 27, 26, 30,
];

const EOS: u16 = 256;
const LENGTH_MIN: usize = 5;
const LENGTH_MAX: usize = 30;

/// The code, in the order of its codes.
struct Code {
    /// The symbols, EOS last.
    symbols: [u16; 257],
    /// For each length, the position in `symbols` of the first code that is at least this long.
    first: [u16; LENGTH_MAX + 2],
    /// For each length, the smallest 32-bit number that begins with a code longer than that.
    end: [u64; LENGTH_MAX + 1],
}

static CODE: Code = {
    let mut code = Code { symbols: [0; 257], first: [0; LENGTH_MAX + 2], end: [0; LENGTH_MAX + 1] };
    let (mut length, mut next, mut filled) = (1, 0, 0);
    while length <= LENGTH_MAX {
        next <<= 1;
        code.first[length] = filled as u16;
        let mut symbol = 0;
        while symbol < LENGTHS.len() {
            if LENGTHS[symbol] as usize == length {
                code.symbols[filled] = symbol as u16;
                filled += 1;
                next += 1;
            }
            symbol += 1;
        }
        code.end[length] = next << (32 - length);
        length += 1;
    }
    code.first[LENGTH_MAX + 1] = filled as u16;
    code
};

/// The bits that one step looks at. Twelve hold two symbols in most text, and the table takes 16 KiB.
const STEP_BITS: usize = 12;

/// What the next [`STEP_BITS`] bits begin with: the bits that one symbol or two take, in the lowest byte, where a shift
/// finds them at once; the bits that they fill in the output, in the next byte; and the symbols. 0 if the first code is
/// longer.
static STEPS: [u32; 1 << STEP_BITS] = {
    let mut steps = [0; 1 << STEP_BITS];
    let mut bits = 0;
    while bits < steps.len() {
        let word = (bits as u32) << (32 - STEP_BITS);
        if let Some((first, taken)) = symbol(word, STEP_BITS) {
            steps[bits] = match symbol(word << taken, STEP_BITS - taken) {
                Some((second, more)) => {
                    (taken + more) as u32 | 16 << 8 | (first as u32) << 16 | (second as u32) << 24
                }
                None => taken as u32 | 8 << 8 | (first as u32) << 16,
            };
        }
        bits += 1;
    }
    steps
};

/// Returns the symbol that `word` begins with, and the length of its code, if it has at most `bits_max` bits.
const fn symbol(word: u32, bits_max: usize) -> Option<(u16, usize)> {
    let mut length = LENGTH_MIN;
    while length <= bits_max {
        if (word as u64) < CODE.end[length] {
            // The codes of one length end at `end`.
            let behind = (CODE.end[length] - 1 - word as u64) >> (32 - length);
            let symbol = CODE.symbols[CODE.first[length + 1] as usize - 1 - behind as usize];
            return Some((symbol, length));
        }
        length += 1;
    }
    None
}

/// Returns how many bytes the output needs for a string of `bytes` bytes. No code is shorter than five bits, and whole
/// words are written.
#[inline(always)]
pub(in crate::http2) fn room_for(bytes: usize) -> usize {
    bytes.saturating_mul(2).saturating_add(8)
}

/// Decodes a string into `out`, which has [`room_for`] it. Returns its length.
pub(in crate::http2) fn decode(source: &[u8], out: &mut [u8]) -> Result<usize, HpackError> {
    // The next bits are the upper `count` bits of `bits`.
    let (mut bits, mut count, mut filled, mut rest) = (0u64, 0u32, 0usize, source);
    while let Some(next) = rest.first_chunk::<8>() {
        // Fills up with whole bytes: 56 bits or more. The bits below them are those that come next anyway.
        bits |= u64::from_be_bytes(*next) >> count;
        rest = &rest[(63 - count as usize) / 8..];
        count |= 56;
        let Some(window) = out.get_mut(filled..).and_then(<[u8]>::first_chunk_mut::<8>) else {
            return Err(HpackError::Huffman);
        };
        let (mut symbols, mut width) = (0u64, 0u32);
        for _ in 0..4 {
            let step = STEPS[(bits >> (64 - STEP_BITS)) as usize];
            symbols |= u64::from(step >> 16) << width;
            width += step >> 8 & 0xff;
            bits = bits.wrapping_shl(step);
            count -= step & 0xff;
        }
        *window = symbols.to_le_bytes();
        filled += width as usize / 8;
        if width == 0 {
            // There are 56 bits, so a code is there as a whole.
            let (symbol, taken) = long_symbol(bits)?;
            *out.get_mut(filled).ok_or(HpackError::Huffman)? = symbol;
            filled += 1;
            bits <<= taken;
            count -= taken;
        }
    }
    // Below the upper `count` bits are those of bytes that will be read again.
    finish(bits & !(u64::MAX >> count), count, rest, out, filled)
}

/// Decodes the rest of a string: fewer than eight bytes, and the bits that were read ahead.
fn finish(
    mut bits: u64,
    mut count: u32,
    mut rest: &[u8],
    out: &mut [u8],
    mut filled: usize,
) -> Result<usize, HpackError> {
    loop {
        while count < 56 {
            let Some((next, after)) = rest.split_first() else { break };
            bits |= u64::from(*next) << (56 - count);
            count += 8;
            rest = after;
        }
        // RFC 7541 §5.2: the padding is the beginning of EOS, which has only ones, and shorter than a byte.
        let padded = bits | (u64::MAX >> count);
        if count < 8 && padded == u64::MAX {
            return Ok(filled);
        }
        let step = STEPS[(padded >> (64 - STEP_BITS)) as usize];
        let (symbols, taken) = match step {
            0 => {
                let (symbol, taken) = long_symbol(padded)?;
                (&[symbol][..], taken)
            }
            _ if step >> 8 & 0xff == 8 => (&[(step >> 16) as u8][..], step & 0xff),
            _ => (&[(step >> 16) as u8, (step >> 24) as u8][..], step & 0xff),
        };
        // Padding with other bits than ones completes a code that the string does not contain.
        count = count.checked_sub(taken).ok_or(HpackError::Huffman)?;
        bits <<= taken;
        out.get_mut(filled..filled + symbols.len()).ok_or(HpackError::Huffman)?.copy_from_slice(symbols);
        filled += symbols.len();
    }
}

/// Returns the symbol that `bits` begin with, and the length of its code. EOS in a string is an error (RFC 7541 §5.2).
#[cold]
fn long_symbol(bits: u64) -> Result<(u8, u32), HpackError> {
    match symbol((bits >> 32) as u32, LENGTH_MAX) {
        Some((symbol, length)) if symbol != EOS => Ok((symbol as u8, length as u32)),
        _ => Err(HpackError::Huffman),
    }
}

#[cfg(test)]
pub(in crate::http2) mod tests {
    use super::*;

    /// Encodes bit by bit.
    pub(in crate::http2) fn encode(text: &[u8]) -> Vec<u8> {
        let mut bits: Vec<bool> = Vec::new();
        for byte in text {
            let place = CODE.symbols.iter().position(|s| *s == u16::from(*byte)).unwrap();
            let length = LENGTHS[*byte as usize] as usize;
            let last = CODE.first[length + 1] as usize - 1;
            let code = (CODE.end[length] >> (32 - length)) - 1 - (last - place) as u64;
            bits.extend((0..length).rev().map(|bit| code >> bit & 1 == 1));
        }
        while bits.len() % 8 != 0 {
            bits.push(true);
        }
        bits.chunks(8).map(|byte| byte.iter().fold(0, |sum, bit| sum << 1 | u8::from(*bit))).collect()
    }

    fn decoded(source: &[u8]) -> Result<Vec<u8>, HpackError> {
        let mut out = vec![0; room_for(source.len())];
        decode(source, &mut out).map(|len| out[..len].to_vec())
    }

    #[test]
    fn strings_of_the_rfc_are_decoded() {
        fn check(hex: &str, expected: &str) {
            let source: Vec<u8> =
                (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect();
            assert_eq!(decoded(&source).as_deref(), Ok(expected.as_bytes()), "{hex}");
            assert_eq!(encode(expected.as_bytes()), source, "{expected}");
        }
        // RFC 7541 §C.4, §C.6
        check("", "");
        check("f1e3c2e5f23a6ba0ab90f4ff", "www.example.com");
        check("a8eb10649cbf", "no-cache");
        check("25a849e95ba97d7f", "custom-key");
        check("25a849e95bb8e8b4bf", "custom-value");
        check("6402", "302");
        check("aec3771a4b", "private");
        check("d07abe941054d444a8200595040b8166e082a62d1bff", "Mon, 21 Oct 2013 20:13:21 GMT");
        check("9d29ad171863c78f0b97c8e9ae82ae43d3", "https://www.example.com");
        check("640eff", "307");
        check(
            "94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
            "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
        );
    }

    #[test]
    fn every_pair_and_every_length_is_decoded() {
        for first in 0..=255u8 {
            for second in 0..=255u8 {
                let text = [first, second, b'a', second];
                assert_eq!(decoded(&encode(&text)).as_deref(), Ok(&text[..]));
            }
        }
        let text: Vec<u8> = (0..3000u32).map(|i| (i * i / 7 + i % 3) as u8).collect();
        for from in 0..40 {
            for to in (from..from + 70).chain([text.len()]) {
                assert_eq!(decoded(&encode(&text[from..to])).as_deref(), Ok(&text[from..to]));
                let letters: Vec<u8> = text[from..to].iter().map(|byte| b'a' + byte % 26).collect();
                assert_eq!(decoded(&encode(&letters)), Ok(letters));
            }
        }
    }

    #[test]
    fn wrong_padding_and_eos_are_errors() {
        fn check(source: &[u8], expected: Result<&[u8], HpackError>) {
            assert_eq!(decoded(source).as_deref(), expected.as_ref().map(|text| *text), "{source:x?}");
            // The same behind a longer string.
            let mut longer = encode(b"0000000000000000");
            longer.extend_from_slice(source);
            let expected = expected.map(|text| [b"0000000000000000", text].concat());
            assert_eq!(decoded(&longer), expected, "{longer:x?}");
        }
        check(&[0b0001_1111], Ok(b"a"));
        check(&[0b0001_1110], Err(HpackError::Huffman));
        check(&[0b0001_1000], Err(HpackError::Huffman));
        check(&[0b0001_1111, 0xff], Err(HpackError::Huffman)); // eleven bits
        check(&[0xff], Err(HpackError::Huffman)); // eight bits
        check(&[0xff, 0xff, 0xff, 0xff], Err(HpackError::Huffman)); // EOS and two ones
        check(&[0xff, 0xff, 0xff, 0xfc, 0b0001_1111], Err(HpackError::Huffman)); // EOS before a symbol
        check(&[0b1111_1000], Ok(b"&"));
        check(&[0b1111_1110], Err(HpackError::Huffman)); // a code that goes on
    }

    #[test]
    fn whatever_is_decoded_is_the_code_of_its_text() {
        let mut state = 1u64;
        for round in 0..20_000 {
            let source: Vec<u8> = (0..round % 40)
                .map(|_| {
                    state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    (state >> 33) as u8
                })
                .collect();
            if let Ok(text) = decoded(&source) {
                assert_eq!(encode(&text), source);
            }
        }
    }
}
