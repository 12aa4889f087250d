//! The application's own subscriptions, and streams of events made from them.
//!
//! It knows no worker, only the mailbox of the one that has the listener. Its invariant: dropping a [`Subscription`]
//! ends it.

use super::handle::Handle;
use super::mailbox::Command;
use crate::app::{Error, Event, Progress, Pushed, Response, Room, Source};
use crate::engine::listeners::{ListenerId, Notification};
use crate::pubsub::{TopicError, check_filter};
use crate::ws::Message;
use std::fmt;

/// Keeps a listener subscribed. Dropping it ends the subscription.
pub struct Subscription {
    handle: Handle,
    id: ListenerId,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // A worker that is gone has no listeners.
        let _ = self.handle.post_to_listener(self.id, Command::Unlisten(self.id));
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Handle {
    /// Calls `listener` with the topic and the message of every publication under `filter`, a topic or a filter as for
    /// [`Socket::subscribe`](crate::Socket::subscribe), until the [`Subscription`] is dropped.
    ///
    /// The listener is called on a worker's thread, which serves connections too: it must not block. It returns whether it
    /// has taken the message; if not, that is counted in `dropped_newest`. A listener that panics is not called again.
    /// It is not called with [announcements](Handle::announce).
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
    /// [`TopicError`] if the filter is invalid. If a limit of the worker does not allow the subscription, or its mailbox is
    /// full, `listener` is dropped without being called.
    pub fn subscribe(
        &self,
        filter: &str,
        mut listener: impl FnMut(&str, Message<'_>) -> bool + Send + 'static,
    ) -> Result<Subscription, TopicError> {
        self.listen(filter, move |notification| match notification {
            Notification::Publication(topic, message) => listener(topic, message),
            Notification::Announcement(..) => true,
        })
    }

    /// As [`subscribe`](Handle::subscribe), for a callback that gets announcements too.
    fn listen(
        &self,
        filter: &str,
        callback: impl FnMut(Notification<'_>) -> bool + Send + 'static,
    ) -> Result<Subscription, TopicError> {
        check_filter(filter, self.limits())?;
        let id = ListenerId::next();
        let subscription = Subscription { handle: self.clone(), id };
        let _ = self.post_to_listener(id, Command::Listen(id, filter.into(), Box::new(callback)));
        Ok(subscription)
    }

    /// Returns a response whose content is a stream of server-sent events: each text that is published under `filter` is
    /// the data of one event. An [announcement](Handle::announce) is an event whose type is its name.
    ///
    /// At most `capacity_bytes` are queued for a client that reads slowly. Messages that do not fit, and binary messages,
    /// are dropped and counted in `dropped_newest`.
    ///
    /// ```
    /// use fleeting::{App, Server};
    ///
    /// let server = Server::builder().bind("127.0.0.1:0").serve(|worker| {
    ///     let handle = worker.handle.clone();
    ///     App::new().get("/prices", move |_req| Ok(handle.events("prices.*", 64 << 10)?))
    /// })?;
    /// # server.handle().shutdown();
    /// # Ok::<(), fleeting::ServeError>(())
    /// ```
    ///
    /// # Errors
    /// As for [`subscribe`](Handle::subscribe). If a limit does not allow the subscription, the stream ends at once.
    pub fn events(&self, filter: &str, capacity_bytes: usize) -> Result<Response<'static>, TopicError> {
        let (response, mut events) = Response::events(capacity_bytes);
        let subscription = self.listen(filter, move |notification| {
            let event = match notification {
                Notification::Publication(_, Message::Text(text)) => Event::data(text),
                Notification::Announcement(name, Message::Text(text)) => Event::data(text).name(name),
                Notification::Publication(_, Message::Binary(_))
                | Notification::Announcement(_, Message::Binary(_)) => {
                    return false;
                }
            };
            matches!(events.try_send(&event), Ok(Pushed::Sent))
        })?;
        // Held by the source: the subscription ends when the client leaves, not when the next event fails.
        Ok(response.wrap_source(|source| Box::new(Subscribed { source, _subscription: subscription })))
    }
}

/// A stream of events, and the subscription that feeds it.
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
