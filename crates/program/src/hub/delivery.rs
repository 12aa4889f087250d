//! The JSON that subscribers receive: publications, and what tells them of gaps.
//!
//! It knows no connection. Its invariant: published data is delivered byte for byte.

use fleeting_store::Gap;
use serde::Serialize;
use serde_json::value::RawValue;

/// The prefix of the topics that only the registry publishes under. A client's id follows it.
pub(crate) const RESERVED_TOPICS: &str = "clients.";

/// Returns the sentence that refuses a client's publication under `topic`, if the topic is reserved.
pub(super) fn refusal(topic: &str) -> Option<&'static str> {
    let reserved = topic.starts_with(RESERVED_TOPICS);
    reserved.then_some("Only the registry may publish under `clients.`.")
}

/// A publication: `{"topic":"prices.eur","data":1.0840}`.
#[derive(Debug, Serialize)]
pub(crate) struct Delivery<'a> {
    pub(crate) topic: &'a str,
    pub(crate) data: &'a RawValue,
}

impl Delivery<'_> {
    /// Returns the text of the message.
    pub(crate) fn encode(&self) -> String {
        serde_json::to_string(self).expect("text and JSON are written as JSON")
    }
}

/// Returns the message that tells a subscriber that publications of other nodes may be missing.
pub(crate) fn announcement(gap: &Gap) -> String {
    let gap = match gap {
        Gap::Disconnected => GapText { reason: "disconnected", publications: None },
        Gap::Reconnected => GapText { reason: "reconnected", publications: None },
        Gap::Skipped { publications, .. } => GapText { reason: "skipped", publications: *publications },
        _ => GapText { reason: "overflowed", publications: None },
    };
    encode_gap(gap)
}

/// Returns the message that tells a subscriber how many publications it lost because it reads too slowly.
pub(super) fn slow_gap(publications: u64) -> String {
    encode_gap(GapText { reason: "slow", publications: Some(publications) })
}

fn encode_gap(gap: GapText) -> String {
    serde_json::to_string(&Announcement { gap }).expect("text and numbers are written as JSON")
}

#[derive(Serialize)]
struct Announcement {
    gap: GapText,
}

#[derive(Serialize)]
struct GapText {
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    publications: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_announced_with_its_reason() {
        let skipped = |publications| announcement(&Gap::Skipped { node: "b".into(), publications });
        assert_eq!(skipped(Some(3)), r#"{"gap":{"reason":"skipped","publications":3}}"#);
        assert_eq!(skipped(None), r#"{"gap":{"reason":"skipped"}}"#);
        assert_eq!(announcement(&Gap::Disconnected), r#"{"gap":{"reason":"disconnected"}}"#);
        assert_eq!(announcement(&Gap::Reconnected), r#"{"gap":{"reason":"reconnected"}}"#);
        assert_eq!(announcement(&Gap::Overflowed), r#"{"gap":{"reason":"overflowed"}}"#);
        assert_eq!(slow_gap(7), r#"{"gap":{"reason":"slow","publications":7}}"#);
    }

    #[test]
    fn data_is_delivered_byte_for_byte() {
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
