//! A publication reaches every subscriber once and in order, whatever connection, worker or server it is on.

use crate::driver::Driver;
use fleeting::engine::{PublishError, SendError, Settings};
use fleeting::{
    App, Broker, Error, Handle, Limits, Message, Publication, Request, Server, Socket, TopicError, WebSocket,
};
use fleeting_testkit::client::{BINARY, Client, TEXT};
use fleeting_testkit::server::{self, TestServer, Workers};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread;

/// Carries out its client's orders and replies with the result: `sub FILTER`, `unsub FILTER`, `pub TOPIC TEXT`,
/// `others TOPIC TEXT`, `id`. A binary message is published under "binary".
struct Hub;

fn reply<T: std::fmt::Display>(result: Result<T, TopicError>) -> String {
    result.map_or_else(|error| error.to_string(), |value| value.to_string())
}

impl WebSocket for Hub {
    type Session = ();

    /// The query is a filter. With `!` in front of it, the session subscribes and then refuses the connection.
    fn open(&self, req: &Request<'_>, socket: &mut Socket<'_>) -> Result<(), Error> {
        let Some(filter) = req.query() else { return Ok(()) };
        let subscribed = socket.subscribe(filter.trim_start_matches('!'));
        subscribed.map_err(|error| Error::bad_request(error.to_string()))?;
        if filter.starts_with('!') {
            socket.publish("refused", Message::Text("hello")).expect("it is valid");
            return Err(Error::new(403, "not you"));
        }
        Ok(())
    }

    fn message(&self, _session: &mut (), message: Message<'_>, socket: &mut Socket<'_>) {
        let Message::Text(text) = message else {
            socket.publish("binary", message).expect("it is valid");
            return;
        };
        let answer = match text.splitn(3, ' ').collect::<Vec<_>>()[..] {
            ["sub", filter] => reply(socket.subscribe(filter)),
            ["unsub", filter] => socket.unsubscribe(filter).to_string(),
            ["pub", topic, text] => reply(socket.publish(topic, Message::Text(text)).map(|()| "published")),
            ["others", topic, text] => {
                reply(socket.publish_to_others(topic, Message::Text(text)).map(|()| "published"))
            }
            ["id"] => socket.conn_id().to_string(),
            _ => panic!("no such order: {text}"),
        };
        socket.text(&answer);
    }
}

fn hub() -> App {
    App::new().ws("/hub", Hub)
}

fn serve() -> TestServer {
    server::run(|_| hub())
}

/// A connection that has subscribed to each of `filters`.
fn subscriber(addr: SocketAddr, filters: &[&str]) -> Client {
    let mut client = Client::websocket(addr, "/hub");
    for filter in filters {
        assert_eq!(ask(&mut client, &format!("sub {filter}")), "true");
    }
    client
}

/// Sends an order and returns the reply.
#[track_caller]
fn ask(client: &mut Client, order: &str) -> String {
    client.frame(TEXT, order);
    client.next_frame().text().to_string()
}

/// Returns all texts until "end".
#[track_caller]
fn until_end(client: &mut Client) -> Vec<String> {
    let texts = std::iter::from_fn(|| Some(client.next_frame().text().to_string()));
    texts.take_while(|text| text != "end").collect()
}

/// Publishes all of these on one thread, followed by "end".
fn publish(handle: &Handle, publications: &[(&str, &str)], end: &str) {
    for (topic, text) in publications.iter().chain(&[(end, "end")]) {
        handle.publish(topic, Message::Text(text)).expect("there is room");
    }
}

#[test]
fn a_filter_matches_a_topic_or_a_prefix() {
    fn check(filters: &[&str], expected: &[&str]) {
        let server = serve();
        let mut client = subscriber(server.addr, filters);
        client.frame(TEXT, "sub end");
        client.next_frame();
        let topics = ["price", "price.eur", "price.eur.usd", "prices", "news", "News", "prix.€"];
        publish(&server.handle, &topics.map(|topic| (topic, topic)), "end");
        assert_eq!(until_end(&mut client), expected, "{filters:?}");
        let counters = server.wait(|counters| counters.published == 8);
        assert_eq!((counters.matched, counters.delivered), (expected.len() as u64 + 1, counters.matched));
    }
    check(&["price"], &["price"]);
    check(&["price", "news"], &["price", "news"]);
    check(&["price.*"], &["price.eur", "price.eur.usd"]);
    // A filter with `*` matches only topics that continue after it.
    check(&["price*"], &["price.eur", "price.eur.usd", "prices"]);
    check(&["*"], &["price", "price.eur", "price.eur.usd", "prices", "news", "News", "prix.€"]);
    check(&["prix.€*"], &[]);
    check(&["prix.*"], &["prix.€"]);
    check(&["nothing", "e*"], &[]);
    // Each publication comes once, however many filters match.
    check(
        &["*", "price*", "price.*", "price.eur", "p*"],
        &["price", "price.eur", "price.eur.usd", "prices", "news", "News", "prix.€"],
    );
}

#[test]
fn a_publisher_receives_its_own_publications_unless_it_publishes_to_others() {
    let server = serve();
    let (mut own, mut other) = (subscriber(server.addr, &["a"]), subscriber(server.addr, &["*"]));
    assert_eq!(ask(&mut own, "pub a one"), "published");
    assert_eq!(ask(&mut own, "others a two"), "one");
    assert_eq!(own.next_frame().text(), "published");
    assert_eq!(ask(&mut own, "pub a three"), "published");
    assert_eq!(own.next_frame().text(), "three");
    let got = [(); 3].map(|()| other.next_frame().text().to_string());
    assert_eq!(got, ["one", "two", "three"]);
    // A session without subscriptions can still publish.
    let mut third = Client::websocket(server.addr, "/hub");
    assert_eq!(ask(&mut third, "others a four"), "published");
    assert_eq!((own.next_frame().text(), other.next_frame().text()), ("four", "four"));
}

#[test]
fn a_binary_message_stays_binary() {
    let server = serve();
    let (mut own, mut other) = (subscriber(server.addr, &["binary"]), subscriber(server.addr, &["*"]));
    own.frame(BINARY, [0, 255, 1]);
    for client in [&mut own, &mut other] {
        let frame = client.next_frame();
        assert_eq!((frame.opcode, &frame.payload[..]), (BINARY, &[0, 255, 1][..]));
    }
}

#[test]
fn an_unsubscribed_client_receives_nothing_more() {
    let server = serve();
    let mut client = subscriber(server.addr, &["a", "a*", "end"]);
    assert_eq!(ask(&mut client, "sub a"), "false", "already subscribed");
    assert_eq!(ask(&mut client, "unsub b"), "false", "not subscribed");
    publish(&server.handle, &[("a", "1"), ("ab", "2")], "end");
    assert_eq!(until_end(&mut client), ["1", "2"]);
    assert_eq!(ask(&mut client, "unsub a"), "true");
    publish(&server.handle, &[("a", "3"), ("ab", "4")], "end");
    assert_eq!(until_end(&mut client), ["4"]);
    assert_eq!(ask(&mut client, "unsub a*"), "true");
    assert_eq!(ask(&mut client, "unsub a*"), "false");
    publish(&server.handle, &[("a", "5"), ("ab", "6")], "end");
    assert_eq!(until_end(&mut client), [""; 0]);
    assert_eq!(ask(&mut client, "sub a"), "true");
    publish(&server.handle, &[("a", "7")], "end");
    assert_eq!(until_end(&mut client), ["7"]);
}

#[test]
fn a_handle_publishes_from_any_thread_in_the_order_of_each() {
    const TIMES: usize = 500;
    let server = serve();
    let mut clients = [(); 3].map(|()| subscriber(server.addr, &["*"]));
    let publishers = [0, 1, 2].map(|publisher| {
        let handle = server.handle.clone();
        thread::spawn(move || {
            for number in 0..TIMES {
                let text = format!("{publisher} {number}");
                handle.publish("a", Message::Text(&text)).expect("there is room");
            }
        })
    });
    for client in &mut clients {
        let mut next = [0; 3];
        for _ in 0..3 * TIMES {
            let frame = client.next_frame();
            let (publisher, number) = frame.text().split_once(' ').expect("two numbers");
            let next = &mut next[publisher.parse::<usize>().expect("a number")];
            assert_eq!(number.parse(), Ok(*next));
            *next += 1;
        }
    }
    for thread in publishers {
        thread.join().expect("all was published");
    }
}

// ---------------------------------------------------------------- limits

#[test]
fn exceeding_a_limit_is_an_error() {
    let set = |limits: &mut Limits| {
        limits.topics = 4;
        limits.subscriptions = 3;
        limits.topic_bytes = 10;
        limits.message_bytes = 40;
    };
    let server = server::run_with(move |limits, _| set(limits), |_| hub());
    let mut client = subscriber(server.addr, &["a", "b*"]);
    let mut check = |order: &str, expected: &str| assert_eq!(ask(&mut client, order), expected, "{order}");
    check("sub elevenbytes", "the topic's name may have 10 bytes at most");
    check("sub ", "the topic's name is empty");
    check("sub a*b", "`*` may only end a filter, such as `prices.*`");
    check("sub a\u{1}", "the topic's name holds a control character");
    check("sub ten.bytes.", "true");
    check("sub c", "a connection may have 3 subscriptions at most");
    check("sub a", "false");
    check("unsub c", "false");
    check("pub b* x", "a filter cannot be published to: the name of a topic has no `*`");
    check("pub elevenbytes x", "the topic's name may have 10 bytes at most");
    check("pub  x", "the topic's name is empty");
    check("others nobody x", "published");
    let mut second = subscriber(server.addr, &["d", "a"]);
    assert_eq!(ask(&mut second, "sub e"), "there may be 4 topics at most");
    // The topic's place becomes free when its last subscriber leaves.
    assert_eq!(ask(&mut client, "unsub b*"), "true");
    assert_eq!(ask(&mut second, "sub e"), "true");
    drop(client);
    server.wait(|counters| counters.connections == 1);
    assert_eq!(ask(&mut second, "unsub d"), "true");
    assert_eq!(ask(&mut second, "sub f"), "true");
}

/// A session can create a message that is larger than any a peer may send.
#[test]
fn a_message_that_is_too_long_is_not_published() {
    struct Long;

    impl WebSocket for Long {
        type Session = ();

        fn open(&self, _req: &Request<'_>, socket: &mut Socket<'_>) -> Result<(), Error> {
            socket.subscribe("a").expect("there is room");
            let publish =
                |socket: &mut Socket<'_>, bytes| socket.publish("a", Message::Text(&"x".repeat(bytes)));
            assert_eq!(publish(socket, 101), Err(TopicError::MessageTooBig(100)));
            assert_eq!(publish(socket, 100), Ok(()));
            Ok(())
        }

        fn message(&self, _session: &mut (), _message: Message<'_>, _socket: &mut Socket<'_>) {}
    }

    let server = server::run_with(|limits, _| limits.message_bytes = 100, |_| App::new().ws("/ws", Long));
    let mut client = Client::websocket(server.addr, "/ws");
    // A handle cannot publish such a message either.
    let refused = server.handle.publish("a", Message::Text(&"y".repeat(101)));
    assert_eq!(refused, Err(PublishError::Topic(TopicError::MessageTooBig(100))));
    assert_eq!(server.handle.publish("a*", Message::Text("")), Err(PublishError::Topic(TopicError::Filter)));
    publish(&server.handle, &[], "a");
    assert_eq!(until_end(&mut client), ["x".repeat(100)]);
    assert_eq!((server.wait(|counters| counters.published == 2).matched), 2);
}

#[test]
fn a_connection_refused_after_subscribing_leaves_no_subscription() {
    let server = serve();
    let mut other = subscriber(server.addr, &["refused", "end"]);
    for _ in 0..3 {
        let mut refused = Client::connect(server.addr);
        refused.send(fleeting_testkit::client::handshake("/hub?!*", ""));
        assert_eq!(refused.answer().status, 403);
        // The connection can be used like any other.
        assert_eq!(refused.get("/nowhere").status, 404);
        assert_eq!(other.next_frame().text(), "hello");
        publish(&server.handle, &[("a", "a")], "end");
        assert_eq!(until_end(&mut other), [""; 0]);
        assert_eq!(refused.get("/nowhere").status, 404);
    }
    let mut accepted = Client::websocket(server.addr, "/hub?*");
    publish(&server.handle, &[("a", "a")], "end");
    assert_eq!(until_end(&mut accepted), ["a"]);
    let names: Vec<_> = server::topic_counts(&server.handle)
        .into_iter()
        .map(|(name, subscribers, _)| (name, subscribers))
        .collect();
    assert_eq!(names, [("*".into(), 1), ("end".into(), 1), ("refused".into(), 1)]);
    let counters = server.finish();
    // `other` gets three each round; the refused session gets the one it published itself; then there is one more.
    assert_eq!((counters.dropped_closing, counters.delivered), (3, counters.matched - 3));
}

// ---------------------------------------------------------------- several workers

/// A server with two workers.
struct Two(Workers);

impl Two {
    fn start(broker: Option<Arc<dyn Broker>>) -> Two {
        let builder = Server::builder().bind("127.0.0.1:0").workers(2);
        let builder = match broker {
            Some(broker) => builder.broker(broker),
            None => builder,
        };
        Two(Workers::of(builder.serve(|_| hub())))
    }

    /// Connects subscribers until each worker has at least `each`.
    fn subscribers(&self, filter: &str, each: usize) -> Vec<Client> {
        let (mut clients, mut counts) = (Vec::new(), [0; 2]);
        while counts.iter().any(|count| *count < each) {
            assert!(clients.len() < 1000, "all come to one worker: {counts:?}");
            let mut client = Client::websocket(self.0.addr, &format!("/hub?{filter}"));
            let id = ask(&mut client, "id");
            counts[usize::from(id.starts_with("1-"))] += 1;
            clients.push(client);
        }
        clients
    }
}

#[test]
fn sessions_publish_to_all_workers_each_in_order() {
    const TIMES: usize = 200;
    let two = Two::start(None);
    let mut clients = two.subscribers("*", 2);
    let count = clients.len();
    let listeners: Vec<_> = clients.iter().map(Client::clone_for_thread).collect();
    // Each receives every publication, and "published" once per publication of its own.
    let listeners = listeners.into_iter().map(|mut client| {
        thread::spawn(move || {
            let (mut next, mut own) = (vec![0; count], 0);
            while own < TIMES || next.iter().any(|next| *next < TIMES) {
                let frame = client.next_frame();
                let Some((publisher, number)) = frame.text().split_once(' ') else {
                    assert_eq!(frame.text(), "published");
                    own += 1;
                    continue;
                };
                let next = &mut next[publisher.parse::<usize>().expect("a number")];
                assert_eq!(number.parse(), Ok(*next));
                *next += 1;
            }
        })
    });
    let listeners: Vec<_> = listeners.collect();
    for number in 0..TIMES {
        for (at, client) in clients.iter_mut().enumerate() {
            client.frame(TEXT, format!("pub a {at} {number}"));
        }
    }
    listeners.into_iter().for_each(|thread| thread.join().expect("all came, in order"));
    // Nothing comes twice: the reply is the next message.
    for client in &mut clients {
        assert!(ask(client, "id").contains('-'));
    }
    let published = (count * TIMES) as u64;
    assert_eq!(server::topic_counts(&two.0.handle), [("*".into(), count, published)]);
}

#[test]
fn topics_are_counted_over_all_workers() {
    let two = Two::start(None);
    assert_eq!(server::topic_counts(&two.0.handle), []);
    let mut all = two.subscribers("a", 2);
    let some = two.subscribers("b*", 1);
    publish(&two.0.handle, &[("a", "1"), ("a", "2"), ("bc", "3")], "a");
    all.iter_mut().for_each(|client| assert_eq!(until_end(client), ["1", "2"]));
    // Every worker receives each publication, but it counts once.
    let expected = [("a".into(), all.len(), 3), ("b*".into(), some.len(), 1)];
    assert_eq!(server::topic_counts(&two.0.handle), expected);
}

/// Forwards publications to another server, once there is one, and records them.
#[derive(Default)]
struct Link {
    other: Mutex<Option<Handle>>,
    seen: Mutex<Vec<String>>,
}

impl Broker for Link {
    fn publish(&self, publication: &Arc<Publication>) {
        let Message::Text(text) = publication.message() else { panic!("text") };
        self.seen.lock().expect("the lock is not poisoned").push(text.to_string());
        if let Some(other) = &*self.other.lock().expect("the lock is not poisoned") {
            other.deliver(publication).expect("there is room");
        }
    }
}

#[test]
fn a_broker_connects_two_servers_without_loops() {
    let links = [(); 2].map(|()| Arc::new(Link::default()));
    let servers = [0, 1].map(|at| Two::start(Some(links[at].clone())));
    for at in [0, 1] {
        *links[at].other.lock().expect("the lock is not poisoned") = Some(servers[1 - at].0.handle.clone());
    }
    let mut clients = [0, 1].map(|at| servers[at].subscribers("*", 1));
    for at in [0, 1] {
        publish(&servers[at].0.handle, &[("a", "handle"), ("b", "again")], "a");
        for client in clients.iter_mut().flatten() {
            assert_eq!(until_end(client), ["handle", "again"]);
        }
        let publisher = &mut clients[at][0];
        publisher.frame(TEXT, "pub a session");
        publisher.frame(TEXT, "others a more");
        publisher.frame(TEXT, "pub a end");
        let own = until_end(publisher);
        // The replies among them come at once.
        assert_eq!(own.iter().filter(|text| *text != "published").collect::<Vec<_>>(), ["session"]);
        let answers = own.iter().filter(|text| *text == "published").count();
        (answers..3).for_each(|_| assert_eq!(publisher.next_frame().text(), "published"));
        let others = clients.iter_mut().enumerate().flat_map(|(server, clients)| {
            clients.iter_mut().enumerate().filter(move |(client, _)| (server, *client) != (at, 0))
        });
        for (_, client) in others {
            assert_eq!(until_end(client), ["session", "more"]);
        }
    }
    // Nothing comes again: the reply is the next message.
    for client in clients.iter_mut().flatten() {
        assert!(ask(client, "id").contains('-'));
    }
    for link in &links {
        // A handle holds its server's broker, so two servers that hold each other would never be freed.
        *link.other.lock().expect("the lock is not poisoned") = None;
        let seen = link.seen.lock().expect("the lock is not poisoned");
        assert_eq!(*seen, ["handle", "again", "end", "session", "more", "end"]);
    }
}

// ---------------------------------------------------------------- a mailbox that is full

#[test]
fn a_full_mailbox_is_reported() {
    let handle = Handle::unattended(2);
    let driver = |worker| {
        let settings = Settings { worker, ..Settings::default() };
        Driver::with_handle(hub(), settings, &handle)
    };
    let (mut first, mut second) = (driver(0), driver(1));
    let subscribers = [first.websocket("/hub?a"), second.websocket("/hub?a")];
    let publisher = first.websocket("/hub");
    let long = "x".repeat(1 << 20);
    let mut posted = 0;
    // The first worker takes its share; the second is given no turn.
    while handle.publish("a", Message::Text(&long)).is_ok() {
        posted += 1;
        first.turn();
        assert!(posted < 1000, "the mailbox has no bound");
    }
    first.turn();
    assert_eq!(subscribers[0].frames().len(), posted + 1, "a worker with room must receive it");
    let full = handle.publish("a", Message::Text(&long));
    assert_eq!(full, Err(PublishError::Full));
    assert_eq!(handle.send(subscribers[1].id, Message::Text(&long)), Err(SendError::Full));
    first.turn();
    first.send(&publisher, TEXT, format!("pub a {}", &long[..1 << 19]));
    let lost = first.counters().publications_lost;
    first.send(&publisher, TEXT, format!("pub a {}", &long[..(1 << 20) - 10]));
    assert_eq!(first.counters().publications_lost, lost + 1);
    second.turn();
    let arrived = subscribers[1].frames().len();
    assert!(arrived == posted || arrived == posted + 1, "{arrived} of {posted}");
    assert_eq!(handle.publish("a", Message::Text("again")), Ok(()));
    second.turn();
    assert_eq!(subscribers[1].texts(), ["again"]);
    // A worker that is gone has no subscribers.
    drop(second);
    assert_eq!(handle.publish("a", Message::Text("still")), Ok(()));
    assert_eq!(handle.send(subscribers[1].id, Message::Text("still")), Err(SendError::Gone));
}
