//! Writes to many streams that are carried out together.
//!
//! It knows no connection and no kernel. Its invariant: a write's bytes are only borrowed for the call, so when it
//! returns no write is under way.

use std::io;
use std::os::fd::RawFd;

/// A write that is submitted together with others.
#[derive(Debug, Clone, Copy)]
pub struct Submission<'a> {
    /// What [`Stream::socket`](super::Stream::socket) has returned.
    pub socket: RawFd,
    /// What is to be written. It is not empty.
    pub bytes: &'a [u8],
}

/// Carries out writes to many streams, at a lower cost than one call each.
///
/// [`Engine::submit_through`](crate::engine::Engine::submit_through) gives an engine one.
pub trait Submit {
    /// Carries out `writes`, and appends their results to `results` in the same order. Each has the effect and the result
    /// of a [`Stream::write`](super::Stream::write). A write that was not carried out fails with `Interrupted`; the engine
    /// repeats it by itself. When the call returns, no write is under way.
    ///
    /// Returns false if it must not be used again.
    fn submit<'a>(
        &mut self,
        writes: &mut dyn Iterator<Item = Submission<'a>>,
        results: &mut Vec<io::Result<usize>>,
    ) -> bool;
}
