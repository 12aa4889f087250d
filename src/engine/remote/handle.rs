//! What other threads hold of a running server.

use super::mailbox::{Command, Mailbox, SendError};
use super::question::{Question, TopicCounts};
use crate::app::ConnId;
use crate::config::Limits;
use crate::engine::counters::WorkerFigures;
use crate::engine::listeners::ListenerId;
use crate::pubsub::{Broker, Inlet, Publication, TopicCount, TopicError, check_publication};
use crate::ws::{CloseCode, Message};
use std::fmt;
use std::sync::Arc;

/// Speaks to a running server from any thread. Cloning it is cheap.
#[derive(Clone)]
pub struct Handle {
    mailboxes: Arc<[Arc<Mailbox>]>,
    broker: Option<Arc<dyn Broker>>,
    limits: Arc<Limits>,
}

/// Why a message was not published, or not to all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublishError {
    /// It cannot be published at all.
    Topic(TopicError),
    /// A worker has too much waiting.
    Full,
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PublishError::Topic(error) => fmt::Display::fmt(error, f),
            PublishError::Full => fmt::Display::fmt(&SendError::Full, f),
        }
    }
}

impl std::error::Error for PublishError {}

impl Handle {
    pub(crate) fn new(
        mailboxes: Vec<Arc<Mailbox>>,
        broker: Option<Arc<dyn Broker>>,
        limits: &Limits,
    ) -> Handle {
        Handle { mailboxes: mailboxes.into(), broker, limits: Arc::new(limits.clone()) }
    }

    /// For engines that nobody waits for: whoever drives them gives them their turns. There is one for each of
    /// `workers` workers, which takes its commands when its turn begins.
    pub fn unattended(workers: usize) -> Handle {
        let mailboxes = (0..workers).map(|_| Arc::new(Mailbox::new(None)));
        Handle::new(mailboxes.collect(), None, &Limits::default())
    }

    /// What may be published and subscribed to.
    pub(in crate::engine) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(in crate::engine) fn mailbox_of(&self, worker: u16) -> Option<&Arc<Mailbox>> {
        self.mailboxes.get(usize::from(worker))
    }

    /// To the one worker that has this listener: publications reach all of them.
    pub(in crate::engine) fn post_to_listener(
        &self,
        listener: ListenerId,
        command: Command,
    ) -> Result<(), SendError> {
        self.mailboxes[listener.worker(self.mailboxes.len())].post(command)
    }

    fn mailbox(&self, conn: ConnId) -> Result<&Mailbox, SendError> {
        self.mailbox_of(conn.worker).map(|mailbox| &**mailbox).ok_or(SendError::Gone)
    }

    /// Sends a message to a WebSocket. It is dropped, and counted, if the connection is gone or has
    /// no room for it within `outbox_bytes`.
    ///
    /// # Errors
    /// [`SendError`] if the connection's worker could not be asked.
    pub fn send(&self, conn: ConnId, message: Message<'_>) -> Result<(), SendError> {
        self.mailbox(conn)?.post(Command::message(conn, message))
    }

    /// Begins a WebSocket's closing handshake (RFC 6455 §7.1.2).
    ///
    /// # Errors
    /// [`SendError`] if the connection's worker could not be asked.
    pub fn close(&self, conn: ConnId, code: CloseCode, reason: &str) -> Result<(), SendError> {
        self.mailbox(conn)?.post(Command::Close(conn, code, reason.into()))
    }

    /// Publishes a message under the name of a topic, to its subscribers on all workers and to the broker.
    ///
    /// Those that one thread publishes reach every subscriber in their order. It is copied once, however
    /// many workers there are.
    ///
    /// # Errors
    /// [`PublishError::Topic`] for a name that cannot be, or a message over `message_bytes`: nobody gets it.
    /// [`PublishError::Full`] if a worker had no room for it: its subscribers do not get it.
    pub fn publish(&self, topic: &str, message: Message<'_>) -> Result<(), PublishError> {
        check_publication(topic, message, &self.limits).map_err(PublishError::Topic)?;
        let publication = Arc::new(Publication::new(topic, message));
        if let Some(broker) = &self.broker {
            broker.publish(&publication);
        }
        self.deliver(&publication).map_err(|_| PublishError::Full)
    }

    /// Publishes what a [`Broker`] has from outside: to the subscribers on all workers, and to no broker.
    ///
    /// # Errors
    /// [`SendError::Full`] if a worker had no room for it; its subscribers do not get it then.
    pub fn deliver(&self, publication: &Arc<Publication>) -> Result<(), SendError> {
        let publication = std::slice::from_ref(publication);
        let lost: u64 = self.mailboxes.iter().map(|mailbox| mailbox.post_publications(publication)).sum();
        if lost == 0 { Ok(()) } else { Err(SendError::Full) }
    }

    /// Tells everybody who has subscribed to anything, on all workers: a WebSocket gets the message, a stream of
    /// [`events`](Handle::events) an event of type `name` with it as data, each once however many subscriptions it
    /// has. It comes behind what was published before, and before what is published after, by the same thread.
    ///
    /// It is for what concerns all topics, such as that publications of other servers may have been missed. With
    /// [`Conflate`](crate::SlowConsumer::Conflate) an announcement that waits gives way to the next.
    ///
    /// # Errors
    /// [`SendError::Full`] if a worker had no room for it, which is there when that for publications is used
    /// up; its subscribers do not get it then.
    pub fn announce(&self, name: &str, message: Message<'_>) -> Result<(), SendError> {
        let announcement = Arc::new(Publication::new(name, message));
        let mut told = Ok(());
        for mailbox in self.mailboxes.iter() {
            // A worker that is gone has no subscribers.
            if mailbox.post(Command::Announce(announcement.clone())) == Err(SendError::Full) {
                told = Err(SendError::Full);
            }
        }
        told
    }

    /// Counts topics and their subscribers on all workers, sorted by name. `done` is called with them on a
    /// worker's thread, or at once if there is none any more: it must not block.
    pub fn count_topics(&self, done: impl FnOnce(Vec<TopicCount>) + Send + 'static) {
        let tell = |counts: TopicCounts| done(counts.into_values().collect());
        self.ask(Box::new(tell), Command::CountTopics);
    }

    /// Asks all workers for what they know of themselves. `done` is called with it, sorted by their numbers, on
    /// a worker's thread, or at once if there is none any more: it must not block.
    ///
    /// ```
    /// use fleeting::{App, Server};
    /// use std::sync::mpsc;
    ///
    /// let server = Server::builder().bind("127.0.0.1:0").workers(2).serve(|_worker| App::new())?;
    /// let (sender, told) = mpsc::channel();
    /// server.handle().figures(move |workers| sender.send(workers).unwrap_or_default());
    /// for worker in told.recv()? {
    ///     println!("worker {}: {} connections", worker.worker, worker.counters.connections);
    /// }
    /// # server.handle().shutdown();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn figures(&self, done: impl FnOnce(Vec<WorkerFigures>) + Send + 'static) {
        let tell = |mut workers: Vec<WorkerFigures>| {
            workers.sort_unstable_by_key(|figures| figures.worker);
            done(workers);
        };
        self.ask(Box::new(tell), Command::ReportFigures);
    }

    fn ask<T: Default>(
        &self,
        done: Box<dyn FnOnce(T) + Send>,
        command: impl Fn(Arc<Question<T>>) -> Command,
    ) {
        let question = Arc::new(Question::new(done));
        for mailbox in self.mailboxes.iter() {
            // A worker that is gone, or whose mailbox is full, has nothing to add.
            let _ = mailbox.post(command(question.clone()));
        }
    }

    /// Ends the server in good order: nothing more is accepted, requests in flight are answered with
    /// `Connection: close`, WebSockets are closed with 1001, and after the `grace` timeout the rest is
    /// cut off.
    pub fn shutdown(&self) {
        for mailbox in self.mailboxes.iter() {
            // A worker that is gone is shut down.
            let _ = mailbox.post(Command::Shutdown);
        }
    }

    /// The same without its broker, for that one: what it has from outside goes in, and not out again.
    pub(crate) fn inward(&self) -> Handle {
        Handle { broker: None, ..self.clone() }
    }

    /// Whether what one worker publishes is for anybody but itself.
    #[inline]
    pub(in crate::engine) fn has_others(&self) -> bool {
        self.mailboxes.len() > 1 || self.broker.is_some()
    }

    /// Tells everybody but `worker`, which has made them, of publications. Tells how many were lost, by the
    /// workers that had no room.
    pub(in crate::engine) fn relay(&self, worker: u16, publications: &[Arc<Publication>]) -> u64 {
        if let Some(broker) = &self.broker {
            publications.iter().for_each(|publication| broker.publish(publication));
        }
        let others = self.mailboxes.iter().enumerate().filter(|(other, _)| *other != usize::from(worker));
        others.map(|(_, mailbox)| mailbox.post_publications(publications)).sum()
    }
}

impl Inlet for Handle {
    fn deliver(&self, publication: &Arc<Publication>) -> bool {
        Handle::deliver(self, publication).is_ok()
    }

    fn announce(&self, name: &str, message: Message<'_>) -> bool {
        Handle::announce(self, name, message).is_ok()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("workers", &self.mailboxes.len()).finish_non_exhaustive()
    }
}
