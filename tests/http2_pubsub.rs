//! Publications reach every stream of an HTTP/2 connection that has subscribed, together, and a slow stream harms no other.

use crate::driver::Driver;
use crate::http2_peer::{Http2Peer, websocket_head, whole_frames};
use fleeting::engine::{Counters, Settings};
use fleeting::{App, EventsOptions, Handle, Message, Response, SlowConsumer, SocketOptions};
use fleeting_testkit::client::{CLOSE, Frame, TEXT, frame};
use fleeting_testkit::http2::client::head;
use fleeting_testkit::http2::frames::{code, setting};
use fleeting_testkit::http2::session::Windows;
use fleeting_testkit::server::Hub;

const OUTBOX_BYTES: usize = 16 << 10;
const PUBLICATIONS: usize = 300;
/// The largest windows, so that no updates are needed.
const WINDOW: u32 = 1 << 30;

fn driver(slow: SlowConsumer) -> (Driver, Handle) {
    let handle = Handle::unattended(1);
    let (events, options) = (handle.clone(), EventsOptions::new().slow_consumer(slow));
    let app = App::new()
        .get("/", |_req| Ok(Response::text("hello")))
        .get("/events", move |req| Ok(events.events_with(req.query().unwrap_or("*"), options)?))
        .ws_with("/ws", SocketOptions::new().slow_consumer(slow), Hub);
    let mut settings = Settings::default();
    settings.limits.outbox_bytes = OUTBOX_BYTES;
    (Driver::with_handle(app, settings, &handle), handle)
}

/// Opens a stream of events, or a WebSocket. Takes what it begins with.
fn subscribe(client: &mut Http2Peer, driver: &mut Driver, path: &str) -> u32 {
    let is_websocket = path.starts_with("/ws");
    let head = match is_websocket {
        false => head("GET", path),
        true => websocket_head(path),
    };
    let stream = client.start(driver, &head, !is_websocket);
    assert_eq!(client.got(stream).status, 200, "{path}");
    assert_eq!(client.take_content(stream), if is_websocket { b"" } else { &b":\n\n"[..] });
    stream
}

fn publish(driver: &mut Driver, handle: &Handle, topic: &str, text: &str) {
    handle.publish(topic, Message::Text(text)).expect("there is room");
    driver.turn();
}

#[test]
fn one_write_carries_a_publication_to_all_streams() {
    let (mut driver, handle) = driver(SlowConsumer::DropNewest);
    let mut client = Http2Peer::connect(&mut driver, &[(setting::INITIAL_WINDOW_SIZE, WINDOW)]);
    client.grant(&mut driver, 0, WINDOW);
    let events = [(); 20].map(|()| subscribe(&mut client, &mut driver, "/events?a.*"));
    let sockets = [(); 20].map(|()| subscribe(&mut client, &mut driver, "/ws?a.*"));
    let other = subscribe(&mut client, &mut driver, "/events?b");
    client.session.windows = Windows::Closed;
    for round in 0..10 {
        let text = format!("number {round}\nand more");
        let before = client.peer.calls();
        publish(&mut driver, &handle, "a.one", &text);
        assert_eq!(client.peer.calls() - before, 1, "round {round}");
        client.read();
        for stream in events {
            let expected = format!("data: number {round}\ndata: and more\n\n");
            assert_eq!(client.take_content(stream), expected.as_bytes());
        }
        for stream in sockets {
            assert_eq!(
                whole_frames(&client.take_content(stream)),
                [Frame { opcode: TEXT, payload: text.clone().into() }]
            );
        }
        assert_eq!(client.take_content(other), b"");
    }
    let counters = driver.counters();
    assert_eq!((counters.matched, counters.delivered, counters.connections), (400, 400, 1));
    // A session publishes, and its stream is among those that receive it.
    client.data(&mut driver, sockets[3], &frame(true, TEXT, b"a.two hello"), false);
    for stream in events {
        assert_eq!(client.take_content(stream), b"data: hello\n\n");
    }
    assert_eq!(whole_frames(&client.take_content(sockets[3]))[0].text(), "hello");
    // Streams that have ended get nothing.
    client.session.reset(events[0], code::CANCEL);
    client.session.reset(sockets[0], code::CANCEL);
    client.exchange(&mut driver);
    publish(&mut driver, &handle, "a.one", "last");
    client.read();
    assert_eq!(driver.counters().matched, 400 + 40 + 38);
    assert_eq!(client.take_content(events[1]), b"data: last\n\n");
}

/// Each connection gets one write, whatever its version and however many of its streams have subscribed, and all get the same.
#[test]
fn publications_reach_the_streams_of_several_connections() {
    let (mut driver, handle) = driver(SlowConsumer::DropNewest);
    let mut clients = [(); 5].map(|()| {
        let mut client = Http2Peer::connect(&mut driver, &[(setting::INITIAL_WINDOW_SIZE, WINDOW)]);
        client.grant(&mut driver, 0, WINDOW);
        client
    });
    // One stream, two, and so on; of both kinds.
    let streams: Vec<Vec<u32>> = clients
        .iter_mut()
        .enumerate()
        .map(|(at, client)| {
            let path = |number| if number % 2 == 0 { "/events?a.*" } else { "/ws?a.*" };
            (0..=at).map(|number| subscribe(client, &mut driver, path(number))).collect()
        })
        .collect();
    let [http1_events, _] = [(); 2].map(|()| driver.get("/events?a.*", "HTTP/1.0").0);
    let http1_socket = driver.websocket("/ws?a.*");
    assert_eq!(http1_events.written(), b":\n\n");
    clients.iter_mut().for_each(|client| client.session.windows = Windows::Closed);
    let mut subscribed = 15 + 3;
    let (mut matched, mut left) = (0, clients.len());
    for round in 0..20 {
        let text = format!("{round} {}", "x".repeat(round * 400));
        let before: Vec<u64> = clients.iter().map(|client| client.peer.calls()).collect();
        publish(&mut driver, &handle, "a.one", &text);
        matched += subscribed;
        let (event, frame) =
            (format!("data: {text}\n\n"), Frame { opcode: TEXT, payload: text.into_bytes() });
        for (at, client) in clients.iter_mut().enumerate().take(left) {
            assert_eq!(client.peer.calls() - before[at], 1, "round {round}, client {at}");
            client.read();
            for (number, stream) in streams[at].iter().enumerate() {
                let content = client.take_content(*stream);
                match number % 2 {
                    0 => assert!(content == event.as_bytes(), "round {round}, client {at}, {number}"),
                    _ => assert_eq!(whole_frames(&content), std::slice::from_ref(&frame)),
                }
            }
        }
        assert!(http1_events.written() == event.as_bytes());
        assert_eq!(http1_socket.frames(), [frame]);
        // A whole connection leaves now and then.
        if round % 6 == 5 {
            left -= 1;
            driver.engine.abort(clients[left].peer.id);
            driver.turn();
            subscribed -= streams[left].len() as u64;
        }
    }
    let counters = driver.counters();
    assert_eq!((counters.matched, counters.delivered), (matched, matched));
    assert_eq!(counters.connections, left as u64 + 3);
}

/// Returns publication `number`: several hundred bytes.
fn text(number: usize) -> String {
    format!("{number} {}", format!("{}.", number * 7919).repeat(80))
}

fn number(text: &str) -> usize {
    let number = text.split_once(' ').expect("a number first").0.parse().expect("a number");
    assert_eq!(text, self::text(number), "a byte differs");
    number
}

/// The publications in the content of a stream of events.
fn numbers_of_events(content: &[u8]) -> Vec<usize> {
    let content = std::str::from_utf8(content).expect("text");
    content.split_terminator("\n\n").filter_map(|event| event.strip_prefix("data: ")).map(number).collect()
}

/// Runs a stream of each kind that opens no window and one that does. Returns what the first ones find at last.
fn promise(slow: SlowConsumer) -> ([Vec<u8>; 2], Counters) {
    let (mut driver, handle) = driver(slow);
    let mut client = Http2Peer::connect(&mut driver, &[(setting::INITIAL_WINDOW_SIZE, 1000)]);
    client.session.windows = Windows::OfConnection;
    let stuck = ["/events", "/ws"].map(|path| subscribe(&mut client, &mut driver, path));
    let fast = ["/events", "/ws"].map(|path| subscribe(&mut client, &mut driver, path));
    fast.iter().for_each(|stream| client.grant(&mut driver, *stream, WINDOW));
    for number in 0..PUBLICATIONS {
        publish(&mut driver, &handle, "a", &text(number));
        client.exchange(&mut driver);
        assert_eq!(numbers_of_events(&client.take_content(fast[0])), [number], "{slow}");
        assert_eq!(self::number(whole_frames(&client.take_content(fast[1]))[0].text()), number, "{slow}");
    }
    let found = stuck.map(|stream| {
        client.grant(&mut driver, stream, WINDOW);
        client.got(stream).body
    });
    let stream = client.start(&mut driver, &head("GET", "/"), true);
    assert!(client.got(stream).ended, "{slow}: the connection goes on");
    (found, driver.counters())
}

#[test]
fn drop_newest_keeps_the_oldest() {
    let ([events, frames], counters) = promise(SlowConsumer::DropNewest);
    let frames: Vec<usize> = whole_frames(&frames).iter().map(|frame| number(frame.text())).collect();
    for numbers in [numbers_of_events(&events), frames] {
        assert!(numbers.len() > 10 && numbers.len() < 100, "{numbers:?}");
        assert!(numbers[..10] == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], "{numbers:?}");
    }
    // The stream of events reports the number of lost publications.
    assert!(events.windows(10).any(|window| window == b"event: gap"), "{}", events.escape_ascii());
    let matched = 4 * PUBLICATIONS as u64;
    assert_eq!((counters.matched, counters.delivered + counters.dropped_newest), (matched, matched));
}

#[test]
fn drop_oldest_keeps_the_newest() {
    let ([events, frames], counters) = promise(SlowConsumer::DropOldest);
    assert!(events.windows(10).any(|window| window == b"event: gap"), "{}", events.escape_ascii());
    let frames: Vec<usize> = whole_frames(&frames).iter().map(|frame| number(frame.text())).collect();
    for numbers in [numbers_of_events(&events), frames] {
        // Those that fit into the window, or had begun to, and those that fit into the queue.
        let begun = numbers.iter().zip(0..).take_while(|(number, at)| *number == at).count();
        let kept = numbers.len() - begun;
        assert!((1..5).contains(&begun) && (10..100).contains(&kept), "{numbers:?}");
        assert_eq!(numbers[begun..], *(PUBLICATIONS - kept..PUBLICATIONS).collect::<Vec<_>>());
    }
    let matched = 4 * PUBLICATIONS as u64;
    assert_eq!((counters.matched, counters.delivered + counters.dropped_oldest), (matched, matched));
}

#[test]
fn conflate_keeps_the_latest() {
    let ([events, frames], _) = promise(SlowConsumer::Conflate);
    assert_eq!(numbers_of_events(&events).last(), Some(&(PUBLICATIONS - 1)));
    assert_eq!(number(whole_frames(&frames).last().expect("a frame").text()), PUBLICATIONS - 1);
}

#[test]
fn close_ends_the_stream_and_no_other() {
    let ([events, frames], counters) = promise(SlowConsumer::Close);
    let close = whole_frames(&frames).pop().expect("a frame");
    assert_eq!((close.opcode, close.close_code()), (CLOSE, 1013));
    let numbers = numbers_of_events(&events);
    assert!(numbers.is_sorted() && numbers.len() < PUBLICATIONS, "{numbers:?}");
    assert_eq!(counters.closed_slow, 2);
}
