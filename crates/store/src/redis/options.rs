//! How Redis is used: timeouts, connections, names.

use super::alarm::Alarm;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// Options for a [`Redis`](super::Redis) store or a [`RedisBroker`](super::RedisBroker).
///
/// Give both of a server clones of the same options: if one of them has lost its Redis, the other one then looks at once
/// whether a failover has happened.
///
/// ```
/// use fleeting_store::RedisOptions;
/// use std::time::Duration;
///
/// let options = RedisOptions::new().namespace("shop:").timeout(Duration::from_millis(100)).watch(|down| match down {
///     Some(why) => eprintln!("Redis is unavailable: {why}"),
///     None => eprintln!("Redis is back"),
/// });
/// ```
#[derive(Clone)]
pub struct RedisOptions {
    pub(super) timeout: Duration,
    pub(super) connections: usize,
    pub(super) namespace: Box<str>,
    pub(super) heartbeat: Duration,
    pub(super) alarm: Alarm,
    watch: Option<Arc<Watch>>,
}

type Watch = dyn Fn(Option<&str>) + Send + Sync;

const WAIT_MIN: Duration = Duration::from_millis(1);
/// As good as forever, and keeps every sum of times in range.
const WAIT_MAX: Duration = Duration::from_secs(366 * 86_400);

impl RedisOptions {
    /// Creates the defaults: a timeout of 250 ms, 8 connections, the namespace `fleeting:`, a heartbeat of one second.
    pub fn new() -> RedisOptions {
        RedisOptions {
            timeout: Duration::from_millis(250),
            connections: 8,
            namespace: "fleeting:".into(),
            heartbeat: Duration::from_secs(1),
            alarm: Alarm::default(),
            watch: None,
        }
    }

    /// Sets how long one operation may take, including the time to connect. The minimum is 1 ms, the maximum a
    /// year of 366 days.
    pub fn timeout(self, timeout: Duration) -> RedisOptions {
        RedisOptions { timeout: timeout.clamp(WAIT_MIN, WAIT_MAX), ..self }
    }

    /// Sets how many connections a store may open, which is also how many operations can run at the same time. The
    /// minimum is 1. Connections are opened on demand; one for each thread that uses the store is enough.
    pub fn connections(self, connections: usize) -> RedisOptions {
        RedisOptions { connections: connections.max(1), ..self }
    }

    /// Sets the prefix of all keys and channels, so that other applications can use the same Redis.
    pub fn namespace(self, namespace: impl Into<Box<str>>) -> RedisOptions {
        RedisOptions { namespace: namespace.into(), ..self }
    }

    /// Sets how often a broker and a store check whether their server is a primary, and the one that the address leads
    /// to. Each check makes a connection. It is also after how much silence a broker sends a PING, and how long it waits
    /// for the answer. The minimum is 1 ms, the maximum a year of 366 days.
    pub fn heartbeat(self, heartbeat: Duration) -> RedisOptions {
        RedisOptions { heartbeat: heartbeat.clamp(WAIT_MIN, WAIT_MAX), ..self }
    }

    /// Sets a callback for outages: it gets the reason when Redis becomes unavailable, and `None` when Redis is back.
    ///
    /// A server that is a replica counts as unavailable. A broker detects an outage by itself, a store only when it is
    /// used. The callback runs on the thread that reconnects, and the next attempt waits until it returns.
    pub fn watch(self, watch: impl Fn(Option<&str>) + Send + Sync + 'static) -> RedisOptions {
        RedisOptions { watch: Some(Arc::new(watch)), ..self }
    }

    pub(super) fn report(&self, down: Option<&str>) {
        if let Some(watch) = &self.watch {
            // A panic of the callback must not end the thread that reconnects.
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    /// Finding A17.
    #[test]
    fn waits_of_any_length_can_be_added_to_a_time() {
        let options = RedisOptions::new().timeout(Duration::MAX).heartbeat(Duration::MAX);
        assert!(Instant::now().checked_add(2 * options.timeout).is_some());
        assert!(Instant::now().checked_add(2 * options.heartbeat).is_some());
        let options = options.timeout(Duration::ZERO).heartbeat(Duration::ZERO);
        assert_eq!((options.timeout, options.heartbeat), (WAIT_MIN, WAIT_MIN));
    }
}
