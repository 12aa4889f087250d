//! Names the versions of a file by its length and its times (RFC 9110 §8.8).
//!
//! It does not know the content. Its invariant: a different length or time of modification gives a different tag. A change
//! that keeps the length, within one tick of the file system's clock, goes unnoticed.

use super::Coding;
use crate::semantics::{EntityTag, Validators};
use rustix::fs::Stat;
use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};

/// A version of one representation of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    /// The text of a strong entity tag.
    tag: String,
    /// The time of modification, in seconds since 1970-01-01 UTC; `None` if it does not tell when the content changed.
    modified_secs: Option<u64>,
}

/// What the file system knows about the changes of a file. Times are seconds since 1970-01-01 UTC, and nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// The time of modification, which any program can set.
    pub modified: (i64, u32),
    /// The time of the last change to the file or to what is known about it. Only the system sets it.
    pub changed: (i64, u32),
    /// The number of the file in its file system.
    pub inode: u64,
}

/// 1990-01-01, before the first web server. Tools that make the same files from the same sources set times before this: 0
/// and 1, 1980 (the first time of a ZIP archive), 1985 (npm).
const CREDIBLE_SINCE: i64 = 631_152_000;

impl Stamp {
    /// Reads the stamp of a file.
    pub(super) fn of(stat: &Stat) -> Stamp {
        Stamp {
            modified: (stat.st_mtime, stat.st_mtime_nsec as u32),
            changed: (stat.st_ctime, stat.st_ctime_nsec as u32),
            inode: stat.st_ino,
        }
    }

    /// Whether the time of modification seems to tell when the content changed. A fixed time does not, nor one later than
    /// the system's own: the next content may have the same.
    fn is_credible(&self) -> bool {
        self.modified.0 >= CREDIBLE_SINCE && self.modified <= self.changed
    }
}

impl Version {
    /// Creates the version of a file of `bytes` bytes. Each coding is a representation of its own and gets its own tag.
    ///
    /// Copies of a file on several servers have the same tag if their time of modification is kept. If that time is not
    /// credible, the tag also depends on what the system alone sets, and there is no Last-Modified.
    pub(crate) fn new(bytes: u64, stamp: &Stamp, coding: Option<Coding>) -> Version {
        let (secs, nanos) = stamp.modified;
        let mut tag = String::with_capacity(56);
        let _ = write!(tag, "{secs:x}.{nanos:x}-{bytes:x}");
        if !stamp.is_credible() {
            // Hashed, because a client need not know the number of an inode.
            let mut hasher = DefaultHasher::new();
            stamp.hash(&mut hasher);
            let _ = write!(tag, "-{:x}", hasher.finish());
        }
        if let Some(coding) = coding {
            let _ = write!(tag, "-{}", coding.name());
        }
        Version { tag, modified_secs: stamp.is_credible().then_some(secs.unsigned_abs()) }
    }

    pub(crate) fn validators(&self) -> Validators<'_> {
        let validators = Validators::new().tag(EntityTag::strong(&self.tag));
        self.modified_secs.map_or(validators, |secs| validators.modified_secs(secs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THEN: i64 = 784_111_777;

    fn version(bytes: u64, modified: (i64, u32), changed: (i64, u32), inode: u64) -> Version {
        Version::new(bytes, &Stamp { modified, changed, inode }, None)
    }

    #[test]
    fn tags_tell_versions_apart() {
        fn check(bytes: u64, modified: (i64, u32), coding: Option<Coding>, expected: &str) {
            let stamp = Stamp { modified, changed: (modified.0, 999_999_999), inode: 7 };
            let found = Version::new(bytes, &stamp, coding);
            assert_eq!((found.tag.as_str(), found.modified_secs), (expected, Some(784_111_777)));
        }
        check(0, (THEN, 0), None, "2ebc98a1.0-0");
        check(255, (THEN, 1), None, "2ebc98a1.1-ff");
        check(255, (THEN, 16), None, "2ebc98a1.10-ff");
        check(255, (THEN, 1), Some(Coding::Gzip), "2ebc98a1.1-ff-gzip");
        // What differs between copies of a file makes no difference.
        assert_eq!(version(1, (THEN, 5), (THEN, 5), 7), version(1, (THEN, 5), (THEN + 60, 0), 8));
    }

    /// Finding E10.
    #[test]
    fn a_time_that_tells_nothing_is_not_relied_on() {
        fn check(modified: (i64, u32)) {
            let first = version(1, modified, (THEN, 1), 7);
            assert_eq!(first.modified_secs, None, "{modified:?}");
            assert_eq!(first, version(1, modified, (THEN, 1), 7), "{modified:?}");
            for other in [
                version(2, modified, (THEN, 1), 7),
                version(1, modified, (THEN, 2), 7),
                version(1, modified, (THEN + 1, 1), 7),
                version(1, modified, (THEN, 1), 8),
            ] {
                assert_ne!(first.tag, other.tag, "{modified:?}");
            }
        }
        check((-1, 999_999_999));
        check((0, 0));
        check((1, 0));
        check((315_532_800, 0)); // 1980-01-01
        check((499_162_500, 0)); // 1985-10-26
        check((THEN, 2));
        check((THEN + 86_400, 0));
    }
}
