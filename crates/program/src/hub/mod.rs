//! The hub: topics that clients subscribe to and publish under, over WebSockets and over HTTP.
//!
//! It knows no other part of the program. docs/hub.md describes it to clients.

mod command;
mod delivery;
mod socket;
mod topics;

pub(crate) use delivery::{Delivery, RESERVED_TOPICS, announcement};
pub(crate) use socket::Hub;
pub(crate) use topics::routes;
