//! Entity tags and modification dates, which tell versions of a file apart (RFC 9110 §8.8).
//!
//! It knows a file's length and time, not its content. Its invariant: a different length or time gives a
//! different tag. A change that keeps the length, within one tick of the file system's clock, goes unnoticed.

use super::Coding;
use crate::time::DateCache;
use std::fmt::Write;

/// The validators of one representation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validators {
    /// A strong entity tag, including its quotes.
    pub tag: String,
    /// The time of modification, in seconds since 1970-01-01 UTC.
    pub modified_secs: u64,
}

impl Validators {
    /// Creates the validators of a file of `bytes` bytes that was modified at the given time (seconds since
    /// 1970-01-01 UTC, and nanoseconds). Each coding is a representation of its own and gets its own tag.
    pub fn new(bytes: u64, modified: (i64, u32), coding: Option<Coding>) -> Validators {
        let (secs, nanos) = modified;
        let mut tag = String::with_capacity(40);
        let _ = write!(tag, "\"{secs:x}.{nanos:x}-{bytes:x}");
        if let Some(coding) = coding {
            let _ = write!(tag, "-{}", coding.name());
        }
        tag.push('"');
        Validators { tag, modified_secs: secs.try_into().unwrap_or(0) }
    }

    /// Returns the value of Last-Modified. It is never later than `now_unix_secs`, which the Date field shows
    /// (RFC 9110 §8.8.2.1).
    pub fn last_modified(&self, now_unix_secs: u64) -> [u8; 29] {
        *DateCache::new(self.modified_secs.min(now_unix_secs)).text()
    }

    /// Returns whether `value`, a list of entity tags or `*`, contains this tag (RFC 9110 §13.1.1, §13.1.2).
    ///
    /// Under `strong` comparison a weak tag never matches (§8.8.3.2). A malformed list matches nothing.
    pub fn is_among(&self, value: &[u8], strong: bool) -> bool {
        let mut rest = value.trim_ascii();
        if rest == b"*" {
            return true;
        }
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix(b",") {
                rest = after.trim_ascii_start();
                continue;
            }
            let weak = rest.starts_with(b"W/");
            let opaque = if weak { &rest[2..] } else { rest };
            // A tag may contain commas but no quotes.
            let close = opaque.get(1..).and_then(|inner| inner.iter().position(|byte| *byte == b'"'));
            let (Some(b'"'), Some(close)) = (opaque.first(), close) else { return false };
            let (tag, after) = opaque.split_at(close + 2);
            if tag == self.tag.as_bytes() && !(weak && strong) {
                return true;
            }
            rest = after.trim_ascii_start();
            if !rest.is_empty() && rest[0] != b',' {
                return false;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_tell_versions_apart() {
        fn check(bytes: u64, modified: (i64, u32), coding: Option<Coding>, expected: &str) {
            assert_eq!(Validators::new(bytes, modified, coding).tag, expected);
        }
        check(0, (0, 0), None, "\"0.0-0\"");
        check(255, (784_111_777, 1), None, "\"2ebc98a1.1-ff\"");
        check(255, (784_111_777, 16), None, "\"2ebc98a1.10-ff\"");
        check(255, (784_111_777, 1), Some(Coding::Gzip), "\"2ebc98a1.1-ff-gzip\"");
        check(1, (-1, 999_999_999), None, "\"ffffffffffffffff.3b9ac9ff-1\"");
        assert_eq!(Validators::new(1, (-1, 0), None).modified_secs, 0);
    }

    #[test]
    fn last_modified_is_never_in_the_future() {
        let validators = Validators::new(1, (784_111_777, 0), None);
        assert_eq!(&validators.last_modified(784_111_778), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(&validators.last_modified(784_111_776), b"Sun, 06 Nov 1994 08:49:36 GMT");
    }

    #[test]
    fn tags_are_found_in_lists() {
        fn check(value: &str, weakly: bool, strongly: bool) {
            let validators = Validators { tag: "\"a,b\"".into(), modified_secs: 0 };
            let found = [false, true].map(|strong| validators.is_among(value.as_bytes(), strong));
            assert_eq!(found, [weakly, strongly], "{value}");
        }
        check("*", true, true);
        check("\"a,b\"", true, true);
        check("W/\"a,b\"", true, false);
        check("\"x\", \"a,b\"", true, true);
        check(" ,, W/\"x\" ,\"y\",W/\"a,b\",", true, false);
        check("W/\"a,b\", \"a,b\"", true, true);
        for none in
            ["", "a,b", "\"a\"", "\"a,b", "\"A,b\"", "w/\"a,b\"", "\"x\" \"a,b\"", "\"", "W/", "*, \"x\""]
        {
            check(none, false, false);
        }
    }
}
