//! The mode for market data: datagrams at a fixed rate, and subscribers that get a message for each.
//!
//! The load is open loop: a tick leaves when it is due, whatever the server does. Latency counts from just before its
//! datagram is sent to the system's report that its message can be read. By how much the generator itself was late is
//! reported too.

use crate::args::Args;
use crate::die::die;
use crate::frames::{client_frame, parse_header, server_frame};
use crate::hist::Hist;
use crate::http;
use crate::link::Link;
use crate::net::{self, READ_BUF};
use crate::report::{cpu_now, Cpu};
use std::net::UdpSocket;
use std::time::{Duration, Instant};

/// Every subscriber subscribes to all of them.
const SYMBOLS: u64 = 8;
/// Ticks whose messages may be on their way.
const RING: u64 = 1 << 16;
/// Ticks that are sent before messages are read, if several are due.
const TICKS_PER_ROUND: usize = 4;
/// Between the first reading of the CPU clocks, which takes a while, and the first tick that is measured.
const SETTLE: Duration = Duration::from_millis(100);
/// How long the messages of the last ticks may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// A tick that was sent.
#[derive(Clone, Default)]
struct Sent {
    at: u64,
    frame: Vec<u8>,
}

struct Subscriber {
    /// The last sequence number that has arrived.
    last: u64,
    /// An incomplete frame.
    partial: Vec<u8>,
}

/// What is measured: ticks from `first` on, which is 0 before there is one.
struct Measured {
    first: u64,
    received: u64,
    latency: Hist,
    late: Hist,
}

/// Sends ticks, reads their messages, and prints the report.
pub fn run(a: &Args) {
    let ep = net::Epoll::new();
    let mut subscribers: Vec<(Link, Subscriber)> = (0..a.conns).map(|i| subscribe(a, &ep, i)).collect();
    let feed = UdpSocket::bind("127.0.0.1:0").unwrap_or_else(|e| die(&format!("bind: {e}")));
    let connected = feed.connect((a.host.as_str(), a.feed_port));
    connected.unwrap_or_else(|e| die(&format!("connect: {e}")));
    // Subscriptions take effect before the first tick.
    std::thread::sleep(Duration::from_millis(200));
    subscribers
        .iter()
        .for_each(|(link, _)| net::acknowledge_at_once(link.fd()));

    let mut ring = vec![Sent::default(); RING as usize];
    let mut measured = Measured {
        first: 0,
        received: 0,
        latency: Hist::new(),
        late: Hist::new(),
    };
    let mut events = net::Events::new(1024);
    let mut buf = vec![0u8; READ_BUF];
    let start = Instant::now();
    let ns = |t: Instant| t.duration_since(start).as_nanos() as u64;
    let ns_of = |secs: f64| (secs * 1e9) as u64;
    let (warm_end, mut cpu0) = (ns_of(a.warmup), None);
    let begin = warm_end + SETTLE.as_nanos() as u64;
    let end = begin + ns_of(a.secs);
    let (mut sequence, mut last_sent) = (0u64, 0);
    loop {
        let now = ns(Instant::now());
        if cpu0.is_none() && now >= warm_end {
            cpu0 = Some((cpu_now(a), ns(Instant::now())));
        }
        if now >= end {
            let is_done = subscribers.iter().all(|(_, s)| s.last == sequence);
            if is_done || now > last_sent + PATIENCE.as_nanos() as u64 {
                break;
            }
        }
        for _ in 0..TICKS_PER_ROUND {
            let now = ns(Instant::now());
            let due = (sequence + 1) * 1_000_000_000 / a.rate;
            if now < due || due >= end {
                break;
            }
            sequence += 1;
            let symbol = sequence % SYMBOLS;
            let price = format!("{}.{:04}", 1 + sequence % 100, sequence % 10_000);
            let datagram = format!("SYM{symbol} {price} {sequence}");
            let text = format!(r#"{{"symbol":"SYM{symbol}","price":"{price}","sequence":{sequence}}}"#);
            let sent = &mut ring[(sequence % RING) as usize];
            sent.frame = server_frame(0x81, text.as_bytes());
            if measured.first == 0 && due >= begin {
                measured.first = sequence;
            }
            sent.at = ns(Instant::now());
            last_sent = sent.at;
            if let Err(e) = feed.send(datagram.as_bytes()) {
                die(&format!("the server does not take datagrams: {e}"));
            }
            if measured.first > 0 {
                measured.late.record(last_sent - due, 1);
            }
        }
        let ready = ep.wait(&mut events, 0);
        // Before the reads, which acknowledge: on loopback that takes several microseconds.
        let now = ns(Instant::now());
        for k in 0..ready {
            let (link, s) = &mut subscribers[events.get(k).0 as usize];
            match link.read(&mut buf) {
                Ok(0) => die("subscriber closed by the server"),
                Ok(n) => take(s, &buf[..n], now, sequence, &ring, &mut measured),
                Err(libc::EAGAIN) => {}
                Err(e) => die(&format!("read: {}", std::io::Error::from_raw_os_error(e))),
            }
        }
    }
    let (cpu1, stop) = (cpu_now(a), ns(Instant::now()));
    if measured.received == 0 {
        die("no message has arrived in the measured time");
    }
    let (cpu0, since) = cpu0.expect("the end is after the warm-up");
    print(a, &measured, sequence, cpu0, cpu1, stop - since);
}

fn subscribe(a: &Args, ep: &net::Epoll, number: usize) -> (Link, Subscriber) {
    let path = a.path.as_deref().unwrap_or("/ticks");
    let token = format!("Authorization: Bearer {}\r\n", a.token);
    let (mut link, _) = http::ws_connect_with(a, path, &token);
    for symbol in 0..SYMBOLS {
        let command = format!(r#"{{"subscribe":"SYM{symbol}"}}"#);
        link.write_all(&client_frame(0x81, command.as_bytes()));
    }
    ep.add(link.fd(), number as u64);
    let subscriber = Subscriber {
        last: 0,
        partial: Vec::new(),
    };
    (link, subscriber)
}

/// Takes the frames of one read.
fn take(s: &mut Subscriber, read: &[u8], now: u64, sent: u64, ring: &[Sent], measured: &mut Measured) {
    let mut partial = std::mem::take(&mut s.partial);
    let mut bytes = read;
    if !partial.is_empty() {
        partial.extend_from_slice(read);
        bytes = &partial;
    }
    while let Some((_, head, length)) = parse_header(bytes) {
        if bytes.len() < head + length {
            break;
        }
        let (frame, rest) = bytes.split_at(head + length);
        bytes = rest;
        // The answer to a command.
        if frame[head..].starts_with(b"{\"subscribed\"") {
            continue;
        }
        let next = &ring[((s.last + 1) % RING) as usize];
        let sequence = if next.frame == frame {
            s.last + 1
        } else {
            sequence_of(&frame[head..])
        };
        let tick = &ring[(sequence % RING) as usize];
        if sequence <= s.last || sequence > sent || tick.frame != frame {
            die(&format!(
                "wrong message after {}: {}",
                s.last,
                String::from_utf8_lossy(&frame[head..])
            ));
        }
        s.last = sequence;
        if measured.first > 0 && sequence >= measured.first {
            measured.received += 1;
            // A message may arrive between the report and the read.
            measured.latency.record(now.saturating_sub(tick.at), 1);
        }
    }
    s.partial = bytes.to_vec();
}

/// Returns the number at the end of a message, or 0.
fn sequence_of(text: &[u8]) -> u64 {
    let digits = text.iter().rev().skip(1).take_while(|b| b.is_ascii_digit()).count();
    let at = text.len().saturating_sub(digits + 1);
    std::str::from_utf8(&text[at..text.len().saturating_sub(1)])
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(0)
}

fn print(a: &Args, m: &Measured, sequence: u64, cpu0: Cpu, cpu1: Cpu, ns: u64) {
    let ticks = sequence + 1 - m.first;
    let rate = ticks as f64 / a.secs;
    let expected = ticks * a.conns as u64;
    let missing = 1.0 - m.received as f64 / expected as f64;
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|q| m.latency.quantile(q) as f64 / 1e3);
    let late = m.late.quantile(0.999) as f64 / 1e3;
    let wall_us = ns as f64 / 1e3;
    let busy = cpu1.0.zip(cpu0.0).map(|(after, before)| (after - before) / wall_us);
    let own_busy = (cpu1.1 - cpu0.1) / wall_us;
    if a.json {
        println!(
            "{{\"mode\":\"feed\",\"conns\":{},\"rate\":{},\"secs\":{:.3},\"msgs\":{},\"ticks_per_s\":{rate:.0},\
             \"p50_us\":{p50:.1},\"p99_us\":{p99:.1},\"p999_us\":{p999:.1},\"late_p999_us\":{late:.1},\
             \"missing\":{missing:.6},\"server_busy\":{},\"client_busy\":{own_busy:.3}}}",
            a.conns,
            a.rate,
            a.secs,
            m.received,
            busy.map_or("null".into(), |busy| format!("{busy:.3}")),
        );
        return;
    }
    println!(
        "ticks: {ticks} sent, {rate:.0}/s, to {} subscribers; {:.3} % of the messages missing",
        a.conns,
        missing * 100.0
    );
    println!("latency us: p50 {p50:.1}  p99 {p99:.1}  p99.9 {p999:.1}");
    println!("sent too late, us: p99.9 {late:.1}");
    if let Some(busy) = busy {
        println!("server busy: {:.1} %", busy * 100.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(sequence: u64) -> Sent {
        let text = format!(r#"{{"symbol":"A","sequence":{sequence}}}"#);
        Sent {
            at: sequence * 10,
            frame: server_frame(0x81, text.as_bytes()),
        }
    }

    #[test]
    fn frames_are_found_across_reads_and_gaps() {
        let mut ring = vec![Sent::default(); RING as usize];
        (1..=5).for_each(|sequence| ring[sequence] = sent(sequence as u64));
        let answer = server_frame(0x81, b"{\"subscribed\":\"A\",\"last\":null}");
        let stream = [&*answer, &ring[1].frame, &ring[2].frame, &ring[4].frame, &ring[5].frame].concat();
        for cut in 1..stream.len() {
            let mut s = Subscriber {
                last: 0,
                partial: Vec::new(),
            };
            let mut m = Measured {
                first: 2,
                received: 0,
                latency: Hist::new(),
                late: Hist::new(),
            };
            for piece in [&stream[..cut], &stream[cut..]] {
                take(&mut s, piece, 60, 5, &ring, &mut m);
            }
            assert_eq!((s.last, m.received, s.partial.len()), (5, 3, 0), "{cut}");
            assert_eq!((m.latency.quantile(0.01), m.latency.quantile(1.0)), (10, 40), "{cut}");
        }
    }

    #[test]
    fn sequence_numbers_are_read_from_the_end() {
        assert_eq!(sequence_of(br#"{"sequence":120}"#), 120);
        assert_eq!([sequence_of(b""), sequence_of(b"}"), sequence_of(b"x}")], [0; 3]);
    }
}
