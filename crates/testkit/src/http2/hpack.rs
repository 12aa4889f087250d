//! HPACK (RFC 7541), a naive implementation: the second reader of what the library writes, and the reverse.
//!
//! The decoder goes bit by bit and copies every field. It refuses exactly what the RFC calls an error, and
//! integers above 2^32 - 1, or of more than five octets after the prefix (§5.1 leaves these limits to the implementation).

use super::Field;
use super::tables::{HUFFMAN, STATIC};
use std::collections::{HashMap, VecDeque};
use std::sync::LazyLock;

/// The size of the dynamic table until a setting changes it (RFC 9113 §6.5.2).
pub const TABLE_SIZE: usize = 4096;

/// Why a field block cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HpackError {
    /// It ends within a representation.
    Truncated,
    /// An integer exceeds the limits of this implementation.
    Integer,
    /// No field has this index.
    Index,
    /// A string contains the code of its end, or is padded with more than seven bits, or with others than ones (§5.2).
    Huffman,
    /// An update of the table's size follows a field, exceeds the limit, or is missing (§4.2).
    TableSize,
}

/// The dynamic table of one direction (RFC 7541 §2.3.2). The entry that came last is the first.
#[derive(Clone, Debug)]
pub struct Table {
    entries: VecDeque<Field>,
    size: usize,
    size_max: usize,
}

impl Default for Table {
    fn default() -> Table {
        Table { entries: VecDeque::new(), size: 0, size_max: TABLE_SIZE }
    }
}

impl Table {
    /// Returns the size of an entry (§4.1).
    fn size_of((name, value): &Field) -> usize {
        name.len() + value.len() + 32
    }

    fn evict(&mut self, size_max: usize) {
        while self.size > size_max {
            self.size -= self.entries.pop_back().map_or(0, |entry| Table::size_of(&entry));
        }
    }

    fn resize(&mut self, size_max: usize) {
        self.size_max = size_max;
        self.evict(size_max);
    }

    /// Adds an entry. One that is larger than the table empties it (§4.4).
    fn add(&mut self, field: Field) {
        let size = Table::size_of(&field);
        self.evict(self.size_max.saturating_sub(size));
        if size <= self.size_max {
            self.size += size;
            self.entries.push_front(field);
        }
    }

    /// Returns the field with this index in both tables (§2.3.3).
    fn field(&self, index: usize) -> Option<Field> {
        let index = index.checked_sub(1)?;
        match STATIC.get(index) {
            Some((name, value)) => Some((name.as_bytes().to_vec(), value.as_bytes().to_vec())),
            None => self.entries.get(index - STATIC.len()).cloned(),
        }
    }

    /// Returns the index of the first field that `is_wanted`.
    fn find(&self, is_wanted: impl Fn(&[u8], &[u8]) -> bool) -> Option<usize> {
        let fixed = STATIC.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let dynamic = self.entries.iter().map(|(name, value)| (&name[..], &value[..]));
        fixed.chain(dynamic).position(|(name, value)| is_wanted(name, value)).map(|at| at + 1)
    }

    /// Returns the entries, the last one first.
    pub fn entries(&self) -> impl Iterator<Item = &Field> {
        self.entries.iter()
    }

    pub fn size(&self) -> usize {
        self.size
    }
}

/// Decodes the field blocks of one direction of a connection.
#[derive(Clone, Debug)]
pub struct Decoder {
    table: Table,
    /// The maximum of what the encoder may choose as the table's size.
    limit: usize,
    /// The least limit since the last block, if it was below the table's size: the next block must begin with an update.
    required: Option<usize>,
}

impl Default for Decoder {
    fn default() -> Decoder {
        Decoder { table: Table::default(), limit: TABLE_SIZE, required: None }
    }
}

impl Decoder {
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Changes the limit of the table's size: the encoder has acknowledged SETTINGS_HEADER_TABLE_SIZE.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
        if limit < self.required.unwrap_or(self.table.size_max) {
            self.required = Some(limit);
        }
    }

    /// Returns the fields of a whole block, in their order.
    ///
    /// # Errors
    /// What is wrong with the block. The table is then useless, and the connection with it (RFC 9113 §4.3).
    pub fn decode(&mut self, block: &[u8]) -> Result<Vec<Field>, HpackError> {
        let mut rest = block;
        let mut fields = Vec::new();
        while let Some(&first) = rest.first() {
            if first & 0xe0 == 0x20 {
                self.update_size(integer(&mut rest, 5)?, fields.is_empty())?;
                continue;
            }
            if self.required.is_some() {
                return Err(HpackError::TableSize);
            }
            let field = match first {
                0x80.. => {
                    let index = integer(&mut rest, 7)?;
                    self.table.field(index).ok_or(HpackError::Index)?
                }
                0x40.. => {
                    let field = self.literal(&mut rest, 6)?;
                    self.table.add(field.clone());
                    field
                }
                // Without indexing, and never indexed.
                _ => self.literal(&mut rest, 4)?,
            };
            fields.push(field);
        }
        if self.required.is_some() && !block.is_empty() {
            return Err(HpackError::TableSize);
        }
        Ok(fields)
    }

    fn update_size(&mut self, size: usize, at_the_beginning: bool) -> Result<(), HpackError> {
        // The least limit must be signaled first (§4.2).
        if !at_the_beginning || size > self.required.unwrap_or(self.limit) {
            return Err(HpackError::TableSize);
        }
        self.required = None;
        self.table.resize(size);
        Ok(())
    }

    fn literal(&self, rest: &mut &[u8], prefix: u32) -> Result<Field, HpackError> {
        let name = match integer(rest, prefix)? {
            0 => string(rest)?,
            index => self.table.field(index).ok_or(HpackError::Index)?.0,
        };
        Ok((name, string(rest)?))
    }
}

/// Takes an integer with a prefix of so many bits (§5.1).
fn integer(rest: &mut &[u8], prefix: u32) -> Result<usize, HpackError> {
    let mut octets = rest.iter();
    let mut next = || octets.next().map(|octet| u64::from(*octet)).ok_or(HpackError::Truncated);
    let full = (1 << prefix) - 1;
    let mut value = next()? & full;
    if value == full {
        for position in 0.. {
            if position == 5 {
                return Err(HpackError::Integer);
            }
            let octet = next()?;
            value += (octet & 0x7f) << (7 * position);
            if octet & 0x80 == 0 {
                break;
            }
        }
    }
    *rest = octets.as_slice();
    u32::try_from(value).map(|value| value as usize).map_err(|_| HpackError::Integer)
}

/// Takes a string (§5.2).
fn string(rest: &mut &[u8]) -> Result<Vec<u8>, HpackError> {
    let is_coded = *rest.first().ok_or(HpackError::Truncated)? & 0x80 != 0;
    let length = integer(rest, 7)?;
    let (octets, behind) = rest.split_at_checked(length).ok_or(HpackError::Truncated)?;
    *rest = behind;
    if is_coded { huffman_decode(octets) } else { Ok(octets.to_vec()) }
}

/// Decodes a string in the Huffman code, bit by bit.
///
/// # Errors
/// [`HpackError::Huffman`].
pub fn huffman_decode(octets: &[u8]) -> Result<Vec<u8>, HpackError> {
    static SYMBOLS: LazyLock<HashMap<(u32, u8), usize>> =
        LazyLock::new(|| HUFFMAN.iter().enumerate().map(|(symbol, code)| (*code, symbol)).collect());
    let mut text = Vec::new();
    let (mut bits, mut count) = (0, 0);
    for position in 0..octets.len() * 8 {
        let bit = octets[position / 8] >> (7 - position % 8) & 1;
        (bits, count) = (bits << 1 | u32::from(bit), count + 1);
        // No code is shorter than five bits.
        if count < 5 {
            continue;
        }
        if let Some(symbol) = SYMBOLS.get(&(bits, count)) {
            // The last symbol is the end of the string, which must not occur.
            text.push(u8::try_from(*symbol).map_err(|_| HpackError::Huffman)?);
            (bits, count) = (0, 0);
        } else if count == 30 {
            return Err(HpackError::Huffman);
        }
    }
    let padding_is_right = count < 8 && bits == (1 << count) - 1;
    if padding_is_right { Ok(text) } else { Err(HpackError::Huffman) }
}

/// Encodes a string in the Huffman code.
pub fn huffman_encode(text: &[u8]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(text.len());
    let (mut bits, mut waiting) = (0u64, 0);
    for octet in text {
        let (code, count) = HUFFMAN[usize::from(*octet)];
        bits = bits << count | u64::from(code);
        waiting += count;
        while waiting >= 8 {
            waiting -= 8;
            octets.push((bits >> waiting) as u8);
        }
    }
    if waiting > 0 {
        octets.push((bits << (8 - waiting)) as u8 | 0xff >> waiting);
    }
    octets
}

/// How an encoder represents fields that no table contains (§6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Literal {
    Indexed,
    NotIndexed,
    /// The same for fields that a table contains.
    NeverIndexed,
}

/// Encodes the field blocks of one direction of a connection.
#[derive(Clone, Debug)]
pub struct Encoder {
    /// Can be changed at any time.
    pub literal: Literal,
    /// Whether strings are in the Huffman code where that is not longer. Can be changed at any time.
    pub huffman: bool,
    table: Table,
    /// Sizes that the next block signals.
    sizes: Vec<usize>,
}

impl Default for Encoder {
    fn default() -> Encoder {
        Encoder { literal: Literal::NotIndexed, huffman: false, table: Table::default(), sizes: Vec::new() }
    }
}

impl Encoder {
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Changes the size of the table. The next block begins with the update.
    pub fn resize(&mut self, size_max: usize) {
        self.table.resize(size_max);
        self.sizes.push(size_max);
    }

    /// Returns a block of these fields.
    pub fn encode<N: AsRef<[u8]>, V: AsRef<[u8]>>(&mut self, fields: &[(N, V)]) -> Vec<u8> {
        let mut block = Vec::new();
        for size in self.sizes.drain(..) {
            put_integer(&mut block, 0x20, 5, size);
        }
        for (name, value) in fields {
            self.encode_field(&mut block, name.as_ref(), value.as_ref());
        }
        block
    }

    fn encode_field(&mut self, block: &mut Vec<u8>, name: &[u8], value: &[u8]) {
        let known = self.table.find(|n, v| (n, v) == (name, value));
        if let Some(index) = known
            && self.literal != Literal::NeverIndexed
        {
            return put_integer(block, 0x80, 7, index);
        }
        let index = self.table.find(|known, _| known == name).unwrap_or(0);
        match self.literal {
            Literal::Indexed => put_integer(block, 0x40, 6, index),
            Literal::NotIndexed => put_integer(block, 0, 4, index),
            Literal::NeverIndexed => put_integer(block, 0x10, 4, index),
        }
        if index == 0 {
            put_string(block, name, self.huffman);
        }
        put_string(block, value, self.huffman);
        if self.literal == Literal::Indexed {
            self.table.add((name.to_vec(), value.to_vec()));
        }
    }
}

/// Adds an integer with a prefix of so many bits; `first` has the bits in front of it (§5.1).
pub fn put_integer(block: &mut Vec<u8>, first: u8, prefix: u32, value: usize) {
    let full = (1 << prefix) - 1;
    if value < full {
        return block.push(first | value as u8);
    }
    block.push(first | full as u8);
    let mut value = value - full;
    while value >= 0x80 {
        block.push(value as u8 | 0x80);
        value >>= 7;
    }
    block.push(value as u8);
}

/// Adds a string, in the Huffman code if `huffman` is set and that is not longer (§5.2).
pub fn put_string(block: &mut Vec<u8>, text: &[u8], huffman: bool) {
    let coded = huffman_encode(text);
    if huffman && coded.len() <= text.len() {
        put_integer(block, 0x80, 7, coded.len());
        block.extend_from_slice(&coded);
    } else {
        put_integer(block, 0, 7, text.len());
        block.extend_from_slice(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u32> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
        digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
    }

    /// A block, its fields, and the table's size after it.
    type Example<'a> = (&'a str, &'a [(&'a str, &'a str)], usize);

    /// Checks a connection with an encoder and a decoder. Each example follows the one before it.
    #[track_caller]
    fn check(literal: Literal, huffman: bool, size_max: usize, blocks: &[Example<'_>]) {
        let mut encoder = Encoder { literal, huffman, ..Encoder::default() };
        let mut decoder = Decoder::default();
        encoder.table.resize(size_max);
        decoder.table.resize(size_max);
        for (hex, fields, size) in blocks {
            let block = bytes(hex);
            assert_eq!(encoder.encode(fields).escape_ascii().to_string(), block.escape_ascii().to_string());
            let expected: Vec<Field> =
                fields.iter().map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec())).collect();
            assert_eq!(decoder.decode(&block), Ok(expected));
            assert_eq!((encoder.table.size(), decoder.table.size()), (*size, *size));
        }
        assert!(encoder.table.entries().eq(decoder.table.entries()));
    }

    const FIRST: &[(&str, &str)] =
        &[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com")];
    const SECOND: &[(&str, &str)] = &[
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "www.example.com"),
        ("cache-control", "no-cache"),
    ];
    const THIRD: &[(&str, &str)] = &[
        (":method", "GET"),
        (":scheme", "https"),
        (":path", "/index.html"),
        (":authority", "www.example.com"),
        ("custom-key", "custom-value"),
    ];
    const FOUND: &[(&str, &str)] = &[
        (":status", "302"),
        ("cache-control", "private"),
        ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
        ("location", "https://www.example.com"),
    ];
    const REDIRECT: &[(&str, &str)] = &[
        (":status", "307"),
        ("cache-control", "private"),
        ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
        ("location", "https://www.example.com"),
    ];
    const OK: &[(&str, &str)] = &[
        (":status", "200"),
        ("cache-control", "private"),
        ("date", "Mon, 21 Oct 2013 20:13:22 GMT"),
        ("location", "https://www.example.com"),
        ("content-encoding", "gzip"),
        ("set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"),
    ];

    #[test]
    fn appendix_c_2_single_fields() {
        let block = "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572";
        check(Literal::Indexed, false, 4096, &[(block, &[("custom-key", "custom-header")], 55)]);
        let block = "040c 2f73 616d 706c 652f 7061 7468";
        check(Literal::NotIndexed, false, 4096, &[(block, &[(":path", "/sample/path")], 0)]);
        let block = "1008 7061 7373 776f 7264 0673 6563 7265 74";
        check(Literal::NeverIndexed, false, 4096, &[(block, &[("password", "secret")], 0)]);
        check(Literal::NotIndexed, false, 4096, &[("82", &[(":method", "GET")], 0)]);
    }

    #[test]
    fn appendix_c_3_and_c_4_requests() {
        let plain: &[Example<'_>] = &[
            ("8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", FIRST, 57),
            ("8286 84be 5808 6e6f 2d63 6163 6865", SECOND, 110),
            ("8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65", THIRD, 164),
        ];
        check(Literal::Indexed, false, 4096, plain);
        let coded: &[Example<'_>] = &[
            ("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", FIRST, 57),
            ("8286 84be 5886 a8eb 1064 9cbf", SECOND, 110),
            ("8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf", THIRD, 164),
        ];
        check(Literal::Indexed, true, 4096, coded);
    }

    #[test]
    fn appendix_c_5_and_c_6_responses() {
        let plain: &[Example<'_>] = &[
            (
                "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120
                 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
                FOUND,
                222,
            ),
            ("4803 3330 37c1 c0bf", REDIRECT, 222),
            (
                "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738
                 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33
                 3630 303b 2076 6572 7369 6f6e 3d31",
                OK,
                215,
            ),
        ];
        check(Literal::Indexed, false, 256, plain);
        let coded: &[Example<'_>] = &[
            (
                "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718
                 63c7 8f0b 97c8 e9ae 82ae 43d3",
                FOUND,
                222,
            ),
            ("4883 640e ffc1 c0bf", REDIRECT, 222),
            (
                "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7
                 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
                OK,
                215,
            ),
        ];
        check(Literal::Indexed, true, 256, coded);
    }

    #[test]
    fn appendix_c_1_integers() {
        fn check(prefix: u32, value: usize, octets: &[u8]) {
            let mut block = Vec::new();
            put_integer(&mut block, 0, prefix, value);
            assert_eq!(block, octets);
            let mut rest = octets;
            assert_eq!((integer(&mut rest, prefix), rest.len()), (Ok(value), 0));
        }
        check(5, 10, b"\x0a");
        check(5, 1337, b"\x1f\x9a\x0a");
        check(8, 42, b"\x2a");
        check(5, 31, b"\x1f\0");
        check(7, u32::MAX as usize, b"\x7f\x80\xff\xff\xff\x0f");
    }

    #[test]
    fn wrong_blocks_are_refused() {
        #[track_caller]
        fn check(block: &[u8], error: HpackError) {
            assert_eq!(Decoder::default().decode(block), Err(error), "{}", block.escape_ascii());
        }
        check(b"\x80", HpackError::Index);
        check(b"\xbe", HpackError::Index);
        check(b"\x7e\0", HpackError::Index);
        check(b"\xff", HpackError::Truncated);
        check(b"\x00\x05abc", HpackError::Truncated);
        check(b"\x00\x01a", HpackError::Truncated);
        check(b"\xff\x80\x80\x80\x80\x80\x00", HpackError::Integer);
        check(b"\xff\xff\xff\xff\xff\xff", HpackError::Integer);
        check(b"\x82\x20", HpackError::TableSize);
        check(b"\x3f\xe2\x1f", HpackError::TableSize);
        check(b"\x00\x81\x00\x01a", HpackError::Huffman); // "0" and padding with zeros
        check(b"\x00\x84\xff\xff\xff\xff\x01a", HpackError::Huffman); // the end of the string
        check(b"\x00\x82\x1f\xff\x01a", HpackError::Huffman); // "a" and eleven bits of padding
    }

    #[test]
    fn a_reduced_limit_requires_an_update() {
        let mut decoder = Decoder::default();
        decoder.set_limit(100);
        decoder.set_limit(4096);
        assert_eq!(decoder.clone().decode(b"\x82"), Err(HpackError::TableSize));
        assert_eq!(decoder.clone().decode(b"\x3f\xe1\x1f\x82"), Err(HpackError::TableSize)); // 4096 alone
        let mut encoder = Encoder { literal: Literal::Indexed, ..Encoder::default() };
        encoder.resize(100);
        encoder.resize(4096);
        let block = encoder.encode(FIRST);
        assert_eq!(decoder.decode(&block).map(|fields| fields.len()), Ok(4));
        assert_eq!(decoder.table().size(), 57);
    }

    #[test]
    fn what_is_encoded_decodes_to_the_same() {
        let mut random = Random::new(7541);
        for _ in 0..200 {
            let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
            for _ in 0..random.within(1, 8) {
                encoder.huffman = random.chance(500);
                encoder.literal = random.one_of(&[
                    Literal::Indexed,
                    Literal::Indexed,
                    Literal::NotIndexed,
                    Literal::NeverIndexed,
                ]);
                if random.chance(200) {
                    encoder.resize(random.within(0, 4096));
                }
                let fields: Vec<Field> = (0..random.within(0, 12))
                    .map(|_| {
                        let (name, value) = (random.within(0, 3), random.within(0, 300));
                        (random.repetitive(name), random.noise(value))
                    })
                    .collect();
                assert_eq!(decoder.decode(&encoder.encode(&fields)), Ok(fields));
                assert!(encoder.table.entries().eq(decoder.table.entries()));
            }
        }
    }
}
