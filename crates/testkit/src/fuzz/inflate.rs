//! Compares compressed messages with a second inflater: slow, allocating, and written from RFC 1951 alone.
//!
//! [`Naive`] shares no code with [`Inflater`] and works differently: it takes one bit at a time, looks each code up in
//! a table of all codes, and treats running out of bits as an error.

use super::cuts::{cuts, pieces};
use fleeting::ws::{Codec, Failure, Inflated, Inflater};
use std::cell::RefCell;

thread_local! {
    /// Reused, because creating them clears more memory than everything else here.
    static CODEC: RefCell<Codec> = RefCell::default();
}

/// A message without content. After it, without takeover, nothing refers to earlier messages.
const EMPTY: &[u8] = b"\x00";

/// Panics unless each piece of the input inflates as the second inflater says, and survives a round trip through the
/// compressor.
pub fn ws_inflate(bytes: &[u8]) {
    CODEC.with_borrow_mut(|codec| inflate_and_deflate(bytes, codec));
}

fn inflate_and_deflate(bytes: &[u8], codec: &mut Codec) {
    let (cuts, variant, stream) = cuts(bytes);
    let takeover = variant & 1 != 0;
    // Small, so that the input reaches them.
    let bytes_max = [0, 10, 300, 70_000][usize::from(variant >> 1 & 3)];
    let (mut out, mut naive) = (Inflated::new(), Naive::default());
    forget(&mut codec.inflater, &mut out);
    for payload in pieces(stream, &cuts) {
        let found = codec.inflater.message(payload, takeover, &mut out, bytes_max).map(<[u8]>::to_vec);
        let expected = naive.message(payload, takeover, bytes_max);
        assert!(found == expected, "{payload:x?}: {found:x?}, not {expected:x?}");
        assert!(out.held_bytes() <= bytes_max + 1);
    }

    let (window_bits, level) = (9 + (variant >> 2) % 7, [1, 2, 6, 9][usize::from(variant >> 3 & 3)]);
    let (mut naive, mut compressed, mut first) = (Naive::default(), Vec::new(), true);
    forget(&mut codec.inflater, &mut out);
    // Twice, so that there is something to refer to.
    for message in pieces(stream, &cuts).into_iter().chain(pieces(stream, &cuts)) {
        compressed.clear();
        let refers = takeover && !first;
        codec.deflater(window_bits, level).message(message, refers, &mut compressed);
        first &= message.is_empty();
        let found = codec.inflater.message(&compressed, takeover, &mut out, message.len());
        assert!(found == Ok(message), "{message:x?} is {compressed:x?} with {window_bits} and {level}");
        let found = naive.message(&compressed, takeover, message.len());
        assert!(found.as_deref() == Ok(message), "{message:x?} is {compressed:x?}");
        assert!(naive.farthest <= 1 << window_bits, "{} back with {window_bits}", naive.farthest);
    }
}

/// Makes what follows independent of what was before.
fn forget(inflater: &mut Inflater, out: &mut Inflated) {
    assert_eq!(inflater.message(EMPTY, false, out, 0), Ok(&b""[..]));
}

/// The second inflater.
#[derive(Default)]
struct Naive {
    /// Everything the stream has inflated to.
    history: Vec<u8>,
    /// The bits of the last byte that no block has used, lowest first.
    bits_left: Vec<bool>,
    /// The stream's last block has been read.
    ended: bool,
    /// The farthest distance of any match.
    farthest: usize,
}

impl Naive {
    fn message(&mut self, payload: &[u8], takeover: bool, bytes_max: usize) -> Result<Vec<u8>, Failure> {
        if payload.is_empty() {
            return Ok(Vec::new());
        }
        if !takeover {
            *self = Naive { farthest: self.farthest, ..Naive::default() };
        }
        let result = self.blocks(payload, bytes_max);
        if result.is_err() {
            *self = Naive::default();
        }
        result
    }

    fn blocks(&mut self, payload: &[u8], bytes_max: usize) -> Result<Vec<u8>, Failure> {
        // What the sender leaves out, and one byte that no whole message contains.
        let input = [payload, &[0, 0, 0xff, 0xff, 0]].concat();
        let mut bits = std::mem::take(&mut self.bits_left);
        let before = bits.len();
        bits.extend(input.iter().flat_map(|byte| (0..8).map(move |place| byte >> place & 1 != 0)));
        let end = bits.len() - 8;
        let mut bits = Bits { bits, at: 0, before };
        let mut out =
            Out { bytes: Vec::new(), history: std::mem::take(&mut self.history), bytes_max, farthest: 0 };
        loop {
            if std::mem::take(&mut self.ended) {
                bits.align();
                out.history.clear();
            }
            self.ended = bits.take()?;
            match bits.number(2)? {
                0 => stored(&mut bits, &mut out)?,
                1 => compressed(&mut bits, &mut out, &fixed_lengths(), &fixed_distances())?,
                2 => {
                    let (lengths, distances) = dynamic(&mut bits)?;
                    compressed(&mut bits, &mut out, &lengths, &distances)?;
                }
                _ => return Err(Failure::DeflateInvalid),
            }
            if bits.at > end {
                return Err(Failure::DeflateInvalid);
            }
            if bits.at + 8 > end {
                self.bits_left = bits.bits[bits.at..end].to_vec();
                self.history = out.history;
                self.farthest = self.farthest.max(out.farthest);
                return Ok(out.bytes);
            }
        }
    }
}

type Read<T> = Result<T, Failure>;

struct Bits {
    bits: Vec<bool>,
    at: usize,
    /// Takes bits of a byte that was begun before.
    before: usize,
}

impl Bits {
    fn take(&mut self) -> Read<bool> {
        let bit = *self.bits.get(self.at).ok_or(Failure::DeflateInvalid)?;
        self.at += 1;
        Ok(bit)
    }

    /// RFC 1951 §3.1.1: numbers have their lowest bit first.
    fn number(&mut self, length: usize) -> Read<usize> {
        (0..length).try_fold(0, |number, place| Ok(number | usize::from(self.take()?) << place))
    }

    fn align(&mut self) {
        while self.at % 8 != self.before % 8 {
            self.at += 1;
        }
    }
}

struct Out {
    bytes: Vec<u8>,
    history: Vec<u8>,
    bytes_max: usize,
    farthest: usize,
}

impl Out {
    fn push(&mut self, byte: u8) -> Read<()> {
        if self.bytes.len() == self.bytes_max {
            return Err(Failure::MessageTooBig);
        }
        self.bytes.push(byte);
        self.history.push(byte);
        Ok(())
    }
}

/// RFC 1951 §3.2.4.
fn stored(bits: &mut Bits, out: &mut Out) -> Read<()> {
    bits.align();
    let (length, complement) = (bits.number(16)?, bits.number(16)?);
    require(length ^ complement == 0xffff)?;
    for _ in 0..length {
        let byte = bits.number(8)? as u8;
        out.push(byte)?;
    }
    Ok(())
}

/// RFC 1951 §3.2.5: the shortest length and the number of extra bits for each symbol from 257 on.
const LENGTHS: [(usize, usize); 29] = [
    (3, 0),
    (4, 0),
    (5, 0),
    (6, 0),
    (7, 0),
    (8, 0),
    (9, 0),
    (10, 0),
    (11, 1),
    (13, 1),
    (15, 1),
    (17, 1),
    (19, 2),
    (23, 2),
    (27, 2),
    (31, 2),
    (35, 3),
    (43, 3),
    (51, 3),
    (59, 3),
    (67, 4),
    (83, 4),
    (99, 4),
    (115, 4),
    (131, 5),
    (163, 5),
    (195, 5),
    (227, 5),
    (258, 0),
];

/// The blocks of RFC 1951 §3.2.3.
fn compressed(bits: &mut Bits, out: &mut Out, lengths: &Code, distances: &Code) -> Read<()> {
    loop {
        match lengths.symbol(bits)? {
            byte @ 0..=255 => out.push(byte as u8)?,
            256 => return Ok(()),
            symbol => {
                let (base, extra) = *LENGTHS.get(symbol - 257).ok_or(Failure::DeflateInvalid)?;
                let length = base + bits.number(extra)?;
                let symbol = distances.symbol(bits)?;
                require(symbol < 30)?;
                // Two symbols for each power of two, from the second power on.
                let extra = (symbol / 2).saturating_sub(1);
                let base = if symbol < 2 { symbol } else { (2 + symbol % 2) << extra };
                let distance = 1 + base + bits.number(extra)?;
                require(distance <= out.history.len())?;
                out.farthest = out.farthest.max(distance);
                for _ in 0..length {
                    out.push(out.history[out.history.len() - distance])?;
                }
            }
        }
    }
}

/// RFC 1951 §3.2.6.
fn fixed_lengths() -> Code {
    let bits = |symbol| match symbol {
        0..144 => 8,
        144..256 => 9,
        256..280 => 7,
        _ => 8,
    };
    Code::new(&(0..288).map(bits).collect::<Vec<_>>())
}

fn fixed_distances() -> Code {
    Code::new(&[5; 32])
}

/// RFC 1951 §3.2.7.
fn dynamic(bits: &mut Bits) -> Read<(Code, Code)> {
    let (literals, distances) = (257 + bits.number(5)?, 1 + bits.number(5)?);
    let count = 4 + bits.number(4)?;
    require(literals <= 286 && distances <= 30)?;
    let mut lengths = [0; 19];
    for place in [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15].into_iter().take(count) {
        lengths[place] = bits.number(3)?;
    }
    let code = Code::new(&lengths);
    require(code.room == 0)?;
    let mut lengths = Vec::new();
    while lengths.len() < literals + distances {
        let (length, times) = match code.symbol(bits)? {
            length @ 0..16 => (length, 1),
            16 => (*lengths.last().ok_or(Failure::DeflateInvalid)?, 3 + bits.number(2)?),
            17 => (0, 3 + bits.number(3)?),
            _ => (0, 11 + bits.number(7)?),
        };
        lengths.extend(std::iter::repeat_n(length, times));
    }
    require(lengths.len() == literals + distances && lengths[256] > 0)?;
    let (literals, distances) = (Code::new(&lengths[..literals]), Code::new(&lengths[literals..]));
    require(literals.may_be_used() && distances.may_be_used())?;
    Ok((literals, distances))
}

/// A prefix code.
struct Code {
    /// Length, code and symbol, in this order.
    codes: Vec<(usize, usize, usize)>,
    /// The number of unused codes of 15 bits; negative if there are too many codes.
    room: isize,
}

impl Code {
    /// RFC 1951 §3.2.2: codes of one length count up in the order of their symbols, shorter codes first.
    fn new(lengths: &[usize]) -> Code {
        let mut codes: Vec<_> = (0..lengths.len()).map(|symbol| (lengths[symbol], 0, symbol)).collect();
        codes.retain(|code| code.0 > 0);
        codes.sort_unstable();
        let (mut next, mut before) = (0, 0);
        for (length, code, _) in &mut codes {
            next <<= *length - before;
            (*code, before) = (next, *length);
            next += 1;
        }
        let room = (1 << 15) - codes.iter().map(|code| 1 << (15 - code.0)).sum::<isize>();
        Code { codes, room }
    }

    /// Returns whether each string of bits has at most one meaning. Some may have none only if there is at most one
    /// code, of one bit.
    fn may_be_used(&self) -> bool {
        self.room == 0 || self.room > 0 && self.codes.iter().all(|code| code.0 == 1)
    }

    /// RFC 1951 §3.1.1: codes have their highest bit first.
    fn symbol(&self, bits: &mut Bits) -> Read<usize> {
        let mut code = 0;
        for length in 1..=15 {
            code = code << 1 | usize::from(bits.take()?);
            let found = self.codes.binary_search_by_key(&(length, code), |code| (code.0, code.1));
            if let Ok(place) = found {
                return Ok(self.codes[place].2);
            }
        }
        Err(Failure::DeflateInvalid)
    }
}

fn require(holds: bool) -> Read<()> {
    if holds { Ok(()) } else { Err(Failure::DeflateInvalid) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleeting::ws::Deflater;

    #[test]
    fn the_second_inflater_accepts_and_rejects_correctly() {
        fn check(messages: &[(&[u8], Result<&str, Failure>)]) {
            let mut naive = Naive::default();
            for (payload, expected) in messages {
                let found = naive.message(payload, true, 10);
                assert_eq!(found, expected.map(|text| text.as_bytes().to_vec()), "{payload:x?}");
            }
        }
        // RFC 7692 §7.2.3.
        let hello = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
        check(&[(hello, Ok("Hello")), (b"\xf2\x00\x11\x00\x00", Ok("Hello")), (b"\x00", Ok(""))]);
        check(&[(b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", Ok("Hello"))]);
        check(&[(b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", Ok("Hello")), (hello, Ok("Hello"))]);
        check(&[(b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", Ok("Hello"))]);
        // It fails, and nothing is left to refer to.
        let invalid = Err(Failure::DeflateInvalid);
        check(&[(hello, Ok("Hello")), (b"\x07", invalid), (b"\xf2\x00\x11\x00\x00", invalid)]);
        check(&[(b"\xf2\x48\xcd", invalid)]);
        check(&[(
            b"\x00\x0b\x00\xf4\xff\x48\x65\x6c\x6c\x6f\x48\x65\x6c\x6c\x6f\x48\x00",
            Err(Failure::MessageTooBig),
        )]);
    }

    #[test]
    fn both_inflate_blocks_of_all_kinds() {
        // Long and varied enough for dynamic codes.
        let text: Vec<u8> = (0..3000u32).flat_map(|n| (n * n % 977).to_string().into_bytes()).collect();
        for first in 0..=255 {
            ws_inflate(&[&[first & !7 | 2, 200, 255], &text[..1500]].concat());
        }
        let mut compressed = Vec::new();
        Deflater::new(15, 6).message(&text, false, &mut compressed);
        assert_eq!(compressed[0] & 6, 4, "the block must have dynamic codes");
        assert!(Naive::default().message(&compressed, false, text.len()) == Ok(text));
    }
}
