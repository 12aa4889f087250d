//! The streams that connections run on.
//!
//! The engine is generic over [`Stream`]: TCP in production, a seeded imitation in the simulator.

mod accept;
mod peer;
#[cfg(target_os = "linux")]
pub(crate) mod sigpipe;
mod stream;
mod tcp;

pub(crate) use accept::{NotAccepted, accept, may_succeed_later, unregistered};
pub(crate) use peer::Peer;
pub use stream::Stream;
pub(crate) use tcp::listen;
