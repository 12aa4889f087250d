//! Decodes the chunked transfer coding in place (RFC 9112 §7.1).
//!
//! It knows chunks and where their data goes, but no heads. Between calls it remembers its position in the
//! grammar, never bytes. Its invariant: data only moves towards the front, and each byte of it moves at most
//! once. Decoding is therefore O(n), however the input is cut.

use super::Refusal;
use super::characters::is_token;
use super::scan::{Bounds, Scan, section_max};
use crate::config::Limits;

/// A position in chunked content.
#[derive(Debug, Clone, Copy)]
pub(super) enum Chunks {
    /// Before the end of the line with the size 0.
    Chunk(Chunk),
    /// In the trailer section.
    Trailers(Scan),
}

/// A position before the trailer section.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunk {
    state: ChunkState,
    /// Bytes of all extensions so far.
    extension_bytes: u32,
    /// The chunk size read so far; in `Data`, the bytes of the chunk still to come.
    number: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ChunkState {
    /// In a chunk size; holds the number of digits read.
    Size(u8),
    Extension(ExtensionState),
    /// Before the LF that ends the line with the size.
    SizeLf,
    Data,
    DataCr,
    DataLf,
}

/// `*( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] )` (RFC 9112 §7.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ExtensionState {
    /// After white space: only another extension may follow.
    BeforeSemicolon,
    BeforeName,
    Name,
    /// After white space: the value or another extension may follow.
    AfterName,
    BeforeValue,
    Value,
    Quoted,
    /// After a backslash.
    Escaped,
    AfterQuoted,
}

/// The read and write positions in the input.
#[derive(Debug, Clone, Copy)]
struct Cursor {
    /// The start of the bytes that are still encoded; at least `write`.
    read: usize,
    /// The end of the decoded data.
    write: usize,
}

/// What [`Chunks::decode`] does with the data.
#[derive(Debug, Clone, Copy)]
enum DataMode {
    /// Moves the data to `write`; it must not extend beyond `end_max`.
    Keep { end_max: u64 },
    /// Skips the data; it must not extend beyond `end_max` in the encoded bytes.
    Discard { end_max: u64 },
}

/// What [`Chunks::decode_in_place`] found. Positions count from the start of its input.
pub(super) enum InPlace {
    /// The content is incomplete: `decoded` bytes of data, and behind them the start of a trailer section,
    /// make up the first `filled` bytes.
    Incomplete {
        decoded: usize,
        filled: usize,
    },
    Whole {
        content_len: usize,
        trailers_at: usize,
        trailers_len: usize,
    },
}

/// What [`Chunks::next_piece`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChunkPiece {
    Data {
        from: usize,
        to: usize,
    },
    /// The whole trailer section.
    Trailers {
        at: usize,
        len: usize,
    },
    /// The bytes before `consumed` are done with. The bytes behind it begin a trailer section and must be
    /// passed again.
    Incomplete {
        consumed: usize,
    },
}

impl Chunks {
    pub(super) const fn new() -> Chunks {
        Chunks::Chunk(Chunk { state: ChunkState::Size(0), extension_bytes: 0, number: 0 })
    }

    /// Decodes `bytes` in place. They begin with the `decoded` bytes of data from earlier calls.
    pub(super) fn decode_in_place(
        &mut self,
        decoded: usize,
        bytes: &mut [u8],
        limits: &Limits,
    ) -> Result<InPlace, Refusal> {
        let mut cursor = Cursor { read: decoded, write: decoded };
        let mode = DataMode::Keep { end_max: limits.body_bytes as u64 };
        Ok(match self.decode(bytes, &mut cursor, mode, limits)? {
            Some(trailers_len) => {
                InPlace::Whole { content_len: cursor.write, trailers_at: cursor.read, trailers_len }
            }
            None => {
                // Only the start of a trailer section is left. It moves down to the end of the data, so that
                // no gap remains.
                let filled = cursor.write + (bytes.len() - cursor.read);
                bytes.copy_within(cursor.read.., cursor.write);
                InPlace::Incomplete { decoded: cursor.write, filled }
            }
        })
    }

    /// Skips the data in `bytes`, which must end within `encoded_max` bytes. Returns how many bytes were
    /// skipped, and the length of the trailer section behind them once the whole of it has arrived.
    pub(super) fn skip(
        &mut self,
        bytes: &mut [u8],
        encoded_max: u64,
        limits: &Limits,
    ) -> Result<(usize, Option<usize>), Refusal> {
        let mut cursor = Cursor { read: 0, write: 0 };
        let mode = DataMode::Discard { end_max: encoded_max };
        let trailers_len = self.decode(bytes, &mut cursor, mode, limits)?;
        Ok((cursor.read, trailers_len))
    }

    /// Decodes `bytes` from `cursor.read` on. Returns the length of the trailer section at `cursor.read` once
    /// all of it has arrived. Until then everything before `cursor.read` is done with; the bytes behind it
    /// begin a trailer section and must be passed again.
    fn decode(
        &mut self,
        bytes: &mut [u8],
        cursor: &mut Cursor,
        mode: DataMode,
        limits: &Limits,
    ) -> Result<Option<usize>, Refusal> {
        let section = section_max(limits.head_bytes);
        if let Chunks::Chunk(chunk) = self {
            if chunk.decode(bytes, cursor, mode, section)? {
                *self = Chunks::Trailers(Scan::FIELDS);
            }
        }
        match self {
            Chunks::Chunk(_) => Ok(None),
            Chunks::Trailers(scan) => scan.run(&bytes[cursor.read..], trailer_bounds(section)),
        }
    }

    /// Reads up to the next piece of data, or to the end of the content. At most `left` more bytes of data
    /// are allowed.
    pub(super) fn next_piece(
        &mut self,
        bytes: &[u8],
        left: u64,
        limits: &Limits,
    ) -> Result<ChunkPiece, Refusal> {
        let section = section_max(limits.head_bytes);
        let mut at = 0;
        while at < bytes.len() {
            let chunk = match self {
                Chunks::Chunk(chunk) => chunk,
                Chunks::Trailers(scan) => {
                    let len = scan.run(&bytes[at..], trailer_bounds(section))?;
                    return Ok(match len {
                        Some(len) => ChunkPiece::Trailers { at, len },
                        None => ChunkPiece::Incomplete { consumed: at },
                    });
                }
            };
            match chunk.state {
                ChunkState::Data => {
                    let len = chunk.take(bytes.len() - at);
                    return Ok(ChunkPiece::Data { from: at, to: at + len });
                }
                state => {
                    let next = chunk.next(state, bytes[at], section)?;
                    at += 1;
                    if state == ChunkState::SizeLf && chunk.number > left {
                        return Err(Refusal::ContentTooLarge);
                    }
                    match next {
                        Some(state) => chunk.state = state,
                        None => *self = Chunks::Trailers(Scan::FIELDS),
                    }
                }
            }
        }
        Ok(ChunkPiece::Incomplete { consumed: at })
    }
}

impl Chunk {
    /// Decodes `bytes` from `cursor.read` on. Returns whether the chunks end in them.
    fn decode(
        &mut self,
        bytes: &mut [u8],
        cursor: &mut Cursor,
        mode: DataMode,
        extension_max: usize,
    ) -> Result<bool, Refusal> {
        while cursor.read < bytes.len() {
            match self.state {
                ChunkState::Data => {
                    let len = self.take(bytes.len() - cursor.read);
                    if let DataMode::Keep { .. } = mode {
                        if cursor.read != cursor.write {
                            bytes.copy_within(cursor.read..cursor.read + len, cursor.write);
                        }
                        cursor.write += len;
                    }
                    cursor.read += len;
                }
                state => {
                    let next = self.next(state, bytes[cursor.read], extension_max)?;
                    cursor.read += 1;
                    if state == ChunkState::SizeLf {
                        // This is checked before any memory is taken for the chunk.
                        let (at, end_max) = match mode {
                            DataMode::Keep { end_max } => (cursor.write, end_max),
                            DataMode::Discard { end_max } => (cursor.read, end_max),
                        };
                        if self.number > end_max.saturating_sub(at as u64) {
                            return Err(Refusal::ContentTooLarge);
                        }
                    }
                    let Some(next) = next else { return Ok(true) };
                    self.state = next;
                }
            }
        }
        Ok(false)
    }

    /// Takes the data of the chunk from `here` bytes. Returns how many of them it is.
    #[inline(always)]
    fn take(&mut self, here: usize) -> usize {
        let len = usize::try_from(self.number).map_or(here, |left| left.min(here));
        self.number -= len as u64;
        if self.number == 0 {
            self.state = ChunkState::DataCr;
        }
        len
    }

    /// Returns the state that `byte` leads to, outside of data; `None` if the chunks end with it.
    #[inline(always)]
    fn next(
        &mut self,
        state: ChunkState,
        byte: u8,
        extension_max: usize,
    ) -> Result<Option<ChunkState>, Refusal> {
        Ok(Some(match (state, byte) {
            (ChunkState::Size(digits), _) => {
                if let Some(digit) = (byte as char).to_digit(16) {
                    // RFC 9112 §7.1: no overflow. 16 digits are 64 bits.
                    if digits == 16 {
                        return Err(Refusal::ChunkSize);
                    }
                    self.number = self.number << 4 | u64::from(digit);
                    return Ok(Some(ChunkState::Size(digits + 1)));
                }
                match byte {
                    _ if digits == 0 => return Err(Refusal::ChunkSize),
                    b'\r' => ChunkState::SizeLf,
                    b';' => self.extension_state(ExtensionState::BeforeName, extension_max)?,
                    b' ' | b'\t' => self.extension_state(ExtensionState::BeforeSemicolon, extension_max)?,
                    b'\n' => return Err(Refusal::BareLf),
                    _ => return Err(Refusal::ChunkSize),
                }
            }
            (ChunkState::Extension(state), _) => match state.next(byte)? {
                Some(state) => self.extension_state(state, extension_max)?,
                None => ChunkState::SizeLf,
            },
            (ChunkState::SizeLf, b'\n') if self.number == 0 => return Ok(None),
            (ChunkState::SizeLf, b'\n') => ChunkState::Data,
            (ChunkState::SizeLf, _) => return Err(Refusal::BareCr),
            (ChunkState::DataCr, b'\r') => ChunkState::DataLf,
            (ChunkState::DataLf, b'\n') => {
                self.number = 0;
                ChunkState::Size(0)
            }
            (ChunkState::DataCr | ChunkState::DataLf, _) => return Err(Refusal::ChunkEnd),
            // The callers handle it themselves.
            (ChunkState::Data, _) => state,
        }))
    }

    /// Counts a byte of an extension.
    fn extension_state(
        &mut self,
        state: ExtensionState,
        extension_max: usize,
    ) -> Result<ChunkState, Refusal> {
        self.extension_bytes += 1;
        if self.extension_bytes as usize > extension_max {
            return Err(Refusal::ChunkExtensionsTooLarge);
        }
        Ok(ChunkState::Extension(state))
    }
}

/// Returns the bounds of a trailer section of at most `section` bytes.
fn trailer_bounds(section: usize) -> Bounds {
    Bounds { first_line: usize::MAX, section, too_large: Refusal::TrailersTooLarge }
}

impl ExtensionState {
    /// Returns the state that `byte` leads to; `None` if `byte` is the CR that ends the line.
    fn next(self, byte: u8) -> Result<Option<ExtensionState>, Refusal> {
        use ExtensionState::*;
        let space = matches!(byte, b' ' | b'\t');
        Ok(Some(match (self, byte) {
            (Name | Value | AfterQuoted, b'\r') => return Ok(None),
            (BeforeSemicolon | Name | AfterName | Value | AfterQuoted, b';') => BeforeName,
            (Name | AfterName, b'=') => BeforeValue,
            (Name | AfterName, _) if space => AfterName,
            (BeforeSemicolon | Value | AfterQuoted, _) if space => BeforeSemicolon,
            (BeforeName | BeforeValue, _) if space => self,
            (BeforeName | Name, _) if is_token(byte) => Name,
            (BeforeValue | Value, _) if is_token(byte) => Value,
            (BeforeValue, b'"') => Quoted,
            (Quoted, b'"') => AfterQuoted,
            (Quoted, b'\\') => Escaped,
            // RFC 9110 §5.6.4: qdtext and quoted-pair contain no control characters but HTAB.
            (Quoted | Escaped, b'\t' | b' '..=b'~' | 0x80..) => Quoted,
            (_, b'\n') => return Err(Refusal::BareLf),
            _ => return Err(Refusal::ChunkExtension),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, expected: Result<Option<(&str, &str)>, Refusal>) {
        let limits = Limits { head_bytes: 40, ..Limits::default() };
        let mode = DataMode::Keep { end_max: 30 };
        let mut whole = input.as_bytes().to_vec();
        let mut cursor = Cursor { read: 0, write: 0 };
        let found = Chunks::new().decode(&mut whole, &mut cursor, mode, &limits);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let parts = found.map(|trailers| {
            trailers.map(|len| (text(&whole[..cursor.write]), text(&whole[cursor.read..cursor.read + len])))
        });
        let expected = expected.map(|parts| parts.map(|(a, b)| (a.to_owned(), b.to_owned())));
        assert_eq!(parts, expected, "{input:?}");
        // Discarded byte by byte, the content ends in the same way, unless its size is refused.
        let mut chunks = Chunks::new();
        let mut kept = Vec::new();
        let mut bytewise = Ok(None);
        for &byte in input.as_bytes() {
            kept.push(byte);
            let mut cursor = Cursor { read: 0, write: 0 };
            bytewise =
                chunks.decode(&mut kept, &mut cursor, DataMode::Discard { end_max: u64::MAX }, &limits);
            if bytewise != Ok(None) {
                break;
            }
            kept.drain(..cursor.read);
        }
        if found != Err(Refusal::ContentTooLarge) {
            assert_eq!(bytewise, found, "{input:?} bytewise");
        }
    }

    #[test]
    fn chunks_are_decoded_or_refused() {
        let whole = |input: &str, data: &'static str| check(input, Ok(Some((data, "\r\n"))));
        let refused = |input: &str, refusal| check(input, Err(refusal));
        whole("0\r\n\r\n", "");
        whole("5\r\nhello\r\n0\r\n\r\nGET", "hello");
        whole("3\r\nabc\r\n00a\r\n0123456789\r\n000\r\n\r\n", "abc0123456789");
        whole("0000000000000005\r\nhello\r\n0\r\n\r\n", "hello");
        check("5\r\nhello\r\n0\r\nX: y\r\n\r\nGET", Ok(Some(("hello", "X: y\r\n\r\n"))));
        check("5\r\nhel", Ok(None));
        check("5\r\nhello\r\n0\r\nX: y\r\n", Ok(None));
        refused("\r\n", Refusal::ChunkSize);
        refused(";a\r\n", Refusal::ChunkSize);
        refused("-5\r\n", Refusal::ChunkSize);
        refused("+5\r\n", Refusal::ChunkSize);
        refused(" 5\r\n", Refusal::ChunkSize);
        refused("0x5\r\n", Refusal::ChunkSize);
        refused("5h\r\n", Refusal::ChunkSize);
        refused("5\n", Refusal::BareLf);
        refused("5\rh", Refusal::BareCr);
        refused("5\r\nhello0", Refusal::ChunkEnd);
        refused("5\r\nhello world", Refusal::ChunkEnd);
        refused("5\r\nhello\n", Refusal::ChunkEnd);
        refused("5\r\nhello\r0", Refusal::ChunkEnd);
        refused("00000000000000000", Refusal::ChunkSize);
        refused("fffffffffffffffff", Refusal::ChunkSize);
        refused("ffffffffffffffff\r\n", Refusal::ContentTooLarge);
        refused("1f\r\n", Refusal::ContentTooLarge);
        refused("1e\r\n012345678901234567890123456789\r\n1\r\n", Refusal::ContentTooLarge);
        refused("0\r\nX: y\n", Refusal::BareLf);
        refused("0\r\n\n", Refusal::BareLf);
        refused("0\r\n\rX", Refusal::BareCr);
        refused(&format!("0\r\nX: {}\r\n\r\n", "y".repeat(40)), Refusal::TrailersTooLarge);
    }

    #[test]
    fn extensions_are_skipped_or_refused() {
        let good = |line: &str| check(&format!("1{line}\r\nx\r\n0\r\n\r\n"), Ok(Some(("x", "\r\n"))));
        let bad = |line: &str, refusal| check(&format!("1{line}\r\nx\r\n0\r\n\r\n"), Err(refusal));
        for line in [
            ";a",
            ";a=b",
            ";a;b",
            " ; a = b ; c",
            "\t;a",
            ";a=\"b; c\"",
            ";a=\"\"",
            ";a=\"\\\"\\\\\";b=c",
            ";a=\"\u{e9}\"",
            ";a=\"b\" ;c",
            ";!#$%&'*+-.^_`|~=1",
        ] {
            good(line);
        }
        for line in [
            " ",
            ";",
            "; ",
            ";a ",
            ";a=",
            ";a= ",
            ";=b",
            ";a==b",
            ";a=b ",
            ";a=b c",
            ";a b",
            ";;a",
            ";a;",
            ";a=\"b",
            ";a=\"b\"c",
            ";a=\"b\" ",
            ";a\0",
            ";a=\"\0\"",
            ";a=\"\\\u{1}\"",
            ";\u{e9}",
            ";a=(",
            " a",
        ] {
            bad(line, Refusal::ChunkExtension);
        }
        bad(";a\n", Refusal::BareLf);
        bad(";a=\"\n", Refusal::BareLf);
        bad(";a\r;", Refusal::BareCr);
        good(&format!(";{}", "a".repeat(39)));
        bad(&format!(";{}", "a".repeat(40)), Refusal::ChunkExtensionsTooLarge);
        let twice = format!("1;{0}\r\nx\r\n1;{0}\r\nx\r\n0\r\n\r\n", "a".repeat(20));
        check(&twice, Err(Refusal::ChunkExtensionsTooLarge));
    }
}
