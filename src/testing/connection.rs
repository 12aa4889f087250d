//! A client's connection for requests, and the answers that come back on it.
//!
//! It knows no request but whether it was HEAD. Its invariant: answers are read in the order of the requests, whatever
//! order the test asks for them in.

use super::answer::Answer;
use super::client::Client;
use super::wire::Reader;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::rc::Rc;

/// A client's connection that stays open, for several requests or for raw bytes.
///
/// The client leaves when this and everything made from it are dropped.
///
/// ```
/// use fleeting::{App, Response, testing};
///
/// let app = testing::serve(App::new().get("/hello/{name}", |req| Ok(Response::text(req.param("name")))));
/// let connection = app.connect();
/// assert_eq!(connection.get("/hello/a").send().text(), "a");
/// assert_eq!(connection.get("/hello/b").send().text(), "b");
/// assert_eq!(app.counters().accepted, 1);
///
/// // Pipelined: both requests are there before the first answer is read.
/// let (first, second) = (connection.get("/hello/c").begin(), connection.get("/hello/d").begin());
/// assert_eq!((first.answer().text(), second.answer().text()), ("c", "d"));
///
/// // Bytes as they are on the wire, in as many pieces as the test likes.
/// connection.raw(b"GET /hel");
/// assert!(connection.answer_so_far().is_none());
/// connection.raw(b"lo/e HTTP/1.1\r\nHost: a\r\n\r\n");
/// assert_eq!(connection.answer().text(), "e");
/// ```
#[derive(Clone)]
pub struct Connection {
    shared: Rc<Shared>,
}

struct Shared {
    client: Client,
    answers: RefCell<Answers>,
}

/// The answers on a connection. Requests have numbers, from 0.
#[derive(Default)]
struct Answers {
    /// How many requests there are so far.
    requests: u64,
    /// Those of them that are HEAD.
    heads: BTreeSet<u64>,
    /// The number of the answer that is arriving.
    number: u64,
    reader: Option<Reader>,
    /// What has arrived, and was not taken.
    complete: BTreeMap<u64, Answer>,
    malformed: Option<String>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoAnswer {
    /// It has not arrived, or not completely.
    Pending,
    /// The server has ended the connection, and no byte of the answer came before that.
    Closed,
    /// The server has ended the connection in the middle of the answer.
    Incomplete,
    /// The server has sent something that is not a response, for this reason.
    Malformed(String),
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoAnswer::Pending => f.write_str("it has not arrived completely"),
            NoAnswer::Closed => f.write_str("the server has closed the connection before it"),
            NoAnswer::Incomplete => f.write_str("the server has closed the connection in the middle of it"),
            NoAnswer::Malformed(reason) => write!(f, "it is malformed: {reason}"),
        }
    }
}

impl std::error::Error for NoAnswer {}

impl Shared {
    /// Reads what has arrived, up to and including answer `number`.
    fn read(&self, number: u64) -> Result<(), NoAnswer> {
        let answers = &mut *self.answers.borrow_mut();
        while answers.number <= number {
            if let Some(reason) = &answers.malformed {
                return Err(NoAnswer::Malformed(reason.clone()));
            }
            let to_head = answers.heads.contains(&answers.number);
            let reader = answers.reader.get_or_insert_with(|| Reader::new(to_head));
            let line = self.client.line();
            let has_ended = line.has_ended();
            let mut pipe = line.pipe();
            match reader.read(&pipe.written, has_ended) {
                Ok(consumed) => drop(pipe.written.drain(..consumed)),
                Err(reason) => {
                    answers.malformed = Some(reason.to_string());
                    continue;
                }
            }
            if reader.is_done() {
                let answer = answers.reader.take().and_then(Reader::finish);
                answers.complete.extend(answer.map(|answer| (answers.number, answer)));
                answers.number += 1;
            } else if !has_ended {
                return Err(NoAnswer::Pending);
            } else if reader.is_fresh() && pipe.written.is_empty() {
                return Err(NoAnswer::Closed);
            } else {
                return Err(NoAnswer::Incomplete);
            }
        }
        Ok(())
    }

    fn answer(&self, number: u64) -> Result<Answer, NoAnswer> {
        self.read(number)?;
        // It was taken before: nothing else will come under this number.
        self.answers.borrow().complete.get(&number).cloned().ok_or(NoAnswer::Closed)
    }

    /// Waits for an answer and takes it.
    #[track_caller]
    fn wait(&self, number: u64, request: &str) -> Answer {
        let waited = self.client.wait(|| match self.answer(number) {
            Err(NoAnswer::Pending) => None,
            other => Some(other),
        });
        match waited {
            Ok(Ok(answer)) => {
                self.answers.borrow_mut().complete.remove(&number);
                answer
            }
            Ok(Err(reason)) => panic!("{request}: no answer: {reason}. {}", self.seen()),
            Err(stuck) if self.client.line().id.is_none() => panic!(
                "{request}: no answer: the server has not accepted the connection, because it has as many as the limit \
                 `connections` allows or is shutting down ({stuck})"
            ),
            Err(stuck) => panic!("{request}: no answer: {stuck}. {}", self.seen()),
        }
    }

    /// Describes what has arrived of the answer.
    fn seen(&self) -> String {
        let line = self.client.line();
        let rest = line.pipe().written.escape_ascii().to_string();
        match self.answers.borrow().reader.as_ref().and_then(Reader::so_far) {
            Some(answer) => format!("So far: {answer:?}, then \"{rest}\""),
            None => format!("So far: \"{rest}\""),
        }
    }
}

impl Connection {
    pub(super) fn new(client: Client) -> Connection {
        Connection { shared: Rc::new(Shared { client, answers: RefCell::default() }) }
    }

    pub(super) fn client(&self) -> &Client {
        &self.shared.client
    }

    /// Returns the client, if nothing else uses the connection.
    pub(super) fn into_client(self) -> Option<Client> {
        Rc::into_inner(self.shared).map(|shared| shared.client)
    }

    /// Sends a request. Its answer is the next one.
    #[track_caller]
    pub(super) fn begin(&self, request: String, is_head: bool, bytes: &[u8]) -> Pending {
        let mut answers = self.shared.answers.borrow_mut();
        let number = answers.requests;
        answers.requests += 1;
        if is_head {
            answers.heads.insert(number);
        }
        drop(answers);
        self.shared.client.send(bytes);
        Pending { connection: self.clone(), number, request }
    }

    /// Sends bytes as they are. Their answers come from [`answer`](Connection::answer), one at a time; take them before
    /// another request is sent on this connection.
    #[track_caller]
    pub fn raw(&self, bytes: impl AsRef<[u8]>) -> &Connection {
        self.shared.client.send(bytes.as_ref());
        self
    }

    /// Ends the client's sending side (a TCP FIN): no more requests follow.
    #[track_caller]
    pub fn end(&self) -> &Connection {
        self.shared.client.act(|line| line.end());
        self
    }

    /// Lets the client read only `bytes` more bytes, until this is called again. Before the first call, it reads everything
    /// at once.
    ///
    /// ```
    /// use fleeting::{App, Response, testing};
    /// use std::time::Duration;
    ///
    /// let app = testing::serve(App::new().get("/", |_req| Ok(Response::bytes(vec![0; 100_000]))));
    /// let connection = app.connect();
    /// connection.read_only(5000);
    /// let pending = connection.get("/").begin();
    /// assert!(pending.so_far().unwrap().body().len() < 5000);
    /// app.advance(Duration::from_secs(31)); // the timeout `write_stall` is 30 seconds
    /// assert!(connection.is_closed());
    /// ```
    #[track_caller]
    pub fn read_only(&self, bytes: usize) -> &Connection {
        self.shared.client.act(|line| line.set_room(bytes));
        self
    }

    /// Waits for the answer to the next request that was sent as [`raw`](Connection::raw) bytes.
    ///
    /// # Panics
    /// If none comes; the message says why.
    #[track_caller]
    pub fn answer(&self) -> Answer {
        self.next(false)
    }

    /// Does the same as [`answer`](Connection::answer) for a HEAD request, whose answer has no content (RFC 9110 §9.3.2).
    ///
    /// # Panics
    /// If none comes; the message says why.
    #[track_caller]
    pub fn answer_to_head(&self) -> Answer {
        self.next(true)
    }

    #[track_caller]
    fn next(&self, to_head: bool) -> Answer {
        let mut answers = self.shared.answers.borrow_mut();
        let number = answers.requests;
        if to_head {
            answers.heads.insert(number);
        }
        drop(answers);
        let answer = self.shared.wait(number, "bytes as they are");
        self.shared.answers.borrow_mut().requests += 1;
        answer
    }

    /// Returns as much of the next answer as has arrived; `None` before its head is complete.
    pub fn answer_so_far(&self) -> Option<Answer> {
        let number = self.shared.answers.borrow().requests;
        so_far(&self.shared, number)
    }

    /// Takes the bytes that the server has sent and no answer has used.
    pub fn received(&self) -> Vec<u8> {
        std::mem::take(&mut self.shared.client.line().pipe().written)
    }

    /// Whether the server has ended its side of the connection, or all of it.
    pub fn is_closed(&self) -> bool {
        self.shared.client.line().has_ended()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("id", &self.shared.client.line().id).finish_non_exhaustive()
    }
}

fn so_far(shared: &Shared, number: u64) -> Option<Answer> {
    if let Ok(answer) = shared.answer(number) {
        return Some(answer);
    }
    let answers = shared.answers.borrow();
    let reader = answers.reader.as_ref().filter(|_| answers.number == number);
    reader.and_then(Reader::so_far).cloned()
}

/// A request that was sent, and whose answer may not have arrived: see
/// [`RequestBuilder::begin`](super::RequestBuilder::begin).
///
/// The client leaves when this is dropped, unless a [`Connection`] holds the connection open.
#[derive(Debug)]
#[must_use = "a client that is dropped leaves without its answer"]
pub struct Pending {
    connection: Connection,
    number: u64,
    /// The method and target, for messages.
    request: String,
}

impl Pending {
    /// Waits for the answer. No time passes for the server; if other threads must do something, this waits for them.
    ///
    /// # Panics
    /// If no answer comes; the message says why.
    #[track_caller]
    pub fn answer(self) -> Answer {
        self.connection.shared.wait(self.number, &self.request)
    }

    /// Returns the answer, if it is there, without waiting.
    ///
    /// # Errors
    /// [`NoAnswer`] if it is not.
    pub fn try_answer(&self) -> Result<Answer, NoAnswer> {
        self.connection.shared.answer(self.number)
    }

    /// Returns as much of the answer as has arrived; `None` before its head is complete.
    pub fn so_far(&self) -> Option<Answer> {
        so_far(&self.connection.shared, self.number)
    }

    /// Takes the content that has arrived since the last call.
    pub(super) fn take_body(&self) -> Vec<u8> {
        let shared = &self.connection.shared;
        let mut answers = shared.answers.borrow_mut();
        match answers.complete.get_mut(&self.number) {
            Some(answer) => std::mem::take(&mut answer.body),
            None => answers.reader.as_mut().map(Reader::take_body).unwrap_or_default(),
        }
    }

    pub(super) fn client(&self) -> &Client {
        self.connection.client()
    }
}
