//! The PROXY protocol: what a proxy says about its client before the first byte of the connection.
//!
//! `header` reads it, and knows only bytes. `stream` takes it off the beginning of a stream.

mod header;
mod stream;

pub use header::ProxyHeader;
pub use stream::ProxiedStream;
