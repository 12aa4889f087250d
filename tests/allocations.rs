//! In the steady state the engine's thread allocates nothing.
//!
//! A worker takes its turns on the test's thread, where allocations are counted; a client on another
//! thread says `WARM_UP` things first and `COUNTED` after that.

use crate::client::{BINARY, Client, frame};
use crate::rig::Echo;
use allocation_counter::AllocationInfo;
use fleeting::engine::Counters;
use fleeting::{App, Response, Server, Worker};
use std::thread;
use std::time::Duration;

/// Multiples of `PIPELINED`.
const WARM_UP: u64 = 512;
const COUNTED: u64 = 10_000;
/// Requests sent at once.
const PIPELINED: u64 = 16;
const CONTENT: &[u8] = &[b'x'; 1024];

/// Counts the worker's allocations while `client` says things that `done` counts.
fn allocations(
    app: App,
    done: fn(&Counters) -> u64,
    client: impl FnOnce(Client, u64) + Send + 'static,
) -> AllocationInfo {
    let mut limits = fleeting::Limits::default();
    // What a debug build overwrites after each request.
    limits.arena_bytes = 2 << 10;
    let mut worker =
        Server::builder().bind("127.0.0.1:0").limits(limits).worker(|_| app).expect("the worker starts");
    let addr = worker.local_addrs().expect("it listens")[0];
    let speaker = thread::spawn(move || client(Client::connect(addr), WARM_UP + COUNTED));
    let turns = |worker: &mut Worker, until: u64| {
        while done(&worker.counters()) < until && !speaker.is_finished() {
            worker.turn(Some(Duration::from_secs(1))).expect("polling works");
        }
    };
    turns(&mut worker, WARM_UP);
    let counted = allocation_counter::measure(|| turns(&mut worker, WARM_UP + COUNTED));
    assert_eq!(done(&worker.counters()), WARM_UP + COUNTED, "the client has given up");
    while !speaker.is_finished() {
        worker.turn(Some(Duration::from_millis(10))).expect("polling works");
    }
    speaker.join().expect("the client got what it asked for");
    counted
}

/// Sends `request` so many times, each after the answer to the one before it, which must be `expected`
/// but for its head.
fn keep_alive(
    request: impl AsRef<[u8]> + Send + 'static,
    expected: &'static [u8],
) -> impl FnOnce(Client, u64) + Send {
    move |mut client, times| {
        for _ in 0..times {
            client.send(&request);
            let answer = client.answer();
            assert!(answer.status == 200 && answer.body == expected, "{}{}", answer.head, answer.text());
        }
    }
}

fn requests(counters: &Counters) -> u64 {
    counters.requests
}

fn messages(counters: &Counters) -> u64 {
    counters.messages
}

#[track_caller]
fn none(counted: AllocationInfo) {
    assert_eq!(counted.count_total, 0, "{counted:?}");
}

#[test]
fn get() {
    let app = App::new().get("/", |_req| Ok(Response::text("hello")));
    none(allocations(app, requests, keep_alive(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n", b"hello")));
}

#[test]
fn route_with_parameters() {
    let app = App::new().get("/users/{user}/posts/{post}", |req| {
        let (user, post) = (req.param("user"), req.param("post"));
        Ok(Response::text(req.arena().format(format_args!("{user} wrote {post}"))))
    });
    let request = b"GET /users/ann%20e/posts/7?a=b HTTP/1.1\r\nHost: test\r\nX-Id: 1\r\n\r\n";
    none(allocations(app, requests, keep_alive(request, b"ann e wrote 7")));
}

#[test]
fn response_with_a_further_field() {
    let app = App::new()
        .get("/", |req| Response::text("hello").header("x-id", req.header("x-id").unwrap_or_default()));
    let request = b"GET / HTTP/1.1\r\nHost: test\r\nX-Id: 12345\r\n\r\n";
    none(allocations(app, requests, keep_alive(request, b"hello")));
}

#[test]
fn wrapped_handler() {
    let app = App::new()
        .get("/", |_req| Ok(Response::text("hello")))
        .wrap(|req, handler| handler.call(req)?.header("x-wrapped", "yes"));
    none(allocations(app, requests, keep_alive(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n", b"hello")));
}

#[test]
fn error_answer() {
    let app = App::new().get("/", |_req| Err(fleeting::Error::not_found("gone")));
    let client = |mut client: Client, times| {
        for _ in 0..times {
            assert_eq!(client.get("/").status, 404);
        }
    };
    none(allocations(app, requests, client));
}

#[test]
fn nothing_at_the_path() {
    let client = |mut client: Client, times| {
        for _ in 0..times {
            assert_eq!(client.get("/nowhere").status, 404);
        }
    };
    none(allocations(App::new(), |counters| counters.early_answers, client));
}

#[cfg(feature = "json")]
#[test]
fn json() {
    #[derive(serde::Deserialize, serde::Serialize)]
    struct Order<'r> {
        item: &'r str,
        count: u32,
    }
    let app = App::new().post("/", |req| {
        let order: Order<'_> = req.json()?;
        Response::json(req, &Order { count: order.count + 1, ..order })
    });
    let request = post("application/json", br#"{ "item": "pear", "count": 6 }"#);
    none(allocations(app, requests, keep_alive(request, br#"{"item":"pear","count":7}"#)));
}

/// A request with this content.
fn post(content_type: &str, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: test\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), content].concat()
}

fn echo() -> App {
    App::new().post("/", |req| Ok(Response::bytes(req.body()))).ws("/ws", Echo)
}

#[test]
fn content() {
    none(allocations(echo(), requests, keep_alive(post("text/plain", CONTENT), CONTENT)));
}

/// The server has seen the head and some of the content before the rest comes: that needs an inbox.
#[test]
fn content_in_pieces() {
    let client = |mut client: Client, times| {
        let head = "POST / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 1024\r\n\r\n";
        let (first, second) = CONTENT.split_at(100);
        for _ in 0..times {
            client.send([head.as_bytes(), first].concat());
            assert_eq!(client.answer_to_head().status, 100);
            client.send(second);
            assert!(client.answer().body == CONTENT);
        }
    };
    none(allocations(echo(), requests, client));
}

#[test]
fn chunked_content() {
    let request = b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n\
                    6\r\nhello \r\n5;x=y\r\nworld\r\n0\r\nX-Trailer: 1\r\n\r\n";
    none(allocations(echo(), requests, keep_alive(request, b"hello world")));
}

#[test]
fn pipelined_requests() {
    let app = App::new().get("/{number}", |req| Ok(Response::text(req.param("number"))));
    let client = |mut client: Client, times| {
        let requests = (0..PIPELINED).map(|n| format!("GET /{n} HTTP/1.1\r\nHost: test\r\n\r\n"));
        let requests: String = requests.collect();
        for _ in 0..times / PIPELINED {
            client.send(&requests);
            for number in 0..PIPELINED {
                assert_eq!(client.answer().text(), number.to_string());
            }
        }
    };
    none(allocations(app, requests, client));
}

/// Sends `bytes`, the frames of one message, so many times; each time the payload comes back.
fn messages_of(bytes: Vec<u8>) -> impl FnOnce(Client, u64) + Send {
    move |client, times| {
        let mut client = client.upgraded("/ws");
        for _ in 0..times {
            client.send(&bytes);
            assert!(client.next_frame().payload == CONTENT);
        }
    }
}

#[test]
fn websocket_messages() {
    none(allocations(echo(), messages, messages_of(frame(true, BINARY, CONTENT))));
}

/// A message in fragments is gathered in memory that its connection owns until it is whole: that is
/// one allocation a fragment at most.
#[test]
fn fragmented_websocket_messages() {
    let (first, second, third) = (&CONTENT[..400], &CONTENT[400..800], &CONTENT[800..]);
    let frames = [frame(false, BINARY, first), frame(false, 0, second), frame(true, 0, third)];
    let counted = allocations(echo(), messages, messages_of(frames.concat()));
    assert!(counted.count_total <= 3 * COUNTED, "{counted:?}");
    assert_eq!(counted.count_current, 0, "none stays: {counted:?}");
}

/// The check above can fail: an allocation in a handler is seen, each time.
#[test]
fn a_planted_allocation_is_seen() {
    let app = App::new().get("/", |req| Ok(Response::text(req.path().to_string())));
    let counted = allocations(app, requests, keep_alive(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n", b"/"));
    assert_eq!(counted.count_total, COUNTED, "{counted:?}");
}
