//! A client with its connection: what requests, WebSockets and event streams have in common.
//!
//! It knows no protocol. Its invariant: a client that is dropped is gone for the server at once.

use super::host::{self, Host, Stuck};
use super::line::Line;
use std::cell::{RefCell, RefMut};
use std::net::SocketAddr;
use std::rc::Rc;

/// A connected client.
pub(super) struct Client {
    host: Rc<RefCell<Host>>,
    line: Rc<RefCell<Line>>,
}

impl Client {
    #[track_caller]
    pub(super) fn connect(host: &Rc<RefCell<Host>>, peer: Option<SocketAddr>) -> Client {
        let line = host::borrow(host).connect(Line::new(peer));
        Client { host: host.clone(), line }
    }

    pub(super) fn line(&self) -> RefMut<'_, Line> {
        self.line.borrow_mut()
    }

    /// Does something at the client's end, and lets the server do what follows from it.
    #[track_caller]
    pub(super) fn act(&self, act: impl FnOnce(&mut Line)) {
        let mut host = host::borrow(&self.host);
        act(&mut self.line());
        host.settle();
    }

    #[track_caller]
    pub(super) fn send(&self, bytes: &[u8]) {
        self.act(|line| line.send(bytes));
    }

    /// Waits until `attempt` returns something.
    #[track_caller]
    pub(super) fn wait<T>(&self, attempt: impl FnMut() -> Option<T>) -> Result<T, Stuck> {
        host::wait(&self.host, attempt)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.line().reset();
        // In a test that fails, the engine may be in the middle of a turn.
        match self.host.try_borrow_mut() {
            Ok(mut host) if !std::thread::panicking() => host.settle(),
            _ => {}
        }
    }
}
