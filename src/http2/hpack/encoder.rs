//! Encodes fields without a state of its own (RFC 7541 §6).
//!
//! Names refer to the static table, values are plain strings, and nothing is added to the peer's dynamic table. So one block
//! does not depend on another, and no connection needs memory for it. Its invariant: names are written in lower case.

use super::integer;
use super::static_table::index_of;
use crate::http1::push_decimal;

/// A size update to 0 (RFC 7541 §6.3). The first block after the peer has set SETTINGS_HEADER_TABLE_SIZE below 4,096 must
/// begin with it (§4.2).
pub const EMPTY_TABLE: u8 = 0x20;

/// The indexes of the static table that responses use without a search.
const STATUS: usize = 8;
const CONTENT_LENGTH: usize = 28;
/// The index of `content-type`.
pub const CONTENT_TYPE: u8 = 31;
const DATE: usize = 33;
const SET_COOKIE: usize = 55;

/// A literal field without indexing (RFC 7541 §6.2.2), and one that must never be indexed (§6.2.3).
const NOT_INDEXED: u8 = 0x00;
const NEVER_INDEXED: u8 = 0x10;
const NAME_MASK: u8 = 0x0f;

/// Appends `:status`. `status` has three digits.
#[inline]
pub fn status(out: &mut Vec<u8>, status: u16) {
    let index = match status {
        200 => 8,
        204 => 9,
        206 => 10,
        304 => 11,
        400 => 12,
        404 => 13,
        500 => 14,
        _ => {
            let [hundreds, tens, ones] =
                [status / 100 % 10, status / 10 % 10, status % 10].map(|d| b'0' + d as u8);
            return out.extend_from_slice(&[NOT_INDEXED | STATUS as u8, 3, hundreds, tens, ones]);
        }
    };
    out.push(0x80 | index);
}

/// Appends `date`.
#[inline(always)]
pub fn date(out: &mut Vec<u8>, date: &[u8; 29]) {
    let mut field = [0; 32];
    field[..3].copy_from_slice(&[NAME_MASK, (DATE - NAME_MASK as usize) as u8, date.len() as u8]);
    field[3..].copy_from_slice(date);
    out.extend_from_slice(&field);
}

/// Appends `content-length`.
#[inline(always)]
pub fn content_length(out: &mut Vec<u8>, length: u64) {
    let index = (CONTENT_LENGTH - NAME_MASK as usize) as u8;
    if length < 10 {
        return out.extend_from_slice(&[NAME_MASK, index, 1, b'0' + length as u8]);
    }
    out.extend_from_slice(&[NAME_MASK, index, 0]);
    let at = out.len();
    push_decimal(out, length);
    out[at - 1] = (out.len() - at) as u8;
}

/// Appends a field. Its name is written in lower case (RFC 9113 §8.2).
#[inline]
pub fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    match index_of(name) {
        Some(index) => {
            // RFC 7541 §7.1.3: a value that is a secret.
            let pattern = if index == SET_COOKIE { NEVER_INDEXED } else { NOT_INDEXED };
            integer::write(out, pattern, NAME_MASK, index);
        }
        None => {
            out.push(NOT_INDEXED);
            integer::write(out, 0, 0x7f, name.len());
            out.extend(name.iter().map(u8::to_ascii_lowercase));
        }
    }
    integer::write(out, 0, 0x7f, value.len());
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(encode: impl Fn(&mut Vec<u8>), expected: &[u8]) {
        let mut out = Vec::new();
        encode(&mut out);
        assert_eq!(out, expected, "{}", String::from_utf8_lossy(&out));
    }

    #[test]
    fn fields_are_encoded() {
        check(|out| status(out, 200), &[0x88]);
        check(|out| status(out, 500), &[0x8e]);
        check(|out| status(out, 302), b"\x08\x03302");
        check(|out| content_length(out, 0), b"\x0f\x0d\x010");
        check(|out| content_length(out, u64::MAX), b"\x0f\x0d\x1418446744073709551615");
        check(
            |out| date(out, b"Sun, 06 Nov 1994 08:49:37 GMT"),
            b"\x0f\x12\x1dSun, 06 Nov 1994 08:49:37 GMT",
        );
        check(|out| field(out, b"Content-Type", b"a/b"), b"\x0f\x10\x03a/b");
        check(|out| field(out, b"Set-Cookie", b"a=b"), b"\x1f\x28\x03a=b");
        check(|out| field(out, b"X-Id", b""), b"\x00\x04x-id\x00");
        check(|out| field(out, b"x", &[b'v'; 300]), &[&b"\x00\x01x\x7f\xad\x01"[..], &[b'v'; 300]].concat());
    }
}
