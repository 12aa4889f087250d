//! The hub: topics that clients subscribe to and publish under, over WebSockets and over HTTP.

mod command;
mod delivery;
mod socket;
mod topics;

pub(crate) use delivery::{Delivery, RESERVED_TOPICS};
pub(crate) use socket::Hub;
pub(crate) use topics::routes;
