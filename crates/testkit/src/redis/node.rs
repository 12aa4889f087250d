//! A broker without a server. It records what arrives.

use crate::client::PATIENCE;
use fleeting::{Broker, Inlet, Message, Publication};
use fleeting_store::{RedisBroker, RedisOptions};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Instant;

/// Records what a broker delivers: `topic=text`, or `!text` for an announcement.
#[derive(Default)]
pub struct Ears {
    pub heard: Mutex<Vec<String>>,
    changed: Condvar,
    pub is_full: AtomicBool,
}

impl Ears {
    fn write(&self, line: String) {
        self.heard.lock().expect("nobody panics with it").push(line);
        self.changed.notify_all();
    }

    /// Waits until at least `count` lines have arrived. Returns all lines.
    #[track_caller]
    pub fn wait(&self, count: usize) -> Vec<String> {
        let heard = self.heard.lock().expect("nobody panics with it");
        let few = |heard: &mut Vec<String>| heard.len() < count;
        let waited = self.changed.wait_timeout_while(heard, PATIENCE, few).expect("nobody panics with it");
        let heard = waited.0.clone();
        assert!(heard.len() >= count, "{heard:?}");
        heard
    }
}

pub struct Mouth(pub Arc<Ears>);

impl Inlet for Mouth {
    fn deliver(&self, publication: &Arc<Publication>) -> bool {
        let text = match publication.message() {
            Message::Text(text) => text.to_string(),
            Message::Binary(bytes) => format!("{bytes:?}"),
        };
        // Read before the line is recorded, because a test may change it once it sees the line.
        let is_full = self.0.is_full.load(Ordering::Relaxed);
        self.0.write(format!("{}={text}", publication.topic()));
        !is_full
    }

    fn announce(&self, name: &str, message: Message<'_>) -> bool {
        assert_eq!(name, "gap");
        let Message::Text(text) = message else { panic!("gaps are text") };
        self.0.write(format!("!{text}"));
        true
    }
}

/// Options with a time limit that no test reaches.
pub fn patient() -> RedisOptions {
    RedisOptions::new().timeout(PATIENCE)
}

/// A broker attached to a recorder. Dropping it detaches the broker.
pub struct Node {
    pub broker: RedisBroker,
    pub ears: Arc<Ears>,
}

impl Node {
    pub fn start(url: &str, name: &str) -> Node {
        Node::start_with(url, name, patient())
    }

    pub fn start_with(url: &str, name: &str, options: RedisOptions) -> Node {
        let broker = RedisBroker::new(url.parse().expect("a good URL"), options, name).expect("a good name");
        let broker = broker.announce(|gap| gap.to_string());
        let ears = Arc::new(Ears::default());
        broker.attach(Arc::new(Mouth(ears.clone()))).expect("it begins");
        Node { broker, ears }
    }

    pub fn publish(&self, topic: &str, text: &str) {
        self.broker.publish(&Arc::new(Publication::new(topic, Message::Text(text))));
    }

    pub fn connected(&self, is_connected: bool) {
        until(|| self.broker.is_connected() == is_connected);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.broker.detach();
    }
}

#[track_caller]
pub fn until(is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "the condition is never met");
        thread::yield_now();
    }
}
