//! What a server says about itself: whether it is a primary, and which one.
//!
//! A replica accepts `PUBLISH`, and its primary never hears of it; what is read from a replica may be old. So a connection
//! to a replica is of no use here, and two connections must lead to the same server. It knows no connection. Invariant: a
//! server counts as a replica only if it says so.

use redis::{RedisError, RedisResult, Value, cmd};

/// What a server has said about itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Server {
    /// Identifies one run of a server; `None` if the user may not ask for it.
    run_id: Option<Box<str>>,
    /// The address that sentinels return for it, if it was found that way.
    name: Option<Box<str>>,
    pub(super) is_replica: bool,
}

/// How to ask. Not every user may use each command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    /// `INFO`, which says everything.
    Info,
    /// `ROLE`.
    Role,
    /// `HELLO`, which hardly any user is denied.
    Hello,
    /// None: the server is taken for a primary.
    Nothing,
}

/// Why connections are dropped, as a clause that can follow "the store is unavailable: ".
pub(super) const IS_REPLICA: &str = "it is a replica";
pub(super) const IS_ANOTHER: &str = "it has restarted, or its address leads to another server";

impl Server {
    pub(super) fn set_name(&mut self, name: &str) {
        self.name = Some(name.into());
    }

    /// Returns whether the two are known to be different servers.
    pub(super) fn differs_from(&self, other: &Server) -> bool {
        match (&self.run_id, &other.run_id) {
            (Some(own), Some(other)) => own != other,
            // Sentinels may have two names for one server, so its own word counts more.
            _ => self.name.is_some() && other.name.is_some() && self.name != other.name,
        }
    }

    /// Returns whether it is unknown which server this is.
    pub(super) fn is_unknown(&self) -> bool {
        self.run_id.is_none()
    }

    /// Returns why a connection to this server, which was to `before` so far, is to be dropped.
    pub(super) fn objection(&self, before: &Server) -> Option<&'static str> {
        if self.is_replica {
            return Some(IS_REPLICA);
        }
        self.differs_from(before).then_some(IS_ANOTHER)
    }
}

impl Question {
    /// Appends the commands that ask.
    pub(super) fn append(self, out: &mut Vec<u8>) {
        let commands: &[&[&str]] = match self {
            // Redis 6.2 takes one section at a time.
            Question::Info => &[&["INFO", "server"], &["INFO", "replication"]],
            Question::Role => &[&["ROLE"]],
            Question::Hello => &[&["HELLO"]],
            Question::Nothing => &[],
        };
        for words in commands {
            let mut command = cmd(words[0]);
            command.arg(&words[1..]).write_packed_command(out);
        }
    }

    /// Reads the answer. `receive` receives the next reply.
    ///
    /// # Errors
    /// If `receive` fails or the server refuses; see [`is_refusal`].
    pub(super) fn answer(self, mut receive: impl FnMut() -> RedisResult<Value>) -> RedisResult<Server> {
        match self {
            Question::Info => {
                let (server, replication) = (receive()?, receive()?);
                let (server, replication) = (server.extract_error()?, replication.extract_error()?);
                let run_id = text(&server).and_then(|text| field(text, "run_id")).map(Into::into);
                let role = text(&replication).and_then(|text| field(text, "role"));
                Ok(Server { run_id, name: None, is_replica: role.is_some_and(is_replica) })
            }
            Question::Role => {
                let role = receive()?.extract_error()?;
                let role = role.as_sequence().and_then(|items| text(items.first()?));
                Ok(Server { is_replica: role.is_some_and(is_replica), ..Server::default() })
            }
            Question::Hello => {
                let hello = receive()?.extract_error()?;
                let mut pairs = hello.as_map_iter().into_iter().flatten();
                let role =
                    pairs.find(|(name, _)| text(name) == Some("role")).and_then(|(_, role)| text(role));
                Ok(Server { is_replica: role.is_some_and(is_replica), ..Server::default() })
            }
            Question::Nothing => Ok(Server::default()),
        }
    }

    /// Returns what to ask if the server refuses this question.
    pub(super) fn next(self) -> Question {
        match self {
            Question::Info => Question::Role,
            Question::Role => Question::Hello,
            Question::Hello | Question::Nothing => Question::Nothing,
        }
    }
}

/// Returns whether the user may not use a command, or the server does not have it.
pub(super) fn is_refusal(error: &RedisError) -> bool {
    matches!(error.code(), Some("NOPERM" | "ERR"))
}

/// Returns whether an error means that the connection should be replaced: it leads to a replica, or has lost its login.
/// The address may lead to another server by now.
pub(super) fn is_misplaced(error: &RedisError) -> bool {
    match error.code() {
        Some("READONLY" | "MASTERDOWN" | "NOAUTH") => true,
        // Redis 6.2 wraps the error of a command in a script.
        Some("ERR") => error.detail().is_some_and(|detail| detail.contains("-READONLY ")),
        _ => false,
    }
}

fn is_replica(role: &str) -> bool {
    matches!(role, "slave" | "replica")
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text),
        _ => None,
    }
}

/// Returns the value of a field of `INFO`.
fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;
    use redis::parse_redis_value;

    fn answer(question: Question, replies: &[&str]) -> RedisResult<Server> {
        let mut replies = replies.iter();
        question.answer(|| parse_redis_value(replies.next().expect("no further reply is read").as_bytes()))
    }

    fn bulk(text: &str) -> String {
        format!("${}\r\n{text}\r\n", text.len())
    }

    fn info(run_id: &str, role: &str) -> Server {
        let server = bulk(&format!("# Server\r\nredis_version:7.0.15\r\nrun_id:{run_id}\r\nx:1\r\n"));
        let replication = bulk(&format!("# Replication\r\nrole:{role}\r\nmaster_replid:7\r\n"));
        answer(Question::Info, &[&server, &replication]).unwrap()
    }

    #[test]
    fn each_answer_says_whether_the_server_is_a_replica() {
        assert_eq!(info("ab", "master"), Server { run_id: Some("ab".into()), ..Server::default() });
        assert!(info("ab", "slave").is_replica && info("ab", "replica").is_replica);
        let role = |reply: &str| answer(Question::Role, &[reply]).unwrap();
        assert_eq!(role("*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"), Server::default());
        let replica = "*5\r\n$5\r\nslave\r\n$1\r\na\r\n:1\r\n$4\r\nsync\r\n:-1\r\n";
        assert!(role(replica).is_replica);
        let hello = |role: &str| format!("*4\r\n+server\r\n+redis\r\n$4\r\nrole\r\n{}", bulk(role));
        assert!(answer(Question::Hello, &[&hello("replica")]).unwrap().is_replica);
        assert!(!answer(Question::Hello, &[&hello("master")]).unwrap().is_replica);
        // What is not understood is no replica.
        for odd in ["+OK\r\n", "*0\r\n", "$-1\r\n", ":1\r\n"] {
            assert_eq!(answer(Question::Info, &[odd, odd]).unwrap(), Server::default());
            assert_eq!(answer(Question::Role, &[odd]).unwrap(), Server::default());
            assert_eq!(answer(Question::Hello, &[odd]).unwrap(), Server::default());
        }
        assert_eq!(answer(Question::Nothing, &[]).unwrap(), Server::default());
    }

    #[test]
    fn a_user_who_may_not_ask_one_question_is_asked_the_next() {
        let no = "-NOPERM this user has no permissions to run the 'info' command\r\n";
        assert!(is_refusal(&answer(Question::Info, &[no, no]).unwrap_err()), "both replies are read");
        assert!(is_refusal(&answer(Question::Role, &["-ERR unknown command 'ROLE'\r\n"]).unwrap_err()));
        assert!(!is_refusal(&answer(Question::Role, &["-NOAUTH Authentication required.\r\n"]).unwrap_err()));
        assert_eq!(Question::Info.next().next().next(), Question::Nothing);
    }

    #[test]
    fn a_connection_is_dropped_for_a_replica_or_another_server() {
        let (own, other, unknown) = (info("a", "master"), info("b", "master"), Server::default());
        assert_eq!(own.objection(&own), None);
        assert_eq!(other.objection(&own), Some(IS_ANOTHER));
        assert_eq!(info("a", "slave").objection(&own), Some(IS_REPLICA));
        assert_eq!((unknown.objection(&own), own.objection(&unknown)), (None, None));
        assert!(unknown.is_unknown() && !own.is_unknown());
        // Found by sentinels.
        let named = |server: &Server, name: &str| Server { name: Some(name.into()), ..server.clone() };
        let (a, b) = (named(&unknown, "10.0.0.1:6379"), named(&unknown, "10.0.0.2:6379"));
        assert_eq!((b.objection(&a), a.objection(&a)), (Some(IS_ANOTHER), None));
        assert_eq!((unknown.objection(&a), b.objection(&unknown)), (None, None));
        assert_eq!(named(&own, "a.example:6379").objection(&named(&own, "10.0.0.1:6379")), None);
    }
}
