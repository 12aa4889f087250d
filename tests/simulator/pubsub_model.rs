//! The application of the publish/subscribe simulation, and a record of what is due to each member.
//!
//! It knows the rules for topics, and not how the server implements them. At every publication the record notes the
//! recipients from the subscriptions of that moment.

use fleeting::ws::CloseCode;
use fleeting::{
    App, Error, EventsOptions, Handle, Message, Request, Sent, SlowConsumer, Socket, SocketOptions, WebSocket,
};
use fleeting_testkit::random::Random;
use std::cell::RefCell;
use std::rc::Rc;

pub const TOPICS: &[&str] = &["a", "a.b", "a.b.c", "ab", "b", "unused"];
pub const FILTERS: &[&str] = &["a", "a.b", "b", "ab", "*", "a*", "a.*", "b*"];

/// A publication. Its index in the record is its number.
pub struct Published {
    pub topic: &'static str,
    pub payload: Vec<u8>,
    pub is_text: bool,
}

/// The record of one member.
#[derive(Default)]
pub struct Member {
    pub engine: usize,
    filters: Vec<String>,
    /// It is a stream of events, which gets text only and sends nothing.
    pub events: bool,
    /// A publication for it may be replaced by a newer one of its topic.
    pub may_conflate: bool,
    /// Its session was opened and has not been closed, or its stream has begun.
    pub open: bool,
    /// The closing handshake may have begun.
    pub closing: bool,
    /// Numbers of publications, in the order in which they became due.
    pub due: Vec<usize>,
    /// What its session has sent, in order.
    pub session_sent: Vec<String>,
    /// What was sent to it through a handle. Some of it may be dropped.
    pub handle_sent: Vec<String>,
    /// A send has reported backpressure, and `drain` was not called since.
    pub under_backpressure: bool,
    /// The number of messages of a flood still to be sent, and the length of each.
    flood: (usize, usize),
}

/// Everything that was sent or published, and what is due.
#[derive(Default)]
pub struct Record {
    pub published: Vec<Published>,
    pub members: Vec<Member>,
    /// For each engine, the publications that it receives when its next turn begins.
    pending: [Vec<usize>; 2],
    /// For each engine, the publications of its own sessions.
    pub by_sessions: [u64; 2],
    /// For each engine, the number of recipients of all publications together.
    pub matched: [u64; 2],
    pub opened: u64,
    pub closed: u64,
    /// The rule that the engine has broken. It is recorded because the engine would catch a panic.
    pub violation: Option<String>,
}

pub type Shared = Rc<RefCell<Record>>;

fn fits(filter: &str, topic: &str) -> bool {
    match filter.strip_suffix('*') {
        Some(prefix) => topic.len() > prefix.len() && topic.starts_with(prefix),
        None => filter == topic,
    }
}

impl Record {
    /// Records a new publication. Returns its number.
    fn make(&mut self, by: &str, topic: &str, bytes: usize) -> usize {
        let topic = TOPICS.iter().find(|known| **known == topic).expect("only known topics are published");
        let number = self.published.len();
        let mut payload = format!("p {number} {by} {topic} ");
        while payload.len() < bytes {
            payload.push_str(&payload.clone());
        }
        payload.truncate(bytes.max(format!("p {number} ").len()));
        self.published.push(Published { topic, payload: payload.into(), is_text: number % 3 != 0 });
        number
    }

    /// Makes a publication due to all subscribers on `engine` except `except`.
    fn match_on(&mut self, engine: usize, number: usize, except: Option<usize>) {
        let Published { topic, is_text, .. } = self.published[number];
        for (at, member) in self.members.iter_mut().enumerate() {
            let there = member.open && member.engine == engine && except != Some(at);
            let there = there && (is_text || !member.events);
            if there && member.filters.iter().any(|filter| fits(filter, topic)) {
                member.due.push(number);
                self.matched[engine] += 1;
            }
        }
    }

    /// The engine's turn begins, with the first `count` of what was published from outside.
    pub fn begin(&mut self, engine: usize, count: usize) {
        let count = count.min(self.pending[engine].len());
        for number in self.pending[engine].drain(..count).collect::<Vec<_>>() {
            self.match_on(engine, number, None);
        }
    }

    fn forbid(&mut self, broken: bool, rule: &str) {
        if broken && self.violation.is_none() {
            self.violation = Some(rule.into());
        }
    }
}

impl Published {
    pub fn message(&self) -> Message<'_> {
        match std::str::from_utf8(&self.payload) {
            Ok(text) if self.is_text => Message::Text(text),
            _ => Message::Binary(&self.payload),
        }
    }
}

/// Publishes through the handle, to both engines.
pub fn publish_outside(record: &Shared, handle: &Handle, random: &mut Random) -> Result<(), String> {
    let mut record = record.borrow_mut();
    let (topic, bytes) = (random.one_of(TOPICS), random.one_of(&[10, 40, 130, 600]));
    let number = record.make("outside", topic, bytes);
    record.pending.iter_mut().for_each(|pending| pending.push(number));
    let published = &record.published[number];
    handle.publish(published.topic, published.message()).map_err(|error| error.to_string())
}

pub fn app(record: &Shared, handle: &Handle, engine: usize) -> App {
    let route = |app: App, slow: SlowConsumer| {
        let options = SocketOptions::new().slow_consumer(slow);
        let (record, handle) = (record.clone(), handle.clone());
        app.ws_with(&format!("/{slow}"), options, Hub { record: record.clone(), engine }).get(
            &format!("/events/{slow}/{{member}}/{{filter}}"),
            move |req| {
                let filter = req.param("filter");
                let response =
                    handle.events_with(filter, EventsOptions::new().slow_consumer(slow).gap(gap))?;
                // The engine subscribes it with the head that this returns.
                let member = &mut record.borrow_mut().members[req.param("member").parse::<usize>()?];
                (member.open, member.filters) = (true, vec![filter.into()]);
                Ok(response)
            },
        )
    };
    SlowConsumer::ALL.into_iter().fold(App::new(), route)
}

/// Returns what a member is told when it has lost publications.
fn gap(publications: u64) -> String {
    format!("g {publications}")
}

/// Carries out its members' orders.
struct Hub {
    record: Shared,
    engine: usize,
}

impl Hub {
    fn send(&self, member: usize, text: &str, socket: &mut Socket<'_>) -> Sent {
        let sent = socket.text(text);
        let member = &mut self.record.borrow_mut().members[member];
        match sent {
            Sent::Dropped => return sent,
            Sent::Backpressure => member.under_backpressure = true,
            Sent::Sent => {}
        }
        member.session_sent.push(text.into());
        sent
    }

    /// Sends as much of a flood as possible.
    fn send_more(&self, member: usize, socket: &mut Socket<'_>) {
        loop {
            let (left, bytes) = self.record.borrow().members[member].flood;
            if left == 0 {
                return;
            }
            self.record.borrow_mut().members[member].flood.0 -= 1;
            let text = format!("s {member} {left} {}", "~".repeat(bytes));
            if self.send(member, &text, socket) != Sent::Sent {
                return;
            }
        }
    }

    fn publish(&self, member: usize, (topic, bytes): (&str, &str), own: bool, socket: &mut Socket<'_>) {
        let number = {
            let record = &mut *self.record.borrow_mut();
            let number = record.make(&member.to_string(), topic, bytes.parse().unwrap_or(0));
            record.match_on(self.engine, number, (!own).then_some(member));
            record.by_sessions[self.engine] += 1;
            record.pending[1 - self.engine].push(number);
            number
        };
        let record = self.record.borrow();
        let published = &record.published[number];
        let result = if own {
            socket.publish(published.topic, published.message())
        } else {
            socket.publish_to_others(published.topic, published.message())
        };
        drop(record);
        self.record.borrow_mut().forbid(result.is_err(), "a valid publication was refused");
    }
}

impl WebSocket for Hub {
    /// The member's number.
    type Session = usize;

    fn open(&self, req: &Request<'_>, _socket: &mut Socket<'_>) -> Result<usize, Error> {
        let number = req.query().and_then(|query| query.parse().ok());
        let number: usize = number.ok_or(Error::bad_request("no number"))?;
        let record = &mut *self.record.borrow_mut();
        record.opened += 1;
        let member = &mut record.members[number];
        (member.open, member.may_conflate) = (true, req.path() == "/conflate");
        Ok(number)
    }

    fn message(&self, session: &mut usize, message: Message<'_>, socket: &mut Socket<'_>) {
        let member = *session;
        let Message::Text(text) = message else { return };
        let under_backpressure = self.record.borrow().members[member].under_backpressure;
        self.record.borrow_mut().forbid(under_backpressure, "a message came before the drain");
        match text.split(' ').collect::<Vec<_>>()[..] {
            ["sub", filter, ref policy @ ..] => {
                let result = match policy {
                    [policy] => socket.subscribe_with(filter, policy.parse().expect("a policy")),
                    _ => socket.subscribe(filter),
                };
                let record = &mut *self.record.borrow_mut();
                record.members[member].may_conflate |= *policy == ["conflate"];
                let filters = &mut record.members[member].filters;
                let new = !filters.iter().any(|known| known == filter);
                if new {
                    filters.push(filter.into());
                }
                record.forbid(result != Ok(new), "the engine is wrong about whether a subscription is new");
            }
            ["unsub", filter] => {
                let was = socket.unsubscribe(filter);
                let record = &mut *self.record.borrow_mut();
                let filters = &mut record.members[member].filters;
                let before = filters.len();
                filters.retain(|known| known != filter);
                let is = filters.len() < before;
                record.forbid(was != is, "the engine is wrong about whether a subscription existed");
            }
            ["pub", topic, bytes] => self.publish(member, (topic, bytes), true, socket),
            ["others", topic, bytes] => self.publish(member, (topic, bytes), false, socket),
            ["flood", count, bytes] => {
                let number = |text: &str| text.parse().unwrap_or(0);
                self.record.borrow_mut().members[member].flood = (number(count), number(bytes));
                self.send_more(member, socket);
            }
            ["close"] => {
                self.record.borrow_mut().members[member].closing = true;
                socket.close(CloseCode::NORMAL, "bye");
            }
            _ => {
                self.send(member, text, socket);
            }
        }
    }

    fn drain(&self, session: &mut usize, socket: &mut Socket<'_>) {
        let under_backpressure =
            std::mem::take(&mut self.record.borrow_mut().members[*session].under_backpressure);
        self.record.borrow_mut().forbid(!under_backpressure, "a drain without backpressure, or a second one");
        self.send_more(*session, socket);
    }

    fn dropped(&self, _session: &mut usize, publications: u64, socket: &mut Socket<'_>) {
        socket.text(&gap(publications));
    }

    fn close(&self, session: usize, _code: Option<CloseCode>, _reason: &str) {
        let record = &mut *self.record.borrow_mut();
        record.closed += 1;
        (record.members[session].open, record.members[session].closing) = (false, true);
    }
}
