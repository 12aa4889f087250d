//! The most that a turn does. The rest follows in later turns, so that no connection waits for all the work of others.
//!
//! It knows no connection. Its invariant: what a turn puts off is counted, and asks for another turn.

use crate::pubsub::BATCH_PUBLICATIONS_MAX;
use crate::reasons::reasons;

reasons! {
    /// Work of which a turn of a worker's loop does a bounded amount.
    ///
    /// ```
    /// use fleeting::engine::Bound;
    ///
    /// assert_eq!((Bound::Accepts.label(), Bound::Accepts.a_turn()), ("accepts", 256));
    /// ```
    pub enum Bound;
    /// Returns how much of it a turn does.
    fn a_turn() -> usize;

    /// Clients that are accepted, over all listening sockets.
    Accepts = 256, "accepts", "A turn accepts at most 256 clients.";
    /// Commands of other threads that are carried out. A question to the worker counts as 128.
    Commands = 1024, "commands", "A turn carries out at most 1,024 commands of other threads.";
    /// Connections that get a turn without an event: they go on with a stream, a file, or input that is waiting.
    Connections = 256, "connections", "A turn gives at most 256 connections a turn without an event.";
    /// Connections whose deadline has passed: they are dropped, or sent what is due then.
    Deadlines = 256, "deadlines", "A turn handles the deadlines of at most 256 connections.";
    /// Writes to subscribers. Each 4 KiB of a write count as one more, and so does a publication that is queued, or passed
    /// to a listener.
    Deliveries = 1024, "deliveries", "A turn makes at most 1,024 deliveries of publications.";
    /// Streams of HTTP/2 connections that begin, go on or end.
    Streams = 1024, "streams", "A turn lets at most 1,024 streams of HTTP/2 begin, go on or end.";
    /// Batches of publications. Once a batch is full, nothing more is published until it is delivered: the input of
    /// WebSockets and the publications of other threads wait.
    Batches = 1, "batches", "Nothing is published while a full batch is being delivered.";
}

/// The bounds that an engine keeps. A simulation sets small ones, so that few clients reach them.
#[doc(hidden)]
#[derive(Debug, Clone)]
pub struct Bounds {
    pub commands: usize,
    pub connections: usize,
    pub deadlines: usize,
    pub deliveries: usize,
    pub streams: usize,
    /// Publications with which a batch is full.
    pub batch: u32,
    /// Writes that are carried out together: at least, and at most.
    pub writes: (usize, usize),
}

/// Fewer writes are made one by one, which costs no more.
const WRITES_MIN: usize = 4;
/// As many as a ring has entries.
const WRITES_MAX: usize = 1024;

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            commands: Bound::Commands.a_turn(),
            connections: Bound::Connections.a_turn(),
            deadlines: Bound::Deadlines.a_turn(),
            deliveries: Bound::Deliveries.a_turn(),
            streams: Bound::Streams.a_turn(),
            batch: BATCH_PUBLICATIONS_MAX,
            writes: (WRITES_MIN, WRITES_MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_indices_are_unique() {
        crate::reasons::check(Bound::ALL, Bound::index, Bound::label);
    }
}
