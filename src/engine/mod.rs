//! The engine: connections, their turns, and the loop that runs them.
//!
//! [`Engine`] holds the connections and does all the work on them. It is generic over its stream and gets the time as an
//! argument, so a simulator can drive it. [`Worker`] is the thin mio loop around it. Its invariant: only the engine
//! calls handlers, and only the engine moves bytes between a connection's buffers and its stream.
//!
//! ```text
//!   worker -> driver -> turn -> http, websocket -> output, context
//!                 `-> delivery, deadlines -> conn (the record, and the table of its states)
//!   remote: what other threads hold; it reaches a worker through its mailbox
//! ```
//!
//! An engine runs over any [`Stream`](crate::transport::Stream), and over any clock:
//!
//! ```
//! use fleeting::engine::{Engine, Readiness, Settings};
//! use fleeting::time::Now;
//! use fleeting::transport::Stream;
//! use fleeting::{App, Response};
//! use std::io::{self, IoSlice};
//!
//! /// A peer that has sent one request.
//! struct Wire {
//!     sent: &'static [u8],
//!     answer: Vec<u8>,
//! }
//!
//! impl Stream for Wire {
//!     fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
//!         io::Read::read(&mut self.sent, buffer)
//!     }
//!     fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
//!         self.answer.extend_from_slice(bytes);
//!         Ok(bytes.len())
//!     }
//!     fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
//!         slices.iter().map(|slice| self.write(slice)).sum()
//!     }
//!     fn shutdown_write(&mut self) -> io::Result<()> {
//!         Ok(())
//!     }
//! }
//!
//! let now = Now { ms: 1, unix_secs: 784_111_777 };
//! let app = App::new().get("/", |_req| Ok(Response::text("hello")));
//! let mut engine = Engine::new(app, Settings::default(), now);
//! let wire = Wire { sent: b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", answer: Vec::new() };
//! let id = engine.accept(wire, None);
//! engine.begin(now);
//! engine.ready(id, Readiness { readable: true, ..Readiness::default() });
//! engine.run();
//! let answer = &engine.stream_mut(id).unwrap().answer;
//! assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n") && answer.ends_with(b"\r\n\r\nhello"));
//! ```

mod admission;
mod bounds;
mod commands;
mod completions;
mod conn;
mod context;
mod cork;
mod counters;
mod deadlines;
mod deliveries;
mod delivery;
mod driver;
mod ending;
mod eviction;
mod expiry;
mod figures;
mod http;
mod http2;
mod input;
mod listeners;
mod output;
mod pace;
mod places;
mod progress;
mod publisher;
mod readiness;
mod refusing;
mod remote;
mod schedule;
mod settings;
mod shedding;
mod shutdown;
mod spin;
mod streams;
mod table;
mod timer;
mod together;
mod told;
mod turn;
mod websocket;
mod worker;

pub use bounds::Bound;
#[doc(hidden)]
pub use bounds::Bounds;
pub use counters::{Counters, WorkerFigures};
pub use driver::Engine;
pub use readiness::Readiness;
pub use remote::handle::{Handle, PublishError};
pub use remote::mailbox::SendError;
pub use remote::subscription::Subscription;
pub use settings::Settings;
pub use shutdown::{Business, ShutdownReport, Straggler};
pub use worker::{Worker, WorkerError};

pub(crate) use worker::WorkerParts;
