//! The publishing modes: one publisher, and subscribers that check every byte they receive.

use crate::args::Args;
use crate::die::die;
use crate::frames::{client_frame, payload, server_frame, Pattern};
use crate::hist::Hist;
use crate::http;
use crate::link::Link;
use crate::net::{self, READ_BUF};
use crate::window::{Moment, Window};
use std::time::{Duration, Instant};

/// What one subscriber receives.
pub trait Deliveries {
    /// Takes the bytes of one read. Returns how many deliveries they complete.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    fn take(&mut self, read: &[u8]) -> Result<usize, &'static str>;
}

/// The same frame again and again, after the rest of an answer to the subscription.
struct Frames<'a> {
    answer: &'a [u8],
    expected: &'a Pattern,
    pos: usize, // offset into the frame being received
}

impl Deliveries for Frames<'_> {
    #[inline]
    fn take(&mut self, read: &[u8]) -> Result<usize, &'static str> {
        let (answer, read) = read.split_at(self.answer.len().min(read.len()));
        self.answer = self
            .answer
            .strip_prefix(answer)
            .ok_or("wrong answer to a subscription")?;
        let (pos, done) = self.expected.check(self.pos, read).ok_or("wrong delivery")?;
        self.pos = pos;
        Ok(done)
    }
}

struct Subscriber<D> {
    link: Link,
    deliveries: D,
    received: u64,
}

/// Runs the load with subscribers that are WebSockets.
pub fn run(a: &Args) {
    let op = if a.binary { 0x82 } else { 0x81 };
    let expected = Pattern::new(server_frame(op, &payload(a.size)), READ_BUF);
    publish_to(a, &a.pub_path, &payload(a.size), || {
        let (link, _) = http::ws_connect(a, a.sub_path.as_deref().unwrap_or("/sub"), None);
        let deliveries = Frames {
            answer: &[],
            expected: &expected,
            pos: 0,
        };
        (link, deliveries)
    });
}

/// Runs the load in the protocol of the program `fleeting`: commands in JSON, and one path for both sides.
pub fn run_hub(a: &Args) {
    let path = a.path.as_deref().unwrap_or("/hub");
    let data = String::from_utf8(payload(a.size)).expect("the payload is text");
    let command = format!(r#"{{"publish":"load","data":"{data}"}}"#);
    let message = format!(r#"{{"topic":"load","data":"{data}"}}"#);
    let expected = Pattern::new(server_frame(0x81, message.as_bytes()), READ_BUF);
    let answer = server_frame(0x81, br#"{"subscribed":"load"}"#);
    publish_to(a, path, command.as_bytes(), || {
        let (mut link, _) = http::ws_connect(a, path, None);
        link.write_all(&client_frame(0x81, br#"{"subscribe":"load"}"#));
        let deliveries = Frames {
            answer: &answer,
            expected: &expected,
            pos: 0,
        };
        (link, deliveries)
    });
}

/// Runs one publisher, which sends `message` to `path`, and `conns` subscribers, which `subscribe` connects, and prints the
/// report. A publication is finished when every subscriber has received it; `depth` publications are kept in flight.
pub fn publish_to<D: Deliveries>(a: &Args, path: &str, message: &[u8], subscribe: impl Fn() -> (Link, D)) {
    let publication = client_frame(if a.binary { 0x82 } else { 0x81 }, message);
    let ep = net::Epoll::new();
    let mut subs: Vec<Subscriber<D>> = (0..a.conns)
        .map(|i| {
            let (link, deliveries) = subscribe();
            ep.add(link.fd(), i as u64);
            Subscriber {
                link,
                deliveries,
                received: 0,
            }
        })
        .collect();
    let (mut publisher, _) = http::ws_connect(a, path, None);
    ep.add(publisher.fd(), a.conns as u64);
    // Some servers subscribe after the handshake: give them time to do so.
    std::thread::sleep(Duration::from_millis(200));

    let ring = a.depth;
    let mut sent_at = vec![0u64; ring];
    let mut got = vec![0usize; ring];
    let start = Instant::now();
    let ns = |t: Instant| t.duration_since(start).as_nanos() as u64;
    let mut next = 0u64; // publications sent so far
    let mut finished = 0u64; // publications that every subscriber has received
    let publish = |publisher: &mut Link, next: &mut u64, sent_at: &mut [u64]| {
        sent_at[(*next % ring as u64) as usize] = ns(Instant::now());
        publisher.write_all(&publication);
        *next += 1;
    };
    for _ in 0..a.depth {
        publish(&mut publisher, &mut next, &mut sent_at);
    }
    let mut window = Window::new(a, start);
    let (mut msgs, mut hist) = (0u64, Hist::new());
    let mut buf = vec![0u8; READ_BUF];
    let mut events = net::Events::new(1024);
    loop {
        let n = ep.wait(&mut events, 100);
        let now = Instant::now();
        match window.step(
            now,
            n,
            "no delivery for 5 s (a message was lost, or the server stalled)",
        ) {
            Moment::Within => {}
            Moment::Begin => (msgs, hist) = (0, Hist::new()),
            Moment::End => break,
        }
        let t = ns(now);
        for k in 0..n {
            let (i, _) = events.get(k);
            let mut subscriber = subs.get_mut(i as usize);
            let link = subscriber.as_mut().map_or(&mut publisher, |s| &mut s.link);
            let r = match link.read(&mut buf) {
                Ok(0) => die("connection closed by the server"),
                Ok(r) => r,
                Err(e) if e == libc::EAGAIN => continue,
                Err(e) => die(&format!("read: {}", std::io::Error::from_raw_os_error(e))),
            };
            // Some servers answer the publisher.
            let Some(s) = subscriber else { continue };
            let done = s.deliveries.take(&buf[..r]).unwrap_or_else(|wrong| {
                die(&format!("{wrong}: {:?}", String::from_utf8_lossy(&buf[..r.min(64)])));
            });
            for _ in 0..done {
                if s.received >= next {
                    die("more deliveries than publications");
                }
                let slot = (s.received % ring as u64) as usize;
                s.received += 1;
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
            publish(&mut publisher, &mut next, &mut sent_at);
        }
    }
    window.finish("delivery", msgs, hist, None);
}
