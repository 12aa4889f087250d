//! Decodes field blocks (RFC 7541 §3, §6).
//!
//! It knows the representations of fields, and leaves their meaning and the limits to the [`Section`]. Its invariant: the
//! dynamic table changes as the encoder's does, whether the section has room or not.

use super::error::HpackError;
use super::static_table::{self, ENTRIES};
use super::table::Table;
use super::{huffman, integer};
use crate::http2::field::FieldKind;
use crate::http2::section::Section;

/// The size of the dynamic table that a connection begins with (RFC 9113 §6.5.2).
pub const TABLE_BYTES: u16 = 4096;

/// Size updates at the beginning of a block (RFC 7541 §4.2): to the smallest size, and to the last one.
const SIZE_UPDATES_MAX: u32 = 2;

/// The decoder of one connection's field blocks.
#[derive(Debug)]
pub struct Decoder {
    table: Table,
}

impl Decoder {
    /// Creates a decoder that holds no memory yet. `table_bytes` is the value of SETTINGS_HEADER_TABLE_SIZE. Until the peer
    /// has acknowledged a smaller value than [`TABLE_BYTES`], it may use more, so a smaller one must not be passed here.
    pub const fn new(table_bytes: u16) -> Decoder {
        Decoder { table: Table::new(table_bytes) }
    }

    /// Returns the number of bytes that the dynamic table has allocated.
    pub fn bytes(&self) -> usize {
        self.table.bytes()
    }

    /// Decodes a whole field block, and adds its fields to `section`.
    ///
    /// # Errors
    /// An [`HpackError`], after which the connection cannot go on: COMPRESSION_ERROR, or INTERNAL_ERROR if there was no
    /// memory.
    pub fn decode(&mut self, block: &[u8], section: &mut Section<'_>) -> Result<(), HpackError> {
        let mut at = self.size_updates(block)?;
        while let Some(first) = block.get(at) {
            if first & 0x80 != 0 {
                // RFC 7541 §6.1
                let index = integer::read(block, &mut at, 0x7f)?;
                self.indexed(index, *first, block, &mut at, section)?;
            } else if first & 0x40 != 0 {
                // RFC 7541 §6.2.1
                let (name_len, kind) = self.literal(block, &mut at, 0x3f, section)?;
                self.table.insert(section.appended(), name_len, kind)?;
                section.commit(name_len, kind);
                // A few bytes may name and replace the largest entry, again and again.
                if section.is_excessive() {
                    return Err(HpackError::Excessive);
                }
            } else if first & 0x20 != 0 {
                return Err(HpackError::LateSizeUpdate);
            } else if section.refusal().is_some() {
                self.skip_literal(block, &mut at)?;
            } else {
                // RFC 7541 §6.2.2, §6.2.3
                let (name_len, kind) = self.literal(block, &mut at, 0x0f, section)?;
                section.commit(name_len, kind);
            }
        }
        Ok(())
    }

    /// Applies the size updates that the block begins with (RFC 7541 §6.3). Returns where they end.
    #[inline]
    fn size_updates(&mut self, block: &[u8]) -> Result<usize, HpackError> {
        let (mut at, mut updates) = (0, 0);
        while block.get(at).is_some_and(|first| first & 0xe0 == 0x20) {
            updates += 1;
            if updates > SIZE_UPDATES_MAX {
                return Err(HpackError::LateSizeUpdate);
            }
            let size_max = integer::read(block, &mut at, 0x1f)?;
            self.table.resize(size_max)?;
        }
        Ok(at)
    }

    /// Adds an entry to the section, and those that follow it in the dynamic table and in the block, which are copied at
    /// once: a client sends the fields of a head in the same order as before.
    #[inline(always)]
    fn indexed(
        &self,
        index: usize,
        first: u8,
        block: &[u8],
        at: &mut usize,
        section: &mut Section<'_>,
    ) -> Result<(), HpackError> {
        // A byte may stand for the largest entry, which is not copied in vain.
        let is_open = section.refusal().is_none();
        let Some(index) = index.checked_sub(static_table::LEN + 1) else {
            let entry = ENTRIES.get(index.wrapping_sub(1)).ok_or(HpackError::Index)?;
            if is_open {
                section.add_all(entry.both, [(entry.name_len, entry.both.len(), entry.kind)].into_iter());
            }
            return Ok(());
        };
        // The entries that follow have indexes one less each, down to the newest.
        let newer = if first < LONG { NEWEST..first } else { NEWEST..NEWEST };
        let following = block[*at..].iter().zip(newer.rev());
        let more = following.take_while(|(found, next)| *found == next).count();
        *at += more;
        let (bytes, entries) = self.table.run(index, 1 + more).ok_or(HpackError::Index)?;
        if is_open {
            section.add_all(bytes, entries.iter().map(|entry| (entry.name_len(), entry.len(), entry.kind)));
        }
        Ok(())
    }

    /// Returns the name and the value of an entry as one slice, and the length of the name (RFC 7541 §2.3.3).
    #[inline]
    fn entry(&self, index: usize) -> Result<(&[u8], usize), HpackError> {
        match ENTRIES.get(index.wrapping_sub(1)) {
            Some(entry) => Ok((entry.both, entry.name_len)),
            None if index > static_table::LEN => {
                self.table.entry(index - static_table::LEN - 1).ok_or(HpackError::Index)
            }
            None => Err(HpackError::Index),
        }
    }

    /// Appends the name and the value of a literal field to the section. Returns the length of the name, and what the field
    /// is. `mask` has the bits of the index.
    #[inline]
    fn literal(
        &self,
        block: &[u8],
        at: &mut usize,
        mask: u8,
        section: &mut Section<'_>,
    ) -> Result<(usize, FieldKind), HpackError> {
        let (name_len, of_name) = match integer::read(block, at, mask)? {
            0 => (string(block, at, section)?, None),
            index => {
                let (both, name_len) = self.entry(index)?;
                let name = &both[..name_len];
                section.append(name);
                // The names of the static table need no check.
                (name_len, (index <= static_table::LEN).then(|| FieldKind::of_name(name)))
            }
        };
        string(block, at, section)?;
        Ok((name_len, section.kind(name_len, of_name)))
    }

    /// Skips a literal field that is neither stored nor indexed.
    #[cold]
    fn skip_literal(&self, block: &[u8], at: &mut usize) -> Result<(), HpackError> {
        match integer::read(block, at, 0x0f)? {
            0 => drop(source(block, at)?),
            index => drop(self.entry(index)?),
        }
        source(block, at)?;
        Ok(())
    }
}

/// The byte that stands for the newest entry of the dynamic table (RFC 7541 §2.3.3, §6.1).
const NEWEST: u8 = 0x80 | (static_table::LEN as u8 + 1);
/// The byte with which an index of several bytes begins (RFC 7541 §5.1).
const LONG: u8 = 0xff;

/// Appends a string literal (RFC 7541 §5.2) to the section. Returns its length, decoded.
#[inline]
fn string(block: &[u8], at: &mut usize, section: &mut Section<'_>) -> Result<usize, HpackError> {
    let (source, is_huffman) = source(block, at)?;
    if is_huffman {
        section.append_with(huffman::room_for(source.len()), |room| huffman::decode(source, room))
    } else {
        section.append(source);
        Ok(source.len())
    }
}

/// Returns a string literal as it was sent, and whether it is in the Huffman code.
#[inline(always)]
fn source<'b>(block: &'b [u8], at: &mut usize) -> Result<(&'b [u8], bool), HpackError> {
    let is_huffman = block.get(*at).ok_or(HpackError::Truncated)? & 0x80 != 0;
    let len = integer::read(block, at, 0x7f)?;
    let source = block.get(*at..*at + len).ok_or(HpackError::Truncated)?;
    *at += len;
    Ok((source, is_huffman))
}

#[cfg(test)]
mod tests {
    use super::super::encoder;
    use super::*;
    use crate::arena::Arena;
    use crate::config::Limits;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u32> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
        digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
    }

    /// Decodes a block into lines.
    fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<String, HpackError> {
        let arena = Arena::new(4096);
        let mut section = Section::new(&arena, &Limits::default(), block.len());
        decoder.decode(block, &mut section)?;
        assert_eq!(section.refusal(), None);
        let (bytes, spans) = section.finish();
        let line = |span: &crate::http1::FieldSpan| {
            format!("{}: {}\n", span.name.text(bytes), span.value.text(bytes))
        };
        Ok(spans.iter().map(line).collect())
    }

    /// Returns the entries, the newest first, as lines.
    fn entries(decoder: &Decoder) -> String {
        (0..)
            .map_while(|index| decoder.table.entry(index))
            .map(|(both, name_len)| {
                let [name, value] = [&both[..name_len], &both[name_len..]].map(String::from_utf8_lossy);
                format!("{name}: {value}\n")
            })
            .collect()
    }

    /// Decodes the blocks of a connection. Each has its fields, and the entries of the table after it.
    fn check(table_bytes: u16, blocks: &[(&str, &[&str], &[&str])]) {
        let mut decoder = Decoder::new(table_bytes);
        let lines = |list: &[&str]| list.iter().map(|line| format!("{line}\n")).collect::<String>();
        for (hex, fields, table) in blocks {
            assert_eq!(decode(&mut decoder, &bytes(hex)), Ok(lines(fields)), "{hex}");
            assert_eq!(entries(&decoder), lines(table), "{hex}");
        }
    }

    #[test]
    fn representations_of_the_rfc_are_decoded() {
        // RFC 7541 §C.2
        check(
            4096,
            &[(
                "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
                &["custom-key: custom-header"],
                &["custom-key: custom-header"],
            )],
        );
        check(4096, &[("040c 2f73 616d 706c 652f 7061 7468", &[":path: /sample/path"], &[])]);
        check(4096, &[("1008 7061 7373 776f 7264 0673 6563 7265 74", &["password: secret"], &[])]);
        check(4096, &[("82", &[":method: GET"], &[])]);
    }

    #[test]
    fn requests_of_the_rfc_are_decoded() {
        let first = [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"];
        let second = [&first[..], &["cache-control: no-cache"]].concat();
        let third = [
            ":method: GET",
            ":scheme: https",
            ":path: /index.html",
            ":authority: www.example.com",
            "custom-key: custom-value",
        ];
        let table = ["custom-key: custom-value", "cache-control: no-cache", ":authority: www.example.com"];
        let check = |blocks: [&str; 3]| {
            check(
                4096,
                &[
                    (blocks[0], &first, &table[2..]),
                    (blocks[1], &second, &table[1..]),
                    (blocks[2], &third, &table),
                ],
            );
        };
        // RFC 7541 §C.3, §C.4
        check([
            "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            "8286 84be 5808 6e6f 2d63 6163 6865",
            "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
        ]);
        check([
            "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
            "8286 84be 5886 a8eb 1064 9cbf",
            "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
        ]);
    }

    #[test]
    fn responses_of_the_rfc_evict_entries() {
        let first = [
            ":status: 302",
            "cache-control: private",
            "date: Mon, 21 Oct 2013 20:13:21 GMT",
            "location: https://www.example.com",
        ];
        let second = [&[":status: 307"], &first[1..]].concat();
        let third = [
            ":status: 200",
            "cache-control: private",
            "date: Mon, 21 Oct 2013 20:13:22 GMT",
            "location: https://www.example.com",
            "content-encoding: gzip",
            "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
        ];
        let tables = [
            [first[3], first[2], first[1], first[0]],
            [second[0], first[3], first[2], first[1]],
            [third[5], third[4], third[2], ""],
        ];
        let check = |blocks: [&str; 3]| {
            check(
                256,
                &[
                    (blocks[0], &first, &tables[0]),
                    (blocks[1], &second, &tables[1]),
                    (blocks[2], &third, &tables[2][..3]),
                ],
            );
        };
        // RFC 7541 §C.5, §C.6
        check([
            "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32
             3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            "4803 3330 37c1 c0bf",
            "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970
             7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61
             6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
        ]);
        check([
            "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad
             1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
            "4883 640e ffc1 c0bf",
            "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2
             e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
        ]);
    }

    #[test]
    fn entries_in_order_are_those_that_were_named() {
        let mut decoder = Decoder::new(4096);
        for value in b'!'..=b'~' {
            decode(&mut decoder, &[0x40, 1, b'a', 1, value]).unwrap();
        }
        let mut check = |hex: &str, expected: &str| {
            let lines: String = expected.chars().map(|value| format!("a: {value}\n")).collect();
            assert_eq!(decode(&mut decoder, &bytes(hex)), Ok(lines), "{hex}");
        };
        check("be", "~");
        check("c0bf be be bf c1 c0", "|}~~}{|");
        // Indexes of two bytes: 127, 126; 128, 126; 126, 127, 128, 127, 126.
        check("ff00 fe", "=>");
        check("ff01 fe", "<>");
        check("fe ff00 ff01 ff00 fe fd", ">=<=>?");
    }

    #[test]
    fn wrong_blocks_are_errors() {
        fn check(hex: &str, expected: HpackError) {
            assert_eq!(decode(&mut Decoder::new(4096), &bytes(hex)), Err(expected), "{hex}");
        }
        check("80", HpackError::Index);
        check("be", HpackError::Index); // the dynamic table is empty
        check("ff80 8080 8008", HpackError::Integer);
        check("7f00 0161", HpackError::Index);
        check("40", HpackError::Truncated);
        check("4001 61", HpackError::Truncated);
        check("4001 6105 61", HpackError::Truncated);
        check("4001 6181 00", HpackError::Huffman);
        check("8220", HpackError::LateSizeUpdate);
        check("2020 2082", HpackError::LateSizeUpdate);
        check("3fe2 1f", HpackError::SizeUpdate); // 4097
        check("3fff ffff ff7f", HpackError::Integer);
    }

    #[test]
    fn the_size_of_the_table_may_change_at_the_beginning_of_a_block() {
        check(
            4096,
            &[
                ("4001 6101 62", &["a: b"], &["a: b"]),
                ("3fe1 1fbe", &["a: b"], &["a: b"]), // 4096
                ("3f03 be", &["a: b"], &["a: b"]),   // 34
                ("20", &[], &[]),
                ("4001 6101 62", &["a: b"], &[]),
                ("203f 0340 0161 0162", &["a: b"], &["a: b"]),
            ],
        );
    }

    #[test]
    fn a_name_may_be_that_of_an_entry_which_gives_way() {
        check(
            40,
            &[
                ("4003 6162 6303 646566", &["abc: def"], &["abc: def"]),
                ("7e03 6768 69", &["abc: ghi"], &["abc: ghi"]),
            ],
        );
    }

    #[test]
    fn a_section_that_is_too_large_does_not_change_what_the_table_holds() {
        let limits = Limits { head_bytes: 4_000, ..Limits::default() };
        let (mut small, mut large) = (Decoder::new(4096), Decoder::new(4096));
        let mut block = Vec::new();
        for i in 0..200u8 {
            block.push(0x40);
            block.extend_from_slice(&[2, b'a' + i % 26, b'a' + i / 26, 20]);
            block.extend_from_slice(&[i; 20]);
            block.extend_from_slice(&[0x82, 0xbe]); // indexed
            block.extend_from_slice(b"\x01\x01a\x0f\x2f\x01a\x00\x01a\x81\x1f"); // without indexing
        }
        let arena = Arena::new(4096);
        let mut section = Section::new(&arena, &limits, block.len());
        assert_eq!(small.decode(&block, &mut section), Ok(()));
        assert!(section.refusal().is_some() && section.finish().1.len() < 200);
        let limits = Limits { head_bytes: 1 << 20, headers: 1 << 20, ..Limits::default() };
        let mut section = Section::new(&arena, &limits, block.len());
        assert_eq!(large.decode(&block, &mut section), Ok(()));
        assert_eq!(section.refusal(), None);
        assert!(entries(&small).len() > 1000);
        assert_eq!(entries(&small), entries(&large));
        // What is skipped must be whole all the same.
        for (more, expected) in [
            ("ff80 01", HpackError::Index),
            ("0f80 0101 61", HpackError::Index),
            ("0001", HpackError::Truncated),
        ] {
            let block = [&block[..], &bytes(more)].concat();
            let mut section =
                Section::new(&arena, &Limits { head_bytes: 4_000, ..limits.clone() }, block.len());
            assert_eq!(Decoder::new(4096).decode(&block, &mut section), Err(expected), "{more}");
        }
    }

    #[test]
    fn a_block_that_replaces_the_largest_entry_again_and_again_is_not_decoded_to_its_end() {
        let arena = Arena::new(4096);
        let mut decoder = Decoder::new(TABLE_BYTES);
        // A name of 4,000 bytes, then fields whose names refer to it: 3 bytes each.
        let mut block = vec![0x40];
        integer::write(&mut block, 0, 0x7f, 4_000);
        block.extend_from_slice(&[b'n'; 4_000]);
        block.push(0);
        for _ in 0..4_000 {
            block.extend_from_slice(&[0x7e, 0]);
        }
        let mut section = Section::new(&arena, &Limits::default(), block.len());
        assert_eq!(decoder.decode(&block, &mut section), Err(HpackError::Excessive));
        assert!(section.size() <= 5 * Limits::default().head_bytes);
    }

    #[test]
    fn a_block_that_is_cut_is_an_error_or_has_fewer_fields() {
        let mut block = bytes(
            "8287 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff40 8825 a849 e95b a97d 7f89 25a8 49e9 5bb8 e8b4 bf",
        );
        encoder::field(&mut block, b"x-name", &[b'v'; 200]);
        encoder::content_length(&mut block, 12);
        let whole = decode(&mut Decoder::new(4096), &block).unwrap();
        assert_eq!(whole.lines().count(), 7);
        for len in 0..block.len() {
            match decode(&mut Decoder::new(4096), &block[..len]) {
                Ok(lines) => assert!(whole.starts_with(&lines) && lines.len() < whole.len(), "{len}"),
                Err(error) => assert_eq!(error, HpackError::Truncated, "{len}"),
            }
        }
    }
}
