//! What every field of a section must be (RFC 9113 §8.2).
//!
//! It knows characters and the names that HTTP/2 does not have, and no other meaning of a field.

use super::malformed::Malformed;
use crate::http1::{BLOCK_BYTES, Block, FieldSpan, Span, check_authority, find, is_token};

/// What a field is for the head of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldKind {
    /// Only the application reads it.
    Ordinary,
    /// A pseudo-field of a request.
    Pseudo(PseudoField),
    /// A pseudo-field with a value that cannot be served: not the scheme `http` or `https`, or not an authority with a host.
    Unserved(PseudoField),
    /// `cookie`, of which there may be several that are one (RFC 9113 §8.2.3).
    Cookie,
    /// One that says how the request is framed, or which host it is for.
    Framing,
    /// It must not be in a request: [`check`] says why.
    Malformed,
}

/// The pseudo-fields of a request (RFC 9113 §8.3.1, RFC 8441 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PseudoField {
    Method,
    Scheme,
    Authority,
    Path,
    Protocol,
}

impl FieldKind {
    /// Whether it is anything but a pseudo-field.
    #[inline]
    pub(super) const fn is_field(self) -> bool {
        !matches!(self, FieldKind::Pseudo(_) | FieldKind::Unserved(_))
    }

    /// Returns what a name says about its field, if name and value are good. Names that belong to a connection are known only
    /// if they are in the static table; [`check`] knows the others.
    pub(super) const fn of_name(name: &[u8]) -> FieldKind {
        match name {
            b":method" => FieldKind::Pseudo(PseudoField::Method),
            b":scheme" => FieldKind::Pseudo(PseudoField::Scheme),
            b":authority" => FieldKind::Pseudo(PseudoField::Authority),
            b":path" => FieldKind::Pseudo(PseudoField::Path),
            b":protocol" => FieldKind::Pseudo(PseudoField::Protocol),
            b"cookie" => FieldKind::Cookie,
            b"host" | b"content-length" | b"expect" => FieldKind::Framing,
            [b':', ..] | b"transfer-encoding" => FieldKind::Malformed,
            _ => FieldKind::Ordinary,
        }
    }

    /// Returns the kind of a field. Bytes follow it in `bytes`. `of_name` is what the name says, if that is known.
    #[inline]
    pub(super) fn of(bytes: &[u8], field: FieldSpan, of_name: Option<FieldKind>) -> FieldKind {
        let kind = match of_name {
            Some(kind) => kind,
            None => FieldKind::of_name(field.name.bytes(bytes)),
        };
        let is_good = match (kind, of_name) {
            (FieldKind::Pseudo(_), _) => has_no_control(bytes, field.value),
            (_, Some(_)) => check_value(bytes, field.value).is_ok(),
            (_, None) => check(bytes, field).is_ok(),
        };
        match kind {
            _ if !is_good => FieldKind::Malformed,
            FieldKind::Pseudo(pseudo) if !pseudo.is_served(bytes, field.value) => FieldKind::Unserved(pseudo),
            _ => kind,
        }
    }
}

impl PseudoField {
    /// How many there are.
    pub(super) const COUNT: usize = PseudoField::Protocol as usize + 1;

    /// Returns a bit that only this one has.
    #[inline]
    pub(super) const fn bit(self) -> u8 {
        1 << self as u8
    }

    #[inline]
    fn is_served(self, bytes: &[u8], value: Span) -> bool {
        let is = |known: &[u8]| value.bytes(bytes).eq_ignore_ascii_case(known);
        match self {
            PseudoField::Scheme => is(b"https") || is(b"http"),
            PseudoField::Authority => {
                check_authority(bytes, value).is_some_and(|checked| !checked.host_is_empty)
            }
            PseudoField::Method | PseudoField::Path | PseudoField::Protocol => true,
        }
    }
}

/// Checks a field that is not a pseudo-field. Bytes follow it in `bytes`.
pub(super) fn check(bytes: &[u8], field: FieldSpan) -> Result<(), Malformed> {
    check_name(bytes, field.name)?;
    check_value(bytes, field.value)?;
    let (name, value) = (field.name.bytes(bytes), field.value.bytes(bytes));
    if is_of_connection(name) || (name == b"te" && !value.eq_ignore_ascii_case(b"trailers")) {
        return Err(Malformed::ConnectionField);
    }
    Ok(())
}

#[inline]
fn check_value(bytes: &[u8], value: Span) -> Result<(), Malformed> {
    let text = value.bytes(bytes);
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    if is_blank(text.first()) || is_blank(text.last()) || !has_no_control(bytes, value) {
        return Err(Malformed::Value);
    }
    Ok(())
}

/// Whether a value has no control characters but tabs (RFC 9113 §8.2.1, RFC 9110 §5.5).
#[inline]
fn has_no_control(bytes: &[u8], value: Span) -> bool {
    let (at, end) = (value.at as usize, (value.at + value.len) as usize);
    find(bytes, at, |block| block.control() & !block.is(b'\t')) >= end
}

#[inline(always)]
fn check_name(bytes: &[u8], name: Span) -> Result<(), Malformed> {
    let (mut at, mut rest) = (name.at as usize, name.len as usize);
    while Block::at(bytes, at).not_lower_word().trailing_zeros() as usize >= rest.min(BLOCK_BYTES) {
        if rest <= BLOCK_BYTES {
            return if name.len > 0 { Ok(()) } else { Err(Malformed::Name) };
        }
        (at, rest) = (at + BLOCK_BYTES, rest - BLOCK_BYTES);
    }
    check_unusual_name(name.bytes(bytes))
}

/// Checks a name that has a rarer character of `tchar` (RFC 9110 §5.6.2), or a wrong one.
#[inline(never)]
fn check_unusual_name(name: &[u8]) -> Result<(), Malformed> {
    match name {
        [b':', ..] => Err(Malformed::LatePseudoField),
        _ if name.iter().all(|&byte| NAME[byte as usize]) => Ok(()),
        _ => Err(Malformed::Name),
    }
}

/// `tchar` without uppercase letters.
static NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = is_token(byte as u8) && !(byte as u8).is_ascii_uppercase();
        byte += 1;
    }
    table
};

/// Returns whether a field belongs to a connection of HTTP/1.1 (RFC 9113 §8.2.2). TE is allowed with one value.
#[inline(always)]
pub(super) fn is_of_connection(name: &[u8]) -> bool {
    let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
    // Length and first letter rule out nearly all other names.
    match (name.len(), name.first().map_or(0, |first| first | 0x20)) {
        (7, b'u') => is("upgrade"),
        (10, b'c') => is("connection"),
        (10, b'k') => is("keep-alive"),
        (16, b'p') => is("proxy-connection"),
        (17, b't') => is("transfer-encoding"),
        _ => false,
    }
}
