//! Writes that are carried out together, where the system can do that.
//!
//! It knows neither connections nor what is written. Its invariant: a write that was pushed is carried out, or taken back,
//! exactly once.

use crate::transport::{Submission, Submit};
use std::io;
use std::os::fd::RawFd;

/// Writes that wait for one another, each described by a `W`.
pub(super) struct Together<W> {
    /// `None` if each write is a call of its own.
    submit: Option<Box<dyn Submit>>,
    /// How many writes are carried out together, at least and at most.
    bounds: (usize, usize),
    writes: Vec<(RawFd, W)>,
    results: Vec<io::Result<usize>>,
}

impl<W> Together<W> {
    /// `bounds`: how many writes are carried out together, at least and at most.
    pub(super) fn new(bounds: (usize, usize)) -> Together<W> {
        Together { submit: None, bounds, writes: Vec::new(), results: Vec::new() }
    }

    /// Carries writes out through `submit` from now on.
    pub(super) fn turn_on(&mut self, submit: Box<dyn Submit>) {
        self.submit = Some(submit);
    }

    #[inline]
    pub(super) fn is_on(&self) -> bool {
        self.submit.is_some()
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.writes.len() >= self.bounds.1
    }

    /// Adds a write to `socket`.
    #[inline]
    pub(super) fn push(&mut self, socket: RawFd, write: W) {
        self.writes.push((socket, write));
    }

    /// Carries out all writes if there are enough of them. `bytes` returns what is written. Returns whether it did.
    pub(super) fn submit<'a>(&mut self, bytes: impl Fn(&W) -> &'a [u8]) -> bool {
        let Some(submit) = self.submit.as_mut().filter(|_| self.writes.len() >= self.bounds.0) else {
            return false;
        };
        let submission = |(socket, write): &(RawFd, W)| Submission { socket: *socket, bytes: bytes(write) };
        if !submit.submit(&mut self.writes.iter().map(submission), &mut self.results) {
            self.submit = None;
        }
        true
    }

    /// Takes the writes, in the order in which they were added, and the results of those that were carried out.
    pub(super) fn take(&mut self) -> (Vec<(RawFd, W)>, Vec<io::Result<usize>>) {
        (std::mem::take(&mut self.writes), std::mem::take(&mut self.results))
    }

    /// Gives back what was [taken](Together::take), for its memory.
    pub(super) fn give_back(&mut self, mut writes: Vec<(RawFd, W)>, mut results: Vec<io::Result<usize>>) {
        writes.clear();
        results.clear();
        (self.writes, self.results) = (writes, results);
    }
}
