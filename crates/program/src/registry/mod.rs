//! `/clients`: the article's global map, in a store. Who a client is, what it sent, when, from where, and its
//! connection.
//!
//! [`Registry`] is what is done with records, [`handlers`] and [`socket`] who asks for it.

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
