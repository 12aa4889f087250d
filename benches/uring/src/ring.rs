//! The ring: entries to submit, one system call a turn, what has completed.

use io_uring::types::{SubmitArgs, Timespec};
use io_uring::{CompletionQueue, IoUring, cqueue, opcode, squeue, types};
use std::io;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::time::Duration;

pub struct Ring(pub IoUring);

/// What a completion is about: an operation, and the index of whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    Accept,
    /// Its own outcome is of no interest: that of what it cancels is.
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

    /// Queues an entry for the turn's system call; only a full queue makes one at once.
    ///
    /// # Safety
    /// What the entry points to lives, and stays where it is, until the entry has completed.
    pub unsafe fn push(&mut self, name: Name, entry: squeue::Entry) -> io::Result<()> {
        let entry = entry.user_data(name.number());
        // SAFETY: the caller promises what is asked for.
        while unsafe { self.0.submission().push(&entry) }.is_err() {
            self.0.submit()?;
        }
        Ok(())
    }

    /// Accepts until it is told otherwise. Whoever is accepted never blocks.
    pub fn accept(&mut self, listener: &TcpListener) -> io::Result<()> {
        let entry = opcode::AcceptMulti::new(types::Fd(listener.as_raw_fd()))
            .flags(libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK);
        // SAFETY: it points to nothing.
        unsafe { self.push(Name::Accept, entry.build()) }
    }

    /// What is cancelled completes in one way or another; that it does is to be waited for.
    pub fn cancel(&mut self, name: Name) -> io::Result<()> {
        let entry = opcode::AsyncCancel::new(name.number()).build();
        // SAFETY: it points to nothing.
        unsafe { self.push(Name::Cancel, entry) }
    }

    /// Submits what is queued and waits until something has completed, or for as long as `patience`.
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
            // Nothing has happened in time; a signal; completions must be taken first.
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

/// The number that a completion brings, or the error that it stands for.
pub fn outcome(entry: &cqueue::Entry) -> io::Result<usize> {
    usize::try_from(entry.result()).map_err(|_| io::Error::from_raw_os_error(-entry.result()))
}
