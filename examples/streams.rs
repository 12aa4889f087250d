//! Uploads and downloads of any length, with only one piece of each in memory.
//!
//!     cargo run --release --example streams -- 127.0.0.1:8080
//!
//! `PUT /up` returns the number of bytes it was sent. `GET /down/{bytes}` sends that many zeros.
//!
//!     curl http://127.0.0.1:8080/down/1000000000 | curl -T - http://127.0.0.1:8080/up
//!
//! `benches/streams` measures how much memory the process takes during such transfers.

use fleeting::http1::Fields;
use fleeting::{App, Error, Flow, Progress, Request, Response, Room, Server, Source, Upload};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::thread;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let addr = std::env::args().nth(1).unwrap_or("127.0.0.1:8080".into());
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let app = |_worker: &_| {
        App::new().upload("PUT", "/up", Count).get("/down/{bytes}", |req| {
            let bytes = req
                .param("bytes")
                .parse()
                .map_err(|_| Error::bad_request("The number of bytes is not a number."))?;
            Ok(Response::source(Some(bytes), Zeros { left: bytes }))
        })
    };
    let server = Server::builder().bind(addr).serve(app)?;
    println!("listening on http://{}", server.local_addrs()[0]);
    let handle = server.handle();
    thread::spawn(move || signals.forever().next().map(|_signal| handle.shutdown()));
    server.run()?;
    Ok(())
}

/// Counts the bytes of an upload and keeps none of them.
struct Count;

impl Upload for Count {
    type Session = u64;

    fn open(&self, _req: &Request<'_>) -> Result<u64, Error> {
        Ok(0)
    }

    fn piece(&self, bytes: &mut u64, piece: &[u8], _flow: &mut Flow<'_>) -> Result<(), Error> {
        *bytes += piece.len() as u64;
        Ok(())
    }

    fn finish(&self, bytes: u64, _trailers: Fields<'_>) -> Result<Response<'static>, Error> {
        Ok(Response::text(format!("{bytes}\n")))
    }
}

/// A source of zeros.
struct Zeros {
    /// Bytes still to send.
    left: u64,
}

impl Source for Zeros {
    fn read(&mut self, room: &mut Room<'_>) -> Result<Progress, Error> {
        let bytes = usize::try_from(self.left).map_or(room.left(), |left| left.min(room.left()));
        room.spare()[..bytes].fill(0);
        room.filled(bytes);
        self.left -= bytes as u64;
        Ok(if self.left == 0 { Progress::End } else { Progress::More })
    }
}
