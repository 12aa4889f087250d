//! The registry with a store that blocks: the same answers, and no record held by a connection that has ended.

use super::handlers::routes;
use super::records::{RecordLifetimes, Registry};
use fleeting::ws::Policy;
use fleeting::{App, Arena, Handle, Offload, OffloadOptions, Server};
use fleeting_store::{Cursor, Memory, Page, Store, StoreError, StoreLimits};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::Duration;

/// A store that blocks while its gate is closed, and fails while it is broken.
struct Gated {
    store: Memory,
    gate: Mutex<Gate>,
    changed: Condvar,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gate {
    Open,
    Closed,
    Broken,
    /// A scan finds nothing and never ends.
    Endless,
}

impl Gated {
    fn set(&self, gate: Gate) {
        *self.gate.lock().unwrap() = gate;
        self.changed.notify_all();
    }

    fn through(&self) -> Result<&Memory, StoreError> {
        let gate = self.gate.lock().unwrap();
        let gate = self.changed.wait_while(gate, |gate| *gate == Gate::Closed).unwrap();
        match *gate {
            Gate::Broken => Err(StoreError::Unavailable("it is broken".into())),
            _ => Ok(&self.store),
        }
    }
}

impl Store for Gated {
    fn get<'a>(&self, key: &str, arena: &'a Arena) -> Result<Option<&'a [u8]>, StoreError> {
        self.through()?.get(key, arena)
    }

    fn set(&self, key: &str, value: &[u8], life: Option<Duration>) -> Result<(), StoreError> {
        self.through()?.set(key, value, life)
    }

    fn delete(&self, key: &str) -> Result<bool, StoreError> {
        self.through()?.delete(key)
    }

    fn renew(&self, key: &str, life: Option<Duration>) -> Result<bool, StoreError> {
        self.through()?.renew(key, life)
    }

    fn scan<'a>(
        &self,
        prefix: &str,
        from: Cursor,
        limit: usize,
        arena: &'a Arena,
    ) -> Result<Page<'a>, StoreError> {
        let store = self.through()?;
        if *self.gate.lock().unwrap() == Gate::Endless {
            // Only a store returns a cursor.
            let page = store.scan(prefix, from, 1, arena)?;
            return Ok(Page { entries: &[], next: page.next.or(Some(from)) });
        }
        store.scan(prefix, from, limit, arena)
    }

    fn increment(&self, key: &str, by: i64, life: Option<Duration>) -> Result<i64, StoreError> {
        self.through()?.increment(key, by, life)
    }

    fn compare_and_set(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        value: &[u8],
        life: Option<Duration>,
    ) -> Result<bool, StoreError> {
        self.through()?.compare_and_set(key, expected, value, life)
    }

    fn waits(&self) -> bool {
        true
    }
}

struct Running {
    store: Arc<Gated>,
    registry: Arc<Registry>,
    offload: Arc<Offload>,
    server: Option<Server>,
    addr: SocketAddr,
}

impl Running {
    fn start() -> Running {
        let gate = Mutex::new(Gate::Open);
        let store =
            Arc::new(Gated { store: Memory::new(StoreLimits::default()), gate, changed: Condvar::new() });
        // Longer than a test takes: the limit is not under test.
        let mut options = OffloadOptions::default();
        options.time_limit = Duration::from_secs(60);
        let offload = Arc::new(Offload::new(options).unwrap());
        let (sender, made) = mpsc::channel();
        let (stored, offloaded) = (store.clone(), offload.clone());
        let server = Server::builder().bind("127.0.0.1:0").serve(move |worker| {
            let handle: Handle = worker.handle.clone();
            let registry =
                Arc::new(Registry::new(stored.clone(), handle, "test", RecordLifetimes::default()));
            sender.send(registry.clone()).unwrap();
            routes(App::new(), &registry, Some(&offloaded), Policy::new())
        });
        let server = server.unwrap();
        let addr = server.local_addrs()[0];
        Running { store, registry: made.recv().unwrap(), offload, server: Some(server), addr }
    }

    fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Client(stream)
    }

    /// Returns the answer's status and its text, head included.
    fn request(&self, method: &str, path: &str, fields: &str) -> (u16, String) {
        let mut client = self.connect();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n");
        client.0.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        client.0.read_to_string(&mut answer).unwrap();
        (answer[9..12].parse().unwrap(), answer)
    }

    fn websocket(&self, id: &str) -> Client {
        let mut client = self.connect();
        let head = format!(
            "GET /clients/ws?id={id} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        client.0.write_all(head.as_bytes()).unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(client.bytes(1)[0]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
        client
    }

    /// Waits until so many jobs have run since the start.
    fn wait_for_jobs(&self, jobs: u64) {
        while self.offload.counters().ran < jobs {}
    }

    fn connections(&self) -> u64 {
        let (sender, figures) = mpsc::channel();
        self.server.as_ref().unwrap().handle().figures(move |workers| sender.send(workers).unwrap());
        figures.recv().unwrap().iter().map(|worker| worker.counters.connections).sum()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.store.set(Gate::Open);
        if let Some(server) = self.server.take() {
            server.handle().shutdown();
            let ended = server.run();
            assert!(ended.is_ok() || std::thread::panicking());
        }
    }
}

struct Client(TcpStream);

impl Client {
    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Returns the opcode and the payload of the next frame.
    fn frame(&mut self) -> (u8, Vec<u8>) {
        let head = self.bytes(2);
        let length = match head[1] {
            126 => u16::from_be_bytes(self.bytes(2).try_into().unwrap()).into(),
            length => usize::from(length),
        };
        (head[0] & 0x0f, self.bytes(length))
    }

    fn text(&mut self) -> String {
        let (opcode, payload) = self.frame();
        assert_eq!(opcode, 1, "{payload:?}");
        String::from_utf8(payload).unwrap()
    }

    fn close_code(&mut self) -> u16 {
        let (opcode, payload) = self.frame();
        assert_eq!(opcode, 8, "{payload:?}");
        u16::from_be_bytes([payload[0], payload[1]])
    }
}

#[test]
fn a_blocking_store_gives_the_same_answers() {
    let running = Running::start();
    let numbers = 0..100;
    for number in numbers.clone() {
        assert_eq!(running.request("POST", "/clients", &format!("X-Id: {number:02}\r\n")).0, 201);
    }
    assert_eq!(running.request("POST", "/clients", "X-Id: 07\r\n").0, 200);
    let (status, all) = running.request("GET", "/clients", "");
    assert_eq!(status, 200);
    for number in numbers {
        assert_eq!(all.matches(&format!("\"id\":\"{number:02}\"")).count(), 1, "{number}");
    }
    assert!(all.ends_with("\r\n0\r\n\r\n"), "{all}");
    assert!(running.request("GET", "/clients/42", "").1.contains("\"id\":\"42\""));
    assert_eq!(running.request("DELETE", "/clients/42", "").0, 204);
    assert_eq!(running.request("GET", "/clients/42", "").0, 404);
    assert_eq!(running.request("POST", "/clients", "").0, 400);
}

#[test]
fn a_socket_receives_its_record_once_the_store_has_answered() {
    let running = Running::start();
    assert_eq!(running.websocket("a").close_code(), 4404);
    running.request("POST", "/clients", "X-Id: a\r\n");
    running.store.set(Gate::Closed);
    let mut first = running.websocket("a");
    running.store.set(Gate::Open);
    let record = first.text();
    assert!(record.contains("\"connection\":\"test."), "{record}");
    first.0.write_all(&[0x81, 0x80, 1, 2, 3, 4]).unwrap();
    assert_eq!(first.text(), record);
    let mut second = running.websocket("a");
    assert!(second.text().contains("\"connection\":\"test."));
    assert_eq!(first.close_code(), 4409);
    drop(second);
    while running.request("GET", "/clients/a", "").0 != 404 {}
}

#[test]
fn a_connection_that_ends_before_the_store_answers_holds_nothing() {
    let running = Running::start();
    running.request("POST", "/clients", "X-Id: a\r\n");
    running.store.set(Gate::Closed);
    drop(running.websocket("a"));
    while running.connections() > 0 {}
    running.store.set(Gate::Open);
    running.wait_for_jobs(2);
    assert_eq!(running.registry.counts().connected, 0);
    assert_eq!(running.request("GET", "/clients/a", "").0, 404, "the record is removed with its connection");
}

/// Finding D6.
#[test]
fn an_unavailable_store_is_answered_with_503_and_1013() {
    let running = Running::start();
    running.request("POST", "/clients", "X-Id: a\r\n");
    let mut holder = running.websocket("a");
    holder.text();
    running.registry.count(|| true);
    assert_eq!(
        running.registry.counts().scanned.map(|scanned| (scanned.records, scanned.orphaned)),
        Some((1, 0))
    );
    running.store.set(Gate::Broken);
    for (method, path) in
        [("POST", "/clients"), ("GET", "/clients"), ("GET", "/clients/a"), ("DELETE", "/clients/a")]
    {
        let (status, answer) = running.request(method, path, "X-Id: a\r\n");
        assert!(status == 503 && answer.contains("retry-after: 1\r\n"), "{answer}");
        assert!(!answer.contains("it is broken"), "the response reveals why: {answer}");
    }
    assert_eq!(running.websocket("a").close_code(), 1013);
    running.registry.count(|| true);
    assert_eq!(running.registry.counts().scanned, None, "an unknown count is left out");
    // The end of the connection finds no store either: only the lease removes the record.
    drop(holder);
    running.wait_for_jobs(8);
    assert_eq!(running.registry.counts().connected, 0);
    running.store.set(Gate::Open);
    running.registry.count(|| true);
    assert_eq!(
        running.registry.counts().scanned.map(|scanned| (scanned.records, scanned.orphaned)),
        Some((1, 1))
    );
}

/// Finding B11.
#[test]
fn a_store_whose_pages_never_end_holds_nothing_up() {
    let running = Running::start();
    running.store.set(Gate::Endless);
    let pages = Cell::new(0);
    running.registry.count(|| pages.replace(pages.get() + 1) < 100);
    assert_eq!((pages.get(), running.registry.counts().scanned), (101, None));
    let (status, answer) = running.request("GET", "/clients", "");
    assert!(status == 200 && !answer.ends_with("0\r\n\r\n"), "the list is cut short, visibly: {answer}");
}
