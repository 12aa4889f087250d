//! A field section while it is decoded: names and values in the arena.
//!
//! It counts against the limits, and leaves what a field means to [`HeadFields`]. Its invariant: beyond the limits it stores
//! nothing for long: a peer takes no more of the arena than they allow, and one field or what the dynamic table holds.

use super::field::{FieldKind, PseudoField};
use super::head_fields::HeadFields;
use crate::arena::{Arena, ArenaList};
use crate::config::Limits;
use crate::http1::{FieldSpan, Refusal, Span};

/// What a field counts beyond its name and its value (RFC 9113 §6.5.2).
const FIELD_BYTES: usize = 32;

/// Room for the fields of a browser's request.
const INITIAL_FIELDS: usize = 32;
const INITIAL_BYTES: usize = 1024;

/// How many times the limit a section may take before its connection ends.
const EXCESS: usize = 4;

/// The section begins with this name, for the field that stands for `:authority`.
pub(super) const HOST: &[u8] = b"host";

const COOKIE: &[u8] = b"cookie";

/// Bytes that are behind a field while it is read, so that it can be read in whole blocks.
const SLACK: [u8; 16] = [0; 16];

/// A field section that is being decoded. [`Decoder::decode`](super::hpack::Decoder::decode) adds the fields of a block.
#[derive(Debug)]
pub struct Section<'r> {
    pub(super) arena: &'r Arena,
    /// [`HOST`], and the names and values of the fields, one behind the other. From `len` on, the field that is being decoded.
    bytes: ArenaList<'r, u8>,
    pub(super) len: usize,
    spans: ArenaList<'r, FieldSpan>,
    /// Those of them that HTTP itself acts on.
    pub(super) noted: HeadFields,
    fields_max: usize,
    /// The size as RFC 9113 §6.5.2 counts it, without the field that is being decoded.
    size: usize,
    size_max: usize,
    refusal: Option<Refusal>,
    pub(super) target_max: usize,
}

impl<'r> Section<'r> {
    /// Creates an empty section for a block of `block_bytes` bytes.
    #[inline(always)]
    pub fn new(arena: &'r Arena, limits: &Limits, block_bytes: usize) -> Section<'r> {
        let size_max = limits.head_bytes.min(u32::MAX as usize / 4);
        let expected = block_bytes.saturating_mul(2).min(size_max) + INITIAL_BYTES;
        let spans = arena.list(INITIAL_FIELDS);
        let mut bytes = arena.list(expected);
        bytes.extend(HOST);
        let fields_max = limits.headers;
        Section {
            arena,
            bytes,
            len: HOST.len(),
            spans,
            noted: HeadFields::default(),
            fields_max,
            size: 0,
            size_max,
            refusal: None,
            target_max: limits.target_bytes,
        }
    }

    /// Returns why the section is too large, if it is (RFC 6585 §5).
    pub fn refusal(&self) -> Option<Refusal> {
        self.refusal
    }

    /// Returns whether it is that of a HEAD request, as far as it was stored.
    pub fn is_head(&self) -> bool {
        self.noted
            .get(PseudoField::Method)
            .is_some_and(|method| method.bytes(self.bytes.as_slice()) == b"HEAD")
    }

    /// Returns the size of the section as RFC 9113 §6.5.2 counts it.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Ends the section. Returns the name and the value of each field that is stored, in their order, pseudo-fields too.
    pub fn into_fields(mut self) -> impl Iterator<Item = (&'r [u8], &'r [u8])> {
        let (bytes, spans) = self.finish();
        let bytes = &*bytes;
        spans.iter().map(move |span| (span.name.bytes(bytes), span.value.bytes(bytes)))
    }

    /// Appends to the name or the value that is being decoded.
    #[inline]
    pub(super) fn append(&mut self, part: &[u8]) {
        self.bytes.extend(part);
    }

    /// Has `write` append to the name or the value that is being decoded. It gets `room` bytes, and returns how many it has
    /// used, which this returns too.
    #[inline]
    pub(super) fn append_with<E>(
        &mut self,
        room: usize,
        write: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        let end = self.bytes.len();
        self.bytes.extend_with_default(room);
        let written = write(&mut self.bytes.as_mut_slice()[end..])?;
        self.bytes.truncate(end + written);
        Ok(written)
    }

    /// Returns the field that is being decoded: its name and its value.
    #[inline]
    pub(super) fn appended(&self) -> &[u8] {
        &self.bytes.as_slice()[self.len..]
    }

    /// Returns what the field that is being decoded is. `of_name` is what its name says, if that is known.
    #[inline]
    pub(super) fn kind(&mut self, name_len: usize, of_name: Option<FieldKind>) -> FieldKind {
        let end = self.bytes.len();
        let field = span(self.len, name_len, end);
        self.bytes.extend(&SLACK);
        let kind = FieldKind::of(self.bytes.as_slice(), field, of_name);
        self.bytes.truncate(end);
        kind
    }

    /// Adds fields that lie one behind the other in `bytes`. Of each: the length of its name, that of its name and value, and
    /// what it is. If one of them is beyond the limits, it and those behind it are forgotten.
    #[inline(always)]
    pub(super) fn add_all(
        &mut self,
        bytes: &[u8],
        fields: impl ExactSizeIterator<Item = (usize, usize, FieldKind)>,
    ) {
        self.append(bytes);
        let (count, size) = (fields.len(), self.size + bytes.len() + fields.len() * FIELD_BYTES);
        if size > self.size_max || self.noted.fields + count > self.fields_max {
            return self.add_each(fields);
        }
        self.size = size;
        let known = self.spans.len();
        self.spans.extend_with_default(count);
        let places = &mut self.spans.as_mut_slice()[known..];
        let (bytes, mut at) = (self.bytes.as_slice(), self.len);
        for (place, (name_len, len, kind)) in places.iter_mut().zip(fields) {
            *place = span(at, name_len, at + len);
            self.noted.add(bytes, *place, kind);
            at += len;
        }
        self.len = at;
    }

    /// The same when not all of them may be within the limits.
    #[cold]
    fn add_each(&mut self, fields: impl Iterator<Item = (usize, usize, FieldKind)>) {
        for (name_len, len, kind) in fields {
            self.commit_to(self.len + len, name_len, kind);
            if self.refusal.is_some() {
                break;
            }
        }
    }

    /// Completes the field that is being decoded. A field beyond the limits is forgotten.
    #[inline(always)]
    pub(super) fn commit(&mut self, name_len: usize, kind: FieldKind) {
        self.commit_to(self.bytes.len(), name_len, kind);
    }

    /// The same for a field that ends at `end`.
    #[inline(always)]
    fn commit_to(&mut self, end: usize, name_len: usize, kind: FieldKind) {
        self.size += end - self.len + FIELD_BYTES;
        let fields = self.noted.fields + usize::from(kind.is_field());
        if self.size > self.size_max || fields > self.fields_max {
            return self.refuse();
        }
        let field = span(self.len, name_len, end);
        self.spans.push(field);
        self.noted.add(self.bytes.as_slice(), field, kind);
        self.len = end;
    }

    /// Whether the fields take so much more than the limit that decoding the rest is no longer worth it.
    pub(super) fn is_excessive(&self) -> bool {
        self.size > self.size_max.saturating_mul(EXCESS)
    }

    /// Forgets the field that is being decoded. The next one takes its place.
    #[cold]
    fn refuse(&mut self) {
        let refusal = if self.size > self.size_max { Refusal::HeadTooLarge } else { Refusal::TooManyFields };
        self.refusal.get_or_insert(refusal);
        self.bytes.truncate(self.len);
    }

    /// Takes the names and values out of the section, with some more bytes behind them, and the fields, pseudo-fields too.
    #[inline(always)]
    pub(super) fn finish(&mut self) -> (&'r mut [u8], &'r mut [FieldSpan]) {
        self.bytes.extend(&SLACK);
        (self.bytes.take(self.arena), self.spans.take(self.arena))
    }

    /// Returns how many of the fields are pseudo-fields, if they come first.
    #[inline]
    pub(super) fn pseudo_fields(&self) -> usize {
        self.spans.len() - self.noted.fields
    }

    /// Joins the values of several `cookie` fields with `; ` into the first of them (RFC 9113 §8.2.3).
    #[inline]
    pub(super) fn join_cookies(&mut self) {
        if self.noted.cookies > 1 {
            self.join_several_cookies();
        }
    }

    #[inline(never)]
    fn join_several_cookies(&mut self) {
        let (spans, at) = (self.spans.as_mut_slice(), self.bytes.len());
        let (mut kept, mut first) = (0, None);
        for i in 0..spans.len() {
            let field = spans[i];
            if field.name.bytes(self.bytes.as_slice()) == COOKIE {
                if first.is_some() {
                    self.bytes.extend(b"; ");
                }
                let (from, end) = (field.value.at as usize, self.bytes.len());
                self.bytes.extend_with_default(field.value.len as usize);
                self.bytes.as_mut_slice().copy_within(from..from + field.value.len as usize, end);
                if first.is_some() {
                    continue;
                }
                first = Some(kept);
            }
            spans[kept] = field;
            kept += 1;
        }
        self.len = self.bytes.len();
        if let Some(first) = first {
            spans[first].value = Span { at: at as u32, len: (self.len - at) as u32 };
        }
        self.spans.truncate(kept);
    }
}

/// Returns where a field lies that begins at `at`.
#[inline(always)]
fn span(at: usize, name_len: usize, end: usize) -> FieldSpan {
    let value_at = (at + name_len) as u32;
    let value = Span { at: value_at, len: end as u32 - value_at };
    FieldSpan { name: Span { at: at as u32, len: name_len as u32 }, value }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(head_bytes: usize, headers: usize) -> Limits {
        Limits { head_bytes, headers, ..Limits::default() }
    }

    fn add(section: &mut Section<'_>, name: &str, value: &str) {
        section.append(name.as_bytes());
        section.append(value.as_bytes());
        let kind = section.kind(name.len(), None);
        section.commit(name.len(), kind);
    }

    #[test]
    fn fields_are_returned_as_they_were_sent() {
        let arena = Arena::new(4096);
        let mut section = Section::new(&arena, &limits(1000, 10), 0);
        let fields = [("cookie", "a"), ("x", ""), ("cookie", "b"), ("", "c")];
        for (name, value) in fields {
            add(&mut section, name, value);
        }
        assert!(section.into_fields().eq(fields.map(|(name, value)| (name.as_bytes(), value.as_bytes()))));
    }

    #[test]
    fn a_field_counts_its_name_its_value_and_32() {
        let arena = Arena::new(4096);
        for (head_bytes, expected) in [(69, Some(Refusal::HeadTooLarge)), (70, None)] {
            let mut section = Section::new(&arena, &limits(head_bytes, 10), 0);
            add(&mut section, "abc", "");
            add(&mut section, "d", "ef");
            assert_eq!((section.size(), section.refusal()), (70, expected));
        }
    }

    #[test]
    fn pseudo_fields_are_not_counted_as_fields() {
        let arena = Arena::new(4096);
        let mut section = Section::new(&arena, &limits(1000, 2), 0);
        for name in [":method", ":path", "a", "b"] {
            add(&mut section, name, "");
        }
        assert_eq!(section.refusal(), None);
        add(&mut section, "c", "");
        assert_eq!(section.refusal(), Some(Refusal::TooManyFields));
        assert_eq!(section.finish().1.len(), 4);
    }

    #[test]
    fn a_section_beyond_its_limit_takes_no_more_memory() {
        let arena = Arena::new(4096);
        let mut section = Section::new(&arena, &limits(1 << 14, 100_000), 0);
        for _ in 0..10_000 {
            add(&mut section, "name", "value value value value value value value");
        }
        assert_eq!(section.refusal(), Some(Refusal::HeadTooLarge));
        assert!(arena.reserved_bytes() < 6 << 14, "{}", arena.reserved_bytes());
    }

    #[test]
    fn it_grows() {
        let arena = Arena::new(64);
        let mut section = Section::new(&arena, &limits(1 << 20, 1000), 0);
        let value = "v".repeat(999);
        for i in 0..100 {
            add(&mut section, &format!("n{i}"), &value);
        }
        let ((bytes, spans), len) = (section.finish(), section.len);
        let mut end = HOST.len();
        for (i, span) in spans.iter().enumerate() {
            assert_eq!(span.name.text(bytes), format!("n{i}"));
            assert_eq!((span.value.text(bytes), span.name.at as usize), (&*value, end));
            end = (span.value.at + span.value.len) as usize;
        }
        assert_eq!((end, &bytes[..4]), (len, HOST));
    }
}
