//! What a worker lends to the connection whose turn it is: the application, services, and scratch memory.
//!
//! It knows no connection, and no cork: that belongs to a connection's output. Its invariant: the arena is empty between
//! turns.

use super::completions::Completions;
use super::counters::Counters;
use super::http2::held::Held;
use super::http2::text;
use super::publisher::Publisher;
use super::remote::handle::Handle;
use super::settings::Settings;
use super::websocket::compression::Codec;
use crate::app::{App, WakeConn};
use crate::arena::Arena;
use crate::buffer::{Charge, Memory, Pool};
use crate::config::{HttpVersions, Limits, READ_BYTES};
use crate::time::{DateCache, Now};
use crate::transport::Stream;
use crate::ws;
use std::sync::Arc;

/// A worker's parts that are not connections.
pub(super) struct Context {
    pub(super) app: App,
    pub(super) services: Services,
    pub(super) scratch: Scratch,
}

/// What all connections share, for as long as the worker runs.
pub(super) struct Services {
    pub(super) limits: Limits,
    /// For the heads of streams: see [`text::limits`].
    pub(super) stream_limits: Limits,
    /// The payload of a short message of a WebSocket has fewer bytes than this.
    pub(super) short_below: usize,
    pub(super) http: HttpVersions,
    /// The memory that the buffers of all workers share.
    pub(super) memory: Arc<Memory>,
    /// The system may refuse memory, so it is [asked](Services::has_no_memory) as clients are served.
    memory_is_limited: bool,
    asked: u32,
    /// The last answer: too little is left to begin anything new.
    memory_is_exhausted: bool,
    pub(super) half_close: bool,
    unsent_bytes: Option<u32>,
    pushed_unsent_bytes: Option<u32>,
    pub(super) counters: Counters,
    pub(super) completions: Completions,
    pub(super) publisher: Publisher,
    pub(super) codec: Codec,
    pub(super) date: DateCache,
    pub(super) shutting_down: bool,
    /// The time of the turn, in milliseconds.
    pub(super) now_ms: u64,
    /// Where other threads ask for a turn.
    pub(super) wake: Arc<dyn WakeConn>,
}

/// Turns of connections from one question about memory to the next. What these allocate fits into what is left then.
const ASK_EACH: u32 = 4;

impl Services {
    /// Whether so little memory is left that nothing more should be begun.
    #[inline]
    pub(super) fn has_no_memory(&mut self) -> bool {
        self.memory_is_limited && self.ask_for_memory()
    }

    #[cold]
    fn ask_for_memory(&mut self) -> bool {
        if self.memory_is_exhausted || self.asked % ASK_EACH == 0 {
            self.memory_is_exhausted = self.memory.is_exhausted();
        }
        self.asked = self.asked.wrapping_add(1);
        self.memory_is_exhausted
    }

    /// Bounds what a stream holds unsent, for a connection that begins to send messages.
    pub(super) fn limit_unsent<S: Stream>(&self, stream: &mut S) {
        if let Some(bytes) = self.pushed_unsent_bytes {
            // It was tried at start; a stream that has failed since shows that by itself.
            let _ = stream.limit_unsent(bytes);
        }
    }

    /// Undoes [`limit_unsent`](Services::limit_unsent), for a connection that goes on with ordinary responses. One of HTTP/2
    /// keeps its bound, which other streams may need.
    pub(super) fn unlimit_unsent<S: Stream>(&self, stream: &mut S) {
        if self.pushed_unsent_bytes.is_some() && !stream.is_multiplexed() {
            let _ = stream.limit_unsent(self.unsent_bytes.unwrap_or(0));
        }
    }
}

/// Memory that each connection uses during its turn.
pub(super) struct Scratch {
    pub(super) arena: Arena,
    /// Filled by reads for connections without an inbox.
    pub(super) read_buffer: Vec<u8>,
    /// The sources of responses write here. Empty until the first one does; then kept for its memory.
    pub(super) source_buffer: Vec<u8>,
    /// Requests of HTTP/2 whose content may arrive in this turn. Empty between turns; kept for its memory.
    pub(super) held: Vec<Held>,
    /// Unused inboxes, kept for the next connection that needs one.
    pub(super) pool: Pool,
    /// What the worker has itself, at all times.
    _charge: Charge,
}

impl Context {
    /// `arena` is empty.
    pub(super) fn new(
        app: App,
        settings: Settings,
        arena: Arena,
        now: Now,
        handle: &Handle,
        memory: Arc<Memory>,
    ) -> Context {
        let Settings { limits, half_close, unsent_bytes, pushed_unsent_bytes, bounds, worker, http, .. } =
            settings;
        let wake = handle.mailbox_of(worker).expect("the handle has this worker").clone();
        let mut charge = memory.charge();
        // A worker that has no memory for its own buffers has none for others either: it says so to each request.
        let _ = charge.set(arena.reserved_bytes() + READ_BYTES);
        let scratch = Scratch {
            arena,
            read_buffer: vec![0; READ_BYTES],
            source_buffer: Vec::new(),
            held: Vec::new(),
            pool: Pool::new(&memory),
            _charge: charge,
        };
        let app = app.finish();
        let services = Services {
            stream_limits: text::limits(&limits),
            short_below: ws::short_below(&limits),
            limits,
            http,
            memory,
            memory_is_limited: Memory::is_limited(),
            asked: 0,
            memory_is_exhausted: false,
            half_close,
            unsent_bytes,
            pushed_unsent_bytes,
            counters: Counters::default(),
            completions: Completions::new(&app),
            publisher: Publisher::new(handle, worker, app.sockets(), bounds.batch),
            codec: Codec::new(),
            date: DateCache::new(now.unix_secs),
            shutting_down: false,
            now_ms: now.ms,
            wake,
        };
        Context { app, services, scratch }
    }
}
