//! How a Redis is spoken to.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// How a [`Redis`](super::Redis) or a [`RedisBroker`](super::RedisBroker) speaks to its Redis.
///
/// ```
/// use fleeting_store::RedisOptions;
/// use std::time::Duration;
///
/// let options = RedisOptions::new().namespace("shop:").timeout(Duration::from_millis(100)).watch(|down| match down {
///     Some(why) => eprintln!("Redis is not available: {why}"),
///     None => eprintln!("Redis is back"),
/// });
/// ```
#[derive(Clone)]
pub struct RedisOptions {
    pub(super) timeout: Duration,
    pub(super) connections: usize,
    pub(super) namespace: Box<str>,
    pub(super) heartbeat: Duration,
    watch: Option<Arc<Watch>>,
}

type Watch = dyn Fn(Option<&str>) + Send + Sync;

impl RedisOptions {
    /// 250 ms, 8 connections, the namespace `fleeting:`, a heartbeat every second.
    pub fn new() -> RedisOptions {
        RedisOptions {
            timeout: Duration::from_millis(250),
            connections: 8,
            namespace: "fleeting:".into(),
            heartbeat: Duration::from_secs(1),
            watch: None,
        }
    }

    /// How long one operation may take, connecting included; at least a millisecond.
    pub fn timeout(self, timeout: Duration) -> RedisOptions {
        RedisOptions { timeout: timeout.max(Duration::from_millis(1)), ..self }
    }

    /// Connections that a store may have, at least one: as many operations are under way at the same time. They are
    /// made when they are needed. As many as there are threads that use the store will do.
    pub fn connections(self, connections: usize) -> RedisOptions {
        RedisOptions { connections: connections.max(1), ..self }
    }

    /// What the name of every key and channel begins with, so that others can use the same Redis.
    pub fn namespace(self, namespace: impl Into<Box<str>>) -> RedisOptions {
        RedisOptions { namespace: namespace.into(), ..self }
    }

    /// How long a broker hears nothing before it asks whether Redis is still there, and how long it waits then; at
    /// least a millisecond.
    pub fn heartbeat(self, heartbeat: Duration) -> RedisOptions {
        RedisOptions { heartbeat: heartbeat.max(Duration::from_millis(1)), ..self }
    }

    /// Tells when Redis cannot be reached, and why, and with `None` when it is back. A broker finds out by itself, a
    /// store when it is used. It is called on threads that have this to do: the next attempt waits for it.
    pub fn watch(self, watch: impl Fn(Option<&str>) + Send + Sync + 'static) -> RedisOptions {
        RedisOptions { watch: Some(Arc::new(watch)), ..self }
    }

    pub(super) fn tell(&self, down: Option<&str>) {
        if let Some(watch) = &self.watch {
            // If it panics, the thread that calls it has still its work to do.
            let _ = catch_unwind(AssertUnwindSafe(|| watch(down)));
        }
    }
}

impl Default for RedisOptions {
    fn default() -> RedisOptions {
        RedisOptions::new()
    }
}

impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisOptions")
            .field("timeout", &self.timeout)
            .field("connections", &self.connections)
            .field("namespace", &self.namespace)
            .field("heartbeat", &self.heartbeat)
            .finish_non_exhaustive()
    }
}
