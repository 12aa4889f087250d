//! The handle that other threads hold of a running server.
//!
//! It knows no worker, only the workers' mailboxes and the broker. Its invariant: nothing here waits for a worker.

use super::lobby::Arrival;
#[cfg(feature = "testing")]
use super::mailbox::Sleeper;
use super::mailbox::{Command, Mailbox, SendError};
use super::question::Question;
use crate::app::{ConnId, Error};
use crate::buffer::Memory;
use crate::config::Limits;
use crate::engine::counters::WorkerFigures;
use crate::engine::listeners::ListenerId;
use crate::pubsub::{Broker, Inlet, Publication, TopicError, TopicPage, check_publication};
use crate::ws::{CloseCode, Message};
use std::fmt;
use std::sync::Arc;

/// Reaches a running server from any thread. Cloning it is cheap.
///
/// Every method queues a command for the worker that it concerns, and returns at once. A [`Server`](crate::Server) has
/// one, and so does each worker's [`WorkerContext`](crate::WorkerContext).
///
/// ```
/// use fleeting::{App, Message, Response, Server};
///
/// let server = Server::builder().bind("127.0.0.1:0").serve(|worker| {
///     let handle = worker.handle.clone();
///     App::new().post("/prices", move |req| {
///         handle.publish("prices", Message::Text(std::str::from_utf8(req.body())?))?;
///         Ok(Response::new(204))
///     })
/// })?;
/// server.handle().shutdown();
/// server.run()?;
/// # Ok::<(), fleeting::ServeError>(())
/// ```
#[derive(Clone)]
pub struct Handle {
    mailboxes: Arc<[Arc<Mailbox>]>,
    broker: Option<Arc<dyn Broker>>,
    limits: Arc<Limits>,
    /// What the buffers of all workers share.
    memory: Arc<Memory>,
}

/// A worker may have this many connections more than another, ...
const UNEVEN_MIN: usize = 1;
/// ... and one more for this many that the other one has. Passing a client on costs both workers time, so small differences
/// are left as they are.
const UNEVEN_PART: usize = 32;

/// Why a message was not published, or not to all subscribers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublishError {
    /// The topic's name is invalid, or the message is too long.
    Topic(TopicError),
    /// A worker's mailbox is full.
    Full,
    /// All workers have ended.
    Gone,
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PublishError::Topic(error) => fmt::Display::fmt(error, f),
            PublishError::Full => fmt::Display::fmt(&SendError::Full, f),
            PublishError::Gone => f.write_str("the server has ended"),
        }
    }
}

impl std::error::Error for PublishError {}

/// As for [`TopicError`], and 503 if a worker has no room or the server has ended.
impl From<PublishError> for Error {
    fn from(error: PublishError) -> Error {
        match error {
            PublishError::Topic(error) => error.into(),
            error => Error::unavailable(format!("{error}.")),
        }
    }
}

impl Handle {
    pub(crate) fn new(
        mailboxes: Vec<Arc<Mailbox>>,
        broker: Option<Arc<dyn Broker>>,
        limits: &Limits,
        memory: Arc<Memory>,
    ) -> Handle {
        Handle { mailboxes: mailboxes.into(), broker, limits: Arc::new(limits.clone()), memory }
    }

    /// Makes a handle for engines that do not wait in a poll, such as those of a simulator: the caller gives them their
    /// turns. Each of the `workers` engines carries out its commands when its turn begins.
    #[doc(hidden)]
    pub fn unattended(workers: usize) -> Handle {
        let limits = Limits::default();
        let memory = Memory::new(usize::MAX);
        let mailboxes = (0..workers).map(|_| Arc::new(Mailbox::new(None, &limits, &memory)));
        Handle::new(mailboxes.collect(), None, &limits, memory)
    }

    /// Makes a handle for one engine that the calling thread runs. Each command unparks the thread.
    #[cfg(feature = "testing")]
    pub(crate) fn parking(broker: Option<Arc<dyn Broker>>, limits: &Limits) -> Handle {
        // What the machine has makes no difference to a test.
        let memory = Memory::new(limits.memory.unwrap_or(usize::MAX));
        let mailbox = Mailbox::new(Some(Sleeper::Thread(std::thread::current())), limits, &memory);
        Handle::new(vec![Arc::new(mailbox)], broker, limits, memory)
    }

    /// Whether a command waits for the first worker's next turn.
    #[cfg(feature = "testing")]
    pub(crate) fn is_woken(&self) -> bool {
        self.mailboxes[0].is_woken()
    }

    /// Counts what could post to the first worker: handles, and the wakers of its connections.
    #[cfg(feature = "testing")]
    pub(crate) fn holders(&self) -> usize {
        Arc::strong_count(&self.mailboxes) + Arc::strong_count(&self.mailboxes[0])
    }

    /// Returns the memory that the server's buffers share; or new memory, if an engine of its own may have less than that.
    pub(in crate::engine) fn memory_within(&self, bytes_max: Option<usize>) -> Arc<Memory> {
        let less = bytes_max.filter(|bytes_max| *bytes_max < self.memory.bytes_max());
        less.map_or_else(|| self.memory.clone(), Memory::new)
    }

    /// Returns the limits of what may be published and subscribed to.
    pub(in crate::engine) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(in crate::engine) fn mailbox_of(&self, worker: u16) -> Option<&Arc<Mailbox>> {
        self.mailboxes.get(usize::from(worker))
    }

    /// Whether another worker with a free place has so many fewer connections than worker `from` that it should have the
    /// next client.
    pub(in crate::engine) fn is_uneven(&self, from: u16) -> bool {
        let taken = self.mailboxes[usize::from(from)].lobby.taken();
        self.roomiest(from).is_some_and(|other| {
            let fewest = other.lobby.taken();
            taken > fewest + UNEVEN_MIN + fewest / UNEVEN_PART
        })
    }

    /// Sends a client of one worker to the one that has the fewest connections of all others with a free place. If none has
    /// one, the client is returned.
    pub(in crate::engine) fn hand_over(&self, mut arrival: Arrival, from: u16) -> Result<(), Arrival> {
        while let Some(mailbox) = self.roomiest(from) {
            if mailbox.lobby.take_place() {
                arrival.has_place = true;
                match mailbox.send_arrival(arrival) {
                    Ok(()) => return Ok(()),
                    Err(returned) => arrival = Arrival { has_place: false, ..returned },
                }
            }
        }
        Err(arrival)
    }

    /// Returns the worker that has the fewest connections of all but `from` that have a free place.
    fn roomiest(&self, from: u16) -> Option<&Mailbox> {
        let others = self.mailboxes.iter().enumerate().filter(|(worker, _)| *worker != usize::from(from));
        let open = others.map(|(_, mailbox)| &**mailbox).filter(|mailbox| mailbox.lobby.has_place());
        open.min_by_key(|mailbox| mailbox.lobby.taken())
    }

    /// Posts a command to the worker that has this listener.
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

    /// Sends a message to a WebSocket. If the connection is gone, or has no room for it within the limit `outbox_bytes`,
    /// the message is dropped and counted.
    ///
    /// # Errors
    /// [`SendError`] if the message did not reach the connection's worker.
    pub fn send(&self, conn: ConnId, message: Message<'_>) -> Result<(), SendError> {
        self.mailbox(conn)?.post(Command::message(conn, message))
    }

    /// Begins a WebSocket's closing handshake (RFC 6455 §7.1.2).
    ///
    /// # Errors
    /// [`SendError`] if the command did not reach the connection's worker.
    pub fn close(&self, conn: ConnId, code: CloseCode, reason: &str) -> Result<(), SendError> {
        self.mailbox(conn)?.post(Command::Close(conn, code, reason.into()))
    }

    /// Publishes a message under the name of a topic, to its subscribers on all workers and to the broker.
    ///
    /// The publications of one thread reach every subscriber in their order. The message is copied once, whatever the
    /// number of workers.
    ///
    /// # Errors
    /// [`PublishError::Topic`] if the name is invalid or the message is longer than the limit `message_bytes`; no
    /// subscriber gets it. [`PublishError::Full`] if a worker's mailbox is full; that worker's subscribers do not get it, and
    /// learn how many publications are missing ([`WebSocket::dropped`](crate::WebSocket::dropped)).
    /// [`PublishError::Gone`] if the server has ended; only the broker got it.
    pub fn publish(&self, topic: &str, message: Message<'_>) -> Result<(), PublishError> {
        check_publication(topic, message, &self.limits).map_err(PublishError::Topic)?;
        let publication = Arc::new(Publication::new(topic, message));
        if let Some(broker) = &self.broker {
            broker.publish(&publication);
        }
        self.deliver(&publication).map_err(|error| match error {
            SendError::Full => PublishError::Full,
            SendError::Gone => PublishError::Gone,
        })
    }

    /// Publishes what a [`Broker`] has received from other servers: to the subscribers on all workers, but not to the
    /// broker.
    ///
    /// # Errors
    /// [`SendError::Full`] if a worker's mailbox is full; that worker's subscribers get a gap notice instead.
    /// [`SendError::Gone`] if all workers have ended.
    pub fn deliver(&self, publication: &Arc<Publication>) -> Result<(), SendError> {
        let publication = std::slice::from_ref(publication);
        let mut result = Err(SendError::Gone);
        for mailbox in self.mailboxes.iter() {
            match mailbox.post_publications(publication) {
                Ok(0) if result == Err(SendError::Gone) => result = Ok(()),
                Ok(0) => {}
                Ok(_) => result = Err(SendError::Full),
                // A worker that is gone has no subscribers.
                Err(_) => {}
            }
        }
        result
    }

    /// Announces a message to every subscriber on all workers, whatever it has subscribed to.
    ///
    /// A WebSocket gets the message; a stream of [`events`](Handle::events) gets an event of type `name` with the message
    /// as its data. Each gets it once, however many subscriptions it has, in order with the publications of the same
    /// thread.
    ///
    /// Announcements are for what concerns all topics, such as that publications of other servers may have been missed.
    /// With [`Conflate`](crate::SlowConsumer::Conflate) an announcement that is still queued is replaced by the next.
    ///
    /// # Errors
    /// [`SendError::Full`] if a worker's mailbox is full; that worker's subscribers do not get it. Announcements have room
    /// of their own when the room for publications is used up.
    pub fn announce(&self, name: &str, message: Message<'_>) -> Result<(), SendError> {
        let announcement = Arc::new(Publication::new(name, message));
        let mut result = Ok(());
        for mailbox in self.mailboxes.iter() {
            // A worker that is gone has no subscribers.
            if mailbox.post(Command::Announce(announcement.clone())) == Err(SendError::Full) {
                result = Err(SendError::Full);
            }
        }
        result
    }

    /// Counts the topics and their subscribers on all workers, page by page: those after `after` in the order of their names, or
    /// the first ones. A page has at most 256 topics, so that no worker is kept busy; [`TopicPage::next`] is where the next one
    /// begins. Topics that come and go meanwhile are in the list or not.
    ///
    /// `done` is called with the page on a worker's thread, or on this one if all workers have answered before this call
    /// returns; it must not block. A worker that is gone or whose mailbox is full is left out. A panic of `done` on a worker's
    /// thread is caught and counted.
    ///
    /// ```
    /// use fleeting::{App, Server};
    /// use std::sync::mpsc;
    ///
    /// let server = Server::builder().bind("127.0.0.1:0").serve(|_worker| App::new())?;
    /// let mut after = None;
    /// loop {
    ///     let (sender, pages) = mpsc::channel();
    ///     server.handle().count_topics(after.as_deref(), move |page| sender.send(page).unwrap_or_default());
    ///     let page = pages.recv()?;
    ///     for topic in page.topics {
    ///         println!("{}: {} subscribers", topic.name, topic.subscribers);
    ///     }
    ///     after = page.next;
    ///     if after.is_none() {
    ///         break;
    ///     }
    /// }
    /// # server.handle().shutdown();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn count_topics(&self, after: Option<&str>, done: impl FnOnce(TopicPage) + Send + 'static) {
        self.ask(Box::new(done), |question| Command::CountTopics(after.map(Into::into), question));
    }

    /// Asks all workers for their figures. `done` is called with them, sorted by the workers' numbers, as for
    /// [`count_topics`](Handle::count_topics).
    ///
    /// ```
    /// use fleeting::{App, Server};
    /// use std::sync::mpsc;
    ///
    /// let server = Server::builder().bind("127.0.0.1:0").workers(2).serve(|_worker| App::new())?;
    /// let (sender, figures) = mpsc::channel();
    /// server.handle().figures(move |workers| sender.send(workers).unwrap_or_default());
    /// for worker in figures.recv()? {
    ///     println!("worker {}: {} connections", worker.worker, worker.counters.connections);
    /// }
    /// # server.handle().shutdown();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn figures(&self, done: impl FnOnce(Vec<WorkerFigures>) + Send + 'static) {
        let done = |mut workers: Vec<WorkerFigures>| {
            workers.sort_unstable_by_key(|figures| figures.worker);
            done(workers);
        };
        self.ask(Box::new(done), Command::ReportFigures);
    }

    fn ask<T: Default>(&self, done: Box<dyn FnOnce(T) + Send>, command: impl Fn(Question<T>) -> Command) {
        let question = Question::new(done);
        for mailbox in self.mailboxes.iter() {
            // A worker that is gone, or whose mailbox is full, is left out.
            let _ = mailbox.post(command(question.share()));
        }
        question.settle();
    }

    /// Shuts the server down gracefully. No more connections are accepted, requests in flight are answered with
    /// `Connection: close`, WebSockets are closed with 1001, and what is still open after the `grace` timeout is cut
    /// off.
    pub fn shutdown(&self) {
        for mailbox in self.mailboxes.iter() {
            // A worker that is gone needs no shutdown.
            let _ = mailbox.post(Command::Shutdown);
        }
    }

    /// Returns the handle for the broker itself, without the broker: what comes from other servers must not go back.
    pub(crate) fn inward(&self) -> Handle {
        Handle { broker: None, ..self.clone() }
    }

    /// Whether a publication must be sent to other workers or a broker.
    #[inline]
    pub(in crate::engine) fn has_others(&self) -> bool {
        self.mailboxes.len() > 1 || self.broker.is_some()
    }

    /// Sends publications made on `worker` to the broker and to all other workers. Returns how many did not fit into a
    /// worker's mailbox, summed over the workers.
    pub(in crate::engine) fn relay(&self, worker: u16, publications: &[Arc<Publication>]) -> u64 {
        if let Some(broker) = &self.broker {
            publications.iter().for_each(|publication| broker.publish(publication));
        }
        let others = self.mailboxes.iter().enumerate().filter(|(other, _)| *other != usize::from(worker));
        // A worker that is gone has no subscribers.
        others.map(|(_, mailbox)| mailbox.post_publications(publications).unwrap_or(0)).sum()
    }
}

impl Inlet for Handle {
    fn deliver(&self, publication: &Arc<Publication>) -> bool {
        Handle::deliver(self, publication) != Err(SendError::Full)
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
