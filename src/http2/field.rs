//! What every field of a section must be (RFC 9113 §8.2).
//!
//! It knows characters and the names that HTTP/2 does not have, and no other meaning of a field.

use super::malformed::Malformed;
use crate::http1::{BLOCK_BYTES, Block, FieldSpan, Span, is_control, is_token};

/// Checks the characters of all names and values, except what only names must not contain.
#[inline]
pub(super) fn check_bytes(section: &[u8]) -> Result<(), Malformed> {
    // Without an early return the compiler checks many bytes at once.
    let bad = section.iter().fold(false, |bad, &byte| bad | is_control(byte));
    if bad { Err(Malformed::Value) } else { Ok(()) }
}

/// Checks a field that is not a pseudo-field. [`check_bytes`] has accepted the section that `bytes` begins with.
#[inline(always)]
pub(super) fn check(bytes: &[u8], field: FieldSpan) -> Result<(), Malformed> {
    check_name(bytes, field.name)?;
    let value = field.value.bytes(bytes);
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    if is_blank(value.first()) || is_blank(value.last()) {
        return Err(Malformed::Value);
    }
    let name = field.name.bytes(bytes);
    if is_of_connection(name) || (name == b"te" && !value.eq_ignore_ascii_case(b"trailers")) {
        return Err(Malformed::ConnectionField);
    }
    Ok(())
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
