//! What a client of `/hub` may ask for, and what it is answered: JSON to commands, outcomes to JSON.
//!
//! Knows no connection. Its invariant: every text has one answer, and that bears the command's `id` if the
//! text is an object that has one.

use fleeting::SlowConsumer;
use serde::de::{DeserializeOwned, Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use std::fmt;

/// What one text asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command<T> {
    Subscribe { filter: String, slow: Option<SlowConsumer> },
    Unsubscribe { filter: String },
    Publish { topic: String, data: T, to_others: bool },
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Outcome {
    /// To this filter.
    Subscribed(String),
    /// From this filter.
    Unsubscribed(String),
    /// Under this name.
    Published(String),
    /// A sentence that says what was wrong.
    Error(String),
}

/// The commands, each with what else may stand beside it, `id` apart.
const COMMANDS: [(&str, &[&str]); 3] =
    [("subscribe", &["slow"]), ("unsubscribe", &[]), ("publish", &["data", "to_others"])];

/// What every sentence ends with that is about a text which is no command at all.
const EXPECTED: &str = "expected a command, such as {\"subscribe\": \"prices.*\"}, {\"unsubscribe\": \"prices.*\"} \
     or {\"publish\": \"prices.eur\", \"data\": 1.08}";

/// Reads a command, has it done, and says in JSON what came of it.
pub(super) fn answer<'t>(
    text: &'t str,
    done: impl FnOnce(Command<&'t RawValue>) -> Result<Outcome, String>,
) -> String {
    match serde_json::from_str::<Members<'t>>(text) {
        Ok(members) => {
            let outcome = members.command().and_then(done).unwrap_or_else(Outcome::Error);
            encode(&outcome, members.find("id"))
        }
        // It names the line and the column.
        Err(error) => encode(&Outcome::Error(error.to_string()), None),
    }
}

/// The answer, `{"subscribed":"prices.*","id":1}`.
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

/// The members of an object, none twice (RFC 8259 §4), their values as they were written.
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
                None => format!("there is no command in it; {EXPECTED}"),
            });
        };
        if let Some((second, _)) = named.next() {
            return Err(format!("`{name}` and `{second}` are two commands; send them one by one"));
        }
        let known = |member: &str| member == *name || member == "id" || others.contains(&member);
        if let Some((member, _)) = self.0.iter().find(|(member, _)| !known(member)) {
            return Err(format!("`{name}` does not know `{member}`; it takes {}", listed(others)));
        }
        match *name {
            "subscribe" => Ok(Command::Subscribe { filter: self.text(name)?, slow: self.slow(name)? }),
            "unsubscribe" => Ok(Command::Unsubscribe { filter: self.text(name)? }),
            _ => Ok(Command::Publish {
                topic: self.text(name)?,
                data: self.find("data").ok_or("`publish` needs `data`, which may be any JSON")?,
                to_others: self.read("to_others", "true or false")?.unwrap_or(false),
            }),
        }
    }

    fn text(&self, name: &str) -> Result<String, String> {
        Ok(self.read(name, "the name of a topic as text")?.unwrap_or_default())
    }

    fn slow(&self, command: &str) -> Result<Option<SlowConsumer>, String> {
        let policy: Option<String> = self.read("slow", "a policy as text")?;
        let policy = policy.map(|policy| policy.parse::<SlowConsumer>()).transpose();
        policy.map_err(|why| format!("`slow` of `{command}`: {why}"))
    }

    /// The value of a member, if it is there.
    fn read<T: DeserializeOwned>(&self, name: &str, expected: &str) -> Result<Option<T>, String> {
        let Some(value) = self.find(name) else { return Ok(None) };
        let read = serde_json::from_str(value.get());
        read.map(Some).map_err(|_| format!("`{name}` should be {expected}"))
    }
}

/// What may stand beside a command.
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
            // A command has few: with more than there could be, it need not be read to its end.
            if members.0.len() == MEMBERS_MAX {
                return Err(A::Error::custom(format!("a command has {MEMBERS_MAX} members at most")));
            }
            if members.find(&name).is_some() {
                return Err(A::Error::custom(format!("`{name}` is there twice")));
            }
            members.0.push((name, map.next_value()?));
        }
        Ok(members)
    }
}

/// More than any command has.
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
    fn commands() {
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
    fn mistakes_are_named() {
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
        check("{}", "there is no command in it; expected a command");
        check(r#"{"id": 7}"#, "there is no command in it");
        check(r#"{"id": 7, "subscrbe": "a"}"#, "unknown command `subscrbe`; expected a command");
        check(r#"{"subscribe": "a", "unsubscribe": "a"}"#, "`subscribe` and `unsubscribe` are two");
        check(r#"{"subscribe": "a", "subscribe": "b"}"#, "`subscribe` is there twice at line 1 column");
        check(r#"{"subscribe": 7}"#, "`subscribe` should be the name of a topic as text");
        check(r#"{"subscribe": null}"#, "`subscribe` should be");
        check(r#"{"subscribe": "a", "data": 1}"#, "`subscribe` does not know `data`; it takes `slow`, `id`");
        check(r#"{"subscribe": "a", "slow": "wait"}"#, "`slow` of `subscribe`: unknown policy `wait`");
        check(r#"{"subscribe": "a", "slow": 7}"#, "`slow` should be a policy as text");
        check(r#"{"unsubscribe": "a", "slow": "close"}"#, "it takes `id`");
        check(r#"{"publish": "a"}"#, "`publish` needs `data`");
        check(r#"{"publish": "a", "data": 1, "to_others": 1}"#, "`to_others` should be true or false");
        check(r#"{"publish": "a", "data": 01}"#, "line 1 column");
        check(r#"{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1}"#, "8 members at most");
    }

    #[test]
    fn answers_bear_the_id() {
        fn check(text: &str, expected: &str) {
            let done = |command: Command<&RawValue>| match command {
                Command::Subscribe { filter, .. } => Ok(Outcome::Subscribed(filter)),
                Command::Unsubscribe { filter } => Ok(Outcome::Unsubscribed(filter)),
                Command::Publish { .. } => Err("no".to_string()),
            };
            assert_eq!(answer(text, done), expected);
        }
        check(r#"{"subscribe": "a\"b"}"#, r#"{"subscribed":"a\"b"}"#);
        check(r#"{"id": 1.0, "unsubscribe": "a"}"#, r#"{"unsubscribed":"a","id":1.0}"#);
        check(r#"{"publish": "a", "data": 1, "id": {"x": [1]}}"#, r#"{"error":"no","id":{"x": [1]}}"#);
        check(
            r#"{"publish": "a", "id": "7"}"#,
            r#"{"error":"`publish` needs `data`, which may be any JSON","id":"7"}"#,
        );
        check("{", r#"{"error":"EOF while parsing an object at line 1 column 1"}"#);
    }
}
