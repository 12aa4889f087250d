//! UTF-8 validation of what a peer has sent: text as a whole, and text that arrives in pieces.
//!
//! simdutf8 checks 64 bytes at a time. It leaves shorter text to the standard library, and all text on processors whose
//! vectors it does not use.
//!
//! It knows no frame and no request, and keeps no text, only the bytes of an incomplete character, at most three.
//! Invariant: the verdict is the standard library's, and [`Utf8::feed`] fails at the first byte after which no
//! continuation is valid, however the text is cut.

/// Returns the bytes as text.
///
/// # Errors
/// They are not UTF-8.
#[inline]
pub(crate) fn text(bytes: &[u8]) -> Result<&str, Invalid> {
    simdutf8::basic::from_utf8(bytes).map_err(|_| Invalid)
}

/// The state between two pieces of a text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Utf8 {
    /// The first bytes of an incomplete character. Bytes from `pending_bytes` on are unused.
    pending: [u8; 3],
    /// At most 3.
    pending_bytes: u8,
}

/// The bytes are not UTF-8. If they are the beginning of a text, nothing that follows can complete it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Invalid;

impl Utf8 {
    /// Validates the next piece.
    pub(crate) fn feed(&mut self, mut piece: &[u8]) -> Result<(), Invalid> {
        while self.pending_bytes > 0 {
            let Some((&byte, rest)) = piece.split_first() else { return Ok(()) };
            self.finish_character(byte)?;
            piece = rest;
        }
        let Err(error) = simdutf8::compat::from_utf8(piece) else { return Ok(()) };
        // An error without a length means that the piece ends inside a character.
        if error.error_len().is_some() {
            return Err(Invalid);
        }
        let unfinished = &piece[error.valid_up_to()..];
        let kept = self.pending.get_mut(..unfinished.len()).ok_or(Invalid)?;
        kept.copy_from_slice(unfinished);
        self.pending_bytes = unfinished.len() as u8;
        Ok(())
    }

    /// Returns whether the pieces so far end with a whole character.
    pub(crate) fn is_complete(&self) -> bool {
        self.pending_bytes == 0
    }

    /// Adds `byte` to the incomplete character.
    fn finish_character(&mut self, byte: u8) -> Result<(), Invalid> {
        let len = usize::from(self.pending_bytes);
        let mut character = [self.pending[0], self.pending[1], self.pending[2], 0];
        character[len] = byte;
        match std::str::from_utf8(&character[..=len]) {
            Ok(_) => self.pending_bytes = 0,
            Err(error) if error.error_len().is_some() || len == 3 => return Err(Invalid),
            Err(_) => {
                self.pending[len] = byte;
                self.pending_bytes += 1;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds bytes one by one. Returns the index at which it fails; `None` if the text is valid.
    fn failed_at(bytes: &[u8]) -> Option<usize> {
        let mut utf8 = Utf8::default();
        for (index, byte) in bytes.iter().enumerate() {
            if utf8.feed(std::slice::from_ref(byte)).is_err() {
                return Some(index);
            }
        }
        (!utf8.is_complete()).then_some(bytes.len())
    }

    #[test]
    fn validation_fails_at_the_first_byte_that_cannot_be_valid() {
        fn check(bytes: &[u8], expected: Option<usize>) {
            assert_eq!(failed_at(bytes), expected, "{bytes:x?}");
        }
        check(b"", None);
        check(b"hello", None);
        check("κόσμε €😀".as_bytes(), None);
        check(b"\xf4\x8f\xbf\xbf", None); // U+10FFFF
        check(b"\xf4\x90\x80\x80", Some(1)); // beyond it
        check(b"\xed\xa0\x80", Some(1)); // a surrogate
        check(b"\xed\x9f\xbf\xee\x80\x80", None);
        check(b"\xc0\xaf", Some(0)); // overlong
        check(b"\xe0\x80\xaf", Some(1));
        check(b"\xf0\x80\x80\xaf", Some(1));
        check(b"\xf5", Some(0));
        check(b"\xff", Some(0));
        check(b"a\x80", Some(1));
        check(b"\xe2\x82", Some(2)); // cut short
        check(b"\xe2\x82a", Some(2));
        check(b"\xf0\x9f\x98a", Some(3));
        check(b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80\x65", Some(12)); // Autobahn 6.4.1
    }

    #[test]
    fn the_cuts_do_not_matter() {
        // All splits into three of texts that are valid, invalid and incomplete.
        for text in
            [&b"a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z"[..], b"\xe2\x82\xacab\xed\xa0\x80c", b"abc\xf0\x9f"]
        {
            let expected = std::str::from_utf8(text).is_ok();
            for first in 0..=text.len() {
                for second in first..=text.len() {
                    let mut utf8 = Utf8::default();
                    let is_valid = [&text[..first], &text[first..second], &text[second..]]
                        .into_iter()
                        .try_for_each(|piece| utf8.feed(piece))
                        .is_ok_and(|()| utf8.is_complete());
                    assert_eq!(is_valid, expected, "{text:x?} cut at {first} and {second}");
                }
            }
        }
    }

    /// Calls `check` with texts of 1 to 200 bytes, ASCII and not, each valid, cut short, and with one wrong byte at every
    /// place.
    fn texts(mut check: impl FnMut(&[u8])) {
        for unit in ["x", "a\u{e9}\u{20ac}\u{1f600}"] {
            let text = unit.repeat(200);
            for len in 1..=200 {
                let mut text = text.as_bytes()[..len].to_vec();
                check(&text);
                for at in 0..len {
                    // Never valid, a continuation, and the beginnings of two and four bytes.
                    for wrong in [0xff, 0x80, 0xc3, 0xf0] {
                        let right = std::mem::replace(&mut text[at], wrong);
                        check(&text);
                        text[at] = right;
                    }
                }
            }
        }
    }

    #[test]
    fn the_verdict_is_that_of_std() {
        texts(|bytes| assert_eq!(text(bytes).ok(), std::str::from_utf8(bytes).ok(), "{bytes:x?}"));
    }

    #[test]
    fn a_piece_fails_if_std_finds_that_nothing_can_complete_it() {
        // Texts of one length are cut at all places in turn.
        let mut count = 0;
        texts(|bytes| {
            count += 7;
            let (first, second) = bytes.split_at(count % (bytes.len() + 1));
            let mut utf8 = Utf8::default();
            let fed = utf8.feed(first).and_then(|()| utf8.feed(second));
            let expected = std::str::from_utf8(bytes);
            let fails = expected.is_err_and(|error| error.error_len().is_some());
            assert_eq!(fed.is_err(), fails, "{bytes:x?} cut at {}", first.len());
            assert_eq!(
                fed.is_ok() && utf8.is_complete(),
                expected.is_ok(),
                "{bytes:x?} cut at {}",
                first.len()
            );
        });
    }
}
