//! Reads forms in the encoding that HTML forms have by default, `application/x-www-form-urlencoded`.
//!
//! It knows a request's content. Forms with files are read by `multipart`. Its invariant: every pair of a form that it
//! returns is UTF-8, so none is left out.

use super::{Error, Pairs, Request};
use crate::percent::form_octets;
use crate::utf8::{self, Utf8};

const TYPE: &str = "application/x-www-form-urlencoded";

impl<'r> Request<'r> {
    /// Reads the content as a form of the type `application/x-www-form-urlencoded` (WHATWG URL §5.1), and returns its
    /// pairs.
    ///
    /// ```
    /// use fleeting::{App, Error, Response};
    ///
    /// let app = App::new().post("/login", |req| {
    ///     let form = req.form_pairs()?;
    ///     let name = form.value("name").ok_or(Error::bad_request("The form has no name."))?;
    ///     let password = form.value("password").unwrap_or_default();
    ///     if password != "secret" {
    ///         return Err(Error::forbidden("The name or the password is wrong."));
    ///     }
    ///     Ok(Response::text(name))
    /// });
    /// ```
    ///
    /// # Errors
    /// Status 415 if the Content-Type is another one, or if the content is in a content coding. Status 400 if a name or
    /// a value is not UTF-8.
    pub fn form_pairs(&self) -> Result<Pairs<'r>, Error> {
        let is_form = |media_type: &str| media_type.eq_ignore_ascii_case(TYPE);
        self.content_of_type(is_form, "The Content-Type must be application/x-www-form-urlencoded.")?;
        // The separators are ASCII, so all names and values are UTF-8 if and only if the whole decoded content is.
        match utf8::text(self.body()) {
            Ok(encoded) if decodes_to_utf8(encoded) => Ok(Pairs::new(encoded, self.arena())),
            _ => Err(Error::bad_request("The form is not UTF-8.")),
        }
    }
}

/// Bytes that are decoded at once to check them.
const BLOCK_BYTES: usize = 256;

fn decodes_to_utf8(encoded: &str) -> bool {
    if !encoded.contains('%') {
        return true;
    }
    let (mut octets, mut block, mut utf8) = (form_octets(encoded), [0; BLOCK_BYTES], Utf8::default());
    loop {
        let mut filled = 0;
        for (place, octet) in block.iter_mut().zip(&mut octets) {
            *place = octet;
            filled += 1;
        }
        if filled == 0 {
            return utf8.is_complete();
        }
        if utf8.feed(&block[..filled]).is_err() {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::request::tests::with_request;

    #[test]
    fn a_form_is_read_or_refused() {
        fn check(media_type: &str, content: &[u8], expected: Result<&[(&str, &str)], u16>) {
            with_request("POST /?a=query", &format!("Content-Type: {media_type}\r\n"), content, |req| {
                let pairs = req.form_pairs().map(|pairs| pairs.collect::<Vec<_>>());
                let found = pairs.as_deref().map_err(|error| error.status());
                assert_eq!(found, expected, "{media_type}: {:?}", content.escape_ascii().to_string());
            });
        }
        check(TYPE, b"", Ok(&[]));
        check(TYPE, b"a=1&b=x+y%20z&a=%C3%A9", Ok(&[("a", "1"), ("b", "x y z"), ("a", "\u{e9}")]));
        check(TYPE, "a=\u{e9}".as_bytes(), Ok(&[("a", "\u{e9}")]));
        check(TYPE, b"a=100%&b=%zz", Ok(&[("a", "100%"), ("b", "%zz")]));
        check("Application/X-WWW-Form-Urlencoded; charset=utf-8", b"a", Ok(&[("a", "")]));
        check(TYPE, b"a=%ff", Err(400));
        check(TYPE, b"%C3=%A9", Err(400));
        check(TYPE, b"a=\xff", Err(400));
        check(TYPE, b"a=\xc3%A9", Err(400));
        check("multipart/form-data; boundary=a", b"a=1", Err(415));
        check("text/plain", b"a=1", Err(415));
    }

    #[test]
    fn characters_may_lie_anywhere_in_a_long_form() {
        for padding in 0..BLOCK_BYTES + 5 {
            let padding = "x".repeat(padding);
            for (end, expected) in [("", true), ("%E2%82%AC", true), ("%E2%82", false), ("%E2%82x", false)] {
                assert_eq!(decodes_to_utf8(&format!("{padding}{end}")), expected, "{padding}{end}");
                let longer = format!("{padding}{end}{}", "y".repeat(BLOCK_BYTES));
                assert_eq!(decodes_to_utf8(&longer), expected, "{longer}");
            }
        }
    }
}
