//! Checks that a request's content is of the type that its handler reads.
//!
//! It knows the fields that describe content (RFC 9110 §8.3, §8.4), but not the content. Its invariant: content that
//! passes is of the expected media type and in no content coding.

use super::{Error, Request};

impl<'r> Request<'r> {
    /// Returns the value of Content-Type, if `expects` accepts its media type, without parameters and white space.
    ///
    /// # Errors
    /// Status 415 with `message` if it does not, and if the content is in a content coding, such as gzip.
    pub(super) fn content_of_type(
        &self,
        expects: impl FnOnce(&str) -> bool,
        message: &'static str,
    ) -> Result<&'r str, Error> {
        let value = self.header("content-type").unwrap_or_default();
        if !expects(value.split(';').next().unwrap_or_default().trim_ascii()) {
            return Err(Error::unsupported_media_type(message));
        }
        let is_coded = |value: &[u8]| !value.is_empty() && !value.eq_ignore_ascii_case(b"identity");
        if self.fields().values("content-encoding").any(is_coded) {
            // RFC 9110 §15.5.16, §12.5.3: the codings that would have been accepted.
            let error = Error::unsupported_media_type("The content must not be in a content coding.");
            return Err(error.header("accept-encoding", "identity"));
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use crate::app::Response;
    use crate::app::request::tests::with_request;

    /// Finding E9.
    #[test]
    fn content_of_another_type_or_in_a_coding_is_refused() {
        fn check(fields: &str, expected: Result<&str, u16>) {
            with_request("POST /", fields, b"", |req| {
                let found = req.content_of_type(|media| media.eq_ignore_ascii_case("a/b"), "No.");
                if let Err(error) = &found {
                    let accepted = fields.to_ascii_lowercase().contains("encoding").then_some("identity");
                    assert_eq!(Response::from(error.clone()).field("accept-encoding"), accepted, "{fields}");
                }
                assert_eq!(found.map_err(|error| error.status()), expected, "{fields}");
            });
        }
        check("Content-Type: a/b\r\n", Ok("a/b"));
        check("Content-Type: A/B ; c=d\r\n", Ok("A/B ; c=d"));
        check("Content-Type: a/b\r\nContent-Encoding: identity\r\n", Ok("a/b"));
        check("Content-Type: a/b\r\nContent-Encoding: gzip\r\n", Err(415));
        check("Content-Type: a/b\r\nContent-Encoding:\r\nContent-Encoding: br\r\n", Err(415));
        check("Content-Type: a/bc\r\n", Err(415));
        check("Content-Type: a/b c\r\n", Err(415));
        check("Content-Type: ;a/b\r\n", Err(415));
        check("Content-Type: a/b\u{e9}\r\n", Err(415));
        check("", Err(415));
    }
}
