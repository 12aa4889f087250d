//! The application of the crowd, and a record of what is due to whom.
//!
//! It knows the rules for topics and nothing of how the server follows them: whenever something is
//! published, the record notes for whom, by the subscriptions of that moment.

use fleeting::ws::CloseCode;
use fleeting::{App, Error, Handle, Message, Request, Sent, SlowConsumer, Socket, SocketOptions, WebSocket};
use fleeting_testkit::random::Random;
use std::cell::RefCell;
use std::rc::Rc;

pub const TOPICS: &[&str] = &["a", "a.b", "a.b.c", "ab", "b", "nobody's"];
pub const FILTERS: &[&str] = &["a", "a.b", "b", "ab", "*", "a*", "a.*", "b*"];

/// What was published, by its number.
pub struct Published {
    pub topic: &'static str,
    pub payload: Vec<u8>,
    pub is_text: bool,
}

/// What one member of the crowd has to do with.
#[derive(Default)]
pub struct Member {
    pub engine: usize,
    filters: Vec<String>,
    /// Its session was told of the beginning, and not of the end.
    pub open: bool,
    /// The closing handshake may have begun.
    pub closing: bool,
    /// Numbers of publications, in the order in which they became due.
    pub due: Vec<usize>,
    /// What its session has sent, in that order.
    pub said: Vec<String>,
    /// What was sent to it through a handle; some of it may be dropped.
    pub told: Vec<String>,
    /// A send told of backpressure, and `drain` was not called since.
    pub pressed: bool,
    /// What is still to be sent of a flood, and how long each message is.
    flood: (usize, usize),
}

/// Everything that was said and is to be heard.
#[derive(Default)]
pub struct Record {
    pub published: Vec<Published>,
    pub members: Vec<Member>,
    /// By engine: publications that it takes in when its next turn begins.
    pending: [Vec<usize>; 2],
    /// By engine: publications times subscribers.
    pub matched: [u64; 2],
    pub opened: u64,
    pub closed: u64,
    /// What the application should not have been told. Not a panic, which would be caught.
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
    /// A new publication: its number.
    fn make(&mut self, by: &str, topic: &str, bytes: usize) -> usize {
        let topic = TOPICS.iter().find(|known| **known == topic).expect("a topic of the crowd's");
        let number = self.published.len();
        let mut payload = format!("p {number} {by} {topic} ");
        while payload.len() < bytes {
            payload.push_str(&payload.clone());
        }
        payload.truncate(bytes.max(format!("p {number} ").len()));
        self.published.push(Published { topic, payload: payload.into(), is_text: !number.is_multiple_of(3) });
        number
    }

    /// It is due to all on `engine` who have subscribed, but `except`.
    fn match_on(&mut self, engine: usize, number: usize, except: Option<usize>) {
        let topic = self.published[number].topic;
        for (at, member) in self.members.iter_mut().enumerate() {
            let there = member.open && member.engine == engine && except != Some(at);
            if there && member.filters.iter().any(|filter| fits(filter, topic)) {
                member.due.push(number);
                self.matched[engine] += 1;
            }
        }
    }

    /// The engine's turn begins.
    pub fn begin(&mut self, engine: usize) {
        for number in std::mem::take(&mut self.pending[engine]) {
            self.match_on(engine, number, None);
        }
    }

    fn forbid(&mut self, wrong: bool, what: &str) {
        if wrong && self.violation.is_none() {
            self.violation = Some(what.into());
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

/// Somebody outside publishes, to both engines.
pub fn publish_outside(record: &Shared, handle: &Handle, random: &mut Random) -> Result<(), String> {
    let mut record = record.borrow_mut();
    let (topic, bytes) = (random.one_of(TOPICS), random.one_of(&[10, 40, 130, 600]));
    let number = record.make("outside", topic, bytes);
    record.pending.iter_mut().for_each(|pending| pending.push(number));
    let published = &record.published[number];
    handle.publish(published.topic, published.message()).map_err(|error| error.to_string())
}

pub fn app(record: &Shared, engine: usize) -> App {
    let route = |app: App, slow: SlowConsumer| {
        let options = SocketOptions::new().slow_consumer(slow);
        app.ws_with(&format!("/{slow}"), options, Hub { record: record.clone(), engine })
    };
    SlowConsumer::ALL.into_iter().fold(App::new(), route)
}

/// Does what its members order.
struct Hub {
    record: Shared,
    engine: usize,
}

impl Hub {
    fn say(&self, member: usize, text: &str, socket: &mut Socket<'_>) -> Sent {
        let sent = socket.text(text);
        let member = &mut self.record.borrow_mut().members[member];
        match sent {
            Sent::Dropped => return sent,
            Sent::Backpressure => member.pressed = true,
            Sent::Sent => {}
        }
        member.said.push(text.into());
        sent
    }

    /// Sends of a flood what can be sent.
    fn go_on(&self, member: usize, socket: &mut Socket<'_>) {
        loop {
            let (left, bytes) = self.record.borrow().members[member].flood;
            if left == 0 {
                return;
            }
            self.record.borrow_mut().members[member].flood.0 -= 1;
            let text = format!("s {member} {left} {}", "~".repeat(bytes));
            if self.say(member, &text, socket) != Sent::Sent {
                return;
            }
        }
    }

    fn publish(&self, member: usize, (topic, bytes): (&str, &str), own: bool, socket: &mut Socket<'_>) {
        let number = {
            let record = &mut *self.record.borrow_mut();
            let number = record.make(&member.to_string(), topic, bytes.parse().unwrap_or(0));
            record.match_on(self.engine, number, (!own).then_some(member));
            record.pending[1 - self.engine].push(number);
            number
        };
        let record = self.record.borrow();
        let published = &record.published[number];
        let told = if own {
            socket.publish(published.topic, published.message())
        } else {
            socket.publish_to_others(published.topic, published.message())
        };
        drop(record);
        self.record.borrow_mut().forbid(told.is_err(), "something in order was not published");
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
        record.members[number].open = true;
        Ok(number)
    }

    fn message(&self, session: &mut usize, message: Message<'_>, socket: &mut Socket<'_>) {
        let member = *session;
        let Message::Text(text) = message else { return };
        let pressed = self.record.borrow().members[member].pressed;
        self.record.borrow_mut().forbid(pressed, "a message came before the drain");
        match text.split(' ').collect::<Vec<_>>()[..] {
            ["sub", filter, ref policy @ ..] => {
                let told = match policy {
                    [policy] => socket.subscribe_with(filter, policy.parse().expect("a policy")),
                    _ => socket.subscribe(filter),
                };
                let record = &mut *self.record.borrow_mut();
                let filters = &mut record.members[member].filters;
                let new = !filters.iter().any(|known| known == filter);
                if new {
                    filters.push(filter.into());
                }
                record.forbid(told != Ok(new), "a subscription is new, or was not");
            }
            ["unsub", filter] => {
                let was = socket.unsubscribe(filter);
                let record = &mut *self.record.borrow_mut();
                let filters = &mut record.members[member].filters;
                let before = filters.len();
                filters.retain(|known| known != filter);
                let is = filters.len() < before;
                record.forbid(was != is, "a subscription was there, or was not");
            }
            ["pub", topic, bytes] => self.publish(member, (topic, bytes), true, socket),
            ["others", topic, bytes] => self.publish(member, (topic, bytes), false, socket),
            ["flood", count, bytes] => {
                let number = |text: &str| text.parse().unwrap_or(0);
                self.record.borrow_mut().members[member].flood = (number(count), number(bytes));
                self.go_on(member, socket);
            }
            ["close"] => {
                self.record.borrow_mut().members[member].closing = true;
                socket.close(CloseCode::NORMAL, "bye");
            }
            _ => {
                self.say(member, text, socket);
            }
        }
    }

    fn drain(&self, session: &mut usize, socket: &mut Socket<'_>) {
        let pressed = std::mem::take(&mut self.record.borrow_mut().members[*session].pressed);
        self.record.borrow_mut().forbid(!pressed, "a drain without backpressure, or a second one");
        self.go_on(*session, socket);
    }

    fn close(&self, session: usize, _code: Option<CloseCode>, _reason: &str) {
        let record = &mut *self.record.borrow_mut();
        record.closed += 1;
        (record.members[session].open, record.members[session].closing) = (false, true);
    }
}
