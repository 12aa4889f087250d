//! The buffers that a connection owns only while it needs them.
//!
//! They know bytes, not protocols. An idle connection owns none: an [`Inbox`] goes back to the
//! worker's [`Pool`] when it is drained, an [`Outbox`] is dropped when it is.

mod file_part;
mod inbox;
mod outbox;
mod slow;

pub use file_part::FilePart;
pub use inbox::{Inbox, Pool};
pub use outbox::{Offered, Outbox, Piece, Portion, Published, Taken};
pub use slow::SlowConsumer;
