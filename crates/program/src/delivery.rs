//! What a subscriber gets, whoever has published it and whichever way it comes.
//!
//! Knows no connection. Its invariant: the data is in it as it was published, byte for byte.

use serde::Serialize;
use serde_json::value::RawValue;

/// One publication: `{"topic":"prices.eur","data":1.0840}`.
#[derive(Debug, Serialize)]
pub(super) struct Delivery<'a> {
    pub(super) topic: &'a str,
    pub(super) data: &'a RawValue,
}

impl Delivery<'_> {
    /// As a message's text.
    pub(super) fn encode(&self) -> String {
        serde_json::to_string(self).expect("text and JSON are written as JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_stays_as_it_was() {
        fn check(topic: &str, data: &str, expected: &str) {
            let data: &RawValue = serde_json::from_str(data).unwrap();
            assert_eq!(Delivery { topic, data }.encode(), expected);
        }
        check("a", "1.0840", r#"{"topic":"a","data":1.0840}"#);
        check(
            "a",
            "123456789012345678901234567890",
            r#"{"topic":"a","data":123456789012345678901234567890}"#,
        );
        check("a", " {\"b\": [1,\t2E400]} ", "{\"topic\":\"a\",\"data\":{\"b\": [1,\t2E400]}}");
        check("a", "null", r#"{"topic":"a","data":null}"#);
        check("€ \"b\"", r#""\u20ac""#, r#"{"topic":"€ \"b\"","data":"\u20ac"}"#);
    }
}
