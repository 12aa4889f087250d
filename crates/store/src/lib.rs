//! What outlives a request, a connection, and with Redis the process: values under keys.
//!
//! A store knows no request and no socket of the server's. Its invariants: it copies what it is given, before
//! it returns; and it never hands out a borrow of itself, only copies, in the arena of who asks.

mod error;
mod key;
mod memory;
mod page;
#[cfg(feature = "redis")]
mod redis;
mod stats;
mod store;

#[cfg(feature = "redis")]
pub use self::redis::{
    BrokerCounters, Gap, NodeError, Redis, RedisBroker, RedisOptions, RedisUrl, RedisUrlError, check_node,
};
#[cfg(feature = "redis")]
#[doc(hidden)]
pub use self::redis::{Content, Envelope};
pub use error::StoreError;
pub use key::KEY_BYTES_MAX;
pub use memory::{Memory, StoreLimits};
pub use page::{Cursor, Page};
pub use stats::StoreStats;
pub use store::Store;
