//! The interface between this server's topics and other servers.
//!
//! It knows no network. Its invariant: publications that arrive through an inlet are never passed to a
//! broker.

use super::Publication;
use crate::ws::Message;
use std::io;
use std::sync::Arc;

/// Sends this server's publications to other servers.
///
/// [`publish`](Broker::publish) receives every publication made on this server once. The publications of one
/// publisher arrive in the order in which it made them. Publications of other servers come in through the
/// [`Inlet`] that [`attach`](Broker::attach) receives, or through
/// [`Handle::deliver`](crate::Handle::deliver). They reach the subscribers of this server but no broker, so
/// that they do not loop.
///
/// ```
/// use fleeting::{Broker, Publication};
/// use std::sync::{Arc, mpsc};
///
/// /// Hands every publication to another thread.
/// struct Forward(mpsc::SyncSender<Arc<Publication>>);
///
/// impl Broker for Forward {
///     fn publish(&self, publication: &Arc<Publication>) {
///         let _ = self.0.try_send(publication.clone()); // full: dropped, delivery is at most once
///     }
/// }
/// ```
pub trait Broker: Send + Sync {
    /// Receives a publication that was made on this server.
    ///
    /// Called on the worker threads, so it must not block. A broker that uses a network puts the publication
    /// (an `Arc`) into a bounded queue of its own.
    fn publish(&self, publication: &Arc<Publication>);

    /// Connects the broker to a server that is about to start. No client is connected yet, and the inlet
    /// accepts publications from now on. A broker with threads starts them here. It may wait briefly for the
    /// network. The default does nothing.
    ///
    /// # Errors
    /// Any error keeps the server from starting. The server returns it.
    fn attach(&self, inlet: Arc<dyn Inlet>) -> io::Result<()> {
        drop(inlet);
        Ok(())
    }

    /// Disconnects the broker from a server whose last worker has ended. The worker's thread waits for this
    /// call. The broker sends what is queued, but only for a short time, and ends its threads. The default
    /// does nothing.
    fn detach(&self) {}
}

/// The way into this server for publications of other servers. [`Broker::attach`] receives one.
///
/// It may be called from any thread and does not block. Publications of one thread reach each subscriber in
/// order. After the server has ended they are dropped.
pub trait Inlet: Send + Sync {
    /// Publishes to the subscribers on all workers, and to no broker. Returns false if a worker's mailbox had no
    /// room: that worker's subscribers do not get the publication.
    fn deliver(&self, publication: &Arc<Publication>) -> bool;

    /// Sends a message to all subscribers of any topic, as [`Handle::announce`](crate::Handle::announce) does.
    /// Returns false if a worker's mailbox had no room: that worker's subscribers do not get the message.
    fn announce(&self, name: &str, message: Message<'_>) -> bool;
}

/// A broker that is attached. It is detached on drop.
pub(crate) struct Attached(Arc<dyn Broker>);

impl Attached {
    pub(crate) fn new(broker: Arc<dyn Broker>, inlet: Arc<dyn Inlet>) -> io::Result<Attached> {
        broker.attach(inlet)?;
        Ok(Attached(broker))
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.0.detach();
    }
}
