//! Tests of the program, one module for each promise.
//!
//! Builds for AddressSanitizer (`--cfg fleeting_paranoid`, see tests/sanitize) leave out `nodes`: it requires processes to
//! answer within a quarter of a second, and they are several times slower there.

mod events;
mod hub;
mod lesson;
mod listening;
mod metrics;
#[cfg(not(fleeting_paranoid))]
mod nodes;
mod profile_guided;
mod program;
mod proxies;
mod proxy;
mod registry;
mod routes;
mod settings;
mod signals;
mod sites;
mod supervisor;
mod tls;
