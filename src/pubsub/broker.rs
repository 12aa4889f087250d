//! What is between this server's topics and the outside.

use super::Publication;
use std::sync::Arc;

/// Takes publications out of this server, to others.
///
/// [`publish`](Broker::publish) is given every publication that is made here, once, in the order in which
/// each publisher made its own. What comes from outside goes in through
/// [`Handle::deliver`](crate::Handle::deliver), which reaches the subscribers here and no broker: so
/// nothing goes round in circles.
///
/// It is called on the threads that serve: it must not block. A broker that speaks to a network puts the
/// publication (an `Arc`) into a queue of its own, with a bound of its own.
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
    fn publish(&self, publication: &Arc<Publication>);
}
