//! A broker without a server. It records what arrives.

use crate::client::PATIENCE;
use fleeting::{Broker, Inlet, Message, Publication};
use fleeting_store::{Gap, RedisBroker, RedisOptions};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Instant;

/// Records what a broker delivers: `topic=text`, or `!text` for an announcement.
#[derive(Default)]
pub struct Recorder {
    pub received: Mutex<Vec<String>>,
    changed: Condvar,
    /// Outages that were announced while they lasted. They are not recorded among the others, because it depends on the
    /// machine whether an outage lasts long enough.
    pub outages: AtomicUsize,
    pub is_full: AtomicBool,
}

impl Recorder {
    fn write(&self, line: String) {
        self.received.lock().expect("the lock is not poisoned").push(line);
        self.changed.notify_all();
    }

    /// Waits until at least `count` lines have arrived. Returns all lines.
    #[track_caller]
    pub fn wait(&self, count: usize) -> Vec<String> {
        let received = self.received.lock().expect("the lock is not poisoned");
        let few = |received: &mut Vec<String>| received.len() < count;
        let waited =
            self.changed.wait_timeout_while(received, PATIENCE, few).expect("the lock is not poisoned");
        let received = waited.0.clone();
        assert!(received.len() >= count, "{received:?}");
        received
    }
}

pub struct RecordingInlet(pub Arc<Recorder>);

impl Inlet for RecordingInlet {
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
        if text == Gap::Disconnected.to_string() {
            self.0.outages.fetch_add(1, Ordering::Relaxed);
            return true;
        }
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
    pub recorder: Arc<Recorder>,
}

impl Node {
    pub fn start(url: &str, name: &str) -> Node {
        Node::start_with(url, name, patient())
    }

    pub fn start_with(url: &str, name: &str, options: RedisOptions) -> Node {
        let broker =
            RedisBroker::new(url.parse().expect("a valid URL"), options, name).expect("a valid name");
        let broker = broker.announce(|gap| gap.to_string());
        let recorder = Arc::new(Recorder::default());
        broker.attach(Arc::new(RecordingInlet(recorder.clone()))).expect("the broker attaches");
        Node { broker, recorder }
    }

    pub fn publish(&self, topic: &str, text: &str) {
        self.broker.publish(&Arc::new(Publication::new(topic, Message::Text(text))));
    }

    pub fn connected(&self, is_connected: bool) {
        wait_until(|| self.broker.is_connected() == is_connected);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.broker.detach();
    }
}

#[track_caller]
pub fn wait_until(condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < PATIENCE, "the condition is never met");
        thread::yield_now();
    }
}
