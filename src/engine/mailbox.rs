//! Messages to a worker from other threads.

use crate::app::{Bell, ConnId, Message};
use crate::ws::CloseCode;
use mio::Waker;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What a worker is asked to do.
#[derive(Debug)]
pub(crate) enum Command {
    Text(ConnId, Box<str>),
    Binary(ConnId, Box<[u8]>),
    Close(ConnId, CloseCode, Box<str>),
    /// To give a connection a turn.
    Wake(ConnId),
    Shutdown,
}

/// A worker's queue of commands, and the means to wake it.
#[derive(Debug)]
pub(crate) struct Mailbox {
    /// `None` once the worker is gone.
    commands: Mutex<Option<Vec<Command>>>,
    /// A wake-up is on its way that the worker has not seen yet.
    woken: AtomicBool,
    /// What ends the worker's wait; `None` if nobody waits.
    waker: Option<Waker>,
}

/// Commands that wait for one worker at most.
const COMMANDS_MAX: usize = 65_536;

impl Mailbox {
    pub(crate) fn new(waker: Option<Waker>) -> Mailbox {
        Mailbox { commands: Mutex::new(Some(Vec::new())), woken: AtomicBool::new(false), waker }
    }

    fn post(&self, command: Command) -> Result<(), SendError> {
        {
            let mut commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
            let commands = commands.as_mut().ok_or(SendError::Gone)?;
            // Shutting down is never refused, nor a turn: of these there is one for each that waits.
            let refusable = !matches!(command, Command::Shutdown | Command::Wake(_));
            if commands.len() >= COMMANDS_MAX && refusable {
                return Err(SendError::Full);
            }
            commands.push(command);
        }
        self.wake().map_err(|_| SendError::Gone)
    }

    fn wake(&self) -> io::Result<()> {
        match &self.waker {
            _ if self.woken.swap(true, Ordering::AcqRel) => Ok(()),
            Some(waker) => waker.wake(),
            None => Ok(()),
        }
    }

    /// Moves everything that waits into `into`, which is empty.
    pub(crate) fn drain(&self, into: &mut Vec<Command>) {
        // The flag first: a command posted from here on wakes the worker again.
        self.woken.store(false, Ordering::Release);
        if let Some(commands) = &mut *self.commands.lock().unwrap_or_else(PoisonError::into_inner) {
            std::mem::swap(commands, into);
        }
    }

    /// The worker is gone: nobody is going to carry anything out.
    pub(crate) fn close(&self) {
        *self.commands.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether a wake-up has come since the last [`drain`](Mailbox::drain).
    #[inline]
    pub(crate) fn is_woken(&self) -> bool {
        self.woken.load(Ordering::Acquire)
    }
}

impl Bell for Mailbox {
    fn ring(&self, conn: ConnId) {
        // A worker that is gone has dropped its connections.
        let _ = self.post(Command::Wake(conn));
    }
}

/// Speaks to a running server from any thread. Cloning it is cheap.
#[derive(Debug, Clone)]
pub struct Handle {
    mailboxes: Arc<[Arc<Mailbox>]>,
}

/// Why a worker was not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// The worker has too many commands waiting: it was not queued.
    Full,
    /// There is no such worker (any more).
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

impl Handle {
    pub(crate) fn new(mailboxes: Vec<Arc<Mailbox>>) -> Handle {
        Handle { mailboxes: mailboxes.into() }
    }

    /// For engines that nobody waits for: whoever drives them gives them their turns. There is one for each of
    /// `workers` workers, which takes its commands when its turn begins.
    pub fn unattended(workers: usize) -> Handle {
        Handle::new((0..workers).map(|_| Arc::new(Mailbox::new(None))).collect())
    }

    pub(super) fn mailbox_of(&self, worker: u16) -> Option<&Arc<Mailbox>> {
        self.mailboxes.get(usize::from(worker))
    }

    fn mailbox(&self, conn: ConnId) -> Result<&Mailbox, SendError> {
        self.mailbox_of(conn.worker).map(|mailbox| &**mailbox).ok_or(SendError::Gone)
    }

    /// Sends a message to a WebSocket. It is dropped, and counted, if the connection is gone or has
    /// more than `outbox_bytes` to take already.
    ///
    /// # Errors
    /// [`SendError`] if the connection's worker could not be asked.
    pub fn send(&self, conn: ConnId, message: Message<'_>) -> Result<(), SendError> {
        self.mailbox(conn)?.post(match message {
            Message::Text(text) => Command::Text(conn, text.into()),
            Message::Binary(bytes) => Command::Binary(conn, bytes.into()),
        })
    }

    /// Begins a WebSocket's closing handshake (RFC 6455 §7.1.2).
    ///
    /// # Errors
    /// [`SendError`] if the connection's worker could not be asked.
    pub fn close(&self, conn: ConnId, code: CloseCode, reason: &str) -> Result<(), SendError> {
        self.mailbox(conn)?.post(Command::Close(conn, code, reason.into()))
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
}
