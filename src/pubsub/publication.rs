//! A message and its topic in memory of their own, to travel between threads.
//!
//! It knows no subscriber. Its invariant: a text message is UTF-8.

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
    /// Copies the topic and the message.
    pub fn new(topic: &str, message: Message<'_>) -> Publication {
        let mut publication = Publication::default();
        publication.set(topic, message);
        publication
    }

    /// Replaces the topic and the message, and reuses the memory.
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

    /// Returns the topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Returns the message.
    pub fn message(&self) -> Message<'_> {
        match &self.binary {
            None => Message::Text(&self.text),
            Some(bytes) => Message::Binary(bytes),
        }
    }

    /// Returns the bytes of memory that the publication holds, including reserved ones. A broker can bound its
    /// queue with it.
    pub fn memory_bytes(&self) -> usize {
        let binary = self.binary.as_ref().map_or(0, Vec::capacity);
        size_of::<Publication>() + self.topic.capacity() + self.text.capacity() + binary
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publication_is_replaced_in_the_same_memory() {
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
