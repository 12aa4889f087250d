//! Selects the part of a representation that a Range field asks for (RFC 9110 §14).
//!
//! It knows a value and a length. Its invariant: a selected part is not empty and lies within the length.

/// The part of a representation that a Range field selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SelectedRange {
    /// The whole representation: the field is ignored.
    Whole,
    /// Bytes `first..=last`: `first <= last < length`.
    Part {
        /// The position of the first byte.
        first: u64,
        /// The position of the last byte.
        last: u64,
    },
    /// The range lies outside the representation: 416 (RFC 9110 §15.5.17).
    NotSatisfiable,
}

/// Reads the value of a Range field, for a representation of `length` bytes.
///
/// A server may ignore the field (RFC 9110 §14.2). It is ignored if it asks for more than one range, has an
/// unknown unit, is malformed, or if the last byte of the range comes before its first (§14.1.1).
pub fn select_range(value: &[u8], length: u64) -> SelectedRange {
    read(value, length).unwrap_or(SelectedRange::Whole)
}

fn read(value: &[u8], length: u64) -> Option<SelectedRange> {
    let equals = value.iter().position(|byte| *byte == b'=')?;
    let (unit, set) = (&value[..equals], &value[equals + 1..]);
    // RFC 9110 §14.1: range units are case-insensitive.
    if !unit.eq_ignore_ascii_case(b"bytes") {
        return None;
    }
    // RFC 9110 §5.6.1.2: empty list members are ignored.
    let mut members = set.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|m| !m.is_empty());
    let (range, None) = (members.next()?, members.next()) else { return None };
    let dash = range.iter().position(|byte| *byte == b'-')?;
    let (first, last) = (&range[..dash], &range[dash + 1..]);
    if first.is_empty() {
        // RFC 9110 §14.1.2: the last bytes, or all if the representation is shorter.
        return match (number(last)?, length) {
            (0, _) => Some(SelectedRange::NotSatisfiable),
            // Satisfiable, but Content-Range cannot express an empty range.
            (_, 0) => None,
            (bytes, _) => Some(SelectedRange::Part { first: length.saturating_sub(bytes), last: length - 1 }),
        };
    }
    let first = number(first)?;
    let last = if last.is_empty() { u64::MAX } else { number(last)? };
    if last < first {
        return None;
    }
    if first >= length {
        // From the first byte on is all of an empty representation. A proxy that fetches every file in parts would turn a 416
        // to its first request into one to its client.
        return (first > 0).then_some(SelectedRange::NotSatisfiable);
    }
    Some(SelectedRange::Part { first, last: last.min(length - 1) })
}

/// Reads a number. A number that exceeds 64 bits becomes `u64::MAX`.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        Some(number.saturating_mul(10).saturating_add(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_selected_or_ignored() {
        fn check(value: &str, length: u64, expected: SelectedRange) {
            assert_eq!(select_range(value.as_bytes(), length), expected, "{value} of {length}");
        }
        let part = |first, last| SelectedRange::Part { first, last };
        check("bytes=0-499", 10_000, part(0, 499)); // RFC 9110 §14.1.2
        check("bytes=500-999", 10_000, part(500, 999));
        check("bytes=-500", 10_000, part(9_500, 9_999));
        check("bytes=9500-", 10_000, part(9_500, 9_999));
        check("bytes=0-0", 1, part(0, 0));
        check("bytes=0-", 1, part(0, 0));
        check("bytes=5-99", 10, part(5, 9));
        check("bytes=-99", 10, part(0, 9));
        check("BYTES=0-1", 10, part(0, 1));
        check("bytes= , 0-1 ,,", 10, part(0, 1));
        check("bytes=1-99999999999999999999999", 10, part(1, 9));
        check("bytes=-99999999999999999999999", 10, part(0, 9));
        check("bytes=10-", 10, SelectedRange::NotSatisfiable);
        check("bytes=10-20", 10, SelectedRange::NotSatisfiable);
        check("bytes=99999999999999999999999-", 10, SelectedRange::NotSatisfiable);
        check("bytes=-0", 10, SelectedRange::NotSatisfiable);
        // Finding E4.
        check("bytes=0-", 0, SelectedRange::Whole);
        check("bytes=0-0", 0, SelectedRange::Whole);
        check("bytes=0-1048575", 0, SelectedRange::Whole);
        check("bytes=1-", 0, SelectedRange::NotSatisfiable);
        check("bytes=-0", 0, SelectedRange::NotSatisfiable);
        check("bytes=-1", 0, SelectedRange::Whole);
        for ignored in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=,",
            "bytes=1",
            "bytes=2-1",
            "bytes=a-b",
            "bytes=0-1-2",
            "bytes=+0-1",
            "bytes=0 -1",
            "bytes =0-1",
            "lines=0-1",
            "0-1",
            "bytes=0-1,4-5",
            "bytes=0x0-1",
            "bytes=--1",
            "=0-1",
        ] {
            check(ignored, 10, SelectedRange::Whole);
        }
    }
}
