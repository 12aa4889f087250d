//! What is between this server's topics and the outside.

use super::Publication;
use crate::ws::Message;
use std::io;
use std::sync::Arc;

/// Takes publications out of this server, to others.
///
/// [`publish`](Broker::publish) is given every publication that is made here, once, in the order in which
/// each publisher made its own. What comes from outside goes in through the [`Inlet`] that
/// [`attach`](Broker::attach) is given, or through [`Handle::deliver`](crate::Handle::deliver), which reaches the
/// subscribers here and no broker: so nothing goes round in circles.
///
/// ```
/// use fleeting::{Broker, Publication};
/// use std::sync::{Arc, mpsc};
///
/// /// Hands everything to another thread.
/// struct Forward(mpsc::SyncSender<Arc<Publication>>);
///
/// impl Broker for Forward {
///     fn publish(&self, publication: &Arc<Publication>) {
///         let _ = self.0.try_send(publication.clone()); // full: dropped, at most once is what is promised
///     }
/// }
/// ```
pub trait Broker: Send + Sync {
    /// A publication was made on this server.
    ///
    /// It is called on the threads that serve: it must not block. A broker that speaks to a network puts the
    /// publication (an `Arc`) into a queue of its own, with a bound of its own.
    fn publish(&self, publication: &Arc<Publication>);

    /// The server is about to begin, and nobody is connected yet: from now on the inlet takes what comes from
    /// outside. A broker that has threads starts them here; it may wait a moment for the network.
    ///
    /// # Errors
    /// The server does not start then.
    fn attach(&self, inlet: Arc<dyn Inlet>) -> io::Result<()> {
        drop(inlet);
        Ok(())
    }

    /// The server is over: its last worker has ended, and waits here. What still has to go out should leave within
    /// a moment; threads end.
    fn detach(&self) {}
}

/// Where a [`Broker`] puts what comes from outside. It may be called from any thread, and does not block; what one
/// thread puts in reaches every subscriber in that order. Once the server is over nobody hears it.
pub trait Inlet: Send + Sync {
    /// Publishes to the subscribers on all workers, and to no broker. False if a worker had no room for it: its
    /// subscribers do not get it.
    fn deliver(&self, publication: &Arc<Publication>) -> bool;

    /// Tells all who have subscribed to anything: [`Handle::announce`](crate::Handle::announce). False if a worker
    /// had no room for it: its subscribers do not get it.
    fn announce(&self, name: &str, message: Message<'_>) -> bool;
}

/// A broker that is attached; dropping it ends that.
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
