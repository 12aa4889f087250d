//! A slow reader costs no other client a message, holds no more memory than allowed, and loses nothing that is not
//! counted.

use crate::driver::{Driver, Peer};
use fleeting::engine::{Counters, Settings};
use fleeting::{
    App, Error, Handle, Limits, Message, Request, Sent, SlowConsumer, Socket, SocketOptions, WebSocket,
};
use fleeting_testkit::client::{CLOSE, Client, Frame, PING, PONG, TEXT};
use fleeting_testkit::server::{self, Hub, subscribe};
use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

const SUBSCRIBERS: usize = 1000;
/// Every tenth subscriber never reads.
const STALLED: usize = 100;
const PUBLICATIONS: usize = 300;
const TOPICS: usize = 4;
const OUTBOX_BYTES: usize = 16 << 10;

fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.limits.outbox_bytes = OUTBOX_BYTES;
    settings
}

fn feed(slow: SlowConsumer) -> (Driver, Handle) {
    let handle = Handle::unattended(1);
    let app = App::new().ws_with("/feed", SocketOptions::new().slow_consumer(slow), Hub);
    (Driver::with_handle(app, settings(), &handle), handle)
}

fn topic(number: usize) -> String {
    format!("topic{}", number % TOPICS)
}

/// Returns publication `number`: several hundred bytes, all of them unique to it.
fn text(number: usize) -> String {
    format!("{number} {}", format!("{}.", number * 7919).repeat(80))
}

fn number(text: &str) -> usize {
    let (number, _) = text.split_once(' ').expect("a number first");
    let number = number.parse().expect("a number");
    assert_eq!(text, self::text(number), "a byte differs");
    number
}

/// Publishes these, a few in each turn.
fn publish(driver: &mut Driver, handle: &Handle, numbers: Range<usize>, mut after_turn: impl FnMut()) {
    let mut batch = 1;
    let mut left = numbers;
    while !left.is_empty() {
        for number in left.by_ref().take(batch) {
            handle.publish(&topic(number), Message::Text(&text(number))).expect("there is room");
        }
        batch = batch % 7 + 1;
        driver.turn();
        after_turn();
    }
}

/// Returns the number of publications whose fate was counted.
fn accounted(counters: &Counters) -> u64 {
    counters.delivered
        + counters.dropped_newest
        + counters.dropped_oldest
        + counters.conflated
        + counters.dropped_slow
        + counters.dropped_closing
}

/// Runs 1,000 subscribers, of which 100 are stalled at different places of a frame. `found` checks what a stalled one
/// finds at last: its frames, and how many of them had left, or begun to leave, in time.
fn promise(slow: SlowConsumer, found: impl Fn(&[Frame], usize)) -> Counters {
    let (mut driver, handle) = feed(slow);
    let peers: Vec<Peer> = (0..SUBSCRIBERS).map(|_| driver.websocket("/feed")).collect();
    // Buffers reach their final size before memory is measured.
    publish(&mut driver, &handle, 0..28, || peers.iter().for_each(|peer| peer.each_frame(|_, _| {})));
    let before = driver.counters();
    assert_eq!((before.matched, before.delivered), (28 * SUBSCRIBERS as u64, 28 * SUBSCRIBERS as u64));

    let (stalled, others): (Vec<_>, Vec<_>) = peers.iter().enumerate().partition(|(at, _)| at % 10 == 0);
    assert_eq!(stalled.len(), STALLED);
    // From no room at all to room up to the third frame.
    let room = |at: usize| (at / 10) * 9;
    stalled.iter().for_each(|(at, peer)| peer.limit_room(room(*at)));
    let mut next = vec![0; SUBSCRIBERS];
    let held = allocation_counter::measure(|| {
        publish(&mut driver, &handle, 0..PUBLICATIONS, || {
            for (at, peer) in &others {
                peer.each_frame(|opcode, payload| {
                    let text = std::str::from_utf8(payload).expect("text");
                    assert_eq!((opcode, number(text)), (TEXT, next[*at]), "subscriber {at}");
                    next[*at] += 1;
                });
            }
        });
    });
    assert!(
        others.iter().all(|(at, _)| next[*at] == PUBLICATIONS),
        "{slow}: a fast subscriber has lost publications"
    );
    let most = (STALLED * OUTBOX_BYTES) as i64;
    assert!(held.bytes_current <= most, "{slow}: {} bytes are held, of {most}", held.bytes_current);

    let mut received = 28 * SUBSCRIBERS + PUBLICATIONS * others.len();
    for (at, peer) in &stalled {
        let starts = (0..PUBLICATIONS).scan(0, |end, number| {
            let start = *end;
            *end += text(number).len() + 4;
            Some(start)
        });
        let started = starts.take_while(|start| *start < room(*at)).count();
        driver.make_room(peer, usize::MAX);
        let frames = peer.frames();
        found(&frames, started);
        received += frames.iter().filter(|frame| frame.opcode == TEXT).count();
        assert!(!peer.is_full());
    }
    let counters = driver.counters();
    let published = (PUBLICATIONS + 28) as u64;
    assert_eq!((counters.published, counters.delivered), (published, received as u64), "{slow}");
    // A closed connection is no subscriber any more.
    let matched = published * SUBSCRIBERS as u64;
    assert!(counters.matched == matched || slow == SlowConsumer::Close, "{slow}: {counters:?}");
    assert_eq!(counters.matched, accounted(&counters), "{slow}: {counters:?}");
    counters
}

fn numbers_of(frames: &[Frame]) -> Vec<usize> {
    frames.iter().map(|frame| number(frame.text())).collect()
}

/// The minimum number of messages that wait in a full outbox. A message is charged with its topic, its frame, and its
/// place in the queue.
const WAIT_MIN: usize = 15;

#[test]
fn drop_newest_keeps_the_oldest() {
    let counters = promise(SlowConsumer::DropNewest, |frames, _| {
        let numbers = numbers_of(frames);
        assert!(numbers.len() >= WAIT_MIN && numbers.len() < PUBLICATIONS, "{numbers:?}");
        // The last of them may be smaller ones that fitted later.
        let full = numbers.iter().zip(0..).take_while(|(number, at)| **number == *at).count();
        assert!(full >= WAIT_MIN && numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
    });
    let others = counters.dropped_oldest + counters.conflated + counters.dropped_slow;
    assert!(counters.dropped_newest > 0 && others == 0, "{counters:?}");
}

#[test]
fn drop_oldest_keeps_the_newest() {
    let counters = promise(SlowConsumer::DropOldest, |frames, started| {
        let numbers = numbers_of(frames);
        let kept = numbers.len() - started;
        assert_eq!(
            numbers[..started],
            *(0..started).collect::<Vec<_>>(),
            "a message that had begun was dropped"
        );
        assert!(kept >= WAIT_MIN, "{numbers:?}");
        assert_eq!(numbers[started..], *(PUBLICATIONS - kept..PUBLICATIONS).collect::<Vec<_>>());
    });
    let others = counters.dropped_newest + counters.conflated + counters.dropped_slow;
    assert!(counters.dropped_oldest > 0 && others == 0, "{counters:?}");
}

#[test]
fn conflate_keeps_the_latest_of_each_topic() {
    let counters = promise(SlowConsumer::Conflate, |frames, started| {
        let expected: Vec<_> = (0..started).chain(PUBLICATIONS - TOPICS..PUBLICATIONS).collect();
        assert_eq!(numbers_of(frames), expected);
    });
    let others = counters.dropped_newest + counters.dropped_oldest + counters.dropped_slow;
    assert!(counters.conflated > 0 && others == 0, "{counters:?}");
}

#[test]
fn close_finishes_what_has_begun_and_closes_with_1013() {
    let counters = promise(SlowConsumer::Close, |frames, started| {
        let (close, messages) = frames.split_last().expect("a Close at least");
        assert_eq!(numbers_of(messages), (0..started).collect::<Vec<_>>());
        assert_eq!((close.close_code(), &close.payload[2..]), (1013, &b"reads too slowly"[..]));
    });
    assert_eq!(counters.closed_slow, STALLED as u64);
    let others = counters.dropped_newest + counters.dropped_oldest + counters.conflated;
    // A closed connection has no subscriptions, so later publications do not match it.
    assert!(counters.dropped_slow > 0 && others == 0, "{counters:?}");
}

/// One subscriber that takes nothing and whose memory is measured alone. It never holds more than allowed, whatever is
/// sent to it, and a queue that was long once keeps no memory.
#[test]
fn a_stalled_connection_holds_no_more_than_it_may() {
    // The outbox itself, and the engine's lists for connections that have one.
    const RECORD_BYTES: i64 = 512;
    for slow in [SlowConsumer::DropNewest, SlowConsumer::DropOldest, SlowConsumer::Conflate] {
        for sizes in [&[1][..], &[100], &[5000], &[1, 5000], &[1, 100, 1000]] {
            let (mut driver, handle) = feed(slow);
            let peer = driver.websocket("/feed");
            let long = "x".repeat(5000);
            let publish = |driver: &mut Driver, bytes: usize, times: usize| {
                for at in 0..times {
                    let topic = ["a", "b", "c", "d"][at % 4];
                    handle.publish(topic, Message::Text(&long[..bytes])).expect("there is room");
                    driver.turn();
                }
            };
            sizes.iter().for_each(|bytes| publish(&mut driver, *bytes, 10));
            peer.frames();
            peer.limit_room(0);
            for bytes in sizes {
                let held = allocation_counter::measure(|| publish(&mut driver, *bytes, 1000));
                let most = OUTBOX_BYTES as i64 + RECORD_BYTES;
                assert!(held.bytes_current <= most, "{slow} {sizes:?}: {} of {most}", held.bytes_current);
                driver.make_room(&peer, usize::MAX);
                peer.frames();
                peer.limit_room(0);
            }
        }
    }
}

/// The same for a queue that shrinks, but does not become empty, before it grows again.
#[test]
fn a_queue_that_was_long_gives_its_memory_back() {
    let (mut driver, handle) = feed(SlowConsumer::DropNewest);
    let peer = driver.websocket("/feed");
    let long = "x".repeat(1000);
    handle.publish("a", Message::Text(&long)).expect("there is room");
    driver.turn();
    peer.frames();
    peer.limit_room(0);
    let held = allocation_counter::measure(|| {
        let publish = |driver: &mut Driver, text: &str, times: usize| {
            for _ in 0..times {
                handle.publish("a", Message::Text(text)).expect("there is room");
                driver.turn();
            }
        };
        publish(&mut driver, "x", 1000);
        // All but a few leave.
        let waiting = driver.counters().matched - accounted(&driver.counters());
        driver.make_room(&peer, (waiting as usize - 3) * 3);
        assert!(peer.is_full());
        publish(&mut driver, &long, 100);
    });
    // What has arrived at the peer does not count.
    let arrived = 1 << 10;
    let most = (OUTBOX_BYTES + 512 + arrived) as i64;
    assert!(held.bytes_current <= most, "{} of {most}", held.bytes_current);
}

/// A [`Handle`]'s messages are refused under the same conditions as publications.
#[test]
fn unsolicited_messages_hold_no_more_either() {
    for bytes in [1, 10, 60, 1000, 3000, 9000] {
        let (mut driver, handle) = feed(SlowConsumer::DropNewest);
        let peer = driver.websocket("/feed");
        let long = "x".repeat(bytes);
        for _ in 0..10 {
            handle.send(peer.id, Message::Text(&long)).expect("there is room");
            driver.turn();
        }
        assert_eq!(peer.frames().len(), 10);
        peer.limit_room(0);
        let held = allocation_counter::measure(|| {
            for _ in 0..OUTBOX_BYTES / bytes + 10 {
                handle.send(peer.id, Message::Text(&long)).expect("there is room");
                driver.turn();
            }
        });
        let most = OUTBOX_BYTES as i64 + 512;
        assert!(held.bytes_current <= most, "{bytes}: {} of {most}", held.bytes_current);
        assert!(driver.counters().dropped > 0, "{:?}", driver.counters());
        driver.make_room(&peer, usize::MAX);
        let arrived = peer.frames();
        assert!(arrived.iter().all(|frame| frame.text() == long), "a message was cut");
        assert_eq!(arrived.len() as u64 + driver.counters().dropped, (OUTBOX_BYTES / bytes + 10) as u64);
        assert!(
            arrived.len() * (bytes + 4) > OUTBOX_BYTES / 3,
            "{bytes}: only {} were queued",
            arrived.len()
        );
    }
}

/// A frame larger than the whole outbox: once begun, it is finished, and what follows it is dropped.
#[test]
fn a_frame_that_has_begun_is_finished_whatever_its_size() {
    for slow in SlowConsumer::ALL {
        let (mut driver, handle) = feed(slow);
        let peer = driver.websocket("/feed");
        peer.limit_room(1);
        let huge = "y".repeat(10 * OUTBOX_BYTES);
        for text in [&huge[..], "little", &huge] {
            handle.publish("a", Message::Text(text)).expect("there is room");
            driver.turn();
        }
        for _ in 0..2 * huge.len() / 1000 {
            driver.make_room(&peer, 1000);
        }
        let frames = peer.frames();
        assert_eq!(frames[0].text(), huge);
        let behind = frames.get(1).map(|frame| frame.opcode);
        assert_eq!(
            (frames.len(), behind),
            if slow == SlowConsumer::Close { (2, Some(CLOSE)) } else { (1, None) }
        );
        let counters = driver.counters();
        assert_eq!((counters.delivered, counters.matched), (1, accounted(&counters)), "{slow}");
    }
}

/// A session's replies are always queued, and its publications wait behind them in their order.
#[test]
fn conflated_messages_stay_behind_earlier_publications() {
    let (mut driver, _) = feed(SlowConsumer::Conflate);
    let (peer, publisher) = (driver.websocket("/feed"), driver.websocket("/feed"));
    peer.limit_room(0);
    for text in ["a 1", "b 2", "a 3", "c 4", "b 5"] {
        driver.send(&publisher, TEXT, text);
    }
    driver.make_room(&peer, usize::MAX);
    assert_eq!(
        (peer.texts(), publisher.texts()),
        (["3", "4", "5"].map(String::from).to_vec(), ["1", "2", "3", "4", "5"].map(String::from).to_vec(),)
    );
}

/// A subscriber that always has publications waiting is still read from.
#[test]
fn a_subscriber_slower_than_the_publications_is_still_read() {
    for slow in [SlowConsumer::DropNewest, SlowConsumer::DropOldest, SlowConsumer::Conflate] {
        let (mut driver, handle) = feed(slow);
        let peer = driver.websocket("/feed");
        peer.limit_room(0);
        let mut numbers = (0..).step_by(TOPICS).map(|first| first..first + TOPICS);
        let mut until = |driver: &mut Driver, opcode: u8| {
            for _ in 0..1000 {
                for number in numbers.next().expect("the range is infinite") {
                    handle.publish(&topic(number), Message::Text(&text(number))).expect("there is room");
                }
                driver.make_room(&peer, 500);
                assert!(peer.is_full(), "{slow}: the outbox is empty");
                if let Some(frame) = peer.frames().into_iter().find(|frame| frame.opcode == opcode) {
                    return frame.payload;
                }
            }
            panic!("{slow}: no reply came");
        };
        for round in ["one", "two"] {
            driver.send(&peer, PING, round);
            assert_eq!(until(&mut driver, PONG), round.as_bytes());
        }
        // Its Close ends the subscription; what was queued before it leaves ahead of the server's Close.
        driver.send(&peer, CLOSE, 1000u16.to_be_bytes());
        let closing = driver.counters().matched;
        handle.publish("topic", Message::Text("too late")).expect("there is room");
        driver.turn();
        driver.make_room(&peer, usize::MAX);
        let (close, before) = peer
            .frames()
            .split_last()
            .map(|(close, before)| (close.close_code(), before.len()))
            .expect("a Close");
        assert!(close == 1000 && before > 0, "{slow}: {close}");
        assert_eq!((driver.counters().matched, accounted(&driver.counters())), (closing, closing), "{slow}");
    }
}

/// Backpressure ends when the session's messages have left, even if publications are always waiting.
#[test]
fn backpressure_ends_while_publications_wait() {
    struct Both(Rc<RefCell<Results>>);

    impl WebSocket for Both {
        type Session = ();

        fn open(&self, _req: &Request<'_>, socket: &mut Socket<'_>) -> Result<(), Error> {
            subscribe(socket, "*")
        }

        fn message(&self, _session: &mut (), message: Message<'_>, socket: &mut Socket<'_>) {
            self.0.borrow_mut().sends.push(socket.send(message));
        }

        fn drain(&self, _session: &mut (), _socket: &mut Socket<'_>) {
            self.0.borrow_mut().drains += 1;
        }
    }

    let (handle, results) = (Handle::unattended(1), Rc::new(RefCell::new(Results::default())));
    let mut driver = Driver::with_handle(App::new().ws("/ws", Both(results.clone())), settings(), &handle);
    let peer = driver.websocket("/ws");
    peer.limit_room(0);
    let (published, sent) = ("p".repeat(1000), "s".repeat(OUTBOX_BYTES / 2));
    let publish = |driver: &mut Driver| {
        handle.publish("topic", Message::Text(&published)).expect("there is room");
        driver.turn();
    };
    (0..20).for_each(|_| publish(&mut driver));
    for round in 1..4 {
        driver.send(&peer, TEXT, &sent);
        assert_eq!(results.borrow().sends, vec![Sent::Backpressure; round]);
        let mut arrived = 0;
        while arrived == 0 {
            assert!(peer.is_full() && results.borrow().drains == round - 1);
            publish(&mut driver);
            driver.make_room(&peer, 500);
            arrived = peer.frames().iter().filter(|frame| frame.text() == sent).count();
        }
        // As soon as the last byte of it has left.
        assert_eq!((arrived, results.borrow().drains, peer.is_full()), (1, round, true));
        (0..20).for_each(|_| publish(&mut driver));
    }
    assert_eq!(driver.counters().dropped, 0);
}

/// A client that sends but takes nothing is still cut off.
#[test]
fn sending_does_not_keep_a_client_that_takes_nothing() {
    let (mut driver, handle) = feed(SlowConsumer::DropOldest);
    let peer = driver.websocket("/feed");
    peer.limit_room(0);
    handle.publish("topic", Message::Text("news")).expect("there is room");
    driver.turn();
    for _ in 0..29 {
        driver.advance(1000);
        driver.send(&peer, PONG, "of its own accord");
    }
    assert!(!peer.is_gone());
    driver.advance(1200);
    assert!(peer.is_gone());
    assert_eq!(driver.counters().timeouts, 1);
}

/// Several policies on one connection: each applies only to its own subscription.
#[test]
fn a_subscription_has_its_own_policy() {
    struct Mixed;

    impl WebSocket for Mixed {
        type Session = ();

        fn open(&self, _req: &Request<'_>, socket: &mut Socket<'_>) -> Result<(), Error> {
            let mut subscribe =
                |filter, slow| socket.subscribe_with(filter, slow).map_err(|_| Error::internal("no"));
            subscribe("keep", SlowConsumer::DropNewest)?;
            subscribe("price.*", SlowConsumer::Conflate)?;
            Ok(())
        }

        fn message(&self, _session: &mut (), _message: Message<'_>, _socket: &mut Socket<'_>) {}
    }

    let handle = Handle::unattended(1);
    let mut driver = Driver::with_handle(App::new().ws("/ws", Mixed), settings(), &handle);
    let peer = driver.websocket("/ws");
    peer.limit_room(0);
    for round in 0..10 {
        for name in ["keep", "price.a", "price.b"] {
            handle.publish(name, Message::Text(&format!("{name} {round}"))).expect("there is room");
        }
        driver.turn();
    }
    driver.make_room(&peer, usize::MAX);
    let mut expected: Vec<String> = (0..10).map(|round| format!("keep {round}")).collect();
    expected.extend(["price.a 9".into(), "price.b 9".into()]);
    assert_eq!(peer.texts(), expected);
    assert_eq!(driver.counters().conflated, 18);
}

/// The results of a session's sends and the number of its `drain` calls. `send N BYTES` makes it send.
#[derive(Default)]
struct Results {
    sends: Vec<Sent>,
    drains: usize,
}

struct Speaker(Rc<RefCell<Results>>);

impl WebSocket for Speaker {
    type Session = ();

    fn open(&self, _req: &Request<'_>, _socket: &mut Socket<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn message(&self, _session: &mut (), message: Message<'_>, socket: &mut Socket<'_>) {
        let Message::Text(text) = message else { panic!("orders are text") };
        let (times, bytes) = text.split_once(' ').expect("two numbers");
        let payload = vec![b'z'; bytes.parse().expect("a number")];
        for _ in 0..times.parse().expect("a number") {
            self.0.borrow_mut().sends.push(socket.binary(&payload));
        }
    }

    fn drain(&self, _session: &mut (), _socket: &mut Socket<'_>) {
        self.0.borrow_mut().drains += 1;
    }
}

#[test]
fn a_send_reports_its_result_and_drain_is_called_once() {
    let results = Rc::new(RefCell::new(Results::default()));
    let mut driver = Driver::new(App::new().ws("/ws", Speaker(results.clone())), settings());
    let peer = driver.websocket("/ws");
    let half = OUTBOX_BYTES / 2;
    for round in 1..4 {
        peer.limit_room(0);
        results.borrow_mut().sends.clear();
        driver.send(&peer, TEXT, format!("5 {half}"));
        assert_eq!(
            results.borrow().sends,
            [Sent::Sent, Sent::Backpressure, Sent::Dropped, Sent::Dropped, Sent::Dropped]
        );
        // The engine does not read the connection now, so this waits.
        driver.send(&peer, TEXT, "1 10");
        assert_eq!(results.borrow().sends.len(), 5);
        driver.make_room(&peer, half);
        driver.make_room(&peer, 1);
        assert_eq!(results.borrow().drains, round - 1, "not all has left");
        driver.make_room(&peer, usize::MAX);
        assert_eq!(results.borrow().drains, round);
        assert_eq!(results.borrow().sends[5..], [Sent::Sent]);
        let lengths: Vec<usize> = peer.frames().iter().map(|frame| frame.payload.len()).collect();
        assert_eq!(lengths, [half, half, 10]);
        driver.turn();
        assert_eq!((results.borrow().drains, driver.counters().dropped), (round, 3 * round as u64));
    }
}

/// The same over sockets with fewer clients: 20 subscribers, of which 2 do not read.
#[test]
fn slow_consumers_over_sockets_cost_the_others_nothing() {
    const TIMES: usize = 400;
    for slow in SlowConsumer::ALL {
        let set = |limits: &mut Limits| limits.outbox_bytes = 64 << 10;
        let server = server::run_with(
            |limits, _| set(limits),
            move |_| App::new().ws_with("/feed", SocketOptions::new().slow_consumer(slow), Hub),
        );
        let mut stalled: Vec<Client> =
            (0..2).map(|_| Client::connect_with_small_buffer(server.addr).upgraded("/feed")).collect();
        let mut others: Vec<Client> = (0..18).map(|_| Client::websocket(server.addr, "/feed")).collect();
        let long = "w".repeat(40_000);
        for at in 0..TIMES {
            // Each publication comes after all readers have received the one before.
            server.handle.publish("a", Message::Text(&format!("{at} {long}"))).expect("there is room");
            for other in &mut others {
                let frame = other.next_frame();
                assert!(frame.text().starts_with(&format!("{at} ")), "{slow}");
            }
        }
        let counters = server.wait(|counters| counters.published == TIMES as u64);
        let lost = counters.dropped_newest + counters.dropped_oldest + counters.conflated;
        assert!(lost + counters.dropped_slow > 0, "{slow}: {counters:?}");
        assert_eq!(counters.closed_slow, if slow == SlowConsumer::Close { 2 } else { 0 });
        for client in &mut stalled {
            // It is read once everything queued has left, so the reply comes last.
            client.frame(PING, "");
            let mut last = None;
            loop {
                let frame = client.next_frame();
                if frame.opcode != TEXT {
                    let expected = if slow == SlowConsumer::Close { CLOSE } else { PONG };
                    assert_eq!(frame.opcode, expected, "{slow}: {frame:?}");
                    break;
                }
                let (at, rest) = frame.text().split_once(' ').expect("a number first");
                let at: usize = at.parse().expect("a number");
                assert!(rest == long && last.is_none_or(|last| last < at), "{slow}: {at} after {last:?}");
                last = Some(at);
            }
        }
        drop((stalled, others));
        let counters = server.finish();
        assert_eq!(counters.matched, accounted(&counters), "{slow}: {counters:?}");
    }
}
