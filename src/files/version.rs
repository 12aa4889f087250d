//! Names the versions of a file by its length and its time of modification (RFC 9110 §8.8).
//!
//! It does not know the content. Its invariant: a different length or time gives a different tag. A change that keeps
//! the length, within one tick of the file system's clock, goes unnoticed.

use super::Coding;
use crate::semantics::{EntityTag, Validators};
use std::fmt::Write;

/// A version of one representation of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    /// The text of a strong entity tag.
    tag: String,
    /// The time of modification, in seconds since 1970-01-01 UTC.
    modified_secs: u64,
}

impl Version {
    /// Creates the version of a file of `bytes` bytes that was modified at the given time (seconds since 1970-01-01 UTC,
    /// and nanoseconds). Each coding is a representation of its own and gets its own tag.
    pub(crate) fn new(bytes: u64, modified: (i64, u32), coding: Option<Coding>) -> Version {
        let (secs, nanos) = modified;
        let mut tag = String::with_capacity(40);
        let _ = write!(tag, "{secs:x}.{nanos:x}-{bytes:x}");
        if let Some(coding) = coding {
            let _ = write!(tag, "-{}", coding.name());
        }
        Version { tag, modified_secs: secs.try_into().unwrap_or(0) }
    }

    pub(crate) fn validators(&self) -> Validators<'_> {
        Validators::new().tag(EntityTag::strong(&self.tag)).modified_secs(self.modified_secs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_tell_versions_apart() {
        fn check(bytes: u64, modified: (i64, u32), coding: Option<Coding>, expected: &str) {
            assert_eq!(Version::new(bytes, modified, coding).tag, expected);
        }
        check(0, (0, 0), None, "0.0-0");
        check(255, (784_111_777, 1), None, "2ebc98a1.1-ff");
        check(255, (784_111_777, 16), None, "2ebc98a1.10-ff");
        check(255, (784_111_777, 1), Some(Coding::Gzip), "2ebc98a1.1-ff-gzip");
        check(1, (-1, 999_999_999), None, "ffffffffffffffff.3b9ac9ff-1");
        assert_eq!(Version::new(1, (-1, 0), None).modified_secs, 0);
    }
}
