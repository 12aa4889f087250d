//! Over HTTP/2, no more is sent than the client's windows allow, and a stream without a window does not block the others.

use crate::driver::Driver;
use crate::http2_peer::Http2Peer;
use fleeting::engine::Settings;
use fleeting::{App, Body, Files, Response, Server};
use fleeting_testkit::http2::client::{Client, head};
use fleeting_testkit::http2::frames::{Frame, code, kind, setting};
use fleeting_testkit::http2::session::Windows;
use fleeting_testkit::server::{self, TestServer};
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

const LARGE_BYTES: usize = 300_000;

/// The content of the large responses: no two pieces are the same.
fn large() -> Vec<u8> {
    (0..LARGE_BYTES as u32).flat_map(u32::to_be_bytes).take(LARGE_BYTES).collect()
}

fn app() -> App {
    static LARGE: LazyLock<Vec<u8>> = LazyLock::new(large);
    let owned = large();
    App::new()
        .get("/", |_req| Ok(Response::text("hello")))
        .get("/owned", move |_req| Ok(Response::bytes(owned.clone())))
        .get("/static", |_req| Ok(Response::bytes(Body::Static(&LARGE))))
        .post("/echo", |req| Ok(Response::bytes(req.body())))
}

fn serve() -> TestServer {
    server::run(|_| app())
}

/// The client grants one byte at a time.
#[test]
fn a_response_arrives_as_its_client_opens_the_window() {
    let server = serve();
    for path in ["/owned", "/static"] {
        let mut client = Client::connect_with(server.addr, &[(setting::INITIAL_WINDOW_SIZE, 3)]);
        client.session.windows = Windows::OfConnection;
        let stream = client.start(&head("GET", path), true);
        let mut content = client.content(stream, 3);
        for _ in 0..500 {
            client.grant(stream, 1);
            content.extend(client.content(stream, 1));
        }
        assert_eq!(content.len(), 503);
        // Without a window nothing comes.
        client.ping();
        assert_eq!(client.content(stream, 0), b"");
        client.grant(stream, LARGE_BYTES as u32);
        content.extend(client.response(stream).body);
        assert!(content == large(), "{path}");
        client.session.windows = Windows::Open;
        assert_eq!(client.get("/").text(), "hello");
    }
}

#[test]
fn a_stream_without_a_window_keeps_no_other_waiting() {
    let server = serve();
    let mut client = Client::connect_with(server.addr, &[(setting::INITIAL_WINDOW_SIZE, 100)]);
    client.session.windows = Windows::OfConnection;
    let stuck = [(); 5].map(|()| client.start(&head("GET", "/owned"), true));
    for stream in stuck {
        assert_eq!(client.content(stream, 100), large()[..100]);
    }
    for _ in 0..100 {
        assert_eq!(client.get("/").text(), "hello");
        assert_eq!(client.request(&head("POST", "/echo"), b"content").text(), "content");
    }
    // In another order.
    for stream in stuck.into_iter().rev() {
        client.grant(stream, LARGE_BYTES as u32);
        assert!(client.response(stream).body == large()[100..]);
    }
}

/// The connection's window is shared; responses without content need none of it.
#[test]
fn a_connection_without_a_window_still_answers() {
    let server = serve();
    let mut client = Client::connect_with(server.addr, &[(setting::INITIAL_WINDOW_SIZE, 1 << 20)]);
    client.session.windows = Windows::Closed;
    let stuck = client.start(&head("GET", "/static"), true);
    assert!(client.content(stuck, 65_535) == large()[..65_535]);
    assert_eq!(client.request(&head("HEAD", "/"), b"").field("content-length"), Some("5"));
    let waiting = client.start(&head("GET", "/"), true);
    assert_eq!(client.response_head(waiting).0, 200);
    client.ping();
    client.grant(0, 1 << 20);
    assert_eq!(client.response(waiting).text(), "hello");
    assert!(client.response(stuck).body == large()[65_535..]);
}

/// RFC 9113 §6.9.2: a new initial size changes the windows of open streams, which may become negative.
#[test]
fn a_setting_opens_and_closes_windows() {
    let server = serve();
    let mut client = Client::connect_with(server.addr, &[(setting::INITIAL_WINDOW_SIZE, 1000)]);
    client.session.windows = Windows::OfConnection;
    let stream = client.start(&head("GET", "/owned"), true);
    let mut content = client.content(stream, 1000);
    client.set(&[(setting::INITIAL_WINDOW_SIZE, 10)]);
    client.ping();
    client.grant(stream, 991);
    content.extend(client.content(stream, 1));
    assert_eq!(content.len(), 1001);
    client.set(&[(setting::INITIAL_WINDOW_SIZE, 500_000)]);
    content.extend(client.response(stream).body);
    assert!(content == large());
}

/// RFC 9113 §6.9.1
#[test]
fn a_window_that_grows_too_large_ends_its_stream_or_the_connection() {
    let server = serve();
    let mut client = Client::connect(server.addr);
    // Its response waits for the content, so none of the window is used.
    let stream = client.start(&head("POST", "/echo"), false);
    client.send_frame(&Frame::window_update(stream, 0x7fff_ffff));
    let reset = client.frame(|frame| frame.kind == kind::RST_STREAM);
    assert_eq!((reset.stream, reset.number(0)), (stream, Some(code::FLOW_CONTROL_ERROR)));
    client.send_frame(&Frame::window_update(0, 0x7fff_ffff));
    client.ended_with(code::FLOW_CONTROL_ERROR);
}

/// Each response gets its share of the window, whichever began first.
#[test]
fn large_responses_share_the_connection() {
    let mut driver = Driver::new(app(), Settings::default());
    let mut client = Http2Peer::connect(&mut driver, &[(setting::INITIAL_WINDOW_SIZE, 1 << 20)]);
    client.peer.limit_room(0);
    let streams = [(); 3].map(|()| client.session.open(&head("GET", "/owned"), true));
    client.exchange(&mut driver);
    let mut began_at = [0; 3];
    for bytes in (0..3 * LARGE_BYTES).step_by(16 << 10) {
        driver.make_room(&client.peer, 20 << 10);
        client.exchange(&mut driver);
        for (stream, began_at) in streams.iter().zip(&mut began_at) {
            if *began_at == 0 && !client.got(*stream).body.is_empty() {
                *began_at = bytes;
            }
        }
    }
    assert!(began_at.iter().all(|bytes| *bytes < LARGE_BYTES), "{began_at:?}");
    driver.make_room(&client.peer, usize::MAX >> 1);
    client.exchange(&mut driver);
    for stream in streams {
        let got = client.got(stream);
        assert!(got.ended && got.body == large());
    }
}

/// A folder with one file for one test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let at = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let at = at.join(format!("http2-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&at);
        fs::create_dir_all(&at).expect("a folder");
        fs::write(at.join("large.bin"), large()).expect("a file");
        Folder(at)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn files_and_parts_of_them_are_sent_whatever_the_windows_are() {
    let folder = Folder::new("parts");
    let files = Files::new(&folder.0).expect("it is a folder");
    let server = server::run_from(Server::builder(), move |_| App::new().files("/", files));
    let content = large();
    for window in [1 << 20, 70_000, 1000] {
        let mut client = Client::connect_with(server.addr, &[(setting::INITIAL_WINDOW_SIZE, window)]);
        let mut check = |method: &str, range: &str, status: u16, expected: &[u8]| {
            let mut head = head(method, "/large.bin");
            if !range.is_empty() {
                head.push(("range", range));
            }
            let response = client.request(&head, b"");
            assert_eq!(response.status, status, "{method} {range}");
            assert!(response.body == expected, "{method} {range}: {} bytes", response.body.len());
            response
        };
        let whole = check("GET", "", 200, &content);
        let length = LARGE_BYTES.to_string();
        assert_eq!(whole.field("content-length"), Some(&*length));
        assert_eq!(check("HEAD", "", 200, b"").field("content-length"), Some(&*length));
        let part = check("GET", "bytes=1000-199999", 206, &content[1000..200_000]);
        assert_eq!(part.field("content-range"), Some(&*format!("bytes 1000-199999/{length}")));
        check("GET", "bytes=-70000", 206, &content[LARGE_BYTES - 70_000..]);
        check("GET", "bytes=0-0", 206, &content[..1]);
        assert_eq!(client.get("/large.bin?again").status, 200);
        let streams = [(); 10].map(|()| client.start(&head("GET", "/large.bin"), true));
        for stream in streams {
            assert!(client.response(stream).body == content);
        }
        let tag = whole.field("etag").expect("a tag");
        let mut conditional = head("GET", "/large.bin");
        conditional.push(("if-none-match", tag));
        assert_eq!(client.request(&conditional, b"").status, 304);
        let mut beyond = head("GET", "/large.bin");
        beyond.push(("range", "bytes=300000-"));
        assert_eq!(client.request(&beyond, b"").status, 416);
    }
}

#[test]
fn a_client_that_leaves_in_the_middle_of_a_response_harms_no_other() {
    let folder = Folder::new("reset");
    let files = Files::new(&folder.0).expect("it is a folder");
    let server = server::run(move |_| app().files("/files", files));
    let mut client = Client::connect_with(server.addr, &[(setting::INITIAL_WINDOW_SIZE, 1000)]);
    client.session.windows = Windows::OfConnection;
    for path in ["/owned", "/files/large.bin"] {
        let (left, other) = (client.start(&head("GET", path), true), client.start(&head("GET", path), true));
        assert_eq!(client.content(left, 1000), large()[..1000]);
        client.reset(left, code::CANCEL);
        client.grant(other, LARGE_BYTES as u32);
        assert!(client.response(other).body == large());
        assert_eq!(client.get("/").text(), "hello");
    }
}
