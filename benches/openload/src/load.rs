//! The load itself: sends the requests that are due, takes the answers that have arrived, and never waits.

use crate::answer::Answers;
use crate::args::Args;
use crate::connect::connect;
use crate::cpu;
use crate::schedule::Schedule;
use crate::trickle::Trickle;
use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Registry, Token};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// How long to wait for the answers to the last requests.
const GRACE: Duration = Duration::from_secs(5);
/// The most requests to send before looking for answers again, when the generator is behind.
const BURST: usize = 64;
/// A request that is sent later than this after it was due counts as late.
pub const LATE: Duration = Duration::from_micros(50);
/// How long before the end of the warm-up the CPU clock is read. Reading it takes a while and delays the requests that
/// are due meanwhile, which must not be requests that count.
const AHEAD: Duration = Duration::from_millis(5);
const READ_BYTES: usize = 256 * 1024;

/// The results. Times are in nanoseconds.
pub struct Figures {
    /// From the moment a request was due to the end of its answer, for answers with status 200.
    pub latency: Histogram<u64>,
    /// From the moment a request was due to the moment it was handed to the socket.
    pub lateness: Histogram<u64>,
    /// The number of requests sent later than [`LATE`].
    pub late: u64,
    /// Answers per second, over the measured time or until the last answer, whichever is longer.
    pub achieved: f64,
    pub server_cpu_us: Option<f64>,
    pub reopened: u64,
    pub errors: Errors,
}

#[derive(Debug, Default, PartialEq)]
pub struct Errors {
    /// Answers with a status other than 200.
    pub status: u64,
    /// Connections that the server closed, or on which it sent something other than an answer.
    pub closed: u64,
    /// Requests without an answer, because the connection was closed or time ran out.
    pub unanswered: u64,
    /// A description of the first error.
    pub first: Option<String>,
}

impl Errors {
    pub fn total(&self) -> u64 {
        self.status + self.closed + self.unanswered
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        self.first.get_or_insert_with(what);
    }
}

struct Connection {
    stream: TcpStream,
    answers: Answers,
    /// When the unanswered requests were due, oldest first.
    due: VecDeque<u64>,
    /// The number of bytes of these requests that the socket has not accepted yet.
    unsent: usize,
}

struct Load {
    poll: Poll,
    server: SocketAddr,
    request: Vec<u8>,
    connections: Vec<Connection>,
    trickle: Trickle,
    buffer: Vec<u8>,
    /// Requests that are due earlier are not measured.
    warm_up: u64,
    start: Instant,
    outstanding: usize,
    answered: u64,
    last_answer: u64,
    latency: Histogram<u64>,
    lateness: Histogram<u64>,
    late: u64,
    errors: Errors,
}

/// Runs the load that `args` describes.
///
/// # Errors
/// If the server cannot be reached or the poll fails, so that there is nothing to report. Errors of single requests are
/// in [`Figures::errors`].
pub fn run(args: &Args) -> Result<Figures, String> {
    let mut load = Load::open(args).map_err(|e| format!("cannot connect to port {}: {e}", args.port))?;
    let end = load.warm_up + (args.secs * 1e9) as u64;
    let give_up = end + nanos(GRACE);
    let mut requests = Schedule::new(args.rate);
    let mut cpu_before = None;
    let mut events = Events::with_capacity(1024);
    load.start = Instant::now();
    loop {
        let now = load.now();
        if requests.next().at >= end && (load.outstanding == 0 || now >= give_up) {
            break;
        }
        if cpu_before.is_none() && now + nanos(AHEAD) >= load.warm_up {
            cpu_before = Some((cpu::used_us(args.pid)?, load.answered));
        }
        for _ in 0..BURST {
            let now = load.now();
            if requests.next().at >= end {
                break;
            }
            let Some(due) = requests.take(now) else { break };
            load.send(due.number as usize % args.conns, due.at, now);
        }
        load.turn(&mut events)
            .map_err(|e| format!("cannot poll or reconnect: {e}"))?;
    }
    let cpu_after = (cpu::used_us(args.pid)?, load.answered);
    Ok(load.figures(args, cpu_before.unwrap_or(cpu_after), cpu_after))
}

impl Load {
    fn open(args: &Args) -> io::Result<Self> {
        let poll = Poll::new()?;
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, args.port));
        let mut connections = Vec::with_capacity(args.conns);
        for number in 0..args.conns {
            connections.push(Connection::new(connect(server)?, number, poll.registry())?);
        }
        let trickle = Trickle::open(args.trickle, &args.path, server, args.conns, poll.registry())?;
        Ok(Load {
            server,
            request: format!("GET {} HTTP/1.1\r\nHost: {server}\r\n\r\n", args.path).into_bytes(),
            connections,
            trickle,
            buffer: vec![0; READ_BYTES],
            warm_up: (args.warmup * 1e9) as u64,
            start: Instant::now(),
            outstanding: 0,
            answered: 0,
            last_answer: 0,
            latency: histogram(),
            lateness: histogram(),
            late: 0,
            errors: Errors::default(),
            poll,
        })
    }

    fn now(&self) -> u64 {
        nanos(self.start.elapsed())
    }

    fn send(&mut self, number: usize, due: u64, now: u64) {
        if due >= self.warm_up {
            self.lateness.saturating_record(now - due);
            self.late += u64::from(now - due > nanos(LATE));
        }
        self.outstanding += 1;
        let connection = &mut self.connections[number];
        connection.due.push_back(due);
        connection.unsent += self.request.len();
        // If the socket is full or broken, its next event will show it.
        connection.flush(&self.request);
    }

    /// Handles the pending events of all sockets, without waiting.
    fn turn(&mut self, events: &mut Events) -> io::Result<()> {
        match self.poll.poll(events, Some(Duration::ZERO)) {
            Err(e) if e.kind() != ErrorKind::Interrupted => return Err(e),
            _ => {}
        }
        for event in events.iter() {
            let number = event.token().0;
            if number >= self.connections.len() {
                self.trickle.notice(event);
                continue;
            }
            if event.is_writable() {
                self.connections[number].flush(&self.request);
            }
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                let ends = event.is_read_closed() || event.is_error();
                if let Err(problem) = self.read(number, ends) {
                    self.replace(number, problem)?;
                }
            }
        }
        self.trickle.turn(self.now(), self.poll.registry())
    }

    /// Takes the answers that have arrived. `ends` says that the end of the stream follows them. An error means
    /// that the connection must be replaced.
    fn read(&mut self, number: usize, ends: bool) -> Result<(), String> {
        let connection = &mut self.connections[number];
        loop {
            let n = match connection.stream.read(&mut self.buffer) {
                Ok(0) => return Err("closed by the server".into()),
                Ok(n) => n,
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => return Ok(()),
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return Err(e.to_string()),
            };
            let now = nanos(self.start.elapsed());
            let mut data = &self.buffer[..n];
            while let Some(status) = connection.answers.next(&mut data)? {
                let due = connection.due.pop_front().ok_or("an answer without a request")?;
                self.outstanding -= 1;
                self.answered += 1;
                self.last_answer = now;
                if status != 200 {
                    self.errors.status += 1;
                    self.errors.note(|| format!("answered with status {status}"));
                } else if due >= self.warm_up {
                    self.latency.saturating_record(now - due);
                }
            }
            if n < self.buffer.len() && !ends {
                return Ok(()); // drained: anything later is a new event
            }
        }
    }

    /// Replaces a connection. The requests without an answer on the old one are lost.
    fn replace(&mut self, number: usize, problem: String) -> io::Result<()> {
        let connection = &mut self.connections[number];
        self.errors.closed += 1;
        self.errors.unanswered += connection.due.len() as u64;
        self.errors.note(|| problem);
        self.outstanding -= connection.due.len();
        *connection = Connection::new(connect(self.server)?, number, self.poll.registry())?;
        Ok(())
    }

    fn figures(mut self, args: &Args, before: (Option<f64>, u64), after: (Option<f64>, u64)) -> Figures {
        self.errors.unanswered += self.outstanding as u64;
        if self.outstanding > 0 {
            self.errors.note(|| "no answer within 5 s of the last request".into());
        }
        let took = self.last_answer.saturating_sub(self.warm_up) as f64 / 1e9;
        let answers = (after.1 - before.1) as f64;
        Figures {
            achieved: self.latency.len() as f64 / took.max(args.secs),
            server_cpu_us: after.0.zip(before.0).map(|(after, before)| (after - before) / answers),
            latency: self.latency,
            lateness: self.lateness,
            late: self.late,
            reopened: self.trickle.reopened,
            errors: self.errors,
        }
    }
}

impl Connection {
    fn new(mut stream: TcpStream, number: usize, poll: &Registry) -> io::Result<Self> {
        poll.register(&mut stream, Token(number), Interest::READABLE | Interest::WRITABLE)?;
        Ok(Connection {
            stream,
            answers: Answers::default(),
            due: VecDeque::new(),
            unsent: 0,
        })
    }

    /// Sends until everything is out or the socket is full. All requests are the same, so the number of unsent bytes
    /// determines which bytes are next.
    fn flush(&mut self, request: &[u8]) {
        while self.unsent > 0 {
            let partly = self.unsent % request.len();
            let at = if partly == 0 { 0 } else { request.len() - partly };
            match self.stream.write(&request[at..]) {
                Ok(n) => self.unsent -= n,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }
}

/// Returns a histogram with a precision of 0.1 %, up to a minute.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(60_000_000_000, 3).expect("the bounds are valid")
}

fn nanos(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    /// Starts a server that handles one connection after the other and calls `answer` with the number of each
    /// request; `None` closes the connection.
    fn server(answer: impl Fn(usize) -> Option<&'static [u8]> + Send + 'static) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            let mut number = 0;
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                stream.set_nodelay(true).unwrap();
                let (mut window, mut byte) = ([0; 4], [0]);
                while matches!(stream.read(&mut byte), Ok(1)) {
                    window.rotate_left(1);
                    window[3] = byte[0];
                    if window == *b"\r\n\r\n" {
                        let Some(answer) = answer(number) else { break };
                        number += 1;
                        stream.write_all(answer).unwrap();
                    }
                }
                number += 1;
            }
        });
        port
    }

    fn args(port: u16) -> Args {
        Args {
            port,
            rate: 1000.0,
            conns: 1,
            secs: 0.5,
            warmup: 0.0,
            path: "/".into(),
            trickle: 0,
            pid: Some(std::process::id()),
            json: false,
        }
    }

    #[test]
    fn every_request_is_sent_and_answered() {
        let figures = run(&args(server(|_| Some(OK)))).unwrap();
        assert_eq!(figures.errors, Errors::default());
        assert_eq!((figures.latency.len(), figures.lateness.len()), (500, 500));
        assert!(figures.server_cpu_us.unwrap() > 0.0);
    }

    #[test]
    fn the_warm_up_is_not_counted() {
        let args = Args {
            warmup: 0.2,
            secs: 0.3,
            ..args(server(|_| Some(OK)))
        };
        let figures = run(&args).unwrap();
        assert_eq!((figures.latency.len(), figures.lateness.len()), (300, 300));
    }

    /// A closed loop would see one slow answer. Here every request that was due during the stall waits until its
    /// end.
    #[test]
    fn every_request_due_during_a_stall_records_it() {
        let port = server(|number| {
            if number == 100 {
                thread::sleep(Duration::from_millis(200));
            }
            Some(OK)
        });
        let figures = run(&args(port)).unwrap();
        assert_eq!(figures.errors, Errors::default());
        let waited = |ms: u64| figures.latency.len() - figures.latency.count_between(0, ms * 1_000_000);
        assert!(waited(100) >= 95, "{} waited longer than 100 ms", waited(100));
        assert!(figures.latency.max() >= 195_000_000);
    }

    #[test]
    fn a_wrong_status_is_an_error() {
        let port = server(|number| {
            Some(if number == 7 {
                b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"
            } else {
                OK
            })
        });
        let figures = run(&args(port)).unwrap();
        assert_eq!((figures.errors.total(), figures.errors.status), (1, 1));
        assert_eq!(figures.latency.len(), 499);
    }

    #[test]
    fn a_closed_connection_is_an_error_and_is_reopened() {
        let figures = run(&args(server(|number| (number != 7).then_some(OK)))).unwrap();
        let errors = &figures.errors;
        assert_eq!(errors.closed, 1);
        assert!(errors.unanswered >= 1);
        assert_eq!(figures.latency.len() + errors.unanswered, 500);
    }
}
