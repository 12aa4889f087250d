//! Reads the pairs of a query or a form into a value of the application's own type, through serde.
//!
//! It knows pairs of text, not where they come from. Its invariant: only an error allocates.
//!
//! `serde_urlencoded` does the same for encoded text, and decodes it onto the heap.

use super::{Error, Pairs};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};

/// Errors are made by serde: a message.
type Problem = serde::de::value::Error;

impl<'r> Pairs<'r> {
    /// Reads the pairs into a struct, whose fields have their names. The values may borrow: a `&str` is always possible,
    /// also for text that had to be decoded.
    ///
    /// Fields are text, numbers, `bool`, enums without data, or an `Option` of those for pairs that may be missing. Of
    /// pairs with the same name only one may be sent; see [`values`](Pairs::values) for those. Pairs without a field are
    /// ignored, unless the struct says otherwise.
    ///
    /// ```
    /// use fleeting::{App, Response};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Search<'r> {
    ///     words: &'r str,
    ///     page: Option<u32>,
    /// }
    ///
    /// let app = App::new().get("/search", |req| {
    ///     let search: Search<'_> = req.query_pairs().read()?;
    ///     let page = search.page.unwrap_or(1);
    ///     Ok(Response::text(req.arena().format(format_args!("page {page} of {}", search.words))))
    /// });
    /// ```
    ///
    /// # Errors
    /// Status 400 if the pairs do not have the shape of `T`. The message names the pair, such as `page: "x" is not an
    /// unsigned integer of 32 bits`.
    pub fn read<T: Deserialize<'r>>(self) -> Result<T, Error> {
        T::deserialize(MapAccessDeserializer::new(Remaining { pairs: self, pair: ("", "") }))
            .map_err(|error| Error::bad_request(error.to_string()))
    }
}

/// The pairs that were not read yet, and the one that is being read.
struct Remaining<'r> {
    pairs: Pairs<'r>,
    pair: (&'r str, &'r str),
}

impl<'r> MapAccess<'r> for Remaining<'r> {
    type Error = Problem;

    fn next_key_seed<K: DeserializeSeed<'r>>(&mut self, seed: K) -> Result<Option<K::Value>, Problem> {
        let Some(pair) = self.pairs.next() else { return Ok(None) };
        self.pair = pair;
        seed.deserialize(Text(pair.0)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'r>>(&mut self, seed: V) -> Result<V::Value, Problem> {
        let (name, value) = self.pair;
        seed.deserialize(Text(value)).map_err(|error| Problem::custom(format_args!("{name}: {error}")))
    }
}

/// A name or a value.
struct Text<'r>(&'r str);

/// Methods that parse the text first.
macro_rules! parsed {
    ($($method:ident $visit:ident $type:literal,)*) => {$(
        fn $method<V: Visitor<'r>>(self, visitor: V) -> Result<V::Value, Problem> {
            match self.0.parse() {
                Ok(value) => visitor.$visit(value),
                Err(_) => Err(Problem::custom(format_args!("{:?} is not {}", self.0, $type))),
            }
        }
    )*};
}

impl<'r> Deserializer<'r> for Text<'r> {
    type Error = Problem;

    fn deserialize_any<V: Visitor<'r>>(self, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_borrowed_str(self.0)
    }

    parsed! {
        deserialize_bool visit_bool "true or false",
        deserialize_i8 visit_i8 "an integer of 8 bits",
        deserialize_i16 visit_i16 "an integer of 16 bits",
        deserialize_i32 visit_i32 "an integer of 32 bits",
        deserialize_i64 visit_i64 "an integer of 64 bits",
        deserialize_i128 visit_i128 "an integer of 128 bits",
        deserialize_u8 visit_u8 "an unsigned integer of 8 bits",
        deserialize_u16 visit_u16 "an unsigned integer of 16 bits",
        deserialize_u32 visit_u32 "an unsigned integer of 32 bits",
        deserialize_u64 visit_u64 "an unsigned integer of 64 bits",
        deserialize_u128 visit_u128 "an unsigned integer of 128 bits",
        deserialize_f32 visit_f32 "a number",
        deserialize_f64 visit_f64 "a number",
    }

    fn deserialize_option<V: Visitor<'r>>(self, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'r>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Problem> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'r>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        visitor.visit_enum(serde::de::value::BorrowedStrDeserializer::new(self.0))
    }

    serde::forward_to_deserialize_any! {
        <V: Visitor<'r>> char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::Arena;
    use serde::Deserialize;
    use std::borrow::Cow;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Color {
        Red,
        Blue,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Meters(f64);

    #[derive(Debug, Deserialize, PartialEq)]
    struct Form<'r> {
        name: &'r str,
        #[serde(borrow)]
        note: Option<Cow<'r, str>>,
        #[serde(default)]
        count: u8,
        #[serde(rename = "is ready")]
        ready: Option<bool>,
        color: Option<Color>,
        length: Option<Meters>,
        letter: Option<char>,
        owned: Option<String>,
    }

    const EMPTY: Form<'static> = Form {
        name: "",
        note: None,
        count: 0,
        ready: None,
        color: None,
        length: None,
        letter: None,
        owned: None,
    };

    #[test]
    fn pairs_become_a_struct_or_an_error() {
        fn check(encoded: &str, expected: Result<Form<'_>, &str>) {
            let arena = Arena::new(1024);
            let read = Pairs::new(encoded, &arena).read::<Form<'_>>();
            assert_eq!(
                read.as_ref().map_err(|error| (error.status(), error.message())),
                expected.as_ref().map_err(|text| (400, *text)),
                "{encoded}"
            );
        }
        check("name=", Ok(EMPTY));
        check("name=a+b&other=1&count=7", Ok(Form { name: "a b", count: 7, ..EMPTY }));
        let all = "name=a&note=%C3%A9&is+ready=true&color=blue&length=1.5&letter=x&owned=o";
        check(
            all,
            Ok(Form {
                name: "a",
                note: Some("\u{e9}".into()),
                ready: Some(true),
                color: Some(Color::Blue),
                length: Some(Meters(1.5)),
                letter: Some('x'),
                owned: Some("o".into()),
                ..EMPTY
            }),
        );
        check("", Err("missing field `name`"));
        check("name=a&name=b", Err("duplicate field `name`"));
        check("name=a&count=256", Err("count: \"256\" is not an unsigned integer of 8 bits"));
        check("name=a&count=", Err("count: \"\" is not an unsigned integer of 8 bits"));
        check("name=a&is+ready=yes", Err("is ready: \"yes\" is not true or false"));
        check("name=a&color=green", Err("color: unknown variant `green`, expected `red` or `blue`"));
        check("name=a&letter=xy", Err("letter: invalid value: string \"xy\", expected a character"));
        check("name=a&length=long&count=7", Err("length: \"long\" is not a number"));
    }
}
