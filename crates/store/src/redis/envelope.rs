//! A publication on its way from one server to others, in bytes.
//!
//! Knows no network. Its invariant: bytes are read as an envelope only if it is written as those bytes, and no part
//! of them alone is one.
//!
//! ```text
//!   1 version | 1 kind | 8 incarnation | 8 number | 4 ms since a loss | 1 + node | 4 + topic | 4 + payload
//! ```

use super::node::NODE_BYTES_MAX;
use fleeting::Message;
use std::time::Duration;

/// What one server tells the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// The server's name, 1 to `NODE_BYTES_MAX` bytes; for people.
    pub node: &'a str,
    /// Names the server for as long as it runs, and no other.
    pub incarnation: u64,
    /// The publication's number among all that the server has made, from 1; of a beat that of the last, or 0.
    pub number: u64,
    /// How long ago a publication was made, if one was, that did not go out.
    pub lost_ago: Option<Duration>,
    /// What it carries.
    pub content: Content<'a>,
}

/// What is in an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content<'a> {
    /// Nothing but how far the server is.
    Beat,
    /// A topic and a message.
    Publication(&'a str, Message<'a>),
}

const VERSION: u8 = 1;
const BEAT: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
/// No loss, or none in the last seven weeks.
const NEVER: u32 = u32::MAX;

impl<'a> Envelope<'a> {
    /// Appends it as bytes.
    ///
    /// # Panics
    /// If a topic or a payload has 4 GiB or more, or a node more than `NODE_BYTES_MAX` bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let (kind, topic, payload) = match self.content {
            Content::Beat => (BEAT, "", &b""[..]),
            Content::Publication(topic, Message::Text(text)) => (TEXT, topic, text.as_bytes()),
            Content::Publication(topic, Message::Binary(bytes)) => (BINARY, topic, bytes),
        };
        assert!(self.node.len() <= NODE_BYTES_MAX, "whoever has named it has seen to that");
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("less than 4 GiB").to_be_bytes();
        let lost_ms = self.lost_ago.map_or(NEVER, |ago| u32::try_from(ago.as_millis()).unwrap_or(NEVER));
        out.extend_from_slice(&[VERSION, kind]);
        out.extend_from_slice(&self.incarnation.to_be_bytes());
        out.extend_from_slice(&self.number.to_be_bytes());
        out.extend_from_slice(&lost_ms.to_be_bytes());
        out.push(self.node.len() as u8);
        out.extend_from_slice(self.node.as_bytes());
        out.extend_from_slice(&length(topic.as_bytes()));
        out.extend_from_slice(topic.as_bytes());
        out.extend_from_slice(&length(payload));
        out.extend_from_slice(payload);
    }

    /// Reads bytes, whoever has sent them; `None` if they are no envelope.
    pub fn parse(bytes: &'a [u8]) -> Option<Envelope<'a>> {
        let mut rest = bytes;
        let [version, kind] = array(&mut rest)?;
        if version != VERSION {
            return None;
        }
        let incarnation = u64::from_be_bytes(array(&mut rest)?);
        let number = u64::from_be_bytes(array(&mut rest)?);
        let lost_ms = u32::from_be_bytes(array(&mut rest)?);
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
            BEAT if topic.is_empty() && rest.is_empty() => Content::Beat,
            // The first has the number 1.
            TEXT | BINARY if number == 0 => return None,
            TEXT => Content::Publication(topic, Message::Text(std::str::from_utf8(rest).ok()?)),
            BINARY => Content::Publication(topic, Message::Binary(rest)),
            _ => return None,
        };
        let lost_ago = (lost_ms != NEVER).then(|| Duration::from_millis(lost_ms.into()));
        Some(Envelope { node, incarnation, number, lost_ago, content })
    }
}

fn array<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (array, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*array)
}

fn text<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a str> {
    let (text, behind) = rest.split_at_checked(length)?;
    *rest = behind;
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
            lost_ago: None,
            content: Content::Publication("t", Message::Text("é")),
        },
        Envelope {
            node: "knoten",
            incarnation: u64::MAX,
            number: u64::MAX,
            lost_ago: Some(Duration::ZERO),
            content: Content::Publication("", Message::Binary(&[0, 255, 10])),
        },
        Envelope {
            node: "b",
            incarnation: 0,
            number: 1,
            lost_ago: Some(Duration::from_millis(u32::MAX as u64 - 1)),
            content: Content::Publication("topic", Message::Text("")),
        },
        Envelope { node: "c", incarnation: 7, number: 0, lost_ago: None, content: Content::Beat },
    ];

    fn bytes(envelope: &Envelope<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        envelope.encode(&mut bytes);
        bytes
    }

    #[test]
    fn they_are_read_as_they_were_written() {
        for example in EXAMPLES {
            assert_eq!(Envelope::parse(&bytes(&example)), Some(example));
        }
        let expected = b"\x01\x01\x01\x02\x03\x04\x05\x06\x07\x08\0\0\0\0\0\0\0\x09\xff\xff\xff\xff\
            \x01a\0\0\0\x01t\0\0\0\x02\xc3\xa9";
        assert_eq!(bytes(&EXAMPLES[0]), expected);
        // What is longer ago than can be told was never.
        let old = Envelope { lost_ago: Some(Duration::from_secs(1 << 40)), ..EXAMPLES[0] };
        assert_eq!(Envelope::parse(&bytes(&old)), Some(EXAMPLES[0]));
    }

    #[test]
    fn no_part_is_one_nor_more_than_all() {
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
    fn whatever_one_byte_is_changed_to_it_is_read_as_what_it_is_or_not_at_all() {
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
    fn what_is_none() {
        let check = |at: usize, value: u8| {
            let mut changed = bytes(&EXAMPLES[0]);
            changed[at] = value;
            assert_eq!(Envelope::parse(&changed), None, "{value} at {at}");
        };
        check(0, 0);
        check(0, 2);
        check(1, 3);
        // A beat has neither topic nor payload.
        check(1, 0);
        // The first number is 1.
        check(17, 0);
        check(22, 0);
        check(22, 255);
        check(23, 0xff);
        check(24, 1);
        check(27, 2);
        check(28, 0xff);
        check(32, 1);
        check(33, 0xff);
        assert_eq!(Envelope::parse(b""), None);
        let long = Envelope { node: &"x".repeat(64), ..EXAMPLES[0] };
        let mut long = bytes(&long);
        assert!(Envelope::parse(&long).is_some());
        long[22] = 65;
        long.insert(23, b'x');
        assert_eq!(Envelope::parse(&long), None);
    }
}
