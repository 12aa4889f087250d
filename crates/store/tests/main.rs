//! The promises of a store and of a broker, one module each.
//!
//! In builds for AddressSanitizer (`--cfg fleeting_paranoid`, see tests/sanitize) `nodes` is left out: it holds servers
//! to a quarter of a second, and they are several times slower there.

#[cfg(feature = "tls")]
mod certificates;
#[cfg(feature = "redis")]
mod failover;
#[cfg(feature = "redis")]
mod members;
mod memory;
#[cfg(all(feature = "redis", not(fleeting_paranoid)))]
mod nodes;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "redis")]
mod replicas;
#[cfg(feature = "redis")]
mod sentinel;
mod store;
#[cfg(feature = "tls")]
mod tls;
