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

mod app;
mod market;

use fleeting::{Message, Server, TcpOptions, Worker};
use market::{DATAGRAM_BYTES_MAX, Market};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level::pipe};
use socket2::SockRef;
use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const USAGE: &str = "usage: GATEWAY_TOKEN=TOKEN gateway [ADDRESS] [FEED_ADDRESS] [--spin]";

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
    let worker = builder.worker(|context| app::app(&context.handle, &market, token))?;
    println!("listening on http://{}", worker.local_addrs()[0]);
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
