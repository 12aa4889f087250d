//! The buffers that a connection owns only while it needs them.
//!
//! They know bytes, not protocols. An idle connection owns none: an [`Inbox`] goes back to the worker's
//! [`Pool`] when it is drained, and an [`Outbox`] to its [`Outboxes`].

mod block;
mod charges;
mod file_part;
mod inbox;
mod memory;
mod outbox;
mod outboxes;
mod piece;
mod policy;
mod pool;
mod slow;

pub use file_part::FilePart;
pub use inbox::Inbox;
pub use memory::{Charge, Memory, NoMemory, system_is_short};
pub use outbox::{Outbox, Portion, Taken};
pub use outboxes::Outboxes;
pub use piece::{Piece, Published};
pub use pool::Pool;
pub use slow::SlowConsumer;
