//! The mode of short connections: on each, one GET is sent and answered, the server closes it, and a new one follows.

use crate::args::Args;
use crate::die::die;
use crate::hist::Hist;
use crate::http;
use crate::link::Link;
use crate::net::{self, READ_BUF};
use crate::report::{cpu_now, finish};
use std::time::{Duration, Instant};

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
    let warm_end = start + Duration::from_secs_f64(a.warmup);
    let mut end = warm_end + Duration::from_secs_f64(a.secs);
    let (mut measuring, mut t0, mut cpu0) = (false, start, (None, 0.0));
    let (mut closed, mut hist) = (0u64, Hist::new());
    let mut buf = vec![0u8; READ_BUF];
    let mut events = net::Events::new(1024);
    let mut last_progress = start;
    loop {
        let n = ep.wait(&mut events, 100);
        let now = Instant::now();
        if !measuring && now >= warm_end {
            measuring = true;
            cpu0 = cpu_now(a);
            t0 = Instant::now();
            end = t0 + Duration::from_secs_f64(a.secs);
            (closed, hist) = (0, Hist::new());
        } else if measuring && now >= end {
            break;
        }
        if n > 0 {
            last_progress = now;
        } else if now.duration_since(last_progress) > Duration::from_secs(5) {
            die("no answer for 5 s (stalled)");
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
    let secs = t0.elapsed().as_secs_f64();
    let cpu1 = cpu_now(a);
    finish(a, "connection", closed, secs, hist, cpu0, cpu1, None);
}
