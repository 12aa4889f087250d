//! Decodes field blocks with the library, with the test kit's second reader, and with a third one if the caller has it.
//!
//! They must agree on whether each block of a connection can be decoded, and on its fields. What is in their tables shows in
//! the blocks that follow.

use crate::http2::Field;
use crate::http2::hpack::{Decoder, Encoder, HpackError, Literal};
use fleeting::http2::Section;
use fleeting::http2::hpack::{Decoder as Ours, HpackError as Error, TABLE_BYTES};
use fleeting::{Arena, Limits};

/// What a third decoder makes of the next block. `None`: it has no opinion, and is not asked again.
pub type Opinion = Option<Result<Vec<Field>, ()>>;

/// Asks a third decoder.
pub type Third<'a> = &'a mut dyn FnMut(&[u8]) -> Opinion;

/// The most memory of a table: its entries, and the list of them.
const MEMORY_MAX: usize = 3 * TABLE_BYTES as usize;

/// Panics unless both decoders agree on the input's blocks.
pub fn hpack(bytes: &[u8]) {
    hpack_with(bytes, &mut |_| None);
}

/// Panics unless all decoders agree on the input's blocks. The third is asked about one variant of eight, because it takes as long
/// as a hundred of the others.
pub fn hpack_with(bytes: &[u8], third: Third<'_>) {
    let Some((&variant, mut rest)) = bytes.split_first() else { return };
    // Small, so that the input reaches them: what is beyond the limits is decoded, and not stored.
    let limits = match variant & 2 {
        0 => crate::limits! { head_bytes: 1 << 20, headers: 10_000 },
        _ => crate::limits! { head_bytes: 200, headers: 4 },
    };
    let (ours, second, arena) = (Ours::new(TABLE_BYTES), Decoder::default(), Arena::new(4096));
    let mut decoders =
        Decoders { ours, second, third: (variant & 0x1c == 0).then_some(third), limits, arena };
    let mut encoder = Encoder::default();
    while let Some((&length, behind)) = rest.split_first() {
        let part;
        (part, rest) = behind.split_at(behind.len().min(length.into()));
        if variant & 1 == 0 {
            if decoders.take(part).is_none() {
                return;
            }
        } else {
            let fields = fields(part, &mut encoder);
            let block = encoder.encode(&fields);
            let decoded = decoders.take(&block);
            if decoded.is_none() && decoders.is_excessive(&fields) {
                return;
            }
            assert_eq!(decoded, Some(fields), "{}", block.escape_ascii());
        }
    }
}

/// The size of a field list (RFC 9113 §6.5.2).
fn size_of_list(fields: &[Field]) -> usize {
    fields.iter().map(|(name, value)| name.len() + value.len() + 32).sum()
}

struct Decoders<'a> {
    ours: Ours,
    second: Decoder,
    third: Option<Third<'a>>,
    limits: Limits,
    arena: Arena,
}

impl Decoders<'_> {
    /// Whether a block may be refused because its fields go far beyond the limit.
    fn is_excessive(&self, fields: &[Field]) -> bool {
        size_of_list(fields) > 4 * self.limits.head_bytes
    }

    /// Gives a block to all decoders. Returns its fields, or `None` if it cannot be decoded or the readers differ as they may.
    fn take(&mut self, block: &[u8]) -> Option<Vec<Field>> {
        self.arena.reset();
        let mut section = Section::new(&self.arena, &self.limits, block.len());
        let ours = self.ours.decode(block, &mut section);
        let (refusal, size) = (section.refusal(), section.size());
        let second = self.second.decode(block);
        assert!(self.ours.bytes() <= MEMORY_MAX, "{} bytes", self.ours.bytes());
        let shown = block.escape_ascii();
        let fields = match (ours, second) {
            (Ok(()), Ok(fields)) => fields,
            // A field that is not stored is skipped as it was sent.
            (Ok(()), Err(HpackError::Huffman)) if refusal.is_some() => return None,
            // More than two updates bring nothing; the RFC does not forbid them.
            (Err(Error::LateSizeUpdate), _) => return None,
            // Only ours knows limits.
            (Err(Error::Excessive), Ok(fields)) => {
                assert!(self.is_excessive(&fields), "{shown}");
                return None;
            }
            (Err(_), Err(_)) => {
                if let Some(third) = &mut self.third {
                    let third = third(block);
                    assert!(!matches!(third, Some(Ok(_))), "the third decodes {shown}: {third:?}");
                }
                return None;
            }
            (ours, second) => panic!("{ours:?}, but {second:?}: {shown}"),
        };
        let counted = size_of_list(&fields);
        if refusal.is_none() {
            let stored = section.into_fields().map(|(name, value)| (name.to_vec(), value.to_vec()));
            assert_eq!(stored.collect::<Vec<_>>(), fields, "{shown}");
            assert_eq!(size, counted, "{shown}");
        } else {
            let lines = fields.iter().filter(|field| !is_pseudo_field(field)).count();
            assert!(counted > self.limits.head_bytes || lines > self.limits.headers, "{refusal:?}: {shown}");
        }
        match self.third.as_mut().map(|third| third(block)) {
            Some(Some(third)) => assert_eq!(third.as_ref(), Ok(&fields), "{shown}"),
            _ => self.third = None,
        }
        Some(fields)
    }
}

/// Whether a field is a pseudo-field as a request may have it (RFC 9113 §8.3.1, §8.2.1).
fn is_pseudo_field((name, value): &Field) -> bool {
    let names: [&[u8]; 5] = [b":method", b":scheme", b":authority", b":path", b":protocol"];
    names.contains(&&name[..]) && value.iter().all(|&byte| byte == b'\t' || !byte.is_ascii_control())
}

/// Reads the fields of a block, two bytes each, and how the encoder represents them.
fn fields(part: &[u8], encoder: &mut Encoder) -> Vec<Field> {
    const NAMES: [&str; 8] = [":method", ":path", "cookie", "accept", "x-a", "x-bc", "x-def", ""];
    let Some((&how, pairs)) = part.split_first() else { return Vec::new() };
    encoder.huffman = how & 1 != 0;
    encoder.literal = match how & 6 {
        0 | 2 => Literal::Indexed,
        4 => Literal::NotIndexed,
        _ => Literal::NeverIndexed,
    };
    if how & 8 != 0 {
        encoder.resize(usize::from(how >> 4) * 273);
    }
    let field = |pair: &[u8; 2]| {
        let name = NAMES[usize::from(pair[0] & 7)];
        // Long ones, too: an entry may be larger than the table. The naive code takes its time.
        let unit = if encoder.huffman { 9 } else { 99 };
        let repeated = if pair[0] & 0x80 == 0 { 1 } else { unit * usize::from(pair[0] >> 3 & 15) };
        let value = [pair[1], pair[1] ^ 0x55].repeat(repeated);
        (name.as_bytes().to_vec(), value)
    };
    pairs.as_chunks().0.iter().map(field).collect()
}
