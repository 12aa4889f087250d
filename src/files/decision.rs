//! Decides what of a file is sent, by the preconditions and the Range of a request (RFC 9110 §13, §14).
//!
//! It knows fields and validators, no file. Its invariant is the order of RFC 9110 §13.2.2: the range counts only if
//! the preconditions hold.

use super::{SelectedRange, select_range};
use crate::http1::{Fields, Method};
use crate::semantics::{Precondition, Validators, evaluate};
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
pub fn decide(request: &ConditionalRequest<'_>, validators: &Validators<'_>, bytes: u64) -> Decision {
    let ConditionalRequest { method, fields, now_unix_secs } = *request;
    match evaluate(method, &fields, validators, now_unix_secs) {
        Precondition::Failed => return Decision::PreconditionFailed,
        Precondition::NotModified => return Decision::NotModified,
        Precondition::Holds => {}
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
fn if_range_holds(value: &[u8], validators: &Validators<'_>, now_unix_secs: u64) -> bool {
    if value.starts_with(b"\"") {
        return validators.tag.is_some_and(|tag| tag.equals_strongly(value));
    }
    let modified_secs = validators.modified_until(now_unix_secs);
    modified_secs.is_some_and(|secs| secs < now_unix_secs)
        && parse_http_date(value, now_unix_secs) == modified_secs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::Arena;
    use crate::config::Limits;
    use crate::http1::{Decoder, HeadStep};
    use crate::semantics::EntityTag;

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
        let validators = Validators::new().tag(EntityTag::strong("a")).modified_secs(SECS);
        decide(
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
    fn preconditions_take_precedence_over_the_range() {
        check(&[], Decision::Whole);
        check(&["If-None-Match: \"a\"", "Range: bytes=0-1"], Decision::NotModified);
        check(&["If-Match: \"b\"", "Range: bytes=0-1"], Decision::PreconditionFailed);
        check(&["If-Match: \"a\"", "Range: bytes=100-"], Decision::RangeNotSatisfiable);
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
    }
}
