//! The application's own subscriptions, and streams of events for clients.
//!
//! It knows no worker, only the mailbox of the one that has the listener. Its invariant: dropping a [`Subscription`]
//! ends it.

use super::handle::Handle;
use super::mailbox::Command;
use crate::app::{EventsOptions, Response, TopicEvents};
use crate::engine::listeners::ListenerId;
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
        listener: impl FnMut(&str, Message<'_>) -> bool + Send + 'static,
    ) -> Result<Subscription, TopicError> {
        check_filter(filter, self.limits())?;
        let id = ListenerId::next();
        let subscription = Subscription { handle: self.clone(), id };
        let _ = self.post_to_listener(id, Command::Listen(id, filter.into(), Box::new(listener)));
        Ok(subscription)
    }

    /// Returns a response whose content is a stream of server-sent events: each text that is published under `filter` is
    /// the data of one event. An [announcement](Handle::announce) is an event whose type is its name. Binary messages are
    /// not sent, and do not count as lost.
    ///
    /// The connection that sends the response is subscribed as a WebSocket is, from before its head leaves until it ends.
    /// At most [`outbox_bytes`](crate::Limits::outbox_bytes) are queued for a client that reads too slowly; then
    /// publications are dropped, and an event of type `gap` tells the client how many, where they are missing. Each event
    /// fits into an empty queue. A comment is sent at the [`ping`](crate::Timeouts::ping) interval.
    ///
    /// ```
    /// use fleeting::{App, Server};
    ///
    /// let server = Server::builder().bind("127.0.0.1:0").serve(|worker| {
    ///     let handle = worker.handle.clone();
    ///     App::new().get("/prices", move |_req| Ok(handle.events("prices.*")?))
    /// })?;
    /// # server.handle().shutdown();
    /// # Ok::<(), fleeting::ServeError>(())
    /// ```
    ///
    /// In a page, `events.addEventListener("gap", event => reload(event.data))` is called when publications are lost.
    ///
    /// # Errors
    /// [`TopicError`] if the filter is invalid. If the limit [`topics`](crate::Limits::topics) does not allow the
    /// subscription, the answer is a 503 with Retry-After instead.
    pub fn events(&self, filter: &str) -> Result<Response<'static>, TopicError> {
        self.events_with(filter, EventsOptions::new())
    }

    /// The same as [`events`](Handle::events), with a policy for a client that reads too slowly, and the text of the
    /// event `gap`.
    ///
    /// # Errors
    /// As for [`events`](Handle::events).
    pub fn events_with(&self, filter: &str, options: EventsOptions) -> Result<Response<'static>, TopicError> {
        check_filter(filter, self.limits())?;
        Ok(TopicEvents { filter: filter.into(), options }.response())
    }
}
