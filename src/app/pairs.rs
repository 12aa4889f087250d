//! Names and values in the encoding `application/x-www-form-urlencoded`, which queries and forms share (WHATWG URL §5.1).
//!
//! It knows text and the arena that values are decoded into, but no request. Its invariant: a pair that it returns is
//! UTF-8, and text that needs no decoding is not copied.
//!
//! The crate `form_urlencoded` reads the same encoding, but it decodes onto the heap and replaces what is not UTF-8.

use crate::arena::Arena;
use crate::percent::{decode_form, form_octets};
use std::fmt;

/// The decoded pairs `(name, value)` of a query or a form, in the order in which they were sent.
///
/// Every pair appears, also if several have the same name. A pair without `=` has an empty value. A pair whose name or
/// value is not UTF-8 is left out. A value that needs no decoding borrows what was received; others are decoded into
/// the request's arena when the iterator reaches them.
///
/// ```
/// use fleeting::{App, Response};
/// use std::fmt::Write;
///
/// // GET /search?tag=red&tag=dark+blue&page=2
/// let app = App::new().get("/search", |req| {
///     let pairs = req.query_pairs();
///     let mut text = req.arena().writer();
///     for tag in pairs.values("tag") {
///         let _ = writeln!(text, "{tag}"); // writing into the arena cannot fail
///     }
///     let _ = writeln!(text, "page {}", pairs.value("page").unwrap_or("1"));
///     Ok(Response::text("").body(text.finish()))
/// });
/// ```
#[derive(Clone)]
pub struct Pairs<'r> {
    /// The pairs that have not been returned yet, encoded.
    rest: &'r str,
    arena: &'r Arena,
}

impl<'r> Pairs<'r> {
    pub(super) fn new(encoded: &'r str, arena: &'r Arena) -> Pairs<'r> {
        Pairs { rest: encoded, arena }
    }

    /// Returns the value of the first pair of this name. Names are case-sensitive. Only that value is decoded.
    pub fn value(&self, name: &str) -> Option<&'r str> {
        self.values(name).next()
    }

    /// Returns the values of all pairs of this name, in order.
    pub fn values<'n>(&self, name: &'n str) -> impl Iterator<Item = &'r str> + use<'r, 'n> {
        let (arena, mut encoded) = (self.arena, Encoded { rest: self.rest });
        std::iter::from_fn(move || {
            encoded.find_map(|(known, value)| {
                form_octets(known).eq(name.bytes()).then(|| decode_form(value, arena))?
            })
        })
    }
}

impl<'r> Iterator for Pairs<'r> {
    type Item = (&'r str, &'r str);

    fn next(&mut self) -> Option<(&'r str, &'r str)> {
        let mut encoded = Encoded { rest: self.rest };
        let found = encoded.find_map(|(name, value)| {
            Some((decode_form(name, self.arena)?, decode_form(value, self.arena)?))
        });
        self.rest = encoded.rest;
        found
    }
}

impl std::iter::FusedIterator for Pairs<'_> {}

impl fmt::Debug for Pairs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A form may hold a password, so the pairs are not shown.
        f.debug_struct("Pairs").field("encoded_bytes", &self.rest.len()).finish_non_exhaustive()
    }
}

/// The pairs as they were sent.
struct Encoded<'r> {
    rest: &'r str,
}

impl<'r> Iterator for Encoded<'r> {
    type Item = (&'r str, &'r str);

    fn next(&mut self) -> Option<(&'r str, &'r str)> {
        while !self.rest.is_empty() {
            let (pair, rest) = self.rest.split_once('&').unwrap_or((self.rest, ""));
            self.rest = rest;
            if !pair.is_empty() {
                return Some(pair.split_once('=').unwrap_or((pair, "")));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_appears_decoded_and_in_order() {
        fn check(encoded: &str, expected: &[(&str, &str)]) {
            let arena = Arena::new(1024);
            let mut pairs = Pairs::new(encoded, &arena);
            assert_eq!(pairs.by_ref().collect::<Vec<_>>(), expected, "{encoded}");
            assert_eq!(pairs.next(), None);
        }
        check("", &[]);
        check("&", &[]);
        check("&&a=1&&", &[("a", "1")]);
        check("a=1&b=2&a=3", &[("a", "1"), ("b", "2"), ("a", "3")]);
        check("a", &[("a", "")]);
        check("=a", &[("", "a")]);
        check("=", &[("", "")]);
        check("a=b=c", &[("a", "b=c")]);
        check("a+b=c%26d&%3D=%2B", &[("a b", "c&d"), ("=", "+")]);
        check("a=%ff&%ff=a&b=%C3%A9", &[("b", "é")]);
        check("a;b=1?c", &[("a;b", "1?c")]);
    }

    #[test]
    fn the_values_of_a_name_are_found() {
        fn check(encoded: &str, expected: &[&str]) {
            let arena = Arena::new(1024);
            let pairs = Pairs::new(encoded, &arena);
            assert_eq!(pairs.values("id").collect::<Vec<_>>(), expected, "{encoded}");
            assert_eq!(pairs.value("id"), expected.first().copied(), "{encoded}");
        }
        check("", &[]);
        check("id=a", &["a"]);
        check("id=", &[""]);
        check("id", &[""]);
        check("x=1&id=a&id=b", &["a", "b"]);
        check("&&id=a=b", &["a=b"]);
        check("%69d=a", &["a"]);
        check("id=a+b%2Bc%20d", &["a b+c d"]);
        check("id=%E2%82%AC", &["€"]);
        check("id=100%", &["100%"]);
        check("id=%ff", &[]);
        check("id=%ff&id=a", &["a"]);
        check("ID=a", &[]);
        check("xid=a&idx=b&i=c", &[]);
    }

    #[test]
    fn only_what_needs_decoding_is_copied() {
        let arena = Arena::new(1024);
        let encoded = "plain=text&a+b=text&plain=%41";
        let within = |text: &str| encoded.as_bytes().as_ptr_range().contains(&text.as_ptr());
        let borrowed: Vec<_> =
            Pairs::new(encoded, &arena).map(|(name, value)| (within(name), within(value))).collect();
        assert_eq!(borrowed, [(true, true), (false, true), (true, false)]);
    }
}
