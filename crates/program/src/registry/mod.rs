//! The registry, `/clients`: a record of each client that asks for one.
//!
//! A record holds a client's id, what it sent, when and from where, and the connection that holds it. [`Registry`] has
//! the operations on records; [`handlers`] and [`socket`] call them for clients. docs/registry.md describes the
//! routes.

mod errors;
mod handlers;
mod holders;
mod record;
mod records;
mod socket;
#[cfg(test)]
mod tests;

pub(crate) use handlers::routes;
pub(crate) use records::{ClientCounts, RecordLifetimes, Registry};
