//! The publishing mode: one publisher, and subscribers that check every byte they receive.

use crate::args::Args;
use crate::die::die;
use crate::frames::{client_frame, payload, server_frame, Pattern};
use crate::hist::Hist;
use crate::net::{self, READ_BUF};
use crate::report::{cpu_now, finish};
use std::time::{Duration, Instant};

/// Runs one publisher and `conns` subscribers, and prints the report. A publication is finished when every
/// subscriber has received it; `depth` publications are kept in flight.
pub fn run(a: &Args) {
    let op = if a.binary { 0x82 } else { 0x81 };
    let body = payload(a.size);
    let cf = client_frame(op, &body);
    let exp = Pattern::new(server_frame(op, &body), READ_BUF);
    let ep = net::Epoll::new();
    let mut subs: Vec<(i32, usize, u64)> = (0..a.conns)
        .map(|i| {
            let (fd, _) = net::ws_connect(&a.host, a.port, &a.sub_path, None);
            ep.add(fd, i as u64);
            (fd, 0, 0)
        })
        .collect();
    let (publisher, _) = net::ws_connect(&a.host, a.port, &a.pub_path, None);
    // Some servers subscribe after the handshake: give them time to do so.
    std::thread::sleep(Duration::from_millis(200));

    let ring = a.depth;
    let mut sent_at = vec![0u64; ring];
    let mut got = vec![0usize; ring];
    let start = Instant::now();
    let ns = |t: Instant| t.duration_since(start).as_nanos() as u64;
    let mut next = 0u64; // publications sent so far
    let mut finished = 0u64; // publications that every subscriber has received
    let publish = |next: &mut u64, sent_at: &mut [u64]| {
        sent_at[(*next % ring as u64) as usize] = ns(Instant::now());
        net::write_all(publisher, &cf);
        *next += 1;
    };
    for _ in 0..a.depth {
        publish(&mut next, &mut sent_at);
    }
    let warm_end = start + Duration::from_secs_f64(a.warmup);
    let mut end = warm_end + Duration::from_secs_f64(a.secs);
    let (mut measuring, mut t0, mut cpu0) = (false, start, (None, 0.0));
    let (mut msgs, mut hist) = (0u64, Hist::new());
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
            (msgs, hist) = (0, Hist::new());
        } else if measuring && now >= end {
            break;
        }
        if n > 0 {
            last_progress = now;
        } else if now.duration_since(last_progress) > Duration::from_secs(5) {
            die("no delivery for 5 s (a message was lost, or the server stalled)");
        }
        let t = ns(now);
        for k in 0..n {
            let (i, _) = events.get(k);
            let s = &mut subs[i as usize];
            let r = match net::read(s.0, &mut buf) {
                Ok(0) => die("subscriber closed by the server"),
                Ok(r) => r,
                Err(e) if e == libc::EAGAIN => continue,
                Err(e) => die(&format!("read: {}", std::io::Error::from_raw_os_error(e))),
            };
            let Some((pos, done)) = exp.check(s.1, &buf[..r]) else {
                die(&format!("wrong delivery: {:02x?}", &buf[..r.min(32)]));
            };
            s.1 = pos;
            for _ in 0..done {
                if s.2 >= next {
                    die("more deliveries than publications");
                }
                let slot = (s.2 % ring as u64) as usize;
                s.2 += 1;
                hist.record(t.saturating_sub(sent_at[slot]), 1);
                got[slot] += 1;
                if got[slot] == a.conns {
                    got[slot] = 0;
                    finished += 1;
                }
            }
            msgs += done as u64;
        }
        while next - finished < a.depth as u64 {
            publish(&mut next, &mut sent_at);
        }
    }
    let secs = t0.elapsed().as_secs_f64();
    let cpu1 = cpu_now(a);
    finish(a, "delivery", msgs, secs, hist, cpu0, cpu1, None);
}
