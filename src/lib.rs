//! A zero-copy, arena-based HTTP/1.1 and WebSocket server.
//!
//! What a handler reads from a request is *fleeting*: it borrows the read buffer and a per-request
//! arena, and both are reused for the next request. Whoever wants it longer copies it, on purpose,
//! with `keep()`; the compiler sees to it.

pub mod arena;
pub mod buffer;
pub mod config;
pub mod keep;
pub mod time;

pub use arena::Arena;
pub use config::{ConfigError, Limits, Timeouts};
pub use keep::Keep;
