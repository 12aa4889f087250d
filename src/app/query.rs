//! Reads the pairs of a request's query, which is encoded like a form (WHATWG URL §5.1).
//!
//! It knows text only. Its invariant: a pair that is not UTF-8 counts as absent.

use super::{Pairs, Request};

impl<'r> Request<'r> {
    /// Returns the pairs of the query, `name=value&...`, with `+` and percent-encoding decoded. There are none if there
    /// is no query.
    ///
    /// ```
    /// use fleeting::{App, Response};
    ///
    /// let app = App::new().get("/search", |req| {
    ///     let tags = req.query_pairs().values("tag").count();
    ///     Ok(Response::text(req.arena().format(format_args!("{tags} tags"))))
    /// });
    /// ```
    pub fn query_pairs(&self) -> Pairs<'r> {
        Pairs::new(self.query().unwrap_or_default(), self.arena())
    }

    /// Returns the value of the first pair of this name in the query, as [`query_pairs`](Request::query_pairs) decodes
    /// it. Returns `None` if there is no such pair, or if its value is not UTF-8.
    ///
    /// ```
    /// use fleeting::{App, Error, Response};
    ///
    /// let app = App::new().get("/search", |req| {
    ///     let words = req.query_value("q").ok_or(Error::bad_request("The query needs a q."))?;
    ///     Ok(Response::text(words))
    /// });
    /// ```
    pub fn query_value(&self, name: &str) -> Option<&'r str> {
        self.query_pairs().value(name)
    }
}

#[cfg(test)]
mod tests {
    use crate::app::request::tests::with_request;

    #[test]
    fn pairs_come_from_the_query() {
        fn check(target: &str, expected: &[(&str, &str)]) {
            with_request(&format!("GET {target}"), "", b"a=content", |req| {
                assert_eq!(req.query_pairs().collect::<Vec<_>>(), expected, "{target}");
                assert_eq!(req.query_value("a"), expected.first().map(|(_, value)| *value));
            });
        }
        check("/", &[]);
        check("/?", &[]);
        check("/?a=1&a=2+3", &[("a", "1"), ("a", "2 3")]);
        check("/a=1?a=2?a=3", &[("a", "2?a=3")]);
        check("http://test/?a=%26", &[("a", "&")]);
    }
}
