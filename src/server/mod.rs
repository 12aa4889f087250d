//! Starts and ends a server: builder, listening sockets, worker threads.

mod builder;
mod error;
mod listen;
mod running;
mod tcp_options;

pub use builder::{Builder, WorkerContext};
pub use error::ServeError;
pub use running::Server;
pub use tcp_options::{KeepAlive, TcpOptions};
