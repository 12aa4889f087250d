//! Commands to a worker from other threads.
//!
//! It knows no engine. Its invariant: the queue of a worker is bounded, and commands are carried out in the order in
//! which they were posted. Wake-ups are not commands: they may come earlier.

use super::lobby::{Arrival, Lobby};
use super::losses::Losses;
use super::question::Question;
use crate::app::{ConnId, Error, WakeConn};
use crate::buffer::{Charge, Memory};
use crate::config::Limits;
use crate::engine::counters::WorkerFigures;
use crate::engine::listeners::{Callback, ListenerId};
use crate::panics::catch;
use crate::pubsub::{Publication, TopicPage};
use crate::ws::{CloseCode, Message};
use mio::Waker;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A command to a worker.
pub(crate) enum Command {
    Text(ConnId, Box<str>),
    Binary(ConnId, Box<[u8]>),
    Close(ConnId, CloseCode, Box<str>),
    Publish(Arc<Publication>),
    Announce(Arc<Publication>),
    /// Tell subscribers what they have lost here, for want of room in the mailbox.
    Lose(Box<Losses>),
    /// Count the topics after this one.
    CountTopics(Option<Box<str>>, Question<TopicPage>),
    ReportFigures(Question<Vec<WorkerFigures>>),
    Listen(ListenerId, Box<str>, Callback),
    Unlisten(ListenerId),
    Shutdown,
}

impl Command {
    pub(in crate::engine) fn message(conn: ConnId, message: Message<'_>) -> Command {
        match message {
            Message::Text(text) => Command::Text(conn, text.into()),
            Message::Binary(bytes) => Command::Binary(conn, bytes.into()),
        }
    }

    /// Gives up a command that no worker carries out. What it holds of the application may panic.
    pub(in crate::engine) fn discard(self) {
        let _ = catch(|| match self {
            Command::CountTopics(_, question) => question.settle(),
            Command::ReportFigures(question) => question.settle(),
            other => drop(other),
        });
    }

    /// Returns the bytes that it holds for peers.
    fn bytes(&self) -> usize {
        match self {
            Command::Text(_, text) => text.len(),
            Command::Binary(_, bytes) => bytes.len(),
            Command::Publish(publication) | Command::Announce(publication) => publication.memory_bytes(),
            Command::Close(..)
            | Command::Lose(_)
            | Command::CountTopics(..)
            | Command::ReportFigures(_)
            | Command::Listen(..)
            | Command::Unlisten(_)
            | Command::Shutdown => 0,
        }
    }
}

/// Why a command did not reach a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// The worker's mailbox is full: nothing was queued.
    Full,
    /// There is no such worker, or it has ended.
    Gone,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendError::Full => "the worker's mailbox is full",
            SendError::Gone => "there is no such worker",
        })
    }
}

impl std::error::Error for SendError {}

/// 503.
impl From<SendError> for Error {
    fn from(error: SendError) -> Error {
        Error::unavailable(format!("{error}."))
    }
}

/// A worker's queue of commands, and the means to wake it.
pub(crate) struct Mailbox {
    /// `None` once the worker is gone.
    queue: Mutex<Option<Queue>>,
    /// A wake-up is under way that the worker has not seen yet.
    woken: AtomicBool,
    /// `None` if the worker does not wait.
    sleeper: Option<Sleeper>,
    /// The clients that other workers have sent.
    pub(in crate::engine) lobby: Lobby,
}

/// How a worker waits for commands, and is woken.
pub(crate) enum Sleeper {
    /// It waits in a poll.
    Poll(Waker),
    /// It is parked on this thread.
    #[cfg(feature = "testing")]
    Thread(std::thread::Thread),
}

impl Sleeper {
    fn wake(&self) -> io::Result<()> {
        match self {
            Sleeper::Poll(waker) => waker.wake(),
            #[cfg(feature = "testing")]
            Sleeper::Thread(thread) => {
                thread.unpark();
                Ok(())
            }
        }
    }
}

struct Queue {
    commands: VecDeque<Command>,
    /// Connections that ask for a turn. Each source of wake-ups has at most one here.
    wakes: Vec<ConnId>,
    /// Bytes that all of them hold for peers.
    bytes: usize,
    commands_max: usize,
    bytes_max: usize,
    /// In steps of [`CHARGE_BYTES`], so that it seldom changes.
    charge: Charge,
}

/// The granularity in which a queue takes the server's memory.
const CHARGE_BYTES: usize = 64 << 10;

/// How often a wake-up that fails is repeated.
const WAKES_MAX: usize = 8;

/// How many announcements, and bytes of them, fit beyond that: an announcement that publications were lost for want of
/// room must itself find room.
const ANNOUNCEMENTS_MORE: usize = 1024;
const ANNOUNCEMENT_BYTES_MORE: usize = 1 << 20;

impl Queue {
    /// Queues a command, or returns it if there is no room.
    fn push(&mut self, command: Command) -> Result<(), Command> {
        let more = match command {
            Command::Announce(_) => (ANNOUNCEMENTS_MORE, ANNOUNCEMENT_BYTES_MORE),
            _ => (0, 0),
        };
        let fits = self.take_room(1, command.bytes(), more);
        // A shutdown and the end of a subscription are never refused. A subscription ends once.
        if !fits && !matches!(command, Command::Shutdown | Command::Unlisten(_)) {
            return Err(command);
        }
        self.commands.push_back(command);
        Ok(())
    }

    /// Takes room for `commands` more commands, which hold `bytes`. `more` is what there is beyond the limits, of both.
    /// Returns whether there is room for all of them; if not, it takes none.
    #[inline]
    fn take_room(&mut self, commands: usize, bytes: usize, more: (usize, usize)) -> bool {
        let bytes = self.bytes.saturating_add(bytes);
        let fits = self.commands.len().saturating_add(commands) <= self.commands_max.saturating_add(more.0)
            && bytes <= self.bytes_max.saturating_add(more.1)
            && self.charge.set(bytes.next_multiple_of(CHARGE_BYTES)).is_ok();
        if fits {
            self.bytes = bytes;
        }
        fits
    }

    /// Queues publications, which hold `bytes`, in their order. Notes the loss of those without room behind what is queued.
    /// Returns how many those are.
    fn push_publications(&mut self, publications: &[Arc<Publication>], bytes: usize) -> u64 {
        let all = || publications.iter().cloned().map(Command::Publish);
        // Nearly always there is room for all of them, and taking it once costs less than for each.
        if self.take_room(publications.len(), bytes, (0, 0)) {
            self.commands.extend(all());
            return 0;
        }
        all().zip(publications).fold(0, |lost, (command, publication)| match self.push(command) {
            Ok(()) => lost,
            Err(_refused) => {
                self.lose(publication);
                lost + 1
            }
        })
    }

    #[cold]
    fn lose(&mut self, publication: &Publication) {
        // At most one for each command that is queued.
        if !matches!(self.commands.back(), Some(Command::Lose(_))) {
            self.commands.push_back(Command::Lose(Box::default()));
        }
        if let Some(Command::Lose(losses)) = self.commands.back_mut() {
            losses.note(publication);
        }
    }
}

impl Mailbox {
    pub(crate) fn new(sleeper: Option<Sleeper>, limits: &Limits, memory: &Arc<Memory>) -> Mailbox {
        let (commands_max, bytes_max) = (limits.mailbox, limits.mailbox_bytes);
        let (commands, wakes, charge) = (VecDeque::new(), Vec::new(), memory.charge());
        let queue = Queue { commands, wakes, bytes: 0, commands_max, bytes_max, charge };
        let (queue, woken) = (Mutex::new(Some(queue)), AtomicBool::new(false));
        Mailbox { queue, woken, sleeper, lobby: Lobby::new() }
    }

    pub(in crate::engine) fn post(&self, command: Command) -> Result<(), SendError> {
        // A refused command is dropped once the lock is released: that calls the application, which may post.
        let mut command = Some(command);
        let pushed = self.with_queue(|queue| command.take().map(|command| queue.push(command)));
        if let Some(Err(_refused)) = pushed? {
            return Err(SendError::Full);
        }
        self.wake().map_err(|_| SendError::Gone)
    }

    /// Posts publications in their order. Returns how many of them did not fit; their subscribers get a gap notice. Fails if
    /// the worker is gone.
    pub(in crate::engine) fn post_publications(
        &self,
        publications: &[Arc<Publication>],
    ) -> Result<u64, SendError> {
        let bytes = publications.iter().map(|publication| publication.memory_bytes()).sum();
        let lost = self.with_queue(|queue| queue.push_publications(publications, bytes))?;
        let _ = self.wake();
        Ok(lost)
    }

    fn with_queue<T>(&self, call: impl FnOnce(&mut Queue) -> T) -> Result<T, SendError> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.as_mut().map(call).ok_or(SendError::Gone)
    }

    fn wake(&self) -> io::Result<()> {
        match &self.sleeper {
            _ if self.woken.swap(true, Ordering::AcqRel) => Ok(()),
            Some(sleeper) => {
                // A signal may interrupt it, and memory may be short for a moment.
                let mut woken = sleeper.wake();
                for _ in 0..WAKES_MAX {
                    if woken.is_ok() {
                        break;
                    }
                    woken = sleeper.wake();
                }
                // One that has failed must not keep the next from trying.
                if woken.is_err() {
                    self.woken.store(false, Ordering::Release);
                }
                woken
            }
            None => Ok(()),
        }
    }

    /// Sends a client to the worker, which has a place for it. If the worker is gone, the client is returned.
    pub(in crate::engine) fn send_arrival(&self, arrival: Arrival) -> Result<(), Arrival> {
        self.lobby.put(arrival)?;
        let _ = self.wake();
        Ok(())
    }

    /// Moves all wake-ups into `wakes`, which must be empty, and all commands into `commands`, if that is empty. Returns
    /// whether it was: if not, the caller calls again before it waits.
    pub(in crate::engine) fn drain(&self, wakes: &mut Vec<ConnId>, commands: &mut VecDeque<Command>) -> bool {
        // Cleared first: a command posted from here on wakes the worker again.
        self.woken.store(false, Ordering::Release);
        let takes = commands.is_empty();
        let _ = self.with_queue(|queue| {
            std::mem::swap(&mut queue.wakes, wakes);
            if takes {
                queue.bytes = 0;
                // One step stays: most turns need no more.
                queue.charge.shrink(CHARGE_BYTES);
                std::mem::swap(&mut queue.commands, commands);
            }
        });
        takes
    }

    /// Discards the commands that wait, and refuses more: the worker is gone.
    pub(crate) fn close(&self) {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The lock is released: a question that ends calls the application, which may post.
        queue.into_iter().flat_map(|queue| queue.commands).for_each(Command::discard);
        self.lobby.close();
    }

    /// Whether the worker was woken since the last [`drain`](Mailbox::drain).
    #[inline]
    pub(crate) fn is_woken(&self) -> bool {
        self.woken.load(Ordering::Acquire)
    }
}

impl WakeConn for Mailbox {
    fn wake(&self, conn: ConnId) {
        // A worker that is gone has dropped its connections.
        if self.with_queue(|queue| queue.wakes.push(conn)).is_ok() {
            let _ = Mailbox::wake(self);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1 << 10;

    /// Describes what waits in a mailbox, and takes it: topics in their order, and a number for what was lost at its place.
    fn take(mailbox: &Mailbox) -> Vec<String> {
        let mut commands = VecDeque::new();
        assert!(mailbox.drain(&mut Vec::new(), &mut commands));
        let describe = |command| match command {
            Command::Publish(publication) => publication.topic().to_owned(),
            Command::Lose(losses) => losses.iter().map(|(_, lost)| lost.texts).sum::<u64>().to_string(),
            _ => panic!("nothing else was posted"),
        };
        commands.into_iter().map(describe).collect()
    }

    /// Posts turns of publications of 30 KiB, in two ways: a turn as a whole, and one by one.
    #[track_caller]
    fn check(limits: &Limits, memory_bytes: usize, turns: &[&[&str]], expected: &[&str]) {
        let posted = [false, true].map(|one_by_one| {
            let memory = Memory::new(memory_bytes);
            let mailbox = Mailbox::new(None, limits, &memory);
            let text = "x".repeat(30 * KIB);
            let mut lost = Vec::new();
            for turn in turns {
                let publication = |topic: &&str| Arc::new(Publication::new(topic, Message::Text(&text)));
                let turn: Vec<_> = turn.iter().map(publication).collect();
                let post = |part: &[_]| mailbox.post_publications(part).expect("it is open");
                let parts = turn.chunks(if one_by_one { 1 } else { usize::MAX });
                lost.push(parts.map(post).sum::<u64>());
            }
            (lost, memory.used_bytes(), take(&mailbox), memory.used_bytes())
        });
        assert_eq!(posted[0], posted[1]);
        assert_eq!(posted[0].2, expected);
    }

    #[test]
    fn a_turn_of_publications_is_queued_as_if_it_came_one_by_one() {
        let roomy = Limits::default();
        check(&roomy, usize::MAX, &[&[], &["a"], &["b", "c"]], &["a", "b", "c"]);
        let commands = Limits { mailbox: 3, ..Limits::default() };
        check(&commands, usize::MAX, &[&["a", "b", "c"]], &["a", "b", "c"]);
        check(&commands, usize::MAX, &[&["a", "b"], &["c", "d"], &["e"]], &["a", "b", "c", "2"]);
        let bytes = Limits { mailbox_bytes: 100 * KIB, ..Limits::default() };
        check(&bytes, usize::MAX, &[&["a", "b", "c", "d", "e"]], &["a", "b", "c", "2"]);
        check(&bytes, usize::MAX, &[&["a"], &["b", "c", "d"], &["e"]], &["a", "b", "c", "2"]);
        // Memory is taken in steps of 64 KiB.
        check(&roomy, 128 * KIB, &[&["a", "b"], &["c", "d", "e"], &["f"]], &["a", "b", "c", "d", "2"]);
        check(&roomy, 0, &[&["a", "b"]], &["2"]);
    }

    #[test]
    fn a_drained_mailbox_has_its_room_again() {
        let (limits, memory) = (Limits { mailbox: 3, ..Limits::default() }, Memory::new(64 * KIB));
        let mailbox = Mailbox::new(None, &limits, &memory);
        let publication = Arc::new(Publication::new("a", Message::Text("text")));
        let turn = vec![publication; 4];
        for _ in 0..3 {
            assert_eq!(mailbox.post_publications(&turn), Ok(1));
            assert_eq!(take(&mailbox), ["a", "a", "a", "1"]);
            assert_eq!(mailbox.post_publications(&turn[..3]), Ok(0));
            assert_eq!(take(&mailbox), ["a", "a", "a"]);
        }
        mailbox.close();
        assert_eq!(mailbox.post_publications(&turn), Err(SendError::Gone));
        assert_eq!(memory.used_bytes(), 0);
    }
}
