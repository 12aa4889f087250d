//! The format in which a publication travels from one server to the others.
//!
//! It knows no network. Invariant: bytes parse as an envelope only if that envelope encodes to exactly those bytes, and
//! no proper prefix of them parses.
//!
//! ```text
//!   1 version | 1 kind | 8 incarnation | 8 number | 8 us since the last one | 1 + node | 4 + topic | 4 + payload
//! ```

use super::node::NODE_BYTES_MAX;
use fleeting::Message;
use std::time::Duration;

/// What one server sends to the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// The server's name, 1 to `NODE_BYTES_MAX` bytes; for people.
    pub node: &'a str,
    /// Identifies one run of the server.
    pub incarnation: u64,
    /// The number of the publication among all that the server has made, from 1. In a heartbeat, the number of the last
    /// one, or 0.
    pub number: u64,
    /// How long ago the last publication before this envelope was made, if there was one. A receiver that did not hear
    /// of it knows by this whether it should have.
    pub last_ago: Option<Duration>,
    /// What the envelope carries.
    pub content: Content<'a>,
}

/// The content of an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content<'a> {
    /// Nothing; the envelope only reports the number of the last publication.
    Heartbeat,
    /// A topic and a message.
    Publication(&'a str, Message<'a>),
}

const VERSION: u8 = 2;
const HEARTBEAT: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
/// There was none, or it was made longer ago than can be encoded.
const NEVER: u64 = u64::MAX;

impl<'a> Envelope<'a> {
    /// Appends the encoded envelope to `out`.
    ///
    /// # Panics
    /// If the topic or the payload has 4 GiB or more, or the node more than `NODE_BYTES_MAX` bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let (kind, topic, payload) = match self.content {
            Content::Heartbeat => (HEARTBEAT, "", &b""[..]),
            Content::Publication(topic, Message::Text(text)) => (TEXT, topic, text.as_bytes()),
            Content::Publication(topic, Message::Binary(bytes)) => (BINARY, topic, bytes),
        };
        assert!(self.node.len() <= NODE_BYTES_MAX, "a node name has at most {NODE_BYTES_MAX} bytes");
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("less than 4 GiB").to_be_bytes();
        let last_us = self.last_ago.map_or(NEVER, |ago| u64::try_from(ago.as_micros()).unwrap_or(NEVER));
        out.extend_from_slice(&[VERSION, kind]);
        out.extend_from_slice(&self.incarnation.to_be_bytes());
        out.extend_from_slice(&self.number.to_be_bytes());
        out.extend_from_slice(&last_us.to_be_bytes());
        out.push(self.node.len() as u8);
        out.extend_from_slice(self.node.as_bytes());
        out.extend_from_slice(&length(topic.as_bytes()));
        out.extend_from_slice(topic.as_bytes());
        out.extend_from_slice(&length(payload));
        out.extend_from_slice(payload);
    }

    /// Decodes bytes from an untrusted source. Returns `None` if they are not an envelope.
    pub fn parse(bytes: &'a [u8]) -> Option<Envelope<'a>> {
        let mut rest = bytes;
        let [version, kind] = array(&mut rest)?;
        if version != VERSION {
            return None;
        }
        let incarnation = u64::from_be_bytes(array(&mut rest)?);
        let number = u64::from_be_bytes(array(&mut rest)?);
        let last_us = u64::from_be_bytes(array(&mut rest)?);
        let [node_bytes] = array(&mut rest)?;
        let node = text(&mut rest, usize::from(node_bytes))?;
        if !(1..=NODE_BYTES_MAX).contains(&node.len()) {
            return None;
        }
        let topic_bytes = u32::from_be_bytes(array(&mut rest)?);
        let topic = text(&mut rest, usize::try_from(topic_bytes).ok()?)?;
        let payload_bytes = u32::from_be_bytes(array(&mut rest)?);
        if usize::try_from(payload_bytes).ok()? != rest.len() {
            return None;
        }
        let content = match kind {
            HEARTBEAT if topic.is_empty() && rest.is_empty() => Content::Heartbeat,
            // The first publication has the number 1.
            TEXT | BINARY if number == 0 => return None,
            TEXT => Content::Publication(topic, Message::Text(std::str::from_utf8(rest).ok()?)),
            BINARY => Content::Publication(topic, Message::Binary(rest)),
            _ => return None,
        };
        let last_ago = (last_us != NEVER).then(|| Duration::from_micros(last_us));
        Some(Envelope { node, incarnation, number, last_ago, content })
    }
}

fn array<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (array, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*array)
}

fn text<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a str> {
    let (text, after) = rest.split_at_checked(length)?;
    *rest = after;
    std::str::from_utf8(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLES: [Envelope<'_>; 4] = [
        Envelope {
            node: "a",
            incarnation: 0x0102_0304_0506_0708,
            number: 9,
            last_ago: None,
            content: Content::Publication("t", Message::Text("é")),
        },
        Envelope {
            node: "node-2",
            incarnation: u64::MAX,
            number: u64::MAX,
            last_ago: Some(Duration::ZERO),
            content: Content::Publication("", Message::Binary(&[0, 255, 10])),
        },
        Envelope {
            node: "b",
            incarnation: 0,
            number: 1,
            last_ago: Some(Duration::from_micros(u64::MAX - 1)),
            content: Content::Publication("topic", Message::Text("")),
        },
        Envelope { node: "c", incarnation: 7, number: 0, last_ago: None, content: Content::Heartbeat },
    ];

    fn bytes(envelope: &Envelope<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        envelope.encode(&mut bytes);
        bytes
    }

    #[test]
    fn an_envelope_is_parsed_as_it_was_encoded() {
        for example in EXAMPLES {
            assert_eq!(Envelope::parse(&bytes(&example)), Some(example));
        }
        let expected =
            b"\x02\x01\x01\x02\x03\x04\x05\x06\x07\x08\0\0\0\0\0\0\0\x09\xff\xff\xff\xff\xff\xff\xff\xff\
            \x01a\0\0\0\x01t\0\0\0\x02\xc3\xa9";
        assert_eq!(bytes(&EXAMPLES[0]), expected);
        // What is too long ago to be encoded counts as never.
        let old = Envelope { last_ago: Some(Duration::from_secs(1 << 60)), ..EXAMPLES[0] };
        assert_eq!(Envelope::parse(&bytes(&old)), Some(EXAMPLES[0]));
    }

    #[test]
    fn neither_a_prefix_nor_a_longer_text_parses() {
        for example in EXAMPLES {
            let mut whole = bytes(&example);
            for length in 0..whole.len() {
                assert_eq!(Envelope::parse(&whole[..length]), None, "{length} bytes of {example:?}");
            }
            whole.push(0);
            assert_eq!(Envelope::parse(&whole), None);
        }
    }

    #[test]
    fn a_changed_byte_is_noticed_or_part_of_the_result() {
        for example in EXAMPLES {
            let whole = bytes(&example);
            for at in 0..whole.len() {
                for value in 0..=255 {
                    let mut changed = whole.clone();
                    changed[at] = value;
                    if let Some(read) = Envelope::parse(&changed) {
                        assert_eq!(bytes(&read), changed);
                    }
                }
            }
        }
    }

    #[test]
    fn malformed_envelopes_are_rejected() {
        let check = |at: usize, value: u8| {
            let mut changed = bytes(&EXAMPLES[0]);
            changed[at] = value;
            assert_eq!(Envelope::parse(&changed), None, "{value} at {at}");
        };
        check(0, 0);
        check(0, 1);
        check(0, 3);
        check(1, 3);
        // A heartbeat has neither topic nor payload.
        check(1, 0);
        // The first number is 1.
        check(17, 0);
        check(26, 0);
        check(26, 255);
        check(27, 0xff);
        check(28, 1);
        check(31, 2);
        check(32, 0xff);
        check(36, 1);
        check(37, 0xff);
        assert_eq!(Envelope::parse(b""), None);
        let long = Envelope { node: &"x".repeat(64), ..EXAMPLES[0] };
        let mut long = bytes(&long);
        assert!(Envelope::parse(&long).is_some());
        long[26] = 65;
        long.insert(27, b'x');
        assert_eq!(Envelope::parse(&long), None);
    }
}
