//! An experiment: the unchanged engine on io_uring instead of epoll.
//!
//!     uring --port 8080           # accept, receive and send through the ring
//!     uring --port 8080 --poll    # the ring reports readiness; read and write are ordinary calls
//!
//! It has the routes of `examples/bench_server`, so that `benches/run` can compare them.

mod buffers;
mod completion;
mod patience;
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

/// Returns a listener whose connections inherit TCP_NODELAY.
fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
