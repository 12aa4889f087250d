//! Topics, their subscribers, and the publications of a turn.
//!
//! - `Topics` is one worker's table of topics and subscribers. It matches a publication to its subscribers when
//!   the publication is made.
//! - `Batch` holds the frames of a turn's publications, one after the other, each encoded once.
//! - `BatchRange` is a range of publications that one subscriber is owed. It is one slice of the batch, so
//!   that several publications leave in one write.
//! - A [`Publication`] is a message and its topic in memory of their own. It travels between workers.
//! - A [`Broker`] sends publications to other servers. Theirs arrive through an [`Inlet`].
//!
//! It knows no socket, no thread and no connection: the caller chooses what identifies a subscriber.
//!
//! Its invariant: each subscriber is owed each publication at most once, and gets publications in the order
//! in which they were made.

mod batch;
mod broker;
mod index;
mod names;
mod page;
mod publication;
mod topics;

pub use broker::{Broker, Inlet};
pub use names::TopicError;
pub use page::{TopicCount, TopicPage};
pub use publication::Publication;

pub(crate) use batch::{Batch, BatchRange, Encoding, Entry, Kind};
pub(crate) use broker::Attached;
pub(crate) use names::{check_filter, check_publication};
pub(crate) use topics::{BATCH_PUBLICATIONS_MAX, SubscriberId, Topics};
