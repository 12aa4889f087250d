//! An experiment: the engine as it is, on io_uring instead of epoll.
//!
//!     uring --port 8080           # accept, receive and send through the ring
//!     uring --port 8080 --poll    # the ring tells who is ready; read and write as ever
//!
//! It serves what `examples/bench_server` serves, so that `benches/run` can compare them.

mod buffers;
mod completion;
mod readiness;
mod ring;
mod sockets;

#[path = "../../../examples/bench_server/app.rs"]
mod app;

use fleeting::engine::{Engine, Settings};
use fleeting::time::Clock;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

const BACKLOG: i32 = 4096;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (port, poll) = match args[..] {
        ["--port", port] => (port, false),
        ["--port", port, "--poll"] => (port, true),
        _ => return Err("usage: uring --port PORT [--poll]".into()),
    };
    let listener = listen(format!("127.0.0.1:{port}").parse()?)?;
    let settings = Settings { limits: app::limits()?, ..Settings::default() };
    let clock = Clock::new();
    if poll {
        readiness::serve(&listener, Engine::new(app::app(1), settings, clock.now()), &clock)?;
    } else {
        completion::serve(&listener, Engine::new(app::app(1), settings, clock.now()), &clock)?;
    }
    Ok(())
}

/// A listener whose connections inherit that Nagle's algorithm is off.
fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// How long the ring may wait before the engine has something to do.
fn patience<S: fleeting::transport::Stream>(engine: &Engine<S>, clock: &Clock) -> Option<Duration> {
    engine.next_ms().map(|next_ms| match next_ms {
        0 => Duration::ZERO,
        next_ms => Duration::from_millis(next_ms.saturating_sub(clock.now().ms)),
    })
}
