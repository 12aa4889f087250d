//! The ring as a poller: one multishot poll per connection, and system calls to read and write.
//!
//! Its invariant: a key is reused only after its poll has completed for good, so that a completion always belongs to
//! the connection for which it was requested.

use crate::patience::patience;
use crate::ring::{Name, Ring, outcome};
use fleeting::ConnId;
use fleeting::engine::{Engine, Readiness};
use fleeting::time::Clock;
use fleeting::transport::Stream;
use io_uring::{cqueue, opcode, types};
use slab::Slab;
use std::cell::RefCell;
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd};
use std::rc::Rc;

/// Keys of the polls to check at the end of the turn.
type Unsettled = Rc<RefCell<Vec<usize>>>;

pub struct Polled {
    stream: TcpStream,
    key: usize,
    unsettled: Unsettled,
}

struct Poll {
    conn: ConnId,
    armed: bool,
}

/// Failures of the connection are reported without being in the mask.
const MASK: i32 = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP;

pub fn serve(listener: &TcpListener, mut engine: Engine<Polled>, clock: &Clock) -> io::Result<()> {
    let mut ring = Ring::new()?;
    let mut polls = Slab::new();
    let unsettled = Unsettled::default();
    ring.accept(listener)?;
    loop {
        ring.turn(patience(&engine, clock))?;
        engine.begin(clock.now());
        let mut accepting = true;
        for entry in ring.completions() {
            match Name::of(&entry) {
                Name::Accept => {
                    // Running out of descriptors ends the experiment.
                    let fd = outcome(&entry)?;
                    // SAFETY: the kernel has just opened it, and nothing else owns it.
                    let stream = unsafe { TcpStream::from_raw_fd(fd as i32) };
                    if engine.has_room() {
                        let place = polls.vacant_entry();
                        let key = place.key();
                        let conn = engine.accept(Polled { stream, key, unsettled: unsettled.clone() }, None);
                        place.insert(Poll { conn, armed: false });
                        unsettled.borrow_mut().push(key);
                    }
                    accepting &= cqueue::more(entry.flags());
                }
                Name::Poll(key) => {
                    let poll: &mut Poll = &mut polls[key];
                    if let Ok(events) = outcome(&entry) {
                        engine.ready(poll.conn, readiness(events as i32));
                    }
                    if !cqueue::more(entry.flags()) {
                        poll.armed = false;
                        unsettled.borrow_mut().push(key);
                    }
                }
                _ => {}
            }
        }
        engine.run();
        if !accepting {
            ring.accept(listener)?;
        }
        for key in unsettled.take() {
            let Some(poll) = polls.get_mut(key) else { continue };
            match (engine.stream_mut(poll.conn), poll.armed) {
                (Some(polled), false) => {
                    poll.armed = true;
                    let fd = types::Fd(polled.stream.as_raw_fd());
                    let entry = opcode::PollAdd::new(fd, MASK as u32).multi(true);
                    // SAFETY: the entry contains no pointers.
                    unsafe { ring.push(Name::Poll(key), entry.build())? };
                }
                (None, true) => ring.cancel(Name::Poll(key))?,
                (None, false) => drop(polls.remove(key)),
                (Some(_), true) => {}
            }
        }
    }
}

fn readiness(events: i32) -> Readiness {
    Readiness {
        readable: events & libc::EPOLLIN != 0,
        // Not polled for.
        urgent: false,
        writable: events & libc::EPOLLOUT != 0,
        ended: events & (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) != 0,
    }
}

impl Stream for Polled {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }

    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.stream.write(buffer)
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.stream.write_vectored(buffers)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }
}

impl Drop for Polled {
    fn drop(&mut self) {
        self.unsettled.borrow_mut().push(self.key);
    }
}
