//! Finds the parts of a head in one pass over its bytes.
//!
//! It knows only the common form, which nearly all requests have: a standard method, a target that begins
//! with `/`, and lines that end in CRLF. For any other head it returns `None`, and [`parse`](super::parse)
//! passes the head to httparse. Its invariant: it finds what httparse finds.

use super::block::{Block, find, find_from};
use super::characters::is_token;
use super::fields::{FieldSpan, Span};
use super::framing_fields::FramingFields;
use super::target::{TargetSpans, origin_form};
use super::{Method, Version};
use crate::arena::{Arena, ArenaList};

/// The parts of a head, before the head is checked as a whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct HeadParts<'r> {
    /// The length of the head in bytes, including its empty line.
    pub(super) len: usize,
    /// `None` for an extension method, whose name is the bytes before the target.
    pub(super) method: Option<Method<'static>>,
    pub(super) target: Span,
    pub(super) target_spans: TargetSpans,
    pub(super) version: Version,
    pub(super) fields: &'r [FieldSpan],
    pub(super) framing_fields: FramingFields,
}

/// The number of fields that memory is reserved for at first.
const INITIAL_FIELDS: usize = 16;

/// Returns the parts of the head that `input` begins with. Returns `None` if the head is incomplete, is not
/// of the common form, or has more than `fields_max` fields.
#[inline(always)]
pub(super) fn head<'r>(input: &[u8], arena: &'r Arena, fields_max: usize) -> Option<HeadParts<'r>> {
    // Positions fit 32 bits, here and in spans.
    let input = &input[..input.len().min(u32::MAX as usize)];
    let method = Method::read(input)?;
    let target_at = method.as_str().len() + 1;
    if input.get(target_at) != Some(&b'/') || method == Method::Connect {
        return None;
    }
    let (target_end, target_spans) = origin_form(input, target_at, |_| 0)?;
    let line_end = input.get(target_end..)?.first_chunk()?;
    let version = if line_end == b" HTTP/1.1\r\n" {
        Version::Http11
    } else if line_end == b" HTTP/1.0\r\n" {
        Version::Http10
    } else {
        return None;
    };
    let mut fields = arena.list(INITIAL_FIELDS.min(fields_max));
    let mut framing_fields = FramingFields::default();
    let len = field_lines(input, target_end + line_end.len(), fields_max, &mut fields, &mut framing_fields)?;
    Some(HeadParts {
        len,
        method: Some(method),
        target: span(target_at, target_end),
        target_spans,
        version,
        fields: fields.finish(),
        framing_fields,
    })
}

/// Reads field lines from `at` on, up to the empty line. Returns the end of that line. Returns `None` if there are no
/// fields.
#[inline(always)]
fn field_lines(
    input: &[u8],
    mut at: usize,
    fields_max: usize,
    fields: &mut ArenaList<'_, FieldSpan>,
    framing_fields: &mut FramingFields,
) -> Option<usize> {
    loop {
        let line = Block::at(input, at);
        // The two searches are independent, so the processor can start on the next line before this one's
        // name is known.
        let mut line_end = find_from(input, at, line.control(), Block::control);
        let mut name_end = find_from(input, at, line.not_word(), Block::not_word);
        if input.get(name_end) != Some(&b':') {
            name_end = end_of_unusual_name(input, name_end)?;
        }
        let mut ending: &[u8; 4] = input.get(line_end..)?.first_chunk()?;
        if !ending.starts_with(b"\r\n") {
            line_end = end_of_line_with_tabs(input, line_end)?;
            ending = input.get(line_end..)?.first_chunk()?;
        }
        let name = input.get(at..name_end)?;
        if name.is_empty() || fields.len() == fields_max {
            return None;
        }
        let value = value(input, name_end + 1, line_end);
        framing_fields.inspect(input, name, value);
        fields.push(FieldSpan { name: span(at, name_end), value });
        if ending == b"\r\n\r\n" {
            return Some(line_end + ending.len());
        }
        at = line_end + 2;
    }
}

/// Returns the value that lies between a colon and the end of its line, without the blanks around it.
#[inline(always)]
fn value(input: &[u8], mut from: usize, to: usize) -> Span {
    // Nearly all values begin behind one space, and have no other blanks around them.
    from += usize::from(input.get(from) == Some(&b' '));
    let may_be_blank = |byte: Option<&u8>| byte.is_none_or(|byte| *byte <= b' ');
    if may_be_blank(input.get(from)) || may_be_blank(input.get(to - 1)) {
        trimmed(input, from, to)
    } else {
        span(from, to)
    }
}

#[cold]
fn trimmed(input: &[u8], mut from: usize, mut to: usize) -> Span {
    let is_blank = |at: usize| matches!(input.get(at), Some(b' ' | b'\t'));
    while from < to && is_blank(from) {
        from += 1;
    }
    while from < to && is_blank(to - 1) {
        to -= 1;
    }
    span(from, to)
}

/// Returns the end of a name that has a rarer character of `tchar` (RFC 9110 §5.6.2) at `at`.
#[cold]
fn end_of_unusual_name(input: &[u8], mut at: usize) -> Option<usize> {
    while input.get(at).is_some_and(|&b| is_token(b)) {
        at += 1;
    }
    (input.get(at) == Some(&b':')).then_some(at)
}

/// Returns the end of a line whose value has a tab at `at`.
#[cold]
fn end_of_line_with_tabs(input: &[u8], mut at: usize) -> Option<usize> {
    while input.get(at) == Some(&b'\t') {
        at = find(input, at + 1, Block::control);
    }
    (input.get(at..at + 2) == Some(b"\r\n")).then_some(at)
}

#[inline(always)]
fn span(from: usize, to: usize) -> Span {
    Span { at: from as u32, len: (to - from) as u32 }
}
