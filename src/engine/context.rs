//! What a worker lends to the connection whose turn it is, and what that turn tells it.
//!
//! It knows no connection. Its invariant: the cork and the arena
//! are empty between turns.

use super::counters::Counters;
use super::publisher::Exchange;
use super::remote::handle::Handle;
use super::websocket::compression::Codec;
use crate::app::{App, WakeConn};
use crate::arena::Arena;
use crate::buffer::Pool;
use crate::config::{Limits, READ_BYTES};
use crate::time::{DateCache, Now};
use std::sync::Arc;

/// What the worker has for the connection whose turn it is.
pub(super) struct Desk {
    pub(super) app: App,
    pub(super) limits: Limits,
    pub(super) arena: Arena,
    /// Answers of one connection's turn; empty between turns.
    pub(super) cork: Vec<u8>,
    /// What a read fills, for connections that have nothing left over.
    pub(super) read_buffer: Vec<u8>,
    pub(super) pool: Pool,
    pub(super) date: DateCache,
    pub(super) counters: Counters,
    pub(super) exchange: Exchange,
    pub(super) codec: Codec,
    pub(super) shutting_down: bool,
    /// Where other threads ask for a turn.
    pub(super) wake: Arc<dyn WakeConn>,
    /// What the sources of responses write on; empty until one does, then kept for its memory.
    pub(super) source_buffer: Vec<u8>,
}

/// How far the input of a turn was worked through.
pub(super) struct Ran {
    /// Bytes `from..to` of the input must come again: `from <= to`.
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) stop: Stop,
    /// Something was completed, or is a sign of life: what is waited for is waited for anew.
    pub(super) fresh: bool,
}

/// Why it was not worked through further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// What is left is not whole.
    Starved,
    /// This connection has had its share of the turn.
    Budget,
    /// The peer must first take what it was sent.
    Blocked,
    /// Nothing more will be answered.
    Over,
    /// From here on the connection's protocol is another.
    Changed,
}

/// Whether a connection lives on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Lives,
    Dies,
}

/// A cork that has grown beyond this is given back.
const CORK_KEPT_BYTES: usize = 1 << 20;

impl Desk {
    pub(super) fn new(app: App, limits: Limits, now: Now, handle: &Handle, worker: u16) -> Desk {
        let wake = handle.mailbox_of(worker).expect("the handle has this worker").clone();
        Desk {
            arena: Arena::new(limits.arena_bytes),
            cork: Vec::with_capacity(16 << 10),
            read_buffer: vec![0; READ_BYTES],
            pool: Pool::default(),
            date: DateCache::new(now.unix_secs),
            counters: Counters::default(),
            exchange: Exchange::new(handle, worker, app.sockets()),
            app,
            codec: Codec::new(),
            shutting_down: false,
            wake,
            source_buffer: Vec::new(),
            limits,
        }
    }

    /// Gives back what a rare large answer has taken.
    pub(super) fn trim(&mut self) {
        if self.cork.capacity() > CORK_KEPT_BYTES {
            self.cork = Vec::with_capacity(16 << 10);
        }
    }
}
