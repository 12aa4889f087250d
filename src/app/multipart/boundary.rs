//! The line that separates parts, and the search for it (RFC 2046 §5.1.1).
//!
//! It knows bytes only. Its invariant: the search is linear in its input however that is cut, because CR begins a
//! delimiter and occurs nowhere else in it, so nothing that has been compared needs to be looked at again.

use crate::app::Error;
use crate::semantics::parameters;
use std::ops::Range;

/// A boundary's maximum length in bytes.
const BOUNDARY_BYTES_MAX: usize = 70;
const PREFIX: &[u8] = b"\r\n--";

/// CRLF, two hyphens and the boundary.
#[derive(Debug, Clone, Copy)]
pub(super) struct Delimiter {
    bytes: [u8; PREFIX.len() + BOUNDARY_BYTES_MAX],
    length: usize,
}

impl Delimiter {
    /// Reads the parameter `boundary` of a Content-Type.
    ///
    /// # Errors
    /// Status 400 if it is missing, repeated or malformed.
    pub(super) fn of(content_type: &str) -> Result<Delimiter, Error> {
        let (_, after) = content_type.split_once(';').unwrap_or_default();
        let mut boundaries =
            parameters(after.as_bytes()).filter(|(name, _)| name.eq_ignore_ascii_case(b"boundary"));
        match (boundaries.next(), boundaries.next()) {
            (Some((_, boundary)), None) if is_boundary(boundary) => Ok(Delimiter::new(boundary)),
            (None, _) => Err(Error::bad_request("The Content-Type has no boundary.")),
            _ => Err(Error::bad_request("The boundary in the Content-Type is malformed.")),
        }
    }

    fn new(boundary: &[u8]) -> Delimiter {
        let mut delimiter = Delimiter {
            bytes: [0; PREFIX.len() + BOUNDARY_BYTES_MAX],
            length: PREFIX.len() + boundary.len(),
        };
        delimiter.bytes[..PREFIX.len()].copy_from_slice(PREFIX);
        delimiter.bytes[PREFIX.len()..delimiter.length].copy_from_slice(boundary);
        delimiter
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// `boundary` (RFC 2046 §5.1.1).
fn is_boundary(boundary: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(byte);
    (1..=BOUNDARY_BYTES_MAX).contains(&boundary.len())
        && boundary.iter().all(allowed)
        && boundary.last() != Some(&b' ')
}

/// The state of a search between two pieces of input.
#[derive(Debug, Clone, Copy)]
pub(super) struct Search {
    /// Bytes of the delimiter that the input so far ends with.
    matched: usize,
    /// How many of them are not part of the input.
    imagined: usize,
}

/// What a search has found. Ranges of text are ranges of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    Delimiter,
    /// Text before the next delimiter. Not empty.
    Text(Range<usize>),
    /// A range of the delimiter that earlier inputs ended with, and which has turned out to be text. Not empty.
    Held(Range<usize>),
    NeedsInput,
}

impl Search {
    /// Begins at the start of a line: the CRLF of a delimiter that follows at once belongs to what came before.
    pub(super) fn new() -> Search {
        Search { matched: 2, imagined: 2 }
    }

    /// Continues with the next input. Returns how many bytes of it are consumed, and what was found.
    pub(super) fn next(&mut self, delimiter: &Delimiter, input: &[u8]) -> (usize, Found) {
        let delimiter = delimiter.bytes();
        if self.matched > 0 {
            let expected = &delimiter[self.matched..];
            let same = same_bytes(expected, input);
            if same == expected.len() {
                self.matched = 0;
                return (same, Found::Delimiter);
            }
            if same == input.len() {
                self.matched += same;
                return (same, Found::NeedsInput);
            }
            let held = self.imagined..self.matched;
            *self = Search { matched: 0, imagined: 0 };
            if !held.is_empty() {
                return (0, Found::Held(held));
            }
        }
        let mut from = 0;
        while let Some(after) = find_cr(&input[from..]) {
            let at = from + after;
            let same = same_bytes(delimiter, &input[at..]);
            if same == delimiter.len() {
                return if at == 0 { (same, Found::Delimiter) } else { (at, Found::Text(0..at)) };
            }
            if at + same == input.len() {
                self.matched = same;
                return (input.len(), if at == 0 { Found::NeedsInput } else { Found::Text(0..at) });
            }
            from = at + 1;
        }
        (input.len(), if input.is_empty() { Found::NeedsInput } else { Found::Text(0..input.len()) })
    }
}

/// Returns how many bytes `a` and `b` have in common at their start.
fn same_bytes(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// Returns the index of the first CR.
fn find_cr(bytes: &[u8]) -> Option<usize> {
    const BLOCK_BYTES: usize = 32;
    // Without an early return inside a block, the compiler compares it at once.
    let has_cr = |block: &[u8]| block.iter().fold(false, |found, byte| found | (*byte == b'\r'));
    let blocks = bytes.chunks_exact(BLOCK_BYTES).take_while(|block| !has_cr(block)).count();
    let from = blocks * BLOCK_BYTES;
    Some(from + bytes[from..].iter().position(|byte| *byte == b'\r')?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boundary_is_read_or_refused() {
        fn check(parameters: &str, expected: Option<&str>) {
            let found = Delimiter::of(&format!("multipart/form-data{parameters}"));
            let found = found.map(|delimiter| String::from_utf8(delimiter.bytes().to_vec()).unwrap());
            assert_eq!(found.ok(), expected.map(|boundary| format!("\r\n--{boundary}")), "{parameters}");
        }
        check(";boundary=a", Some("a"));
        check("; charset=utf-8; Boundary=\"a b\"", Some("a b"));
        check("; boundary=gc0pJq0M:08jU534c0p", Some("gc0pJq0M:08jU534c0p")); // RFC 2046 §5.1.1, for want of quotes
        check(
            "; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW",
            Some("----WebKitFormBoundary7MA4YWxkTrZu0gW"),
        );
        check("; boundary=a=b", Some("a=b"));
        check("; boundary=\"'()+_,-./:=?\"", Some("'()+_,-./:=?"));
        let longest = "x".repeat(BOUNDARY_BYTES_MAX);
        check(&format!("; boundary={longest}"), Some(&longest));
        for wrong in [
            "",
            "; boundary",
            "; boundary=",
            "; boundary=\"\"",
            "; boundary=\"a \"",
            "; boundary=a\u{e9}",
            "; boundary=a*b",
            "; boundary=\"a\\b\"",
            "; boundary=\"a",
            "; boundary=a; boundary=a",
            &format!("; boundary=x{longest}"),
        ] {
            check(wrong, None);
        }
    }

    /// Returns the text before each delimiter, with `|` for the delimiter.
    fn search(pieces: &[&[u8]]) -> String {
        let delimiter = Delimiter::new(b"ab");
        let (mut search, mut text) = (Search::new(), Vec::new());
        for piece in pieces {
            let mut rest = *piece;
            loop {
                let (consumed, found) = search.next(&delimiter, rest);
                match found {
                    Found::Delimiter => text.push(b'|'),
                    Found::Text(range) => text.extend_from_slice(&rest[range]),
                    Found::Held(range) => text.extend_from_slice(&delimiter.bytes()[range]),
                    Found::NeedsInput => {
                        assert_eq!(consumed, rest.len());
                        break;
                    }
                }
                rest = &rest[consumed..];
            }
        }
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn delimiters_are_found_however_the_input_is_cut() {
        fn check(input: &str, expected: &str) {
            let bytes = input.as_bytes();
            assert_eq!(search(&[bytes]), expected, "{input:?}");
            for (first, second) in (0..=bytes.len()).flat_map(|a| (a..=bytes.len()).map(move |b| (a, b))) {
                let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                assert_eq!(search(&pieces), expected, "{input:?} cut at {first} and {second}");
            }
            let bytewise: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(search(&bytewise), expected, "{input:?}");
        }
        check("", "");
        check("--ab", "|");
        check("--a", "");
        check("--ax", "--ax");
        check("-x", "-x");
        check("x--ab", "x--ab");
        check("x\r\n--ab", "x|");
        check("\r\n--ab", "|");
        check("x\r\n--aby\r\n--ab", "x|y|");
        check("\r\r\n--ab", "\r|");
        check("\r\n\r\n--ab", "\r\n|");
        check("\r\n-\r\n--\r\n--a\r\n--ab", "\r\n-\r\n--\r\n--a|");
        check("\r\n--a\n--ab.", "\r\n--a\n--ab.");
        check("--ab--ab\r\n--ab", "|--ab|");
        check("x\r", "x");
        check("x\ry", "x\ry");
    }

    /// Finding something that is compared again and again would take seconds here.
    #[test]
    fn no_input_makes_the_search_slow() {
        let delimiter = Delimiter::new(&[b'-'; BOUNDARY_BYTES_MAX]);
        for pattern in ["\r", "\r\n", "\r\n-", "\n--", &format!("\r\n{}", "-".repeat(BOUNDARY_BYTES_MAX + 1))]
        {
            let input = pattern.repeat((1 << 20) / pattern.len());
            let (mut search, mut rest, mut steps) = (Search::new(), input.as_bytes(), 0);
            loop {
                let (consumed, found) = search.next(&delimiter, rest);
                rest = &rest[consumed..];
                steps += 1;
                if found == Found::NeedsInput {
                    break;
                }
            }
            assert!(steps <= 4, "{steps} steps for {pattern:?}");
        }
    }
}
