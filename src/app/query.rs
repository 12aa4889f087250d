//! Reads values from a request's query, which is encoded like a form (WHATWG URL §5.1).
//!
//! It knows text only. Its invariant: a value that is not UTF-8 counts as absent.

use super::Request;
use crate::arena::Arena;
use crate::percent::decode;

impl<'r> Request<'r> {
    /// Returns the value of the first pair of this name in the query, `name=value&...`, with `+` and
    /// percent-encoding decoded. Returns `None` if there is no such pair, or if its value is not UTF-8.
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
        value(self.query()?, name, self.arena())
    }
}

fn value<'a>(query: &'a str, name: &str, arena: &'a Arena) -> Option<&'a str> {
    let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let (_, value) = pairs.find(|(known, _)| decode_form(known, arena) == Some(name))?;
    decode_form(value, arena)
}

fn decode_form<'a>(text: &'a str, arena: &'a Arena) -> Option<&'a str> {
    if !text.contains(['%', '+']) {
        return Some(text);
    }
    // This comes before percent-decoding, because an encoded plus stays a plus.
    let spaced = arena.alloc_slice_with(text.len(), |at| match text.as_bytes()[at] {
        b'+' => b' ',
        byte => byte,
    });
    decode(std::str::from_utf8(spaced).ok()?, arena)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_pair_of_a_name_has_the_value() {
        fn check(query: &str, expected: Option<&str>) {
            let arena = Arena::new(1024);
            assert_eq!(value(query, "id", &arena), expected, "{query}");
        }
        check("id=a", Some("a"));
        check("id=", Some(""));
        check("id", Some(""));
        check("x=1&id=a&id=b", Some("a"));
        check("&&id=a=b", Some("a=b"));
        check("%69d=a", Some("a"));
        check("id=a+b%2Bc%20d", Some("a b+c d"));
        check("id=%E2%82%AC", Some("€"));
        check("id=100%", Some("100%"));
        check("id=%ff", None);
        check("", None);
        check("ID=a", None);
        check("xid=a", None);
    }
}
