//! The fields of a head or a trailer section, as slices of the bytes they were read from.
//!
//! It knows where names and values lie, not what they mean. Its invariant: a [`Span`] is applied only to the
//! section it was measured in.

use std::fmt;

/// A range of bytes in a section.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Span {
    /// Offset from the start of the section; `at + len` is at most its length.
    pub(crate) at: u32,
    pub(crate) len: u32,
}

impl Span {
    #[inline]
    pub(crate) fn bytes(self, section: &[u8]) -> &[u8] {
        let at = self.at as usize;
        section.get(at..at + self.len as usize).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn text(self, section: &[u8]) -> &str {
        std::str::from_utf8(self.bytes(section)).unwrap_or_default()
    }
}

/// The position of one field.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FieldSpan {
    pub(crate) name: Span,
    pub(crate) value: Span,
}

/// The fields of a request head or of a trailer section, in the order in which they arrived.
///
/// Names are compared case-insensitively (RFC 9110 §5.1). Values are bytes, without the white space around
/// them. They may contain bytes above 127, whose meaning depends on the field (RFC 9110 §5.5).
///
/// ```
/// use fleeting::http1::{Decoder, HeadStep};
/// use fleeting::{Arena, Limits};
///
/// let (arena, mut input) = (Arena::new(4096), *b"GET / HTTP/1.1\r\nHost: a\r\nX-Id: 1\r\nX-Id: 2\r\n\r\n");
/// let HeadStep::Head { head, .. } = Decoder::new().head(&mut input, &arena, &Limits::default()) else {
///     panic!()
/// };
/// assert_eq!(head.fields.get("x-id"), Some(&b"1"[..]));
/// assert_eq!(head.fields.values("x-id").collect::<Vec<_>>(), [b"1", b"2"]);
/// assert_eq!(head.fields.iter().next(), Some(("Host", &b"a"[..])));
/// ```
#[derive(Clone, Copy, Default)]
pub struct Fields<'r> {
    section: &'r [u8],
    spans: &'r [FieldSpan],
}

impl<'r> Fields<'r> {
    #[inline]
    pub(crate) const fn new(section: &'r [u8], spans: &'r [FieldSpan]) -> Fields<'r> {
        Fields { section, spans }
    }

    /// Returns the bytes that the spans were measured in.
    pub(super) fn section(&self) -> &'r [u8] {
        self.section
    }

    /// Returns the fields behind the first `count`.
    pub(crate) fn without_first(&self, count: usize) -> Fields<'r> {
        Fields { section: self.section, spans: self.spans.get(count..).unwrap_or_default() }
    }

    /// Returns the value of the first field called `name`.
    #[inline]
    pub fn get(&self, name: &str) -> Option<&'r [u8]> {
        self.values(name).next()
    }

    /// Returns the values of all fields called `name`, in order.
    #[inline]
    pub fn values<'n>(&self, name: &'n str) -> FieldValues<'r, 'n> {
        FieldValues { section: self.section, spans: self.spans.iter(), name }
    }

    /// Returns the names and values of all fields, in order. Names are spelled as they were sent.
    pub fn iter(&self) -> FieldIter<'r> {
        FieldIter { section: self.section, spans: self.spans.iter() }
    }

    /// Returns the number of fields.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Returns whether there are no fields.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }
}

impl fmt::Debug for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.iter().map(|(name, value)| (name, String::from_utf8_lossy(value))))
            .finish()
    }
}

impl<'r> IntoIterator for Fields<'r> {
    type Item = (&'r str, &'r [u8]);
    type IntoIter = FieldIter<'r>;

    fn into_iter(self) -> FieldIter<'r> {
        self.iter()
    }
}

/// The names and values of [`Fields`], made by [`Fields::iter`].
#[derive(Debug, Clone)]
pub struct FieldIter<'r> {
    section: &'r [u8],
    spans: std::slice::Iter<'r, FieldSpan>,
}

impl<'r> Iterator for FieldIter<'r> {
    type Item = (&'r str, &'r [u8]);

    fn next(&mut self) -> Option<(&'r str, &'r [u8])> {
        let span = self.spans.next()?;
        Some((span.name.text(self.section), span.value.bytes(self.section)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.spans.size_hint()
    }
}

impl ExactSizeIterator for FieldIter<'_> {}

/// The values of all fields with one name, made by [`Fields::values`].
#[derive(Debug, Clone)]
pub struct FieldValues<'r, 'n> {
    section: &'r [u8],
    spans: std::slice::Iter<'r, FieldSpan>,
    name: &'n str,
}

impl<'r> Iterator for FieldValues<'r, '_> {
    type Item = &'r [u8];

    #[inline]
    fn next(&mut self) -> Option<&'r [u8]> {
        let name = self.name.as_bytes();
        let span = self.spans.find(|span| {
            span.name.len as usize == name.len() && span.name.bytes(self.section).eq_ignore_ascii_case(name)
        })?;
        Some(span.value.bytes(self.section))
    }
}

/// Returns the members of a comma-separated list, empty ones included, without the white space around them.
pub(super) fn members(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|&b| b == b',').map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(section: &str, test: impl FnOnce(Fields<'_>)) {
        let mut spans = Vec::new();
        let mut at = 0;
        for line in section.split_inclusive('\n') {
            let (name, value) = line.trim_end().split_once(':').unwrap();
            spans.push(FieldSpan {
                name: Span { at, len: name.len() as u32 },
                value: Span { at: at + name.len() as u32 + 1, len: value.len() as u32 },
            });
            at += line.len() as u32;
        }
        test(Fields::new(section.as_bytes(), &spans));
    }

    #[test]
    fn names_are_case_insensitive_and_the_order_is_kept() {
        with("Host:a\nX-Id:1\nx-id:2\nX-I:3\n", |fields| {
            assert_eq!(fields.len(), 4);
            assert!(!fields.is_empty());
            assert_eq!(fields.get("HOST"), Some(&b"a"[..]));
            assert_eq!(fields.get("x-ID"), Some(&b"1"[..]));
            assert_eq!(fields.get("x-idd"), None);
            assert_eq!(fields.values("X-ID").collect::<Vec<_>>(), [b"1", b"2"]);
            let names: Vec<_> = fields.iter().map(|(name, _)| name).collect();
            assert_eq!(names, ["Host", "X-Id", "x-id", "X-I"]);
        });
        assert!(Fields::default().is_empty());
    }

    #[test]
    fn list_members_lose_the_white_space_around_them() {
        let found: Vec<_> = members(b"x, Y\t,, z ").collect();
        assert_eq!(found, [&b"x"[..], b"Y", b"", b"z"]);
    }
}
