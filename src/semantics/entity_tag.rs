//! Entity tags, which tell versions of a representation apart (RFC 9110 §8.8.3).
//!
//! It knows the text of a tag, not what it was made from. Its invariant: a weak tag never matches in a strong comparison.

use std::fmt;

/// An entity tag: a name for one version of a representation, such as a hash or a revision number.
///
/// A *strong* tag changes with every byte of the content. A *weak* tag may stay the same while the content changes in
/// a way that does not matter. It is enough for caches, but not for If-Match (RFC 9110 §8.8.1).
///
/// ```
/// use fleeting::EntityTag;
///
/// assert_eq!(EntityTag::strong("7").to_string(), "\"7\"");
/// assert_eq!(EntityTag::weak("7").to_string(), "W/\"7\"");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EntityTag<'a> {
    opaque: &'a str,
    weak: bool,
}

impl<'a> EntityTag<'a> {
    /// Makes a strong tag of text without white space, control characters and quotes.
    /// [`Response::validators`](crate::Response::validators) refuses other text.
    pub const fn strong(opaque: &'a str) -> EntityTag<'a> {
        EntityTag { opaque, weak: false }
    }

    /// Makes a weak tag of text that [`strong`](EntityTag::strong) takes too.
    pub const fn weak(opaque: &'a str) -> EntityTag<'a> {
        EntityTag { opaque, weak: true }
    }

    /// Returns whether the tag's text follows the grammar (RFC 9110 §8.8.3).
    pub(crate) fn is_valid(&self) -> bool {
        self.opaque.bytes().all(|byte| byte > b' ' && byte != b'"' && byte != 0x7f)
    }

    /// Returns whether `value` is this tag, and both are strong (RFC 9110 §8.8.3.2).
    pub(crate) fn equals_strongly(&self, value: &[u8]) -> bool {
        let opaque = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
        !self.weak && opaque == Some(self.opaque.as_bytes())
    }

    /// Returns whether `list`, a list of entity tags, contains this one (RFC 9110 §13.1.1, §13.1.2). A malformed list
    /// contains only what comes before the mistake.
    ///
    /// A weak tag matches in a `strong` comparison neither as this tag nor in the list (§8.8.3.2).
    pub(crate) fn is_among(&self, list: &[u8], strong: bool) -> bool {
        if self.weak && strong {
            return false;
        }
        let mut rest = list.trim_ascii();
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix(b",") {
                rest = after.trim_ascii_start();
                continue;
            }
            let weak = rest.starts_with(b"W/");
            let quoted = if weak { &rest[2..] } else { rest };
            // A tag may contain commas but no quotes.
            let Some(inner) = quoted.strip_prefix(b"\"") else { return false };
            let Some(close) = inner.iter().position(|byte| *byte == b'"') else { return false };
            if &inner[..close] == self.opaque.as_bytes() && !(weak && strong) {
                return true;
            }
            rest = inner[close + 1..].trim_ascii_start();
            if !rest.is_empty() && rest[0] != b',' {
                return false;
            }
        }
        false
    }
}

/// Writes the tag as in the ETag field.
impl fmt::Display for EntityTag<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\"{}\"", if self.weak { "W/" } else { "" }, self.opaque)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_found_in_lists() {
        fn check(list: &str, weakly: bool, strongly: bool) {
            let found =
                |tag: EntityTag<'_>| [false, true].map(|strong| tag.is_among(list.as_bytes(), strong));
            assert_eq!(found(EntityTag::strong("a,b")), [weakly, strongly], "{list}");
            assert_eq!(found(EntityTag::weak("a,b")), [weakly, false], "{list}");
        }
        check("\"a,b\"", true, true);
        check("W/\"a,b\"", true, false);
        check("\"x\", \"a,b\"", true, true);
        check(" ,, W/\"x\" ,\"y\",W/\"a,b\",", true, false);
        check("W/\"a,b\", \"a,b\"", true, true);
        check("\"a,b\" malformed", true, true);
        for none in [
            "",
            "*",
            "a,b",
            "\"a\"",
            "\"a,b",
            "\"A,b\"",
            "w/\"a,b\"",
            "\"x\" \"a,b\"",
            "\"",
            "W/",
            "*, \"x\"",
        ] {
            check(none, false, false);
        }
    }

    #[test]
    fn only_strong_tags_are_strongly_equal() {
        fn check(tag: EntityTag<'_>, value: &str, expected: bool) {
            assert_eq!(tag.equals_strongly(value.as_bytes()), expected, "{tag} {value}");
        }
        check(EntityTag::strong("a"), "\"a\"", true);
        check(EntityTag::strong(""), "\"\"", true);
        check(EntityTag::weak("a"), "\"a\"", false);
        for other in ["W/\"a\"", "a", "\"a", "\"b\"", "\"", "\"a\", \"b\"", ""] {
            check(EntityTag::strong("a"), other, false);
        }
    }

    #[test]
    fn the_text_of_a_tag_is_restricted() {
        for valid in ["", "a", "!#~", "a,b", "\\", "\u{e9}"] {
            assert!(EntityTag::strong(valid).is_valid(), "{valid:?}");
        }
        for invalid in ["a b", "\"", "a\r\n", "\x7f", "\0", "a\t"] {
            assert!(!EntityTag::weak(invalid).is_valid(), "{invalid:?}");
        }
    }
}
