//! The figures of a worker: what its engine has counted, and what it uses.
//!
//! It changes nothing.

use super::context::Context;
use super::counters::{Counters, WorkerFigures};
use super::driver::Engine;
use crate::keep::kept_bytes;
use crate::transport::Stream;

impl<S: Stream> Engine<S> {
    /// Returns what has been counted.
    pub fn counters(&self) -> Counters {
        let mut counters = self.context.services.counters.clone();
        counters.connections = (self.table.len() - self.streams) as u64;
        counters
    }

    /// Returns the worker's figures. `kept_bytes` is what the calling thread has kept.
    pub fn figures(&self) -> WorkerFigures {
        let Context { services, scratch, .. } = &self.context;
        WorkerFigures {
            worker: self.worker(),
            counters: self.counters(),
            connections_max: services.limits.connections,
            topics: services.publisher.topics.len(),
            topics_max: services.limits.topics,
            arena_high_water_bytes: scratch.arena.high_water_bytes(),
            arena_reserved_bytes: scratch.arena.reserved_bytes(),
            kept_bytes: kept_bytes(),
            pooled_inbox_bytes: scratch.pool.bytes(),
            spare_bytes: self.cork.outboxes.bytes() + self.post.spare.bytes(),
            memory_bytes: services.memory.used_bytes(),
            memory_max: services.memory.bytes_max(),
            uring: self.writes_together(),
            memory_refused: services.memory.refused(),
        }
    }
}
