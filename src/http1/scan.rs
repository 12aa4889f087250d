//! Finds the end of a head or of a trailer section in input that arrives in pieces.
//!
//! It knows lines and no fields. Its invariants: it remembers its position, so it looks at each byte once;
//! and it stops at the first wrong byte, so a refusal depends only on the shortest prefix that causes it.

use super::Refusal;
use super::characters::is_control;

/// The state of a scan. The next input must begin with the same `at` bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scan {
    /// The number of bytes scanned, from the start of the section.
    at: u32,
    state: LineState,
    /// The scan is in a request line, which has a limit of its own.
    first_line: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LineState {
    LineStart,
    /// After a CR at the start of a line: LF ends the section.
    LineStartCr,
    Text,
    /// After a CR within a line: LF ends the line.
    TextCr,
}

/// How long a section may be, and the refusal for a longer one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// The maximum length of the first line in bytes, including its CRLF.
    pub(super) first_line: usize,
    /// The maximum length of the section in bytes, including its empty line.
    pub(super) section: usize,
    pub(super) too_large: Refusal,
}

impl Scan {
    /// The start of a request line, which is not empty.
    pub(super) const HEAD: Scan = Scan { at: 0, state: LineState::Text, first_line: true };
    /// The start of a section of field lines.
    pub(super) const FIELDS: Scan = Scan { at: 0, state: LineState::LineStart, first_line: false };

    pub(super) const fn is_new(self) -> bool {
        self.at == 0
    }

    /// Continues the scan. Returns the length of `section` once its end has arrived.
    pub(super) fn run(&mut self, section: &[u8], bounds: Bounds) -> Result<Option<usize>, Refusal> {
        let mut at = self.at as usize;
        #[cfg(test)]
        tests::count(section.len().saturating_sub(at));
        while at < section.len() {
            if at >= bounds.section {
                return Err(bounds.too_large);
            }
            if self.first_line && at >= bounds.first_line {
                return Err(Refusal::TargetTooLong);
            }
            match (self.state, section[at]) {
                (LineState::LineStart, b'\r') => self.state = LineState::LineStartCr,
                (LineState::LineStart, _) => {
                    self.state = LineState::Text;
                    continue;
                }
                (LineState::LineStartCr, b'\n') => {
                    self.at = narrow(at + 1);
                    return Ok(Some(at + 1));
                }
                (LineState::TextCr, b'\n') => {
                    self.state = LineState::LineStart;
                    self.first_line = false;
                }
                (LineState::LineStartCr | LineState::TextCr, _) => return Err(Refusal::BareCr),
                (LineState::Text, _) => {
                    let bound =
                        if self.first_line { bounds.first_line.min(bounds.section) } else { bounds.section };
                    let window = &section[at..section.len().min(bound)];
                    let Some(text) = window.iter().position(|&b| is_control(b)) else {
                        at += window.len();
                        continue;
                    };
                    at += text;
                    match section[at] {
                        b'\r' => self.state = LineState::TextCr,
                        b'\n' => return Err(Refusal::BareLf),
                        _ => return Err(Refusal::ControlByte),
                    }
                }
            }
            at += 1;
        }
        self.at = narrow(at);
        Ok(None)
    }
}

/// Converts a position in a head. [`section_max`] ensures that it fits 32 bits.
pub(super) fn narrow(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}

/// Returns the limit `head_bytes`, capped to what a 32-bit position can count.
pub(super) fn section_max(head_bytes: usize) -> usize {
    head_bytes.min(u32::MAX as usize / 2)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::cell::Cell;

    thread_local! {
        static SCANNED: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn count(bytes: usize) {
        SCANNED.set(SCANNED.get() + bytes);
    }

    /// Returns the number of bytes that this thread has scanned.
    pub(in super::super) fn scanned() -> usize {
        SCANNED.get()
    }

    #[test]
    fn a_section_ends_or_is_refused_at_the_same_byte_for_any_cut() {
        let bounds = Bounds { first_line: 10, section: 20, too_large: Refusal::HeadTooLarge };
        let check = |start: Scan, section: &str, expected: Result<Option<usize>, Refusal>| {
            let mut scan = start;
            assert_eq!(scan.run(section.as_bytes(), bounds), expected, "{section:?}");
            // Byte by byte, the same result comes with the byte that causes it.
            let mut scan = start;
            let mut bytewise = Ok(None);
            for end in 1..=section.len() {
                bytewise = scan.run(&section.as_bytes()[..end], bounds);
                if bytewise != Ok(None) {
                    break;
                }
            }
            assert_eq!(bytewise, expected, "{section:?} bytewise");
        };
        check(Scan::HEAD, "", Ok(None));
        check(Scan::HEAD, "G / V", Ok(None));
        check(Scan::HEAD, "G / V\r\n", Ok(None));
        check(Scan::HEAD, "G / V\r\n\r", Ok(None));
        check(Scan::HEAD, "G / V\r\n\r\n", Ok(Some(9)));
        check(Scan::HEAD, "G / V\r\n\r\nmore\n\n", Ok(Some(9)));
        check(Scan::HEAD, "G\r\na:\tb\r\nc\r\n\r\n", Ok(Some(14)));
        check(Scan::HEAD, "G\n", Err(Refusal::BareLf));
        check(Scan::HEAD, "G\r\n\n", Err(Refusal::BareLf));
        check(Scan::HEAD, "G\r\r\n", Err(Refusal::BareCr));
        check(Scan::HEAD, "G\r\n\ra", Err(Refusal::BareCr));
        check(Scan::HEAD, "G\0", Err(Refusal::ControlByte));
        check(Scan::HEAD, "G\x7f", Err(Refusal::ControlByte));
        check(Scan::HEAD, "12345678\r\n", Ok(None));
        check(Scan::HEAD, "1234567890", Ok(None));
        check(Scan::HEAD, "123456789\r\n", Err(Refusal::TargetTooLong));
        check(Scan::HEAD, "12345678901\n", Err(Refusal::TargetTooLong));
        check(Scan::HEAD, "123456789\n1", Err(Refusal::BareLf));
        check(Scan::HEAD, "1234\r\n6789012345\r\n\r\n", Ok(Some(20)));
        check(Scan::HEAD, "1234\r\n67890123456\r\n\r\n", Err(Refusal::HeadTooLarge));
        check(Scan::FIELDS, "\r\n", Ok(Some(2)));
        check(Scan::FIELDS, "a:b\r\n\r\n", Ok(Some(7)));
        check(Scan::FIELDS, "12345678901234\r\n\r\n", Ok(Some(18)));
    }
}
