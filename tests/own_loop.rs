//! A loop that runs a worker itself publishes, sends and closes without the mailbox.

use crate::driver::Driver;
use fleeting::engine::Settings;
use fleeting::ws::CloseCode;
use fleeting::{
    App, Broker, ConnId, Error, Handle, Limits, Message, Publication, Request, Server, Socket, TopicError,
    WebSocket, Worker,
};
use fleeting_testkit::client::{CLOSE, Client};
use fleeting_testkit::server::subscribe;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Subscribes to its query, and reports its connection to the test.
struct Feed(mpsc::Sender<ConnId>);

impl WebSocket for Feed {
    type Session = ();

    fn open(&self, req: &Request<'_>, socket: &mut Socket<'_>) -> Result<(), Error> {
        // Most tests do not ask.
        let _ = self.0.send(socket.conn_id());
        subscribe(socket, req.query().expect("a filter"))
    }

    fn message(&self, _session: &mut (), message: Message<'_>, socket: &mut Socket<'_>) {
        socket.publish("a", message).expect("it is valid");
    }
}

fn feed() -> App {
    reporting_feed().0
}

/// Returns the application, and the connections that it opens.
fn reporting_feed() -> (App, mpsc::Receiver<ConnId>) {
    let (opened, conns) = mpsc::channel();
    (App::new().ws("/feed", Feed(opened)), conns)
}

/// Gives the worker turns until the client's thread has ended. Returns what the thread returned.
fn turns<T>(worker: &mut Worker, client: JoinHandle<T>) -> T {
    while !client.is_finished() {
        worker.turn(Some(Duration::from_millis(10))).expect("polling works");
    }
    client.join().expect("the client has got what it waits for")
}

/// Finding A14.
#[test]
fn publications_of_the_loop_leave_in_its_next_turn_in_order_with_those_of_sessions() {
    let mut driver = Driver::new(feed(), Settings::default());
    let subscribers = [driver.websocket("/feed?a"), driver.websocket("/feed?*"), driver.websocket("/feed?b")];
    for (topic, text) in [("a", "one"), ("b", "two"), ("a", "three")] {
        driver.engine.publish(topic, Message::Text(text)).expect("it is valid");
    }
    assert!(subscribers.iter().all(|subscriber| subscriber.frames().is_empty()));
    assert_eq!(driver.engine.next_ms(), Some(0), "a turn is due at once");
    driver.send(&subscribers[0], 1, "four");
    let expected: [&[&str]; 3] = [&["one", "three", "four"], &["one", "two", "three", "four"], &["two"]];
    for (subscriber, expected) in subscribers.iter().zip(expected) {
        assert_eq!(subscriber.texts(), expected);
    }
    let counters = driver.counters();
    assert_eq!((counters.published, counters.matched, counters.delivered), (4, 8, 8));
    assert_ne!(driver.engine.next_ms(), Some(0), "nothing is left");
}

#[test]
fn a_publication_of_the_loop_that_is_not_allowed_is_an_error() {
    let mut limits = Limits::default();
    (limits.topic_bytes, limits.message_bytes) = (4, 8);
    let builder = Server::builder().bind("127.0.0.1:0").limits(limits);
    let mut worker = builder.worker(|_| feed()).expect("the server starts");
    let mut publish = |topic: &str, text: &str| worker.publish(topic, Message::Text(text));
    assert_eq!(publish("", "text"), Err(TopicError::Empty));
    assert_eq!(publish("a*", "text"), Err(TopicError::Filter));
    assert_eq!(publish("12345", "text"), Err(TopicError::TooLong(4)));
    assert_eq!(publish("a", "123456789"), Err(TopicError::MessageTooBig(8)));
    assert_eq!(publish("a", "12345678"), Ok(()));
    assert_eq!(worker.counters().published, 1);
}

/// Memory is bounded by what has no subscriber on this worker, too.
#[test]
fn many_publications_do_not_wait_for_a_turn() {
    let handle = Handle::unattended(2);
    let engine = |worker| {
        let settings = Settings { worker, ..Settings::default() };
        Driver::with_handle(feed(), settings, &handle)
    };
    let (mut own, mut other) = (engine(0), engine(1));
    let subscribers = [own.websocket("/feed?a"), other.websocket("/feed?b")];
    let long = "x".repeat(100 << 10);
    for number in 0..4 {
        assert_eq!(own.engine.delivery_is_due(), number > 2, "{number}");
        own.engine.publish("a", Message::Text(&long)).expect("it is valid");
    }
    own.engine.deliver_now(own.now.ms);
    assert_eq!(subscribers[0].frames().len(), 4);
    for _ in 0..1000 {
        own.engine.publish("b", Message::Text("short")).expect("it is valid");
    }
    other.turn();
    let sent = subscribers[1].frames().len();
    assert!(sent >= 700, "{sent} of 1000 were sent to the other worker");
    own.turn();
    other.turn();
    assert_eq!(sent + subscribers[1].frames().len(), 1000);
}

/// A deadline that a delivery sets counts from the delivery, not from the last turn.
#[test]
fn a_delivery_between_two_turns_has_its_own_time() {
    let mut driver = Driver::new(feed(), Settings::default());
    let subscriber = driver.websocket("/feed?a");
    subscriber.limit_room(0);
    // The longest that a loop may leave the worker without a turn.
    driver.now.ms += 20_000;
    driver.engine.publish("a", Message::Text("queued")).expect("it is valid");
    driver.engine.deliver_now(driver.now.ms);
    driver.advance(29_000);
    assert!(!subscriber.is_gone(), "`write_stall` counts from the delivery");
    driver.advance(2_000);
    assert!(subscriber.is_gone());
}

#[test]
fn the_loop_sends_to_one_connection_and_closes_it_at_once() {
    let (app, conns) = reporting_feed();
    let mut worker = Server::builder().bind("127.0.0.1:0").worker(|_| app).expect("the server starts");
    let addr = worker.local_addrs()[0];
    let connecting = thread::spawn(move || Client::websocket(addr, "/feed?a"));
    let mut client = turns(&mut worker, connecting);
    let conn = conns.recv().expect("it was opened");
    // No turn is needed for these.
    worker.send(conn, Message::Text("hello")).expect("it is one of this worker");
    worker.close(conn, CloseCode::NORMAL, "enough").expect("it is one of this worker");
    assert_eq!(client.next_frame().text(), "hello");
    let close = client.next_frame();
    assert_eq!((close.opcode, close.close_code()), (CLOSE, 1000));
    let answering = thread::spawn(move || {
        client.frame(CLOSE, close.payload);
        client.ended();
    });
    turns(&mut worker, answering);
    // The client has seen the end; the worker has yet to see that the client is gone.
    while worker.counters().connections > 0 {
        worker.turn(None).expect("polling works");
    }
    worker.send(conn, Message::Text("late")).expect("it was one of this worker");
    assert_eq!(worker.counters().stale_ids, 1);
}

#[derive(Default)]
struct Recording(Mutex<Vec<String>>);

impl Broker for Recording {
    fn publish(&self, publication: &Arc<Publication>) {
        let Message::Text(text) = publication.message() else { panic!("text") };
        self.0.lock().expect("the lock is not poisoned").push(text.to_string());
    }
}

/// Finding A14.
#[test]
fn the_broker_gets_what_the_loop_publishes_once_and_the_handle_is_the_servers() {
    let broker = Arc::new(Recording::default());
    let builder = Server::builder().bind("127.0.0.1:0").broker(broker.clone());
    let mut worker = builder.worker(|_| feed()).expect("the server starts");
    worker.publish("a", Message::Text("from the loop")).expect("it is valid");
    let handle = worker.handle();
    assert_eq!(worker.patience(), Some(Duration::ZERO));
    worker.flush();
    assert_eq!(worker.patience(), None, "nothing is left for a turn");
    handle.publish("a", Message::Text("from the handle")).expect("there is room");
    assert!(worker.turn(Some(Duration::ZERO)).expect("polling works"));
    let seen = broker.0.lock().expect("the lock is not poisoned").clone();
    assert_eq!(seen, ["from the loop", "from the handle"]);
    assert_eq!(worker.counters().published, 2);
    handle.shutdown();
    while worker.turn(None).expect("polling works") {}
    drop(worker);
    assert_eq!(handle.publish("a", Message::Text("late")), Err(fleeting::PublishError::Gone));
}
