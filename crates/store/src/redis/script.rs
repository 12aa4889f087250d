//! A script that Redis runs in one step, called by its hash.

use super::link::Link;
use redis::{FromRedisValue, RedisResult, ToRedisArgs, Value, cmd};

/// A script in Lua, on one key.
pub(super) struct Script {
    code: &'static str,
    /// What Redis knows it by.
    hash: String,
}

impl Script {
    pub(super) fn new(code: &'static str) -> Script {
        Script { code, hash: redis::Script::new(code).get_hash().to_string() }
    }

    /// Has it run. Redis is told of it when it does not know it, which it has said before anything was done.
    pub(super) fn call<T: FromRedisValue>(
        &self,
        link: &mut Link,
        key: &str,
        arguments: impl ToRedisArgs,
    ) -> RedisResult<T> {
        let mut command = cmd("EVALSHA");
        command.arg(&self.hash).arg(1).arg(key).arg(arguments);
        match link.query(&command) {
            Err(error) if error.code() == Some("NOSCRIPT") => {
                link.query::<Value>(cmd("SCRIPT").arg("LOAD").arg(self.code))?;
                link.query(&command)
            }
            outcome => outcome,
        }
    }
}
