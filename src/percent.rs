//! Decodes percent-encoded octets, such as `%41` (RFC 3986 §2.1).
//!
//! It knows bytes and the arena they are decoded into, but no request.

use crate::arena::Arena;

/// Decodes percent-encoded unreserved characters, because they mean the same encoded or not (RFC 3986
/// §6.2.2.2). All others stay encoded. `/%70ing` becomes `/ping`, and `/a%2Fb` stays one segment. A digit that would
/// complete a `%` that encodes nothing stays encoded too, so that decoding the result is decoding once: `/%2%65`.
#[inline(never)]
pub(crate) fn decode_unreserved<'a>(path: &[u8], arena: &'a Arena) -> &'a [u8] {
    let out = copy_into(path, arena);
    let (mut from, mut to) = (0, 0);
    while from < out.len() {
        let decoded =
            octet(&out[from..]).filter(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(byte));
        let decoded = decoded.filter(|byte| !(byte.is_ascii_hexdigit() && ends_in_escape(&out[..to])));
        out[to] = decoded.unwrap_or(out[from]);
        from += if decoded.is_some() { 3 } else { 1 };
        to += 1;
    }
    &out[..to]
}

/// Whether text ends in the beginning of a percent-encoded octet.
fn ends_in_escape(text: &[u8]) -> bool {
    match text {
        [.., b'%'] => true,
        [.., b'%', digit] => digit.is_ascii_hexdigit(),
        _ => false,
    }
}

/// Does the same with text. Text without percent-encoded octets is returned as it is.
#[inline]
pub(crate) fn normal_path<'a>(path: &'a str, arena: &'a Arena) -> &'a str {
    if !path.contains('%') {
        return path;
    }
    // Only ASCII was put in place of ASCII.
    std::str::from_utf8(decode_unreserved(path.as_bytes(), arena)).unwrap_or(path)
}

/// Decodes all percent-encoded octets. Returns `None` if the result is not UTF-8.
pub(crate) fn decode<'a>(value: &str, arena: &'a Arena) -> Option<&'a str> {
    decode_with(value, |byte| byte, arena)
}

/// Decodes a name or a value of `application/x-www-form-urlencoded` (WHATWG URL §5.1): all percent-encoded octets, and
/// `+` for a space. Returns `None` if the result is not UTF-8. Text without either is returned as it is.
pub(crate) fn decode_form<'a>(value: &'a str, arena: &'a Arena) -> Option<&'a str> {
    if !value.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        return Some(value);
    }
    decode_with(value, form_byte, arena)
}

/// Returns the bytes that [`decode_form`] decodes `value` to. It takes no memory.
pub(crate) fn form_octets(value: &str) -> impl Iterator<Item = u8> {
    let mut rest = value.as_bytes();
    std::iter::from_fn(move || {
        let (&first, after) = rest.split_first()?;
        let decoded = octet(rest);
        rest = if decoded.is_some() { &rest[3..] } else { after };
        Some(decoded.unwrap_or_else(|| form_byte(first)))
    })
}

fn form_byte(byte: u8) -> u8 {
    if byte == b'+' { b' ' } else { byte }
}

/// Decodes all percent-encoded octets, and applies `unencoded` to all other bytes.
fn decode_with<'a>(value: &str, unencoded: impl Fn(u8) -> u8, arena: &'a Arena) -> Option<&'a str> {
    let out = copy_into(value.as_bytes(), arena);
    let (mut from, mut to) = (0, 0);
    while from < out.len() {
        let decoded = octet(&out[from..]);
        // A '%' without two hexadecimal digits stays as it is, as in browsers and nginx.
        out[to] = decoded.unwrap_or_else(|| unencoded(out[from]));
        from += if decoded.is_some() { 3 } else { 1 };
        to += 1;
    }
    std::str::from_utf8(&out[..to]).ok()
}

fn copy_into<'a>(bytes: &[u8], arena: &'a Arena) -> &'a mut [u8] {
    arena.alloc_slice_with(bytes.len(), |at| bytes[at])
}

/// Returns the octet that `bytes` begins with, if it is percent-encoded (RFC 3986 §2.1).
pub(crate) fn octet(bytes: &[u8]) -> Option<u8> {
    let &[b'%', high, low, ..] = bytes else { return None };
    let digit = |byte: u8| (byte as char).to_digit(16);
    Some((digit(high)? * 16 + digit(low)?) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unreserved_characters_are_decoded_and_no_others() {
        fn check(path: &str, expected: &str) {
            let arena = Arena::new(1024);
            assert_eq!(decode_unreserved(path.as_bytes(), &arena), expected.as_bytes());
        }
        check("/%70lain", "/plain");
        check("/a%2Fb", "/a%2Fb");
        check("/a%2fb%7E", "/a%2fb~");
        check("/%", "/%");
        check("/%4", "/%4");
        check("/%zz", "/%zz");
        check("/%ff%41", "/%ffA");
        check("/%2%65%%34%31%7a", "/%2%65%%341z");
    }

    /// What is decoded twice could pass for something else the second time.
    #[test]
    fn decoding_unreserved_characters_first_changes_nothing_else() {
        let (alphabet, arena) = (b"%2e6", Arena::new(1 << 20));
        for number in 0..alphabet.len().pow(8) {
            let path: Vec<u8> = (0..8).map(|at| alphabet[number >> (2 * at) & 3]).collect();
            let path = std::str::from_utf8(&path).unwrap();
            let normal = normal_path(path, &arena);
            assert_eq!(decode(normal, &arena), decode(path, &arena), "{path}");
            assert_eq!(normal_path(normal, &arena), normal, "{path}");
        }
    }

    #[test]
    fn parameters_are_decoded() {
        fn check(value: &str, expected: Option<&str>) {
            let arena = Arena::new(1024);
            assert_eq!(decode(value, &arena), expected, "{value}");
        }
        check("a%20b", Some("a b"));
        check("caf%C3%A9", Some("café"));
        check("a%2Fb", Some("a/b"));
        check("100%", Some("100%"));
        check("%E9", None);
        check("%00", Some("\0"));
    }

    #[test]
    fn names_and_values_of_forms_are_decoded() {
        fn check(value: &str, expected: Option<&str>) {
            let arena = Arena::new(1024);
            assert_eq!(decode_form(value, &arena), expected, "{value}");
            assert_eq!(String::from_utf8(form_octets(value).collect()).ok().as_deref(), expected, "{value}");
        }
        check("", Some(""));
        check("ab", Some("ab"));
        check("a+b", Some("a b"));
        check("a%2Bb%20c", Some("a+b c"));
        check("%2", Some("%2"));
        check("%zz+%", Some("%zz %"));
        check("%C3%a9", Some("é"));
        check("é%C3%A9", Some("éé"));
        check("%C3+%A9", None);
        check("%ff", None);
        check("%00", Some("\0"));
    }
}
