//! What a client of HTTP/1.1 sends, read by a thread of its own: the end of its connection is seen while a response is on its way.

use super::link::Link;
use std::io::{self, BufRead, ErrorKind, Read};
use std::net::TcpStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

/// The most that is read ahead.
const AHEAD_BYTES: usize = 64 << 10;

/// What has arrived and was not taken yet.
#[derive(Default)]
pub struct Incoming {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    end: Option<End>,
    /// The exchange that waits for its response. The end of the client's connection may end it.
    waiting: Option<(Arc<Link>, u32)>,
    /// There will be no more requests.
    is_retired: bool,
    /// The connection is not used any more.
    is_over: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Orderly,
    Reset,
}

impl Incoming {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("the lock is not poisoned")
    }

    fn wait(&self, waits: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        self.changed.wait_while(self.state(), |state| waits(state)).expect("the lock is not poisoned")
    }

    fn set(&self, set: impl FnOnce(&mut State)) {
        set(&mut self.state());
        self.changed.notify_all();
    }

    /// Announces that there will be no more requests after the one that has begun.
    pub fn retire(&self) {
        self.set(|state| state.is_retired = true);
    }

    /// Announces that nothing is taken any more.
    pub fn finish(&self) {
        self.set(|state| state.is_over = true);
    }

    /// Says which exchange waits for its response, if one does.
    pub fn set_waiting(&self, exchange: Option<(Arc<Link>, u32)>) {
        self.set(|state| state.waiting = exchange);
    }

    /// Waits for the next request. Returns whether there is one.
    pub fn has_next(&self) -> bool {
        let state = self.wait(|state| state.bytes.is_empty() && state.end.is_none() && !state.is_retired);
        !state.bytes.is_empty()
    }

    /// Reads until the end of the connection. Then it ends the exchanges that wait.
    pub fn read(&self, mut stream: &TcpStream) {
        let mut bytes = [0; 16 << 10];
        let end = loop {
            match stream.read(&mut bytes) {
                Ok(0) => break End::Orderly,
                Ok(read) => {
                    self.set(|state| state.bytes.extend_from_slice(&bytes[..read]));
                    let state = self.wait(|state| state.bytes.len() >= AHEAD_BYTES && !state.is_over);
                    if state.is_over {
                        return;
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break End::Reset,
            }
        };
        self.set(|state| state.end = Some(end));
        loop {
            let mut state = self.wait(|state| state.waiting.is_none() && !state.is_over);
            let Some((link, stream)) = state.waiting.take() else { return };
            drop(state);
            match end {
                End::Orderly => link.cancel_unless_answered(stream),
                End::Reset => link.cancel(stream),
            }
        }
    }
}

/// Takes what has arrived. At the end of the connection it reads nothing, or an error if the client has reset it.
pub struct Reader<'i> {
    pub incoming: &'i Incoming,
    taken: Vec<u8>,
    at: usize,
}

impl<'i> Reader<'i> {
    pub fn new(incoming: &'i Incoming) -> Reader<'i> {
        Reader { incoming, taken: Vec::new(), at: 0 }
    }

    /// Waits for the next request. Returns whether there is one.
    pub fn has_next(&self) -> bool {
        self.at < self.taken.len() || self.incoming.has_next()
    }

    /// Whether this many bytes are here.
    pub fn has(&self, bytes: u64) -> bool {
        (self.taken.len() - self.at + self.incoming.state().bytes.len()) as u64 >= bytes
    }
}

impl BufRead for Reader<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.taken.len() {
            let mut state =
                self.incoming.wait(|state| state.bytes.is_empty() && state.end.is_none() && !state.is_over);
            (self.taken, self.at) = (std::mem::take(&mut state.bytes), 0);
            if self.taken.is_empty() && state.end == Some(End::Reset) {
                return Err(ErrorKind::ConnectionReset.into());
            }
            drop(state);
            self.incoming.changed.notify_all();
        }
        Ok(&self.taken[self.at..])
    }

    fn consume(&mut self, bytes: usize) {
        self.at += bytes;
    }
}

impl Read for Reader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(into)?;
        self.consume(read);
        Ok(read)
    }
}
