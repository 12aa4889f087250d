//! An announcement reaches every subscriber once, whatever its subscriptions, and in order with the publications. A
//! broker is attached before any client can connect and detached with the last worker.

use crate::driver::Driver;
use fleeting::engine::{SendError, Settings};
use fleeting::{
    App, Broker, Error, Handle, Inlet, Message, Publication, Request, ServeError, Server, SlowConsumer,
    Socket, SocketOptions, WebSocket,
};
use fleeting_testkit::client::{BINARY, Client, TEXT};
use fleeting_testkit::server::{self, Workers};
use std::io;
use std::sync::{Arc, Mutex, mpsc};

/// Subscribes to the filters that its client sends, and to nothing else.
struct Subscriber;

impl WebSocket for Subscriber {
    type Session = ();

    fn open(&self, _req: &Request<'_>, _socket: &mut Socket<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn message(&self, _session: &mut (), message: Message<'_>, socket: &mut Socket<'_>) {
        let Message::Text(filter) = message else { panic!("filters are text") };
        match filter.strip_prefix('-') {
            Some(filter) => assert!(socket.unsubscribe(filter), "not subscribed"),
            None => assert_eq!(socket.subscribe(filter), Ok(true)),
        }
        socket.text("done");
    }
}

fn app() -> App {
    App::new().ws("/ws", Subscriber)
}

/// Connects a client that subscribes to each of `filters`.
fn subscriber(addr: std::net::SocketAddr, filters: &[&str]) -> Client {
    let mut client = Client::websocket(addr, "/ws");
    for filter in filters {
        client.frame(TEXT, filter);
        assert_eq!(client.next_frame().text(), "done");
    }
    client
}

#[test]
fn an_announcement_reaches_every_subscriber_once_and_in_order() {
    let server = Server::builder().bind("127.0.0.1:0").workers(2).serve(|worker| {
        let handle = worker.handle.clone();
        app().get("/events/{filter}", move |req| {
            let events = handle.events(req.param("filter"));
            events.map_err(|error| Error::bad_request(error.to_string()))
        })
    });
    let server = Workers::of(server);
    let (addr, handle) = (server.addr, server.handle.clone());
    // Most likely on both workers: the promise does not depend on which.
    let mut subscribed: Vec<Client> = (0..8).map(|_| subscriber(addr, &["a", "*", "b"])).collect();
    let mut unsubscribed: Vec<Client> = (0..4).map(|_| subscriber(addr, &["a", "-a"])).collect();
    let mut events = Client::connect(addr);
    events.send("GET /events/a HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(events.answer_to_head().status, 200);
    let (sender, received) = mpsc::channel();
    let subscription = handle.subscribe("*", move |topic, _| sender.send(topic.to_string()).is_ok());
    let subscription = subscription.expect("a valid filter");
    while server::subscriptions(&handle) < 3 * 8 + 1 + 1 {}

    handle.publish("a", Message::Text("before")).expect("there is room");
    handle.announce("gap", Message::Text("lost\nsome")).expect("there is room");
    handle.announce("gap", Message::Binary(b"bytes")).expect("there is room");
    handle.publish("a", Message::Text("after")).expect("there is room");
    for client in &mut subscribed {
        assert_eq!(client.next_frame().text(), "before");
        assert_eq!(client.next_frame().text(), "lost\nsome");
        let frame = client.next_frame();
        assert_eq!((frame.opcode, &frame.payload[..]), (BINARY, &b"bytes"[..]));
        assert_eq!(client.next_frame().text(), "after");
    }
    let expected = ":\n\ndata: before\n\nevent: gap\ndata: lost\ndata: some\n\ndata: after\n\n";
    assert_eq!(events.text_in_chunks(expected.len()), expected);
    assert_eq!([received.recv(), received.recv()], [Ok("a".into()), Ok("a".into())]);
    drop(subscription);
    assert!(received.recv().is_err(), "a listener must not receive announcements");
    for client in &mut unsubscribed {
        client.frame(TEXT, "c");
        assert_eq!(client.next_frame().text(), "done", "it received something it had not subscribed to");
    }
    server.finish();
}

#[test]
fn announcements_are_counted_and_use_up_no_topic() {
    let options = SocketOptions::new().slow_consumer(SlowConsumer::Conflate);
    let server = server::run(move |_| App::new().ws_with("/ws", options, Subscriber));
    let mut client = subscriber(server.addr, &["*"]);
    for number in 0..100 {
        // A topic may have the name of an announcement.
        server.handle.publish("gap", Message::Text(&format!("p{number}"))).expect("there is room");
        server.handle.announce("gap", Message::Text(&format!("a{number}"))).expect("there is room");
    }
    server.handle.announce("", Message::Text("end")).expect("there is room");
    let texts = std::iter::from_fn(|| Some(client.next_frame().text().to_string()));
    let texts: Vec<_> = texts.take_while(|text| text != "end").collect();
    assert_eq!(texts.len(), 200, "a client that reads loses nothing: {texts:?}");
    let counters = server.finish();
    assert_eq!((counters.published, counters.announced, counters.matched), (100, 101, 201));
    assert_eq!(counters.delivered, 201);
}

#[test]
fn announcements_fit_where_publications_no_longer_do() {
    let handle = Handle::unattended(1);
    let mut driver = Driver::with_handle(app(), Settings::default(), &handle);
    let socket = driver.websocket("/ws");
    driver.send(&socket, TEXT, "a");
    assert_eq!(socket.texts(), ["done"]);
    let publish = || handle.publish("a", Message::Text("x"));
    let mut published = 0;
    while publish().is_ok() {
        published += 1;
    }
    let announce = || handle.announce("gap", Message::Text("lost"));
    assert_eq!(announce(), Ok(()));
    assert!(publish().is_err(), "publications still fit");
    let mut announced = 1;
    while announce() == Ok(()) {
        announced += 1;
        assert!(announced < 1_000_000, "announcements are not bounded");
    }
    assert_eq!(announce(), Err(SendError::Full));
    driver.turn();
    let texts = socket.texts();
    assert_eq!(texts.iter().filter(|text| *text == "x").count(), published);
    assert_eq!(texts.len(), published + announced);
    assert!(texts[published..].iter().all(|text| text == "lost"), "out of order");
    drop(driver);
    assert_eq!(announce(), Ok(()), "a worker that is gone counts as full");
}

/// Records the calls it receives.
#[derive(Default)]
struct Diary {
    lines: Mutex<Vec<&'static str>>,
    inlet: Mutex<Option<Arc<dyn Inlet>>>,
    refuses: bool,
}

impl Diary {
    fn write(&self, line: &'static str) {
        self.lines.lock().expect("the lock is not poisoned").push(line);
    }

    fn read(&self) -> Vec<&'static str> {
        self.lines.lock().expect("the lock is not poisoned").clone()
    }
}

impl Broker for Diary {
    fn publish(&self, _publication: &Arc<Publication>) {
        self.write("publish");
    }

    fn attach(&self, inlet: Arc<dyn Inlet>) -> io::Result<()> {
        self.write("attach");
        *self.inlet.lock().expect("the lock is not poisoned") = Some(inlet);
        if self.refuses { Err(io::ErrorKind::AlreadyExists.into()) } else { Ok(()) }
    }

    fn detach(&self) {
        self.write("detach");
        let inlet =
            self.inlet.lock().expect("the lock is not poisoned").take().expect("the broker was attached");
        let delivered = inlet.deliver(&Arc::new(Publication::new("a", Message::Text("late"))));
        assert!(
            delivered && inlet.announce("gap", Message::Text("late")),
            "a handle without workers counts as full"
        );
    }
}

#[test]
fn a_broker_is_attached_first_and_detached_last() {
    let diary = Arc::new(Diary::default());
    let broker = diary.clone();
    let server = Server::builder().bind("127.0.0.1:0").workers(2).broker(diary.clone()).serve(move |_| {
        broker.write("app");
        app()
    });
    let server = server.expect("the server starts");
    assert_eq!(diary.read(), ["attach", "app", "app"]);
    let mut client = subscriber(server.local_addrs()[0], &["a"]);
    let inlet =
        diary.inlet.lock().expect("the lock is not poisoned").clone().expect("the broker is attached");
    assert!(inlet.deliver(&Arc::new(Publication::new("a", Message::Text("from outside")))));
    assert!(inlet.announce("gap", Message::Text("a gap")));
    assert_eq!([client.next_frame(), client.next_frame()].map(|frame| frame.payload.len()), [12, 5]);
    server.handle().publish("a", Message::Text("here")).expect("there is room");
    drop(client);
    server.handle().shutdown();
    server.run().expect("no worker has failed");
    assert_eq!(diary.read(), ["attach", "app", "app", "publish", "detach"]);
}

#[test]
fn a_broker_that_refuses_to_attach_is_a_startup_error() {
    let diary = Arc::new(Diary { refuses: true, ..Diary::default() });
    let server = Server::builder().bind("127.0.0.1:0").broker(diary.clone()).serve(|_| app());
    assert!(matches!(server, Err(ServeError::Io(error)) if error.kind() == io::ErrorKind::AlreadyExists));
    assert_eq!(diary.read(), ["attach"], "a broker that was never attached was detached");
    // A server that does not start detaches it again.
    let diary = Arc::new(Diary::default());
    let wrong =
        Server::builder().bind("127.0.0.1:0").broker(diary.clone()).serve(|_| app().ws("/ws", Subscriber));
    assert!(wrong.is_err());
    assert_eq!(diary.read(), ["attach", "detach"]);
}
