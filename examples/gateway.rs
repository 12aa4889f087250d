//! A market-data gateway: ticks arrive over UDP, and leave over WebSockets and HTTP.
//!
//!     export GATEWAY_TOKEN=secret
//!     cargo run --release --features json --example gateway -- 127.0.0.1:8080 127.0.0.1:9000 [--spin]
//!
//! One worker and the feed share one thread and one loop. The loop sleeps until either has something to do; with
//! `--spin` it never sleeps, which keeps its core busy and saves the wake-up. A datagram is one tick, `SYMBOL PRICE
//! SEQUENCE`. A symbol's sequence numbers rise: a tick that is late or repeated is dropped. This feeds it from bash:
//!
//!     for n in {1001..9999}; do echo "EURUSD 1.$n $n" > /dev/udp/127.0.0.1/9000; sleep 0.1; done
//!
//! `/ticks` is a WebSocket. Its commands are `{"subscribe":"EURUSD"}`, which is answered with the last tick, and
//! `{"unsubscribe":"EURUSD"}`. A client that reads too slowly gets the latest tick of each symbol. Everything needs the
//! token, which a browser can send with `fetch` but not with a WebSocket:
//!
//!     websocat -H 'Authorization: Bearer secret' ws://127.0.0.1:8080/ticks
//!     curl -H 'Authorization: Bearer secret' http://127.0.0.1:8080/ticks/EURUSD
//!     curl -H 'Authorization: Bearer secret' http://127.0.0.1:8080/health
//!     fetch("/health", {headers: {Authorization: "Bearer secret"}}).then(answer => answer.text()).then(console.log)
//!
//! The last line is for the console of a browser that shows any page of the gateway, such as the 401 of `/`.

use fleeting::engine::Counters;
use fleeting::{
    App, Error, Handle, Keep, Message, Request, Response, Server, SlowConsumer, Socket, SocketOptions,
    TcpOptions, WebSocket, Worker, WorkerFigures,
};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use serde::Deserialize;
use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level::pipe};
use socket2::SockRef;
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Write;
use std::io::{self, ErrorKind};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const USAGE: &str = "usage: GATEWAY_TOKEN=TOKEN gateway [ADDRESS] [FEED_ADDRESS] [--spin]";

const DATAGRAM_BYTES_MAX: usize = 128;
const SYMBOL_BYTES_MAX: usize = 32;
const SYMBOLS_MAX: usize = 10_000;
/// Ticks that are read before the worker gets its turn, at most.
const TICKS_PER_ROUND: usize = 64;
/// Bytes of datagrams that the system holds while the loop is busy. Linux bounds it by `net.core.rmem_max`.
const FEED_BUFFER_BYTES: usize = 4 << 20;
/// Little, so that ticks for a slow client wait where newer ones replace them, and not in the system.
const UNSENT_BYTES: u32 = 16 << 10;

const WORKER: Token = Token(0);
const FEED: Token = Token(1);
const SIGNAL: Token = Token(2);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (flags, addrs): (Vec<_>, Vec<_>) = std::env::args().skip(1).partition(|arg| arg.starts_with('-'));
    if addrs.len() > 2 || flags.iter().any(|flag| flag != "--spin") {
        return Err(USAGE.into());
    }
    let token = std::env::var("GATEWAY_TOKEN").ok().filter(|token| !token.is_empty()).ok_or(USAGE)?;
    let mut addrs = addrs.into_iter();
    let addr = addrs.next().unwrap_or("127.0.0.1:8080".into());
    let feed = UdpSocket::bind(addrs.next().unwrap_or("127.0.0.1:9000".into()))?;
    feed.set_nonblocking(true)?;
    SockRef::from(&feed).set_recv_buffer_size(FEED_BUFFER_BYTES)?;
    // The flag before the pipe: when the pipe wakes the loop, the flag is set.
    let signalled = Arc::new(AtomicBool::new(false));
    let (signals, wake) = UnixStream::pair()?;
    for signal in [SIGINT, SIGTERM] {
        flag::register(signal, signalled.clone())?;
        pipe::register(signal, wake.try_clone()?)?;
    }
    // The handlers run on this thread, so they share the market with the loop without a lock.
    let market = Rc::new(RefCell::new(Market::default()));
    let mut tcp = TcpOptions::default();
    tcp.unsent_bytes = Some(UNSENT_BYTES);
    let builder = Server::builder().bind(addr).tcp(tcp);
    let worker = builder.worker(|context| app(&context.handle, &market, token))?;
    println!("listening on http://{}", worker.local_addrs()?[0]);
    println!("ticks from udp://{}", feed.local_addr()?);
    let mut gateway = Gateway { worker, feed, market, signalled };
    if flags.is_empty() {
        gateway.sleep(&signals)?
    } else {
        gateway.spin()?
    }
    Ok(())
}

/// What the loop runs.
struct Gateway {
    worker: Worker,
    feed: UdpSocket,
    market: Rc<RefCell<Market>>,
    signalled: Arc<AtomicBool>,
}

impl Gateway {
    fn spin(&mut self) -> io::Result<()> {
        loop {
            self.publish_ticks()?;
            if !self.turn()? {
                return Ok(());
            }
        }
    }

    fn sleep(&mut self, signals: &UnixStream) -> io::Result<()> {
        let mut poll = Poll::new()?;
        let mut events = Events::with_capacity(4);
        for (fd, token) in
            [(self.worker.as_raw_fd(), WORKER), (self.feed.as_raw_fd(), FEED), (signals.as_raw_fd(), SIGNAL)]
        {
            poll.registry().register(&mut SourceFd(&fd), token, Interest::READABLE)?;
        }
        // The events are edge-triggered, so the loop sleeps only after the feed was read until it was empty.
        let mut more = true;
        loop {
            let timeout = if more { Some(Duration::ZERO) } else { self.worker.patience() };
            match poll.poll(&mut events, timeout) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            more = self.publish_ticks()?;
            // A turn costs a system call, and a tick needs none: it has been flushed.
            let is_due = self.worker.patience().is_some_and(|patience| patience.is_zero());
            if (is_due || events.iter().any(|event| event.token() != FEED)) && !self.turn()? {
                return Ok(());
            }
        }
    }

    /// Publishes the ticks that have arrived. Returns whether there may be more.
    fn publish_ticks(&mut self) -> io::Result<bool> {
        // One byte longer than allowed, to notice a datagram that is too long.
        let mut datagram = [0; DATAGRAM_BYTES_MAX + 1];
        for count in 0..TICKS_PER_ROUND {
            let length = match self.feed.recv(&mut datagram) {
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if count > 0 {
                        self.worker.flush();
                    }
                    return Ok(false);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if let Some(last) = self.market.borrow_mut().take(&datagram[..length]) {
                self.worker.publish(&last.topic, Message::Text(&last.message)).map_err(io::Error::other)?;
            }
        }
        self.worker.flush();
        Ok(true)
    }

    /// Gives the worker a turn that does not block. Returns false once its shutdown is complete.
    fn turn(&mut self) -> io::Result<bool> {
        if self.signalled.load(Ordering::Relaxed) {
            self.signalled.store(false, Ordering::Relaxed);
            self.worker.handle().shutdown();
        }
        self.worker.turn(Some(Duration::ZERO))
    }
}

/// The last tick of each symbol. It outlives the datagrams and requests, so it owns its text.
#[derive(Default)]
struct Market {
    last: HashMap<Box<str>, Last>,
    counts: Counts,
}

struct Last {
    sequence: u64,
    topic: Box<str>,
    /// The tick as JSON, as clients get it.
    message: String,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    /// Datagrams that were published.
    ticks: u64,
    /// Datagrams with a sequence number that is not above the symbol's last one.
    late: u64,
    /// Datagrams that are not ticks, or whose symbol is one too many.
    malformed: u64,
}

impl Market {
    /// Takes a tick from a datagram. Returns it if it is the symbol's last one now.
    fn take(&mut self, datagram: &[u8]) -> Option<&Last> {
        let Some(tick) = tick(datagram) else {
            self.counts.malformed += 1;
            return None;
        };
        let (symbol, price, sequence) = tick;
        if !self.last.contains_key(symbol) {
            if self.last.len() == SYMBOLS_MAX {
                self.counts.malformed += 1;
                return None;
            }
            let (topic, message) = (topic(symbol).into(), String::new());
            self.last.insert(symbol.keep(), Last { sequence: 0, topic, message });
        }
        let last = self.last.get_mut(symbol)?;
        if sequence <= last.sequence {
            self.counts.late += 1;
            return None;
        }
        self.counts.ticks += 1;
        last.sequence = sequence;
        last.message.clear();
        // Neither needs escapes. The price stays text: no binary fraction can round it.
        let json = write!(last.message, r#"{{"symbol":"{symbol}","price":"{price}","sequence":{sequence}}}"#);
        json.expect("a String takes everything");
        Some(last)
    }

    fn message(&self, symbol: &str) -> Option<&str> {
        self.last.get(symbol).map(|last| &*last.message)
    }
}

/// Reads `SYMBOL PRICE SEQUENCE`, with or without a line feed. Sequence numbers begin with 1.
fn tick(datagram: &[u8]) -> Option<(&str, &str, u64)> {
    let line = datagram.get(..DATAGRAM_BYTES_MAX.min(datagram.len())).filter(|line| *line == datagram)?;
    let line = std::str::from_utf8(line).ok()?;
    let mut fields = line.strip_suffix('\n').unwrap_or(line).split(' ');
    let (symbol, price, sequence) = (fields.next()?, fields.next()?, fields.next()?.parse().ok()?);
    (fields.next().is_none() && is_symbol(symbol) && is_price(price) && sequence > 0)
        .then_some((symbol, price, sequence))
}

fn is_symbol(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=SYMBOL_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_allowed)
}

/// A decimal number, such as `-0.25`. Prices can be negative.
fn is_price(text: &str) -> bool {
    let number = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    [whole, fraction]
        .iter()
        .all(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

fn topic(symbol: &str) -> String {
    format!("ticks/{symbol}")
}

fn app(handle: &Handle, market: &Rc<RefCell<Market>>, token: String) -> App {
    let options = SocketOptions::new().slow_consumer(SlowConsumer::Conflate);
    let (last, health, handle) = (market.clone(), market.clone(), handle.clone());
    App::new()
        .ws_with("/ticks", options, Ticks(market.clone()))
        .get("/ticks/{symbol}", move |req| {
            let market = last.borrow();
            let message = market.message(req.param("symbol")).ok_or(Error::not_found("There is no tick."))?;
            // Copied into the request's arena: the next tick overwrites the original.
            Response::text(req.arena().alloc_str(message)).content_type("application/json")
        })
        .get("/health", move |_req| {
            let (response, responder) = Response::defer();
            let counts = health.borrow().counts;
            // The worker answers in its next turn.
            handle.figures(move |workers| {
                let _ = responder.send(report(counts, &workers));
            });
            Ok(response)
        })
        // A layer sees every request, upgrades and unknown paths included.
        .layer(move |req, next| match is_allowed(req, &token) {
            true => next.call(req),
            false => Err(Error::unauthorized("Bearer", "The token is missing or wrong.")),
        })
}

/// Whether a request has the token (RFC 6750 §2.1).
fn is_allowed(req: &Request<'_>, token: &str) -> bool {
    let credentials = req.header("authorization").and_then(|value| value.split_once(' '));
    let (scheme, given) = credentials.unwrap_or_default();
    // Every byte is compared, so the time that it takes says nothing about the token.
    let differences = given.bytes().zip(token.bytes()).fold(0, |found, (one, other)| found | (one ^ other));
    scheme.eq_ignore_ascii_case("bearer") && given.len() == token.len() && differences == 0
}

/// Makes the answer of `/health`.
fn report(counts: Counts, workers: &[WorkerFigures]) -> Response<'static> {
    let sum = |count: fn(&Counters) -> u64| workers.iter().map(|worker| count(&worker.counters)).sum::<u64>();
    let report = json!({
        "ticks": counts.ticks,
        "late": counts.late,
        "malformed": counts.malformed,
        "delivered": sum(|counters| counters.delivered),
        "conflated": sum(|counters| counters.conflated),
    });
    Response::text(report.to_string()).content_type("application/json").expect("it is a media type")
}

/// A command of a client. It borrows the message.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Command<'m> {
    #[serde(borrow)]
    Subscribe(Cow<'m, str>),
    #[serde(borrow)]
    Unsubscribe(Cow<'m, str>),
}

struct Ticks(Rc<RefCell<Market>>);

impl Ticks {
    /// Carries out a command. Returns its answer.
    fn answer(&self, message: Message<'_>, socket: &mut Socket<'_>) -> Result<String, Error> {
        let Message::Text(text) = message else {
            return Err(Error::bad_request("A command is text."));
        };
        let command = serde_json::from_str(text)?;
        let (Command::Subscribe(symbol) | Command::Unsubscribe(symbol)) = &command;
        if !is_symbol(symbol) {
            return Err(Error::bad_request("The symbol is invalid."));
        }
        match &command {
            Command::Subscribe(symbol) => {
                socket.subscribe(&topic(symbol))?;
                // After that, so that no tick is missed between the last one and the first one that is published.
                let market = self.0.borrow();
                let last = market.message(symbol).unwrap_or("null");
                Ok(format!(r#"{{"subscribed":"{symbol}","last":{last}}}"#))
            }
            Command::Unsubscribe(symbol) if socket.unsubscribe(&topic(symbol)) => {
                Ok(json!({"unsubscribed": symbol}).to_string())
            }
            Command::Unsubscribe(_) => Err(Error::bad_request("There is no such subscription.")),
        }
    }
}

impl WebSocket for Ticks {
    type Session = ();

    fn open(&self, _req: &Request<'_>, _socket: &mut Socket<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn message(&self, _session: &mut (), message: Message<'_>, socket: &mut Socket<'_>) {
        let answer = self.answer(message, socket);
        socket.text(&answer.unwrap_or_else(|error| json!({"error": error.message()}).to_string()));
    }
}
