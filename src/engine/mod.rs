//! Connections, their turns, and the loop that gives them.
//!
//! [`Engine`] holds the connections and does all the work on them; it is generic over its stream
//! and is told the time, so that a simulator can drive it. [`Worker`] is the thin mio loop around it.
//! Handlers are called from here and nowhere else, and only here are bytes moved between a
//! connection's buffers and its stream.

mod census;
mod compression;
mod conn;
mod counters;
mod deadlines;
mod delivery;
mod desk;
mod driver;
mod exchange;
mod handle;
mod http;
mod listeners;
mod mailbox;
mod output;
mod receiving;
mod report;
mod sending;
mod table;
mod timer;
mod transfer;
mod turn;
mod websocket;
mod worker;

pub use census::WorkerFigures;
pub use counters::Counters;
pub use driver::{Engine, Readiness, Settings};
pub use handle::{Handle, PublishError, SendError};
pub use listeners::Subscription;
pub use report::{Business, ShutdownReport, Straggler};
pub use worker::{Worker, WorkerError};

pub(crate) use worker::Seat;
