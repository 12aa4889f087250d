//! The commands of `/hub` and their answers: JSON to commands, outcomes to JSON.
//!
//! It knows no connection. Its invariant: every text has exactly one answer. The answer repeats the member `id` if the
//! text is an object that has one.

use fleeting::SlowConsumer;
use serde::de::{DeserializeOwned, Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use std::fmt;

/// A command, with data of type `T`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command<T> {
    Subscribe { filter: String, slow: Option<SlowConsumer> },
    Unsubscribe { filter: String },
    Publish { topic: String, data: T, to_others: bool },
}

/// The outcome of a command.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Subscribed to this filter.
    Subscribed(String),
    /// Unsubscribed from this filter.
    Unsubscribed(String),
    /// Published under this topic.
    Published(String),
    /// What is wrong, in a sentence.
    Error(String),
}

/// The commands, each with the other members that it may have besides `id`.
const COMMANDS: [(&str, &[&str]); 3] =
    [("subscribe", &["slow"]), ("unsubscribe", &[]), ("publish", &["data", "to_others"])];

/// The end of each error about a text that is not a command.
const EXPECTED: &str = "expected a command, such as {\"subscribe\": \"prices.*\"}, {\"unsubscribe\": \"prices.*\"} \
     or {\"publish\": \"prices.eur\", \"data\": 1.08}";

/// Parses a command, executes it, and returns the answer in JSON.
pub(super) fn answer<'t>(
    text: &'t str,
    execute: impl FnOnce(Command<&'t RawValue>) -> Result<Outcome, String>,
) -> String {
    match serde_json::from_str::<Members<'t>>(text) {
        Ok(members) => {
            let outcome = members.command().and_then(execute).unwrap_or_else(Outcome::Error);
            encode(&outcome, members.find("id"))
        }
        // The message names the line and the column.
        Err(error) => encode(&Outcome::Error(error.to_string()), None),
    }
}

/// Returns the answer, such as `{"subscribed":"prices.*","id":1}`.
pub(super) fn encode(outcome: &Outcome, id: Option<&RawValue>) -> String {
    serde_json::to_string(&Answer { outcome, id }).expect("text and JSON are written as JSON")
}

struct Answer<'a> {
    outcome: &'a Outcome,
    id: Option<&'a RawValue>,
}

impl Serialize for Answer<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (name, value) = match self.outcome {
            Outcome::Subscribed(filter) => ("subscribed", filter),
            Outcome::Unsubscribed(filter) => ("unsubscribed", filter),
            Outcome::Published(topic) => ("published", topic),
            Outcome::Error(sentence) => ("error", sentence),
        };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(name, value)?;
        if let Some(id) = self.id {
            map.serialize_entry("id", id)?;
        }
        map.end()
    }
}

/// The members of an object, with unique names (RFC 8259 §4) and values as they were written.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Members<'a> {
    fn find(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    fn command(&self) -> Result<Command<&'a RawValue>, String> {
        let mut named = COMMANDS.iter().filter(|(name, _)| self.find(name).is_some());
        let Some((name, others)) = named.next() else {
            let unknown = self.0.iter().find(|(name, _)| name != "id");
            return Err(match unknown {
                Some((name, _)) => format!("unknown command `{name}`; {EXPECTED}"),
                None => format!("the command is missing; {EXPECTED}"),
            });
        };
        if let Some((second, _)) = named.next() {
            return Err(format!("`{name}` and `{second}` are two commands; send one command per message"));
        }
        let known = |member: &str| member == *name || member == "id" || others.contains(&member);
        if let Some((member, _)) = self.0.iter().find(|(member, _)| !known(member)) {
            return Err(format!("`{name}` does not take `{member}`; it takes {}", listed(others)));
        }
        match *name {
            "subscribe" => Ok(Command::Subscribe { filter: self.text(name)?, slow: self.slow(name)? }),
            "unsubscribe" => Ok(Command::Unsubscribe { filter: self.text(name)? }),
            _ => Ok(Command::Publish {
                topic: self.text(name)?,
                data: self.find("data").ok_or("`publish` needs `data`, which may be any JSON value")?,
                to_others: self.read("to_others", "true or false")?.unwrap_or(false),
            }),
        }
    }

    fn text(&self, name: &str) -> Result<String, String> {
        Ok(self.read(name, "a topic or a filter as a string")?.unwrap_or_default())
    }

    fn slow(&self, command: &str) -> Result<Option<SlowConsumer>, String> {
        let policy: Option<String> = self.read("slow", "a policy as a string")?;
        let policy = policy.map(|policy| policy.parse::<SlowConsumer>()).transpose();
        policy.map_err(|why| format!("`slow` of `{command}`: {why}"))
    }

    /// Returns the value of a member, if the object has it.
    fn read<T: DeserializeOwned>(&self, name: &str, expected: &str) -> Result<Option<T>, String> {
        let Some(value) = self.find(name) else { return Ok(None) };
        let read = serde_json::from_str(value.get());
        read.map(Some).map_err(|_| format!("`{name}` should be {expected}"))
    }
}

/// Lists the members that a command takes besides itself.
fn listed(others: &[&str]) -> String {
    others.iter().chain(&["id"]).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ReadMembers)
    }
}

struct ReadMembers;

impl<'de> Visitor<'de> for ReadMembers {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED.trim_start_matches("expected "))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Members(Vec::new());
        while let Some(name) = map.next_key::<String>()? {
            // No command has so many members, so the rest need not be read.
            if members.0.len() == MEMBERS_MAX {
                return Err(A::Error::custom(format!("a command may have at most {MEMBERS_MAX} members")));
            }
            if members.find(&name).is_some() {
                return Err(A::Error::custom(format!("the member `{name}` occurs twice")));
            }
            members.0.push((name, map.next_value()?));
        }
        Ok(members)
    }
}

/// The largest number of members that are read. No command has as many.
const MEMBERS_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Command<String>, String> {
        let members: Members<'_> = serde_json::from_str(text).map_err(|error| error.to_string())?;
        Ok(match members.command()? {
            Command::Subscribe { filter, slow } => Command::Subscribe { filter, slow },
            Command::Unsubscribe { filter } => Command::Unsubscribe { filter },
            Command::Publish { topic, data, to_others } => {
                Command::Publish { topic, data: data.get().into(), to_others }
            }
        })
    }

    #[test]
    fn commands_are_parsed() {
        fn check(text: &str, expected: Command<&str>) {
            let expected = match expected {
                Command::Subscribe { filter, slow } => Command::Subscribe { filter, slow },
                Command::Unsubscribe { filter } => Command::Unsubscribe { filter },
                Command::Publish { topic, data, to_others } => {
                    Command::Publish { topic, data: data.to_string(), to_others }
                }
            };
            assert_eq!(read(text), Ok(expected), "{text}");
        }
        let filter = || "prices.*".to_string();
        check(r#"{"subscribe": "prices.*"}"#, Command::Subscribe { filter: filter(), slow: None });
        check(
            r#"{"slow": "conflate", "id": [7], "subscribe": "prices.*"}"#,
            Command::Subscribe { filter: filter(), slow: Some(SlowConsumer::Conflate) },
        );
        check(r#" {"unsubscribe":"prices.\u002a"} "#, Command::Unsubscribe { filter: filter() });
        let publish = |data, to_others| Command::Publish { topic: "a".into(), data, to_others };
        check(r#"{"publish": "a", "data": 1.0840}"#, publish("1.0840", false));
        check(r#"{"publish": "a", "data": null}"#, publish("null", false));
        check(r#"{"data": {"b" : 1}, "to_others": true, "publish": "a"}"#, publish(r#"{"b" : 1}"#, true));
    }

    #[test]
    fn an_error_names_the_mistake() {
        fn check(text: &str, expected: &str) {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
        check("", "EOF while parsing a value at line 1 column 0");
        check("hello", "expected value at line 1 column 1");
        check("{\"subscribe\":\n \"a\",}", "trailing comma at line 2 column 6");
        check(r#"{"subscribe": "a"} x"#, "trailing characters at line 1 column 20");
        check("7", "invalid type: integer `7`, expected a command, such as {");
        check(r#"["subscribe"]"#, "invalid type: sequence, expected a command");
        check("{}", "the command is missing; expected a command");
        check(r#"{"id": 7}"#, "the command is missing");
        check(r#"{"id": 7, "subscrbe": "a"}"#, "unknown command `subscrbe`; expected a command");
        check(r#"{"subscribe": "a", "unsubscribe": "a"}"#, "`subscribe` and `unsubscribe` are two");
        check(
            r#"{"subscribe": "a", "subscribe": "b"}"#,
            "the member `subscribe` occurs twice at line 1 column",
        );
        check(r#"{"subscribe": 7}"#, "`subscribe` should be a topic or a filter as a string");
        check(r#"{"subscribe": null}"#, "`subscribe` should be");
        check(r#"{"subscribe": "a", "data": 1}"#, "`subscribe` does not take `data`; it takes `slow`, `id`");
        check(r#"{"subscribe": "a", "slow": "wait"}"#, "`slow` of `subscribe`: unknown policy `wait`");
        check(r#"{"subscribe": "a", "slow": 7}"#, "`slow` should be a policy as a string");
        check(r#"{"unsubscribe": "a", "slow": "close"}"#, "it takes `id`");
        check(r#"{"publish": "a"}"#, "`publish` needs `data`");
        check(r#"{"publish": "a", "data": 1, "to_others": 1}"#, "`to_others` should be true or false");
        check(r#"{"publish": "a", "data": 01}"#, "line 1 column");
        check(r#"{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1}"#, "at most 8 members");
    }

    #[test]
    fn an_answer_repeats_the_id() {
        fn check(text: &str, expected: &str) {
            let execute = |command: Command<&RawValue>| match command {
                Command::Subscribe { filter, .. } => Ok(Outcome::Subscribed(filter)),
                Command::Unsubscribe { filter } => Ok(Outcome::Unsubscribed(filter)),
                Command::Publish { .. } => Err("no".to_string()),
            };
            assert_eq!(answer(text, execute), expected);
        }
        check(r#"{"subscribe": "a\"b"}"#, r#"{"subscribed":"a\"b"}"#);
        check(r#"{"id": 1.0, "unsubscribe": "a"}"#, r#"{"unsubscribed":"a","id":1.0}"#);
        check(r#"{"publish": "a", "data": 1, "id": {"x": [1]}}"#, r#"{"error":"no","id":{"x": [1]}}"#);
        check(
            r#"{"publish": "a", "id": "7"}"#,
            r#"{"error":"`publish` needs `data`, which may be any JSON value","id":"7"}"#,
        );
        check("{", r#"{"error":"EOF while parsing an object at line 1 column 1"}"#);
    }
}
