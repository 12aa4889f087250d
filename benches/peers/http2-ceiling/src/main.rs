//! The ceiling for HTTP/2 without TLS, by prior knowledge: not a server, but the limit for one thread on a loopback socket.
//!
//! One epoll loop reads the heads of the frames, nine bytes each, and copies a prebuilt HEADERS and DATA frame for each
//! request: one write for each read, and one for each large answer. It decodes no fields, keeps no state of streams and has
//! no timeouts.
//! `http2-ceiling PORT [spin]`: `GET /`, `GET /100k`, and `POST` (echo). The first request of a connection decides whether
//! the answers to all its requests without content are large. With `spin` it never waits in its poll.

mod conn;
mod frames;

use conn::{Conn, Progress};
use frames::Answers;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, IntoRawFd};

const BUF: usize = 64 * 1024;

fn arm(ep: i32, op: i32, fd: i32, out: bool) {
    let events = if out { libc::EPOLLOUT } else { libc::EPOLLIN } as u32;
    let mut ev = libc::epoll_event { events, u64: fd as u64 };
    // SAFETY: `ev` outlives the call.
    unsafe { libc::epoll_ctl(ep, op, fd, &mut ev) };
}

fn main() {
    let port: u16 = std::env::args()
        .nth(1)
        .and_then(|p| p.parse().ok())
        .expect("usage: http2-ceiling PORT [spin]");
    let timeout = match std::env::args().nth(2).as_deref() {
        None => -1,
        Some("spin") => 0,
        Some(other) => panic!("unknown argument {other}"),
    };
    let mut answers = Answers::new();

    let l = TcpListener::bind(("127.0.0.1", port)).expect("bind");
    l.set_nonblocking(true).unwrap();
    let lfd = l.as_raw_fd();
    // SAFETY: plain system call without pointers.
    let ep = unsafe { libc::epoll_create1(0) };
    arm(ep, libc::EPOLL_CTL_ADD, lfd, false);
    let mut conns: Vec<Option<Box<Conn>>> = Vec::new();
    let (mut buf, mut out) = (vec![0u8; BUF], Vec::with_capacity(2 * BUF));
    let mut evs = vec![libc::epoll_event { events: 0, u64: 0 }; 1024];
    loop {
        // SAFETY: the buffer holds as many events as its length says.
        let n = unsafe { libc::epoll_wait(ep, evs.as_mut_ptr(), 1024, timeout) };
        for ev in evs.iter().take(n.max(0) as usize) {
            let (fd, flags) = (ev.u64 as i32, ev.events);
            if fd == lfd {
                while let Ok((s, _)) = l.accept() {
                    s.set_nonblocking(true).unwrap();
                    s.set_nodelay(true).unwrap();
                    let fd = s.into_raw_fd();
                    if conns.len() <= fd as usize {
                        conns.resize_with(fd as usize + 1, || None);
                    }
                    conns[fd as usize] = Some(Box::new(Conn::new(fd)));
                    arm(ep, libc::EPOLL_CTL_ADD, fd, false);
                }
                continue;
            }
            let conn = conns[fd as usize].as_mut().expect("its socket is open");
            let progress = if flags & libc::EPOLLOUT as u32 != 0 {
                conn.go_on_writing(&mut answers)
            } else {
                conn.read(&mut buf, &mut out, &mut answers)
            };
            match progress {
                Progress::Same => {}
                Progress::WaitToRead => arm(ep, libc::EPOLL_CTL_MOD, fd, false),
                Progress::WaitToWrite => arm(ep, libc::EPOLL_CTL_MOD, fd, true),
                Progress::Ended => {
                    conns[fd as usize] = None;
                    // SAFETY: `fd` is owned by this loop.
                    unsafe { libc::close(fd) };
                }
            }
        }
    }
}
