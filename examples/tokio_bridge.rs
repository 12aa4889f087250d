//! Async handlers: the server's workers hand requests to a tokio runtime, which runs on threads of its own.
//!
//!     cargo run --example tokio_bridge -- 127.0.0.1:8080
//!
//! Two requests that wait do not hold each other up, and no thread waits with them. End one with Ctrl-C, and its future is
//! dropped in the middle of its wait:
//!
//!     curl http://127.0.0.1:8080/wait/2000 & curl http://127.0.0.1:8080/wait/10000
//!
//! A body is streamed only as fast as its client reads. Stop this with Ctrl-Z, and the task that makes the numbers is
//! suspended; go on with `fg`; end it with Ctrl-C, and the server prints how far the task came:
//!
//!     curl http://127.0.0.1:8080/numbers
//!
//! The library knows nothing of tokio: `gone` and `send_async` work in any executor.

use fleeting::{App, BodySender, Error, HandlerFn, Keep, KeptRequest, Response, Server, handler};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::thread;
use std::time::Duration;
use tokio::runtime::{Builder, Handle};

/// Bytes of a streamed body that wait for the client.
const CAPACITY_BYTES: usize = 64 << 10;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let addr = std::env::args().nth(1).unwrap_or("127.0.0.1:8080".into());
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_time().build()?;
    let tokio = runtime.handle().clone();
    let server = Server::builder().bind(addr).serve(move |_worker| app(&tokio))?;
    println!("listening on http://{}", server.local_addrs()[0]);
    let handle = server.handle();
    thread::spawn(move || signals.forever().next().map(|_signal| handle.shutdown()));
    server.run()?;
    // Every request has its answer. Dropping the runtime now drops the tasks that are left.
    Ok(())
}

fn app(tokio: &Handle) -> App {
    App::new().get("/wait/{ms}", with_tokio(tokio, wait)).get("/numbers", with_tokio(tokio, all_numbers))
}

/// Makes a handler of an async function. The function gets a copy of the request, because it outlives the turn in which
/// the request lies in the read buffer.
fn with_tokio<F, A>(tokio: &Handle, function: F) -> impl HandlerFn + use<F, A>
where
    F: Fn(KeptRequest) -> A,
    A: Future<Output = Result<Response<'static>, Error>> + Send + 'static,
{
    let tokio = tokio.clone();
    handler(move |req| {
        let (response, mut responder) = Response::defer();
        let path = req.path().keep();
        let answer = function(req.keep());
        tokio.spawn(async move {
            tokio::select! {
                answer = answer => {
                    // An error means that the client left at the last moment.
                    let _ = responder.send(answer);
                }
                // The function's future is dropped here, in the middle of what it waits for.
                () = responder.gone() => println!("{path}: the client has left"),
            }
        });
        Ok(response)
    })
}

/// Waits without a thread.
async fn wait(req: KeptRequest) -> Result<Response<'static>, Error> {
    let ms = req.param("ms").parse().map_err(|_| Error::bad_request("The time is not a number."))?;
    tokio::time::sleep(Duration::from_millis(ms)).await;
    Ok(Response::text(format!("{ms} ms later\n")))
}

/// Answers with a body that a task of its own makes.
async fn all_numbers(_req: KeptRequest) -> Result<Response<'static>, Error> {
    let (response, body) = Response::channel(CAPACITY_BYTES);
    tokio::spawn(async move {
        let sent = send_numbers(body).await;
        println!("/numbers: the client has left after {sent} numbers");
    });
    Ok(response)
}

/// Sends numbers until the client leaves. Returns how many it sent.
async fn send_numbers(mut body: BodySender) -> u64 {
    let mut sent = 0;
    // Suspended here while the client does not read.
    while body.send_async(format!("{sent}\n").as_bytes()).await.is_ok() {
        sent += 1;
    }
    sent
}
