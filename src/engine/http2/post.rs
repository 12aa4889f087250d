//! What the turn of one connection leaves for others: streams that can go on or have ended, connections with something to
//! send, and memory.
//!
//! It knows no connection record. Its invariant: what is posted is carried out in the same turn of the loop, as far as its bound
//! allows.

use super::begun::Begun;
use super::spare::Spare;
use crate::app::ConnId;
use crate::buffer::{Memory, Pool};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::Arc;

/// A worker's list of what is to be done for streams.
pub(in crate::engine) struct Post {
    /// There is something: looked at once a turn.
    waits: Cell<bool>,
    /// Streams that the connection whose turn it is has begun. They get records after it.
    begun: RefCell<Vec<Begun>>,
    tasks: RefCell<VecDeque<Task>>,
    /// Connections that have something to send.
    due: RefCell<Vec<ConnId>>,
    /// Unused memory of connections and their streams.
    pub(in crate::engine) spare: Spare,
}

/// Something to be done for the record of a stream.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) enum Task {
    /// It begins.
    Begin { conn: ConnId, writable: bool },
    /// It can go on: something has arrived, or there is room to send.
    Ready { conn: ConnId, readable: bool },
    /// There is no memory for its content.
    Refuse(ConnId),
    /// Its client has ended the connection's other direction.
    Leave(ConnId),
    /// Its stream has ended by an error.
    Fail(ConnId),
}

impl Post {
    pub(in crate::engine) fn new(memory: &Arc<Memory>, pool: &Pool) -> Post {
        Post {
            waits: Cell::new(false),
            begun: RefCell::default(),
            tasks: RefCell::default(),
            due: RefCell::default(),
            spare: Spare::new(memory, pool),
        }
    }

    /// Whether nothing is to be done.
    #[inline]
    pub(in crate::engine) fn is_empty(&self) -> bool {
        !self.waits.get()
    }

    pub(in crate::engine) fn push(&self, task: Task) {
        self.waits.set(true);
        self.tasks.borrow_mut().push_back(task);
    }

    /// Lets a record read, if there is one.
    pub(super) fn push_reader(&self, reader: Option<ConnId>) {
        if let Some(conn) = reader {
            self.push(Task::Ready { conn, readable: true });
        }
    }

    /// Lets a stream of the connection whose turn it is have a record.
    pub(super) fn begin(&self, begun: Begun) {
        self.begun.borrow_mut().push(begun);
    }

    /// Whether the connection whose turn it was has begun streams.
    #[inline]
    pub(in crate::engine) fn has_begun(&self) -> bool {
        !self.begun.borrow().is_empty()
    }

    /// Takes the streams that a connection has begun. The list is [given back](Post::give_back) for its memory.
    pub(in crate::engine) fn take_begun(&self) -> Vec<Begun> {
        self.begun.take()
    }

    /// Takes back a list that is empty.
    pub(in crate::engine) fn give_back(&self, mut list: Vec<Begun>) {
        debug_assert!(list.is_empty());
        list.shrink_to(BEGUN_KEPT);
        self.begun.replace(list);
    }

    /// Notes a connection that has something to send.
    pub(in crate::engine) fn send(&self, owner: ConnId) {
        self.waits.set(true);
        self.due.borrow_mut().push(owner);
    }

    pub(in crate::engine) fn next_task(&self) -> Option<Task> {
        self.tasks.borrow_mut().pop_front()
    }

    /// Takes a connection that has something to send. If there are no more, and no tasks, nothing is to be done.
    pub(in crate::engine) fn next_due(&self) -> Option<ConnId> {
        let next = self.due.borrow_mut().pop();
        if next.is_none() && self.tasks.borrow().is_empty() {
            self.waits.set(false);
        }
        next
    }
}

/// Streams that begin in one turn, for which the list keeps its memory.
const BEGUN_KEPT: usize = 1024;
