//! The loop in which the ring does all the work: it accepts, receives and sends. One system call per turn
//! submits what the turn has written and waits for completions.

use crate::patience::patience;
use crate::ring::{Name, Ring, outcome};
use crate::sockets::{Plug, Sockets};
use fleeting::engine::Engine;
use fleeting::time::Clock;
use io_uring::cqueue;
use std::cell::RefCell;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::FromRawFd;
use std::rc::Rc;

pub fn serve(listener: &TcpListener, mut engine: Engine<Plug>, clock: &Clock) -> io::Result<()> {
    let mut ring = Ring::new()?;
    let sockets = Rc::new(RefCell::new(Sockets::new(&ring)?));
    ring.accept(listener)?;
    loop {
        ring.turn(patience(&engine, clock))?;
        engine.begin(clock.now());
        let mut accepting = true;
        for entry in ring.completions() {
            match Name::of(&entry) {
                Name::Receive(key) => sockets.borrow_mut().received(key, &entry),
                Name::Send(key) => sockets.borrow_mut().sent(key, &entry),
                Name::Accept => {
                    // Running out of descriptors ends the experiment.
                    let fd = outcome(&entry)?;
                    // SAFETY: the kernel has just opened it, and nothing else owns it.
                    let stream = unsafe { TcpStream::from_raw_fd(fd as i32) };
                    if engine.has_room() {
                        let key = sockets.borrow_mut().insert(stream);
                        let conn = engine.accept(Plug { sockets: sockets.clone(), key }, None);
                        sockets.borrow_mut().name(key, conn);
                    }
                    accepting &= cqueue::more(entry.flags());
                }
                _ => {}
            }
        }
        // Sockets that the engine itself touches are appended after these, and have no news.
        let touched = sockets.borrow().touched.len();
        for at in 0..touched {
            let news = {
                let mut sockets = sockets.borrow_mut();
                let key = sockets.touched[at];
                sockets.news(key)
            };
            if let Some((conn, readiness)) = news {
                engine.ready(conn, readiness);
            }
        }
        engine.run();
        sockets.borrow_mut().settle(&mut ring)?;
        if !accepting {
            ring.accept(listener)?;
        }
    }
}
