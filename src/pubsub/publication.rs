//! A message and the topic it is for, in memory of its own: what travels between threads.

use crate::ws::Message;

/// A published message. Several workers, and a [`Broker`](super::Broker), share one.
///
/// ```
/// use fleeting::{Message, Publication};
///
/// let publication = Publication::new("prices.eur", Message::Text("1.08"));
/// assert_eq!((publication.topic(), publication.message()), ("prices.eur", Message::Text("1.08")));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Publication {
    topic: String,
    text: String,
    /// The payload, if the message is not text.
    binary: Option<Vec<u8>>,
}

impl Publication {
    /// Copies both.
    pub fn new(topic: &str, message: Message<'_>) -> Publication {
        let mut publication = Publication::default();
        publication.set(topic, message);
        publication
    }

    /// Becomes another one, in the same memory as far as it goes.
    pub(crate) fn set(&mut self, topic: &str, message: Message<'_>) {
        self.topic.clear();
        self.topic.push_str(topic);
        self.text.clear();
        match message {
            Message::Text(text) => {
                self.text.push_str(text);
                self.binary = None;
            }
            Message::Binary(bytes) => {
                let binary = self.binary.get_or_insert_default();
                binary.clear();
                binary.extend_from_slice(bytes);
            }
        }
    }

    /// The topic it is published under.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The message.
    pub fn message(&self) -> Message<'_> {
        match &self.binary {
            None => Message::Text(&self.text),
            Some(bytes) => Message::Binary(bytes),
        }
    }

    /// Returns the bytes of memory that the publication holds, reserved ones included: for a broker that bounds its queue.
    pub fn memory_bytes(&self) -> usize {
        let binary = self.binary.as_ref().map_or(0, Vec::capacity);
        size_of::<Publication>() + self.topic.capacity() + self.text.capacity() + binary
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_becomes_another_in_the_same_memory() {
        let mut publication = Publication::new("prices", Message::Binary(b"0123456789"));
        let bytes = publication.memory_bytes();
        for message in [Message::Binary(b"abc"), Message::Binary(b"")] {
            publication.set("a", message);
            assert_eq!((publication.topic(), publication.message()), ("a", message));
            assert_eq!(publication.memory_bytes(), bytes);
        }
        publication.set("b", Message::Text("text"));
        assert_eq!(publication, Publication::new("b", Message::Text("text")));
    }
}
