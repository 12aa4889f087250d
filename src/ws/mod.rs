//! The WebSocket protocol (RFC 6455) as state machines over bytes.
//!
//! [`handshake`] judges an upgrade, [`decode`] turns what a client sends into events, [`encode`] writes
//! frames, [`Closing`] keeps who has said goodbye; with the feature `deflate`, `deflate` inflates what
//! came compressed and compresses what goes. None of it knows a socket, a clock or the HTTP parser: bytes
//! come in as slices and go out into a `Vec`.
//!
//! Invariant: what happens is a function of the bytes alone, not of how they were cut on the way.

pub mod closing;
pub mod decode;
#[cfg(feature = "deflate")]
pub mod deflate;
pub mod encode;
pub mod handshake;

mod codes;
mod compression;
mod extension;
mod failure;
mod header;
#[cfg(feature = "deflate")]
mod inflated;
mod mask;
mod message;
mod origin;
mod rejected;
mod short;
mod tokens;
mod utf8;

pub use closing::Closing;
pub use codes::{CloseCode, Opcode};
pub use compression::{Compression, Mode};
pub use decode::{Decoder, Event, Step};
pub use extension::Negotiated;
pub use failure::Failure;
pub use handshake::{Accepted, Policy};
pub use message::Message;
pub use rejected::Rejected;
