//! Promises of the whole, one module each; `client`, `pipe` and `rig` are what they are tested with.
//!
//! In builds for AddressSanitizer (`--cfg fleeting_paranoid`, see tests/sanitize) memory is freed where it would be
//! used again: what counts allocations is left out. So is what the compiler says, which is another one, and `nodes`: it
//! holds whole processes to a quarter of a second, and they are several times slower.

#[cfg(not(fleeting_paranoid))]
mod allocations;
mod announcements;
#[cfg(feature = "deflate")]
mod compression;
mod defer;
mod descriptors;
mod ending;
#[cfg(not(fleeting_paranoid))]
mod escape;
mod events;
mod files;
mod foreign_loop;
mod found;
mod identity;
mod keeping_alive;
mod limits;
mod listeners;
mod offload;
mod panics;
mod pipe;
mod pipelining;
mod pubsub;
mod routing;
mod shutdown;
mod simulator;
mod slow_consumers;
mod split;
mod start;
mod streaming;
mod thread_pool;
mod timeouts;
mod upgrade;
mod uploads;
