//! A bridge from HTTP/1.1 to an HTTP/2 server: `http2-bridge [--shared] ADDR`.
//!
//! It lets clients of HTTP/1.1, such as a WebSocket suite, reach a server over HTTP/2 with prior knowledge. With `--shared`, all their
//! connections share one of HTTP/2. It runs until it is ended.

use fleeting_testkit::http2::bridge::Bridge;
use std::net::SocketAddr;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let is_shared = args.first().is_some_and(|arg| arg == "--shared");
    if is_shared {
        args.remove(0);
    }
    let [addr] = &args[..] else {
        eprintln!("usage: http2-bridge [--shared] ADDR");
        return ExitCode::from(2);
    };
    let Ok(server) = addr.parse::<SocketAddr>() else {
        eprintln!("http2-bridge: `{addr}` is not an address such as 127.0.0.1:8080");
        return ExitCode::from(2);
    };
    let bridge = if is_shared { Bridge::start_shared(server) } else { Bridge::start(server) };
    println!("listening on http://{}", bridge.addr);
    bridge.wait();
    ExitCode::SUCCESS
}
