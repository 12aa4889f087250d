//! The ring: entries to submit, one system call per turn, and completions.

use io_uring::types::{SubmitArgs, Timespec};
use io_uring::{CompletionQueue, IoUring, cqueue, opcode, squeue, types};
use std::io;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::time::Duration;

pub struct Ring(pub IoUring);

/// What a completion belongs to: an operation, and the key of its socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    Accept,
    /// Its own outcome is ignored; that of the cancelled operation matters.
    Cancel,
    Receive(usize),
    Send(usize),
    Poll(usize),
}

const SUBMISSIONS: u32 = 4096;
const COMPLETIONS: u32 = 16384;

impl Name {
    pub fn number(self) -> u64 {
        let (operation, key) = match self {
            Name::Accept => (0, 0),
            Name::Cancel => (1, 0),
            Name::Receive(key) => (2, key),
            Name::Send(key) => (3, key),
            Name::Poll(key) => (4, key),
        };
        (key as u64) << 3 | operation
    }

    pub fn of(entry: &cqueue::Entry) -> Name {
        let key = (entry.user_data() >> 3) as usize;
        match entry.user_data() & 7 {
            0 => Name::Accept,
            1 => Name::Cancel,
            2 => Name::Receive(key),
            3 => Name::Send(key),
            _ => Name::Poll(key),
        }
    }
}

impl Ring {
    pub fn new() -> io::Result<Ring> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_cqsize(COMPLETIONS)
            .build(SUBMISSIONS)?;
        Ok(Ring(ring))
    }

    /// Queues an entry for the turn's system call. Makes a call at once only if the queue is full.
    ///
    /// # Safety
    /// Everything the entry points to must stay alive, at the same address, until the entry has completed.
    pub unsafe fn push(&mut self, name: Name, entry: squeue::Entry) -> io::Result<()> {
        let entry = entry.user_data(name.number());
        // SAFETY: the caller keeps the promise above.
        while unsafe { self.0.submission().push(&entry) }.is_err() {
            self.0.submit()?;
        }
        Ok(())
    }

    /// Accepts connections until the operation ends. Accepted sockets are non-blocking.
    pub fn accept(&mut self, listener: &TcpListener) -> io::Result<()> {
        let entry = opcode::AcceptMulti::new(types::Fd(listener.as_raw_fd()))
            .flags(libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK);
        // SAFETY: the entry contains no pointers.
        unsafe { self.push(Name::Accept, entry.build()) }
    }

    /// Cancels an operation. The operation still completes, one way or another, and the caller must wait for that.
    pub fn cancel(&mut self, name: Name) -> io::Result<()> {
        let entry = opcode::AsyncCancel::new(name.number()).build();
        // SAFETY: the entry contains no pointers.
        unsafe { self.push(Name::Cancel, entry) }
    }

    /// Submits the queued entries and waits until something has completed, or until `patience` is over.
    pub fn turn(&mut self, patience: Option<Duration>) -> io::Result<()> {
        let outcome = match patience {
            None => self.0.submit_and_wait(1),
            Some(patience) => {
                let time = Timespec::from(patience);
                self.0.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&time))
            }
        };
        match outcome {
            Ok(_) => Ok(()),
            // The timeout, a signal, or a completion queue that must be emptied first.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ETIME | libc::EINTR | libc::EBUSY)) => {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    pub fn completions(&mut self) -> CompletionQueue<'_> {
        self.0.completion()
    }
}

/// Returns the number that a completion carries, or the error that it encodes.
pub fn outcome(entry: &cqueue::Entry) -> io::Result<usize> {
    usize::try_from(entry.result()).map_err(|_| io::Error::from_raw_os_error(-entry.result()))
}
