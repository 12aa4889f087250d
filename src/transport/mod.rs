//! The streams that connections run on.
//!
//! The engine is generic over [`Stream`]: TCP in production, a seeded imitation in the simulator.

mod accept;
mod peer;
#[cfg(target_os = "linux")]
mod ring;
#[cfg(target_os = "linux")]
pub(crate) mod sigpipe;
mod stream;
mod submit;
mod tcp;

pub(crate) use accept::{NotAccepted, accept, may_succeed_later, unregistered};
pub(crate) use peer::Peer;
#[cfg(target_os = "linux")]
pub(crate) use ring::Ring;
pub use stream::Stream;
pub use submit::{Submission, Submit};
pub(crate) use tcp::listen;
