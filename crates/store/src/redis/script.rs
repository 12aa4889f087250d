//! A Lua script that Redis runs as one atomic step, called by its hash.

use super::link::Link;
use redis::{FromRedisValue, RedisResult, ToRedisArgs, Value, cmd};

/// A script that works on one key.
pub(super) struct Script {
    code: &'static str,
    /// The SHA-1 by which Redis knows the script.
    hash: String,
}

impl Script {
    pub(super) fn new(code: &'static str) -> Script {
        Script { code, hash: redis::Script::new(code).get_hash().to_string() }
    }

    /// Runs the script. If Redis does not know it, which it reports before it does anything, the script is loaded first.
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
