//! The WebSocket protocol (RFC 6455) as state machines over bytes.
//!
//! [`handshake`] judges an upgrade, [`decode`] turns what a client sends into events, [`encode`] writes
//! frames, [`Closing`] keeps who has said goodbye. None of it knows a socket, a clock or the HTTP
//! parser: bytes come in as slices and go out into a `Vec`.
//!
//! Invariant: what happens is a function of the bytes alone, not of how they were cut on the way.

pub mod closing;
pub mod decode;
pub mod encode;
pub mod handshake;

mod codes;
mod failure;
mod header;
mod mask;
mod message;
mod origin;
mod rejected;
mod short;
mod utf8;

#[cfg(test)]
mod corpus;
#[cfg(any(test, fuzzing))]
pub mod differential;
#[cfg(any(test, fuzzing))]
pub mod trace;

pub use closing::Closing;
pub use codes::{CloseCode, Opcode};
pub use decode::{Decoder, Event, Step};
pub use failure::Failure;
pub use handshake::{Accepted, Policy};
pub use message::Message;
pub use rejected::Rejected;
