//! The mode of short connections: on each, one GET is sent and answered, the server closes it, and a new one follows.

use crate::args::Args;
use crate::die::die;
use crate::hist::Hist;
use crate::http;
use crate::link::Link;
use crate::net::{self, READ_BUF};
use crate::window::{Moment, Window};
use std::time::Instant;

struct Conn {
    link: Link,
    begun: Instant,
    answer: Vec<u8>,
}

/// Runs the load and prints the report.
pub fn run(a: &Args) {
    let request = http::request(a, a.path.as_deref().unwrap_or("/"), "Connection: close\r\n");
    let ep = net::Epoll::new();
    let open = |i: usize| {
        let begun = Instant::now();
        let mut link = Link::connect(a);
        link.set_nonblocking();
        link.write_all(&request);
        ep.add(link.fd(), i as u64);
        Conn {
            link,
            begun,
            answer: Vec::new(),
        }
    };
    let start = Instant::now();
    let mut conns: Vec<Conn> = (0..a.conns).map(open).collect();
    let mut window = Window::new(a, start);
    let (mut closed, mut hist) = (0u64, Hist::new());
    let mut buf = vec![0u8; READ_BUF];
    let mut events = net::Events::new(1024);
    loop {
        let n = ep.wait(&mut events, 100);
        let now = Instant::now();
        match window.step(now, n, "no answer for 5 s (stalled)") {
            Moment::Within => {}
            Moment::Begin => (closed, hist) = (0, Hist::new()),
            Moment::End => break,
        }
        for k in 0..n {
            let i = events.get(k).0 as usize;
            let c = &mut conns[i];
            match c.link.read(&mut buf) {
                Ok(0) if http::is_whole(&c.answer) => {
                    hist.record(c.begun.elapsed().as_nanos() as u64, 1);
                    closed += 1;
                    *c = open(i);
                }
                Ok(0) => die(&format!("wrong answer: {:?}", String::from_utf8_lossy(&c.answer))),
                Ok(n) => c.answer.extend_from_slice(&buf[..n]),
                Err(libc::EAGAIN) => {}
                Err(e) => die(&format!("read: {}", std::io::Error::from_raw_os_error(e))),
            }
        }
    }
    window.finish("connection", closed, hist, None);
}
