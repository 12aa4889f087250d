//! Connections, their turns, and the loop that gives them.
//!
//! [`Engine`] holds the connections and does all the work on them. It is generic over its stream and gets the time as an
//! argument, so a simulator can drive it. [`Worker`] is the thin mio loop around it. Its invariant: handlers are called
//! from here and nowhere else, and only here are bytes moved between a connection's buffers and its stream.
//!
//! ```text
//!   worker -> driver -> turn -> http, websocket -> output, context
//!                 `-> delivery, deadlines -> conn (the record, and the table of its states)
//!   remote: what other threads hold; it reaches a worker through its mailbox
//! ```

mod conn;
mod context;
mod counters;
mod deadlines;
mod delivery;
mod driver;
mod http;
mod listeners;
mod output;
mod progress;
mod publisher;
mod remote;
mod shutdown;
mod table;
mod timer;
mod turn;
mod websocket;
mod worker;

pub use counters::{Counters, WorkerFigures};
pub use driver::{Engine, Readiness, Settings};
pub use remote::handle::{Handle, PublishError};
pub use remote::mailbox::SendError;
pub use remote::subscription::Subscription;
pub use shutdown::{Business, ShutdownReport, Straggler};
pub use worker::{Worker, WorkerError};

pub(crate) use worker::WorkerParts;
