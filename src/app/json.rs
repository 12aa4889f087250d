//! JSON requests and responses, through serde. Only this file and `deserialize` know serde.

use super::response::JSON;
use super::{Error, Request, Response};
use crate::utf8;
use serde::{Deserialize, Serialize};

impl<'r> Request<'r> {
    /// Reads the content as JSON (RFC 8259). The value may borrow from the request.
    ///
    /// Text that may contain escapes, such as `caf\u00e9`, is a `Cow<str>` that borrows: it is a slice of the content if
    /// there are none, and a decoded copy on the heap otherwise. A `&str` cannot hold the copy, so serde refuses such
    /// text. Without `#[serde(borrow)]` a `Cow` is always a copy.
    ///
    /// ```
    /// # use fleeting::{App, Response};
    /// use std::borrow::Cow;
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Order<'r> {
    ///     #[serde(borrow)]
    ///     item: Cow<'r, str>,
    ///     count: u32,
    /// }
    ///
    /// let app = App::new().post("/orders", |req| {
    ///     let order: Order<'_> = req.json()?;
    ///     Ok(Response::text(req.arena().format(format_args!("{} x {}", order.count, order.item))))
    /// });
    /// ```
    ///
    /// # Errors
    /// Status 415 unless the Content-Type is `application/json` or ends in `+json` (RFC 6839 §3.1), and if
    /// the content is in a content coding. Status 400 if the content is not JSON in UTF-8, or does not have the shape of
    /// `T`.
    pub fn json<T: Deserialize<'r>>(&self) -> Result<T, Error> {
        self.content_of_type(is_json, "The Content-Type must be application/json.")?;
        // Checked as a whole, and not by serde string by string: that takes up to three times as long, and leaves out what
        // `T` does not ask for.
        let text = utf8::text(self.body()).map_err(|_| Error::bad_request("The content is not UTF-8."))?;
        serde_json::from_str(text).map_err(|error| Error::bad_request(error.to_string()))
    }
}

fn is_json(media_type: &str) -> bool {
    let tail = media_type.get(media_type.len().saturating_sub(5)..).unwrap_or_default();
    media_type.eq_ignore_ascii_case("application/json") || tail.eq_ignore_ascii_case("+json")
}

impl<'r> Response<'r> {
    /// Makes a 200 with `value` as JSON, written into the request's arena.
    ///
    /// ```
    /// # use fleeting::{App, Response};
    /// let app = App::new().get("/primes", |req| Response::json(req, &[2, 3, 5, 7]));
    /// ```
    ///
    /// # Errors
    /// Status 500 if the value cannot be written as JSON, such as a map whose keys are not text.
    pub fn json<T: Serialize + ?Sized>(req: &Request<'r>, value: &T) -> Result<Response<'r>, Error> {
        let mut writer = req.arena().writer();
        serde_json::to_writer(&mut writer, value).map_err(|error| Error::internal(error.to_string()))?;
        Ok(Response::of_type(&JSON, writer.finish()))
    }

    /// Makes a 200 with `value` as JSON, in memory of its own. It is for answers that are made without a request: those of
    /// an [`Upload`](super::Upload), a [`Multipart`](super::Multipart) or a [`Responder`](super::Responder), and
    /// an [error page](super::App::error_page).
    ///
    /// ```
    /// # use fleeting::{App, Response};
    /// #[derive(serde::Serialize)]
    /// struct Problem<'a> {
    ///     error: &'a str,
    /// }
    ///
    /// let app = App::new().error_page(|error| Response::json_owned(&Problem { error: error.message() }));
    /// ```
    ///
    /// # Errors
    /// As for [`json`](Response::json).
    pub fn json_owned<T: Serialize + ?Sized>(value: &T) -> Result<Response<'static>, Error> {
        let text = serde_json::to_vec(value).map_err(|error| Error::internal(error.to_string()))?;
        Ok(Response::of_type(&JSON, text))
    }
}

/// 400 with the place of the mistake, for input that is not JSON or does not have the expected shape.
impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Error {
        match error.classify() {
            serde_json::error::Category::Io => Error::internal("A value could not be written as JSON."),
            _ => Error::bad_request(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::request::tests::with_request;
    use std::borrow::Cow;
    use std::collections::BTreeMap;

    #[derive(Deserialize)]
    struct Order<'r> {
        #[serde(borrow)]
        item: Cow<'r, str>,
    }

    /// Finding A13.
    #[test]
    fn text_with_escapes_is_read_and_text_without_is_borrowed() {
        let cases = [
            (r#"{"item":"caf\u00e9 \"A\""}"#, "caf\u{e9} \"A\"", false),
            ("{\"item\":\"caf\u{e9}\"}", "caf\u{e9}", true),
        ];
        for (content, item, borrows) in cases {
            with_request("POST /", "Content-Type: application/json\r\n", content.as_bytes(), |req| {
                let order: Order<'_> = req.json().unwrap();
                assert_eq!((&*order.item, matches!(order.item, Cow::Borrowed(_))), (item, borrows));
            });
        }
    }

    #[test]
    fn content_that_is_not_utf8_is_refused_even_where_it_is_not_asked_for() {
        for content in [&b"{\"item\":\"caf\xe9\"}"[..], b"{\"item\":\"pear\",\"note\":\"caf\xe9\"}"] {
            with_request("POST /", "Content-Type: application/json\r\n", content, |req| {
                let error = req.json::<Order<'_>>().err().unwrap();
                assert_eq!((error.status(), error.message()), (400, "The content is not UTF-8."));
            });
        }
    }

    #[test]
    fn json_is_the_same_in_the_arena_and_in_memory_of_its_own() {
        fn check<T: Serialize>(value: T, expected: Result<&str, u16>) {
            with_request("GET /", "", b"", |req| {
                for response in [Response::json(req, &value), Response::json_owned(&value)] {
                    let found = response.map(|response| {
                        assert_eq!(
                            (response.status(), response.field("content-type")),
                            (200, Some("application/json"))
                        );
                        String::from_utf8(response.content().unwrap().to_vec()).unwrap()
                    });
                    let found = found.as_deref().map_err(|error| error.status());
                    assert_eq!(found, expected);
                }
            });
        }
        check([2, 3, 5], Ok("[2,3,5]"));
        check("caf\u{e9} \"", Ok("\"caf\u{e9} \\\"\""));
        check((), Ok("null"));
        // A key must be text.
        check(BTreeMap::from([((1, 2), 3)]), Err(500));
    }
}
