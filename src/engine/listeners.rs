//! Subscribers that are no connections: the application's own ears, called on a worker's thread.
//!
//! It knows no table of topics. Its invariant: a listener is called for what it is due, in order, until its
//! [`Subscription`] is dropped or it has panicked, and then it is dropped.

use super::handle::Handle;
use super::mailbox::Command;
use crate::app::{Error, Event, Progress, Pushed, Response, Room, Source};
use crate::pubsub::{SubscriberId, TopicError, check_filter};
use crate::ws::Message;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Hears what is published and announced; tells whether it has taken it.
pub(crate) type Ear = Box<dyn FnMut(Heard<'_>) -> bool + Send>;

/// What a listener hears: a name, and a message.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Heard<'a> {
    /// Under the topic of this name.
    Publication(&'a str, Message<'a>),
    /// Of what has this name.
    Announcement(&'a str, Message<'a>),
}

/// Names a listener, for as long as the process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ListenerId(u64);

impl ListenerId {
    fn next() -> ListenerId {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        ListenerId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// A listener in its worker.
pub(super) struct Listener {
    pub(super) ear: Ear,
    pub(super) who: SubscriberId,
}

/// Keeps a listener subscribed; dropping it ends that.
pub struct Subscription {
    handle: Handle,
    id: ListenerId,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // A worker that is gone has no listeners.
        let _ = self.handle.post_to_listener(self.id.0, Command::Unlisten(self.id));
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Handle {
    /// Calls `listener` with the topic and the message of all that is published under `filter`, a topic or a
    /// filter as for [`Socket::subscribe`](crate::Socket::subscribe), until the [`Subscription`] is dropped.
    ///
    /// It is called on a worker's thread, which serves others too: it must not block. It tells whether it has
    /// taken the message; if not, that is counted in `dropped_newest`. If it panics it is not called again. It is
    /// not told what is [announced](Handle::announce).
    ///
    /// ```
    /// use fleeting::{App, Message, Server};
    /// use std::sync::mpsc;
    ///
    /// let server = Server::builder().bind("127.0.0.1:0").serve(|_worker| App::new())?;
    /// let (sender, prices) = mpsc::sync_channel(1000);
    /// let subscription = server.handle().subscribe("prices.*", move |topic, message| {
    ///     let Message::Text(price) = message else { return false };
    ///     sender.try_send(format!("{topic} {price}")).is_ok()
    /// })?;
    /// server.handle().publish("prices.eur", Message::Text("1.08"))?;
    /// assert_eq!(prices.recv()?, "prices.eur 1.08");
    /// drop(subscription);
    /// # server.handle().shutdown();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`TopicError`] of the filter. If a limit of the worker does not allow it, or its mailbox is full,
    /// `listener` is dropped without having been called.
    pub fn subscribe(
        &self,
        filter: &str,
        mut listener: impl FnMut(&str, Message<'_>) -> bool + Send + 'static,
    ) -> Result<Subscription, TopicError> {
        self.hear(filter, move |heard| match heard {
            Heard::Publication(topic, message) => listener(topic, message),
            Heard::Announcement(..) => true,
        })
    }

    /// As [`subscribe`](Handle::subscribe), for a listener that is told all there is to hear.
    fn hear(
        &self,
        filter: &str,
        ear: impl FnMut(Heard<'_>) -> bool + Send + 'static,
    ) -> Result<Subscription, TopicError> {
        check_filter(filter, self.limits())?;
        let id = ListenerId::next();
        let subscription = Subscription { handle: self.clone(), id };
        let _ = self.post_to_listener(id.0, Command::Listen(id, filter.into(), Box::new(ear)));
        Ok(subscription)
    }

    /// A response whose content is a stream of server-sent events: the texts that are published under
    /// `filter`, each as the data of one event. At most `capacity_bytes` are queued for a client that reads
    /// slowly; what finds no room, and what is binary, is dropped and counted in `dropped_newest`. What is
    /// [announced](Handle::announce) is an event of its own type.
    ///
    /// ```
    /// use fleeting::{App, Error, Server};
    ///
    /// let server = Server::builder().bind("127.0.0.1:0").serve(|worker| {
    ///     let handle = worker.handle.clone();
    ///     App::new().get("/prices", move |_req| {
    ///         handle.events("prices.*", 64 << 10).map_err(|error| Error::internal(error.to_string()))
    ///     })
    /// })?;
    /// # server.handle().shutdown();
    /// # Ok::<(), fleeting::ServeError>(())
    /// ```
    ///
    /// # Errors
    /// As for [`subscribe`](Handle::subscribe). If it is not allowed the stream ends at once.
    pub fn events(&self, filter: &str, capacity_bytes: usize) -> Result<Response<'static>, TopicError> {
        let (response, mut events) = Response::events(capacity_bytes);
        let subscription = self.hear(filter, move |heard| {
            let event = match heard {
                Heard::Publication(_, Message::Text(text)) => Event::data(text),
                Heard::Announcement(name, Message::Text(text)) => Event::data(text).name(name),
                Heard::Publication(_, Message::Binary(_)) | Heard::Announcement(_, Message::Binary(_)) => {
                    return false;
                }
            };
            matches!(events.try_send(&event), Ok(Pushed::Sent))
        })?;
        // The subscription ends when the client is gone, not when the next event finds it so.
        Ok(response.wrap_source(|source| Box::new(Subscribed { source, _subscription: subscription })))
    }
}

/// A stream of events, and what it is subscribed to.
struct Subscribed {
    source: Box<dyn Source>,
    _subscription: Subscription,
}

impl Source for Subscribed {
    fn read(&mut self, room: &mut Room<'_>) -> Result<Progress, Error> {
        self.source.read(room)
    }

    fn ending(&mut self) {
        self.source.ending();
    }

    fn is_endless(&self) -> bool {
        self.source.is_endless()
    }

    fn quiet(&mut self) {
        self.source.quiet();
    }
}
