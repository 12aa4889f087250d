//! The echo mode with permessage-deflate: parses and inflates every frame that comes back.

use crate::args::Args;
use crate::die::die;
use crate::frames::{client_frame, json_payload, parse_header};
use crate::hist::Hist;
use crate::http;
use crate::link::Link;
use crate::net::{self, READ_BUF};
use crate::window::{Moment, Window};
use std::collections::VecDeque;
use std::time::Instant;

/// The number of texts through which the messages rotate.
const TEXTS: usize = 64;

struct DConn {
    link: Link,
    rx: Vec<u8>,
    msg: Vec<u8>,     // payload of the message being received, still compressed
    compressed: bool, // RSV1 of its first frame
    inflate: flate2::Decompress,
    next_tx: usize,
    next_rx: usize,
    owed: usize,
    off: usize,
    want_write: bool,
    sent: VecDeque<u64>,
}

/// Compresses one message without context takeover and removes the tail (RFC 7692 §7.2.1).
fn deflate_message(body: &[u8]) -> Vec<u8> {
    use flate2::{Compress, Compression, FlushCompress};
    let mut z = Compress::new(Compression::fast(), false);
    let mut out = Vec::with_capacity(body.len() + 64);
    z.compress_vec(body, &mut out, FlushCompress::Sync).unwrap();
    assert!(out.ends_with(&[0, 0, 0xff, 0xff]));
    out.truncate(out.len() - 4);
    out
}

/// Runs the load and prints the report.
pub fn run(a: &Args) {
    let texts: Vec<Vec<u8>> = (0..TEXTS).map(|i| json_payload(a.size, i as u64 + 1)).collect();
    let frames: Vec<Vec<u8>> = texts.iter().map(|t| client_frame(0xc1, &deflate_message(t))).collect();
    let ep = net::Epoll::new();
    let path = a.path.as_deref().unwrap_or("/ws");
    let mut conns: Vec<DConn> = (0..a.conns)
        .map(|i| {
            let (link, ext) = http::ws_connect(a, path, Some(&a.offer));
            match ext {
                Some(e) if e.contains("permessage-deflate") => {
                    if i == 0 {
                        eprintln!("agreed extension: {e}");
                    }
                }
                _ => die("the server did not agree to permessage-deflate"),
            }
            ep.add(link.fd(), i as u64);
            DConn {
                link,
                rx: Vec::with_capacity(READ_BUF),
                msg: Vec::new(),
                compressed: false,
                inflate: flate2::Decompress::new(false),
                next_tx: i,
                next_rx: i,
                owed: a.depth,
                off: 0,
                want_write: false,
                sent: VecDeque::with_capacity(a.depth),
            }
        })
        .collect();

    let pump = |i: usize, c: &mut DConn, now: u64| {
        while c.owed > 0 {
            let f = &frames[c.next_tx % TEXTS];
            match c.link.write(&f[c.off..]) {
                Ok(w) => {
                    c.off += w;
                    if c.off < f.len() {
                        break;
                    }
                    c.off = 0;
                    c.next_tx += 1;
                    c.owed -= 1;
                    c.sent.push_back(now);
                }
                Err(e) if e == libc::EAGAIN => break,
                Err(e) => die(&format!("write: {}", std::io::Error::from_raw_os_error(e))),
            }
        }
        let want = c.owed > 0;
        if want != c.want_write {
            c.want_write = want;
            ep.modify(c.link.fd(), i as u64, want);
        }
    };

    let start = Instant::now();
    let ns = |t: Instant| t.duration_since(start).as_nanos() as u64;
    for (i, c) in conns.iter_mut().enumerate() {
        pump(i, c, ns(Instant::now()));
    }
    let mut window = Window::new(a, start);
    let (mut msgs, mut wire, mut hist) = (0u64, 0u64, Hist::new());
    let mut buf = vec![0u8; READ_BUF];
    let mut plain: Vec<u8> = Vec::with_capacity(a.size * 2 + 1024);
    let mut events = net::Events::new(1024);
    loop {
        let n = ep.wait(&mut events, 100);
        let mut now = Instant::now();
        match window.step(now, n, "no answer for 5 s (stalled)") {
            Moment::Within => {}
            Moment::Begin => (msgs, wire, hist) = (0, 0, Hist::new()),
            Moment::End => break,
        }
        for k in 0..n {
            let (i, flags) = events.get(k);
            let i = i as usize;
            let c = &mut conns[i];
            if flags & !(libc::EPOLLOUT as u32) != 0 {
                let r = match c.link.read(&mut buf) {
                    Ok(0) => die("connection closed by the server"),
                    Ok(r) => r,
                    Err(e) if e == libc::EAGAIN => 0,
                    Err(e) => die(&format!("read: {}", std::io::Error::from_raw_os_error(e))),
                };
                wire += r as u64;
                c.rx.extend_from_slice(&buf[..r]);
                let mut at = 0;
                now = Instant::now();
                while let Some((b0, head, len)) = parse_header(&c.rx[at..]) {
                    if c.rx.len() - at < head + len {
                        break;
                    }
                    if b0 & 0x0f > 2 {
                        die(&format!("control frame {b0:#x} in the echo stream"));
                    }
                    if b0 & 0x0f != 0 {
                        c.compressed = b0 & 0x40 != 0;
                    }
                    c.msg.extend_from_slice(&c.rx[at + head..at + head + len]);
                    at += head + len;
                    if b0 & 0x80 == 0 {
                        continue;
                    }
                    let want = &texts[c.next_rx % TEXTS];
                    let same = if c.compressed {
                        c.msg.extend_from_slice(&[0, 0, 0xff, 0xff]);
                        plain.clear();
                        inflate_message(&mut c.inflate, &c.msg, &mut plain);
                        plain == *want
                    } else {
                        c.msg == *want
                    };
                    if !same {
                        die(&format!("wrong echo on connection {i}"));
                    }
                    c.msg.clear();
                    c.next_rx += 1;
                    let Some(t) = c.sent.pop_front() else {
                        die("more answers than messages")
                    };
                    hist.record(ns(now) - t, 1);
                    msgs += 1;
                    c.owed += 1;
                }
                c.rx.drain(..at);
            }
            if c.owed > 0 {
                pump(i, c, ns(now));
            }
        }
    }
    window.finish("message", msgs, hist, Some(wire));
}

fn inflate_message(z: &mut flate2::Decompress, mut data: &[u8], out: &mut Vec<u8>) {
    while !data.is_empty() {
        if out.capacity() - out.len() < 1024 {
            out.reserve(out.capacity().max(4096));
        }
        let before = (z.total_in(), z.total_out());
        if let Err(e) = z.decompress_vec(data, out, flate2::FlushDecompress::Sync) {
            die(&format!("inflate: {e}"));
        }
        if (z.total_in(), z.total_out()) == before {
            die("inflate made no progress");
        }
        data = &data[(z.total_in() - before.0) as usize..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deflate_round_trip() {
        let t = json_payload(1024, 5);
        assert_eq!(t.len(), 1024);
        let mut d = deflate_message(&t);
        assert!(d.len() < 700);
        d.extend_from_slice(&[0, 0, 0xff, 0xff]);
        let mut out = Vec::with_capacity(16);
        inflate_message(&mut flate2::Decompress::new(false), &d, &mut out);
        assert_eq!(out, t);
    }
}
