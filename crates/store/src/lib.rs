//! Key-value stores that outlive a request, and a broker that joins Fleeting servers.
//!
//! - [`Store`] is the contract: keys and values with an optional time to live.
//! - [`Memory`] is a store in the memory of the process.
//! - With the feature `redis`, `Redis` is a store in Redis, which outlives the process and can be shared by several;
//!   `RedisBroker` delivers publications to all servers on the same Redis. The feature `tls` adds TLS.
//!
//! A store knows neither requests nor the server's sockets. Invariants: a store copies its arguments before it returns;
//! and it returns copies in the caller's arena, never a borrow of itself.

mod error;
mod key;
mod memory;
mod page;
#[cfg(feature = "redis")]
mod redis;
mod stats;
mod store;

// Only the fuzz target needs these.
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

/// Compiles and runs the examples of the README.
#[cfg(all(doctest, feature = "redis"))]
#[doc = include_str!("../README.md")]
struct Readme;
