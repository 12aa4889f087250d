//! The registry, `/clients`: a record of each client that asks for one.
//!
//! A record says who the client is, what it sent, when, from where, and which connection holds it. [`Registry`] is
//! the operations on records; [`handlers`] and [`socket`] are the ways to call them. docs/registry.md describes them
//! to clients.

mod errors;
mod handlers;
mod holders;
mod listing;
mod record;
mod records;
mod socket;
#[cfg(test)]
mod tests;

pub(crate) use handlers::routes;
pub(crate) use records::{ClientCounts, RecordLifetimes, Registry};
