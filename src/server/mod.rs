//! Starts and ends a server: builder, listening sockets, worker threads.

mod affinity;
mod builder;
mod context;
mod error;
mod listen;
mod prepared;
mod running;
mod tcp_options;

pub use builder::Builder;
pub use context::WorkerContext;
pub use error::ServeError;
pub use listen::check_address;
pub use prepared::PreparedWorker;
pub use running::Server;
pub use tcp_options::{KeepAlive, TcpOptions};
