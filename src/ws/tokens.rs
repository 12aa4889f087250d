//! The grammar of lists in header fields: tokens, separators and quoted strings.
//!
//! It knows no field and no extension. Its invariant: a token that is returned has at least one byte, and RFC
//! 9110 §5.6.2 allows every byte of it.

/// Returns whether `byte` may be part of a token (RFC 9110 §5.6.2).
pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Iterates over the elements of a comma-separated list. Empty elements are skipped (RFC 9110 §5.6.1.2).
pub(super) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

/// The text does not follow the grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// Reads tokens, separators and quoted strings off the front of a field value.
///
/// White space may stand on both sides of a separator (RFC 2616 §2.1, whose rules RFC 6455 §9.1 uses).
pub(super) struct Scanner<'a> {
    rest: &'a [u8],
}

impl<'a> Scanner<'a> {
    pub(super) fn new(value: &'a [u8]) -> Scanner<'a> {
        Scanner { rest: value }
    }

    /// Returns whether the whole value has been read.
    pub(super) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// Skips white space, then `separator` and the white space behind it if `separator` comes next. Returns
    /// whether `separator` came next.
    pub(super) fn skip(&mut self, separator: u8) -> bool {
        self.skip_white_space();
        let found = self.rest.first() == Some(&separator);
        if found {
            self.rest = &self.rest[1..];
            self.skip_white_space();
        }
        found
    }

    fn skip_white_space(&mut self) {
        let space = self.rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        self.rest = &self.rest[space..];
    }

    /// Reads a token.
    pub(super) fn token(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.rest.iter().take_while(|byte| is_token_byte(**byte)).count();
        let (token, rest) = self.rest.split_at(length);
        self.rest = rest;
        if token.is_empty() { Err(Malformed) } else { Ok(token) }
    }

    /// Reads a token, or a quoted string whose content is a token once it is unescaped (RFC 6455 §9.1).
    /// The quotes are removed; backslashes stay.
    pub(super) fn token_or_quoted(&mut self) -> Result<&'a [u8], Malformed> {
        let Some(quoted) = self.rest.strip_prefix(b"\"") else { return self.token() };
        let mut at = 0;
        loop {
            match quoted[at..] {
                [b'"', ..] if at > 0 => {
                    self.rest = &quoted[at + 1..];
                    return Ok(&quoted[..at]);
                }
                [b'\\', byte, ..] if is_token_byte(byte) => at += 2,
                [byte, ..] if is_token_byte(byte) => at += 1,
                _ => return Err(Malformed),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_skip_empty_elements() {
        fn check(value: &str, expected: &[&str]) {
            let found: Vec<_> = elements(value.as_bytes()).map(|e| std::str::from_utf8(e).unwrap()).collect();
            assert_eq!(found, expected, "{value:?}");
        }
        check("", &[]);
        check(" , ,, ", &[]);
        check("a", &["a"]);
        check(",a ,\tb,, c d ,", &["a", "b", "c d"]);
    }

    #[test]
    fn quoted_strings_must_hold_a_token() {
        fn check(value: &str, expected: Result<&str, Malformed>) {
            let found = Scanner::new(value.as_bytes()).token_or_quoted();
            assert_eq!(found, expected.map(str::as_bytes), "{value}");
        }
        check("a=b", Ok("a"));
        check("\"a\" b", Ok("a"));
        check("\"a\\b\"", Ok("a\\b"));
        check("", Err(Malformed));
        check("\"\"", Err(Malformed));
        check("\"a", Err(Malformed));
        check("\"a b\"", Err(Malformed));
        check("\"a\\\"", Err(Malformed));
    }
}
