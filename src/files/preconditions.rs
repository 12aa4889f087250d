//! Evaluates the preconditions and the Range of a request (RFC 9110 §13, §14).
//!
//! It knows fields and validators, no file. Its invariant is the order of RFC 9110 §13.2.2: once a condition
//! has decided, later ones are ignored.

use super::{SelectedRange, Validators, select_range};
use crate::http1::{Fields, Method};
use crate::time::parse_http_date;

/// The parts of a request that preconditions depend on.
#[derive(Debug, Clone, Copy)]
pub struct ConditionalRequest<'r> {
    /// The request method.
    pub method: Method<'r>,
    /// The header fields.
    pub fields: Fields<'r>,
    /// The time of the answer, in seconds since 1970-01-01 UTC.
    pub now_unix_secs: u64,
}

/// The answer that a conditional request gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// 200 with the whole representation.
    Whole,
    /// 206 with bytes `first..=last`.
    Part {
        /// The position of the first byte.
        first: u64,
        /// The position of the last byte.
        last: u64,
    },
    /// 304.
    NotModified,
    /// 412.
    PreconditionFailed,
    /// 416.
    RangeNotSatisfiable,
}

/// Evaluates a request for a representation of `bytes` bytes with these validators.
pub fn evaluate(request: &ConditionalRequest<'_>, validators: &Validators, bytes: u64) -> Decision {
    let ConditionalRequest { method, fields, now_unix_secs } = *request;
    let date = |name| parse_http_date(fields.get(name)?, now_unix_secs);
    let among = |name, strong| {
        let mut values = fields.values(name).peekable();
        values.peek()?;
        Some(values.any(|value| validators.is_among(value, strong)))
    };
    let modified_since = |date| validators.modified_secs > date;
    // Steps 1 and 2: If-Match replaces If-Unmodified-Since, even if it is malformed (§13.1.4).
    let goes_on = match among("if-match", true) {
        Some(matches) => matches,
        None => !date("if-unmodified-since").is_some_and(modified_since),
    };
    if !goes_on {
        return Decision::PreconditionFailed;
    }
    let reads = matches!(method, Method::Get | Method::Head);
    // Steps 3 and 4.
    match among("if-none-match", false) {
        Some(true) if reads => return Decision::NotModified,
        Some(true) => return Decision::PreconditionFailed,
        Some(false) => {}
        None if reads && date("if-modified-since").is_some_and(|date| !modified_since(date)) => {
            return Decision::NotModified;
        }
        None => {}
    }
    // Step 5. RFC 9110 §14.2: ranges are defined for GET only.
    let mut ranges = fields.values("range");
    let (Method::Get, Some(range), None) = (method, ranges.next(), ranges.next()) else {
        return Decision::Whole;
    };
    if fields.get("if-range").is_some_and(|value| !if_range_holds(value, validators, now_unix_secs)) {
        return Decision::Whole;
    }
    match select_range(range, bytes) {
        SelectedRange::Whole => Decision::Whole,
        SelectedRange::Part { first, last } => Decision::Part { first, last },
        SelectedRange::NotSatisfiable => Decision::RangeNotSatisfiable,
    }
}

/// Returns whether the condition of If-Range holds (RFC 9110 §13.1.5).
///
/// A tag must match strongly. A date must match exactly, and the second in which the file was modified must
/// be over: until then another modification could get the same date (§8.8.2.2).
fn if_range_holds(value: &[u8], validators: &Validators, now_unix_secs: u64) -> bool {
    if value.starts_with(b"\"") {
        return value == validators.tag.as_bytes();
    }
    let modified_secs = validators.modified_secs;
    modified_secs < now_unix_secs && parse_http_date(value, now_unix_secs) == Some(modified_secs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::Arena;
    use crate::config::Limits;
    use crate::http1::{Decoder, HeadStep};

    /// The time of the file's modification, and an hour before and after it.
    const THEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sun, 06 Nov 1994 07:49:37 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 09:49:37 GMT";
    const SECS: u64 = 784_111_777;

    fn decision(method: &str, fields: &str, now_unix_secs: u64) -> Decision {
        let mut request = format!("{method} / HTTP/1.1\r\nHost: a\r\n{fields}\r\n").into_bytes();
        let (arena, mut decoder) = (Arena::new(4096), Decoder::new());
        let HeadStep::Head { head, .. } = decoder.head(&mut request, &arena, &Limits::default()) else {
            panic!("{fields:?} is not a valid head");
        };
        let validators = Validators { tag: "\"a\"".into(), modified_secs: SECS };
        evaluate(
            &ConditionalRequest { method: head.method, fields: head.fields, now_unix_secs },
            &validators,
            100,
        )
    }

    #[track_caller]
    fn check(fields: &[&str], expected: Decision) {
        let fields: String = fields.iter().map(|line| format!("{line}\r\n")).collect();
        assert_eq!(decision("GET", &fields, SECS + 86_400), expected, "{fields}");
    }

    #[test]
    fn each_condition_decides_alone() {
        check(&[], Decision::Whole);
        check(&["If-None-Match: \"a\""], Decision::NotModified);
        check(&["If-None-Match: W/\"a\""], Decision::NotModified);
        check(&["If-None-Match: \"b\"", "If-None-Match: \"a\""], Decision::NotModified);
        check(&["If-None-Match: *"], Decision::NotModified);
        check(&["If-None-Match: \"b\""], Decision::Whole);
        check(&["If-Match: \"b\", \"a\""], Decision::Whole);
        check(&["If-Match: *"], Decision::Whole);
        check(&["If-Match: W/\"a\""], Decision::PreconditionFailed);
        check(&["If-Match: \"b\""], Decision::PreconditionFailed);
        for (date, since, unmodified) in [
            (BEFORE, Decision::Whole, Decision::PreconditionFailed),
            (THEN, Decision::NotModified, Decision::Whole),
            (AFTER, Decision::NotModified, Decision::Whole),
            ("yesterday", Decision::Whole, Decision::Whole),
        ] {
            check(&[&format!("If-Modified-Since: {date}")], since);
            check(&[&format!("If-Unmodified-Since: {date}")], unmodified);
        }
    }

    #[test]
    fn earlier_conditions_take_precedence() {
        check(&["If-Match: \"a\"", &format!("If-Unmodified-Since: {BEFORE}")], Decision::Whole);
        check(&["If-Match: \"b\"", "If-None-Match: \"a\""], Decision::PreconditionFailed);
        check(&["If-Match: \"a\"", "If-None-Match: \"a\""], Decision::NotModified);
        check(&["If-None-Match: \"b\"", &format!("If-Modified-Since: {THEN}")], Decision::Whole);
        check(&["If-None-Match: \"a\"", "Range: bytes=0-1"], Decision::NotModified);
        check(&["If-Match: \"b\"", "Range: bytes=0-1"], Decision::PreconditionFailed);
    }

    #[test]
    fn a_range_is_sent_if_its_condition_holds() {
        let part = Decision::Part { first: 0, last: 1 };
        check(&["Range: bytes=0-1"], part);
        check(&["Range: bytes=100-"], Decision::RangeNotSatisfiable);
        check(&["Range: bytes=0-1", "Range: bytes=0-1"], Decision::Whole);
        for (condition, expected) in [
            ("\"a\"", part),
            ("W/\"a\"", Decision::Whole),
            ("\"b\"", Decision::Whole),
            ("a", Decision::Whole),
            (THEN, part),
            (BEFORE, Decision::Whole),
            (AFTER, Decision::Whole),
        ] {
            check(&["Range: bytes=0-1", &format!("If-Range: {condition}")], expected);
        }
        let unsatisfiable = ["Range: bytes=100-", "If-Range: \"b\""];
        check(&unsatisfiable, Decision::Whole);
        // Within the second of the modification, the date does not identify one version.
        let fields = format!("Range: bytes=0-1\r\nIf-Range: {THEN}\r\n");
        assert_eq!(decision("GET", &fields, SECS), Decision::Whole);
        assert_eq!(decision("HEAD", "Range: bytes=0-1\r\n", SECS), Decision::Whole);
        assert_eq!(decision("POST", "If-None-Match: \"a\"\r\n", SECS), Decision::PreconditionFailed);
    }
}
