//! A task of any async executor can wait for room in a response, and for its client to leave.

use fleeting::{App, BodySender, Event, Gone, Pushed, Response};
use fleeting_testkit::client::{Client, PATIENCE};
use fleeting_testkit::server;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::task::{Context, Poll, Wake};
use std::thread::{self, Thread};

/// Wakes the thread that [`block_on`] runs on.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The smallest executor: runs a future on this thread. Returns its output, and how often it was suspended.
fn block_on<F: Future>(future: F) -> (F::Output, usize) {
    let mut future = pin!(future);
    let waker = Arc::new(Unpark(thread::current())).into();
    let mut suspended = 0;
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return (output, suspended),
            Poll::Pending => suspended += 1,
        }
        thread::park();
    }
}

static PIECE: [u8; 32 << 10] = [b'x'; 32 << 10];
const PIECES: usize = 1024;
/// Longer than all that lies between the task and a client that does not read: the queue, a piece in the worker, and what
/// the system buffers.
const BETWEEN_MAX: usize = 16 << 20;

/// Checks that `send`, which sends one piece, is suspended rather than far ahead of its client.
fn run_against_a_slow_reader(send: impl AsyncFn(&mut BodySender) -> Result<(), Gone> + Send + 'static) {
    let received = Arc::new(AtomicUsize::new(0));
    let seen = received.clone();
    let (ended, end) = channel();
    let server = server::run(move |_| {
        let start = std::cell::Cell::new(Some((seen, ended, send)));
        App::new().get("/", move |_req| {
            let (response, mut body) = Response::channel(64 << 10);
            let (seen, ended, send) = start.take().expect("there is one request");
            thread::spawn(move || {
                let mut ahead_max = 0;
                let (sent, suspended) = block_on(async {
                    for piece in 1..=PIECES {
                        send(&mut body).await?;
                        ahead_max = ahead_max.max(piece * PIECE.len() - seen.load(Ordering::Acquire));
                    }
                    Ok::<(), Gone>(())
                });
                body.finish();
                ended.send((sent, suspended, ahead_max)).expect("the test waits");
            });
            Ok(response)
        })
    });
    let mut client = Client::connect_with_small_buffer(server.addr);
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    client.answer_to_head();
    let mut total = 0;
    loop {
        let chunk = client.chunk();
        if chunk.is_empty() {
            break;
        }
        total += chunk.len();
        received.store(total, Ordering::Release);
    }
    assert_eq!(total, PIECES * PIECE.len());
    let (sent, suspended, ahead_max) = end.recv_timeout(PATIENCE).expect("the task ends");
    assert_eq!(sent, Ok(()));
    assert!(
        suspended > 0 && ahead_max <= BETWEEN_MAX,
        "{suspended} times suspended, {ahead_max} bytes ahead"
    );
}

#[test]
fn a_slow_reader_suspends_a_task_that_sends() {
    run_against_a_slow_reader(async |body| body.send_async(&PIECE).await);
}

#[test]
fn a_slow_reader_suspends_a_task_that_waits_for_room() {
    run_against_a_slow_reader(async |body| {
        body.ready(PIECE.len()).await?;
        assert_eq!(body.try_send(&PIECE), Pushed::Sent);
        Ok(())
    });
}

#[test]
fn tasks_learn_that_their_client_has_left() {
    let (begun, begins) = channel();
    let (ended, ends) = channel();
    let server = server::run(move |_| {
        let task = move |name: &'static str, future: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| {
            let (begun, ended) = (begun.clone(), ended.clone());
            thread::spawn(move || {
                begun.send(name).expect("the test waits");
                block_on(future);
                ended.send(name).expect("the test waits");
            });
        };
        let (answers, bodies, full, events) = (task.clone(), task.clone(), task.clone(), task);
        App::new()
            .get("/answer", move |_req| {
                let (response, mut responder) = Response::defer();
                answers("answer", Box::pin(async move { responder.gone().await }));
                Ok(response)
            })
            .get("/body", move |_req| {
                let (response, mut body) = Response::channel(100);
                bodies("body", Box::pin(async move { body.gone().await }));
                Ok(response)
            })
            .get("/full", move |_req| {
                let (response, mut body) = Response::channel(64 << 10);
                full("full", Box::pin(async move { while body.send_async(&PIECE).await.is_ok() {} }));
                Ok(response)
            })
            .get("/events", move |_req| {
                let (response, mut stream) = Response::events(100);
                events(
                    "events",
                    Box::pin(async move {
                        stream.send_async(&Event::data("hello")).await.expect("the client is there");
                        stream.gone().await;
                    }),
                );
                Ok(response)
            })
    });
    let hello = ":\n\ndata: hello\n\n";
    // A client that closes the connection may still be reading a body, but it awaits no answer and no further events.
    for (name, closes) in [
        ("answer", true),
        ("answer", false),
        ("body", false),
        ("full", false),
        ("events", true),
        ("events", false),
    ] {
        let mut client = Client::connect(server.addr);
        client.send(format!("GET /{name} HTTP/1.1\r\nHost: test\r\n\r\n"));
        assert_eq!(begins.recv_timeout(PATIENCE), Ok(name));
        if name == "events" {
            client.answer_to_head();
            assert_eq!(client.text_in_chunks(hello.len()), hello);
        }
        match closes {
            true => client.end(),
            false => client.reset(),
        }
        assert_eq!(ends.recv_timeout(PATIENCE), Ok(name));
    }
    // A shutdown ends an event stream, too.
    let mut client = Client::connect(server.addr);
    client.send("GET /events HTTP/1.1\r\nHost: test\r\n\r\n");
    client.answer_to_head();
    assert_eq!(client.text_in_chunks(hello.len()), hello);
    server.handle.shutdown();
    assert_eq!(ends.recv_timeout(PATIENCE), Ok("events"));
    assert_eq!(client.chunk(), b"");
}
