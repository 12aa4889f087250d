//! The streams that connections run on.
//!
//! The engine is generic over [`Stream`]: TCP in production, a seeded imitation in the simulator.

mod peer;
#[cfg(target_os = "linux")]
pub(crate) mod sigpipe;
mod stream;
mod tcp;

pub(crate) use peer::Peer;
pub use stream::Stream;
pub(crate) use tcp::{accept, listen};
