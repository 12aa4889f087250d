//! The echo mode: each connection keeps `--depth` messages in flight and checks every byte that comes back.

use crate::args::Args;
use crate::die::die;
use crate::frames::{client_frame, payload, server_frame, Pattern};
use crate::hist::Hist;
use crate::http;
use crate::link::Link;
use crate::net::{self, READ_BUF};
use crate::window::{Moment, Window};
use std::collections::VecDeque;
use std::time::Instant;

struct Conn {
    link: Link,
    pos: usize,                 // offset into the frame being received
    owed: usize,                // frames to send
    off: usize,                 // bytes already sent of the current frame
    want_write: bool,           // EPOLLOUT is armed
    sent: VecDeque<(u64, u32)>, // (time sent, number of frames), oldest first
}

/// Sends the frames that the connection owes, and arms or disarms EPOLLOUT as needed.
fn pump(ep: &net::Epoll, i: usize, c: &mut Conn, out: &Pattern, now: u64) {
    let mut finished = 0u32;
    while c.owed > 0 {
        let n = (c.owed * out.frame - c.off).min(out.bytes.len() - c.off);
        match c.link.write(&out.bytes[c.off..c.off + n]) {
            Ok(w) => {
                let total = c.off + w;
                let whole = total / out.frame;
                c.off = total % out.frame;
                c.owed -= whole;
                finished += whole as u32;
                if w < n {
                    break;
                }
            }
            Err(e) if e == libc::EAGAIN => break,
            Err(e) => die(&format!("write: {}", std::io::Error::from_raw_os_error(e))),
        }
    }
    if finished > 0 {
        c.sent.push_back((now, finished));
    }
    let want = c.owed > 0;
    if want != c.want_write {
        c.want_write = want;
        ep.modify(c.link.fd(), i as u64, want);
    }
}

/// Runs the load and prints the report.
pub fn run(a: &Args) {
    let op = if a.binary { 0x82 } else { 0x81 };
    let body = payload(a.size);
    let cf = client_frame(op, &body);
    // Enough repetitions for a whole refill in one write, up to 1 MiB.
    let out_len = (cf.len() * a.depth).min(1 << 20);
    let out = Pattern::new(cf, out_len);
    let exp = Pattern::new(server_frame(op, &body), READ_BUF);
    let ep = net::Epoll::new();
    let path = a.path.as_deref().unwrap_or("/ws");
    let mut conns: Vec<Conn> = (0..a.conns)
        .map(|i| {
            let (link, _) = http::ws_connect(a, path, None);
            ep.add(link.fd(), i as u64);
            Conn {
                link,
                pos: 0,
                owed: a.depth,
                off: 0,
                want_write: false,
                sent: VecDeque::with_capacity(a.depth + 1),
            }
        })
        .collect();

    let start = Instant::now();
    let ns = |t: Instant| t.duration_since(start).as_nanos() as u64;
    for (i, c) in conns.iter_mut().enumerate() {
        pump(&ep, i, c, &out, ns(Instant::now()));
    }

    let mut window = Window::new(a, start);
    let mut msgs = 0u64;
    let mut hist = Hist::new();
    let mut buf = vec![0u8; READ_BUF];
    let mut events = net::Events::new(1024);
    loop {
        let n = ep.wait(&mut events, 100);
        let mut now = Instant::now();
        match window.step(now, n, "no answer for 5 s (stalled)") {
            Moment::Within => {}
            Moment::Begin => (msgs, hist) = (0, Hist::new()),
            Moment::End => break,
        }
        for k in 0..n {
            let (i, flags) = events.get(k);
            let i = i as usize;
            let c = &mut conns[i];
            if flags & !(libc::EPOLLOUT as u32) != 0 {
                loop {
                    let r = match c.link.read(&mut buf) {
                        Ok(0) => die("connection closed by the server"),
                        Ok(r) => r,
                        Err(e) if e == libc::EAGAIN => break,
                        Err(e) => die(&format!("read: {}", std::io::Error::from_raw_os_error(e))),
                    };
                    let Some((pos, done)) = exp.check(c.pos, &buf[..r]) else {
                        die(&format!("wrong echo on connection {i}: {:02x?}", &buf[..r.min(32)]));
                    };
                    c.pos = pos;
                    if done > 0 {
                        now = Instant::now();
                        let t = ns(now);
                        let mut left = done as u32;
                        while left > 0 {
                            let Some(front) = c.sent.front_mut() else {
                                die("more answers than messages")
                            };
                            let m = left.min(front.1);
                            hist.record(t - front.0, m as u64);
                            front.1 -= m;
                            left -= m;
                            if front.1 == 0 {
                                c.sent.pop_front();
                            }
                        }
                        msgs += done as u64;
                        c.owed += done;
                    }
                    if r < READ_BUF {
                        break; // probably drained; if not, level-triggered epoll reports it again
                    }
                }
            }
            if c.owed > 0 {
                pump(&ep, i, c, &out, ns(now));
            }
        }
    }
    window.finish("message", msgs, hist, None);
}
