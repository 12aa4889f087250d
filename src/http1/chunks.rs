//! The chunked transfer coding, undone in place (RFC 9112 §7.1).
//!
//! It knows chunks and where their data is to go, and nothing of heads. Between calls it remembers the
//! place in the grammar, never bytes. Its invariant: data only moves towards the front, each byte at
//! most once a call, so decoding is O(n) for any cut.

use super::Refusal;
use super::scan::{Bounds, Scan, section_max};
use crate::Limits;

/// A place in chunked content.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunks {
    step: Step,
    trailers: Scan,
    /// Bytes of all extensions so far.
    extension_bytes: u32,
    /// The size being read; in `Data`, the bytes still to come.
    number: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// In a size of so many digits.
    Size(u8),
    Extension(Extension),
    /// Before the LF of a size line.
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailers,
}

/// `*( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] )` (RFC 9112 §7.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extension {
    /// After white space that only another extension can follow.
    BeforeSemicolon,
    BeforeName,
    Name,
    /// After white space that an extension or this one's value can follow.
    AfterName,
    BeforeValue,
    Value,
    Quoted,
    /// After a backslash.
    Escaped,
    AfterQuoted,
}

/// Where reading and writing stand in the bytes given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor {
    /// At least `write`: bytes from here on are still encoded.
    pub(super) read: usize,
    /// The end of the decoded data.
    pub(super) write: usize,
}

/// What becomes of the data.
#[derive(Debug, Clone, Copy)]
pub(super) enum Data {
    /// It is moved to `write`, and ends at this position at the latest.
    Kept { end_max: u64 },
    /// It is passed over; what is left of the request ends at this position at the latest.
    Discarded { end_max: u64 },
}

/// What stands in chunks that are read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passed {
    /// Data, in these bytes.
    Data { from: usize, to: usize },
    /// The whole trailer section.
    Section { at: usize, len: usize },
    /// Everything before `at` is done with; behind it a trailer section has begun, which must come again.
    Starved { at: usize },
}

/// The trailer section's length, if all is there.
pub(super) type Progress = Result<Option<usize>, Refusal>;

impl Chunks {
    pub(super) const fn new() -> Chunks {
        Chunks { step: Step::Size(0), trailers: Scan::FIELDS, extension_bytes: 0, number: 0 }
    }

    /// Decodes what is there. When it is not all, everything before `cursor.read` is done with, and what
    /// lies behind it, the beginning of a trailer section, must come again.
    pub(super) fn run(
        &mut self,
        bytes: &mut [u8],
        cursor: &mut Cursor,
        data: Data,
        limits: &Limits,
    ) -> Progress {
        let section = section_max(limits.head_bytes);
        while cursor.read < bytes.len() {
            match self.step {
                Step::Data => {
                    let here = bytes.len() - cursor.read;
                    let len = usize::try_from(self.number).map_or(here, |left| left.min(here));
                    if let Data::Kept { .. } = data {
                        if cursor.read != cursor.write {
                            bytes.copy_within(cursor.read..cursor.read + len, cursor.write);
                        }
                        cursor.write += len;
                    }
                    cursor.read += len;
                    self.number -= len as u64;
                    if self.number == 0 {
                        self.step = Step::DataCr;
                    }
                }
                Step::Trailers => return self.trailers.run(&bytes[cursor.read..], trailers_in(section)),
                step => {
                    self.step = self.after(step, bytes[cursor.read], section)?;
                    cursor.read += 1;
                    if step == Step::SizeLf {
                        // Before any memory is taken for it.
                        let (at, end_max) = match data {
                            Data::Kept { end_max } => (cursor.write, end_max),
                            Data::Discarded { end_max } => (cursor.read, end_max),
                        };
                        if self.number > end_max.saturating_sub(at as u64) {
                            return Err(Refusal::ContentTooLarge);
                        }
                    }
                }
            }
        }
        Ok(None)
    }

    /// Reads on to the next data or to the end, of what may hold `left` bytes of data more.
    pub(super) fn pass(&mut self, bytes: &[u8], left: u64, limits: &Limits) -> Result<Passed, Refusal> {
        let section = section_max(limits.head_bytes);
        let mut at = 0;
        while at < bytes.len() {
            match self.step {
                Step::Data => {
                    let here = bytes.len() - at;
                    let len = usize::try_from(self.number).map_or(here, |left| left.min(here));
                    self.number -= len as u64;
                    if self.number == 0 {
                        self.step = Step::DataCr;
                    }
                    return Ok(Passed::Data { from: at, to: at + len });
                }
                Step::Trailers => {
                    let len = self.trailers.run(&bytes[at..], trailers_in(section))?;
                    return Ok(len.map_or(Passed::Starved { at }, |len| Passed::Section { at, len }));
                }
                step => {
                    self.step = self.after(step, bytes[at], section)?;
                    at += 1;
                    if step == Step::SizeLf && self.number > left {
                        return Err(Refusal::ContentTooLarge);
                    }
                }
            }
        }
        Ok(Passed::Starved { at })
    }

    /// The step that `byte` leads to, outside of data and trailers.
    fn after(&mut self, step: Step, byte: u8, extension_max: usize) -> Result<Step, Refusal> {
        match (step, byte) {
            (Step::Size(digits), _) => {
                if let Some(digit) = (byte as char).to_digit(16) {
                    // RFC 9112 §7.1: no overflow. 16 digits are 64 bits.
                    if digits == 16 {
                        return Err(Refusal::ChunkSize);
                    }
                    self.number = self.number << 4 | u64::from(digit);
                    return Ok(Step::Size(digits + 1));
                }
                match byte {
                    _ if digits == 0 => Err(Refusal::ChunkSize),
                    b'\r' => Ok(Step::SizeLf),
                    b';' => self.extended(Extension::BeforeName, extension_max),
                    b' ' | b'\t' => self.extended(Extension::BeforeSemicolon, extension_max),
                    b'\n' => Err(Refusal::BareLf),
                    _ => Err(Refusal::ChunkSize),
                }
            }
            (Step::Extension(place), _) => match place.after(byte)? {
                Some(place) => self.extended(place, extension_max),
                None => Ok(Step::SizeLf),
            },
            (Step::SizeLf, b'\n') if self.number == 0 => Ok(Step::Trailers),
            (Step::SizeLf, b'\n') => Ok(Step::Data),
            (Step::SizeLf, _) => Err(Refusal::BareCr),
            (Step::DataCr, b'\r') => Ok(Step::DataLf),
            (Step::DataLf, b'\n') => {
                self.number = 0;
                Ok(Step::Size(0))
            }
            (Step::DataCr | Step::DataLf, _) => Err(Refusal::ChunkEnd),
            // Not called for these.
            (Step::Data | Step::Trailers, _) => Ok(step),
        }
    }

    fn extended(&mut self, place: Extension, extension_max: usize) -> Result<Step, Refusal> {
        self.extension_bytes += 1;
        if self.extension_bytes as usize > extension_max {
            return Err(Refusal::ChunkExtensionsTooLarge);
        }
        Ok(Step::Extension(place))
    }
}

/// The bounds of a trailer section of at most `section` bytes.
fn trailers_in(section: usize) -> Bounds {
    Bounds { first_line: usize::MAX, section, too_large: Refusal::TrailersTooLarge }
}

impl Extension {
    /// The place that `byte` leads to, `None` if it is the CR that ends the line.
    fn after(self, byte: u8) -> Result<Option<Extension>, Refusal> {
        use Extension::*;
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
            // RFC 9110 §5.6.4: qdtext and quoted-pair hold no controls but HTAB.
            (Quoted | Escaped, b'\t' | b' '..=b'~' | 0x80..) => Quoted,
            (_, b'\n') => return Err(Refusal::BareLf),
            _ => return Err(Refusal::ChunkExtension),
        }))
    }
}

/// `tchar` (RFC 9110 §5.6.2).
pub(super) const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, expected: Result<Option<(&str, &str)>, Refusal>) {
        let limits = Limits { head_bytes: 40, ..Limits::default() };
        let data = Data::Kept { end_max: 30 };
        let mut whole = input.as_bytes().to_vec();
        let mut cursor = Cursor { read: 0, write: 0 };
        let found = Chunks::new().run(&mut whole, &mut cursor, data, &limits);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let parts = found.map(|trailers| {
            trailers.map(|len| (text(&whole[..cursor.write]), text(&whole[cursor.read..cursor.read + len])))
        });
        let expected = expected.map(|parts| parts.map(|(a, b)| (a.to_owned(), b.to_owned())));
        assert_eq!(parts, expected, "{input:?}");
        // Thrown away byte by byte, it ends in the same way unless it is the size that is refused.
        let mut chunks = Chunks::new();
        let mut kept = Vec::new();
        let mut bytewise = Ok(None);
        for &byte in input.as_bytes() {
            kept.push(byte);
            let mut cursor = Cursor { read: 0, write: 0 };
            bytewise = chunks.run(&mut kept, &mut cursor, Data::Discarded { end_max: u64::MAX }, &limits);
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
    fn chunks() {
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
    fn extensions() {
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
