//! Topics: who has subscribed to what, and what is due to whom.
//!
//! `Topics` is one worker's table. It knows no connection but a name it was given for one, no socket
//! and no thread: publications gather in it during a turn, and whoever drives it takes them out for each
//! subscriber. A [`Publication`] is what travels between workers, a [`Broker`] what takes it further.
//!
//! Invariant: each subscriber is due each publication at most once, in the order in which they were made.

mod batch;
mod broker;
mod names;
mod publication;
mod topics;

pub use broker::{Broker, Inlet};
pub use names::TopicError;
pub use publication::Publication;
pub use topics::{SubscriberId, TopicCount};

pub(crate) use batch::{Batch, Encoding, Kind};
pub(crate) use broker::Attached;
pub(crate) use names::{check_filter, check_publication};
pub(crate) use topics::{BatchRange, Topics};
