//! The publications of a turn. Each is framed once, and the frames lie one after the other.
//!
//! It knows no subscriber. A subscriber that is owed several publications in a row gets them as one slice.
//! Invariant: the frames of an encoding are in the order of their entries, and every needed entry has a whole
//! frame.

use crate::buffer::SlowConsumer;
use crate::utf8;
use crate::ws::{Message, Opcode, encode};
use std::sync::Arc;

/// The form in which messages are sent to a subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Encoding(u8);

impl Encoding {
    /// Uncompressed frames.
    pub(crate) const PLAIN: Encoding = Encoding(0);
    /// Server-sent events, each in a chunk of its own.
    pub(crate) const EVENTS: Encoding = Encoding(8);
    /// Server-sent events without chunks, for HTTP/1.0.
    pub(crate) const BARE_EVENTS: Encoding = Encoding(9);
    const COUNT: usize = 10;

    /// Returns the encoding of frames that are compressed with a window of 2^`window_bits` bytes, 9 to 15, and
    /// without context.
    #[cfg(any(test, feature = "deflate"))]
    pub(crate) fn deflated(window_bits: u8) -> Encoding {
        debug_assert!((9..=15).contains(&window_bits));
        Encoding(window_bits - 8)
    }

    /// Returns the bits of the window, if the frames are compressed.
    #[cfg(any(test, feature = "deflate"))]
    pub(crate) fn window_bits(self) -> Option<u8> {
        (1..=7).contains(&self.0).then_some(self.0 + 8)
    }

    /// Whether messages are sent as events, which only text can be.
    #[inline]
    pub(crate) fn is_events(self) -> bool {
        self.0 >= Encoding::EVENTS.0
    }

    fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// The publications of a turn, numbered from 0.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    names: String,
    entries: Vec<Place>,
    encodings: [Frames; Encoding::COUNT],
    /// An entry is needed in another encoding than the plain one.
    needs_others: bool,
}

/// A range of publications that one subscriber is owed: entries `from..to` of the [`Batch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct BatchRange {
    /// The number of the first entry.
    pub(crate) from: u32,
    /// The number of the last entry plus one; 0 if the range is empty.
    pub(crate) to: u32,
    /// The policy for publications that the subscriber has no room for.
    pub(crate) slow: SlowConsumer,
}

impl BatchRange {
    /// Returns the number of publications.
    pub(crate) fn len(self) -> u64 {
        u64::from(self.to - self.from)
    }
}

/// A publication or an announcement of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) kind: Kind,
    /// The topic of a publication, the subject of an announcement.
    pub(crate) name: &'a str,
    pub(crate) message: Message<'a>,
}

/// Where an entry lies.
#[derive(Debug)]
struct Place {
    kind: Kind,
    /// Index into `names`. The name begins where the name of the previous entry ends.
    name_end: usize,
    opcode: Opcode,
    /// Index into the plain frames.
    payload_start: usize,
}

/// The recipients of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The subscribers of the topic that the entry names.
    Publication,
    /// All subscribers of any topic. The entry's name is the subject.
    Announcement,
}

/// All frames of one encoding.
#[derive(Debug, Default)]
struct Frames {
    bytes: Vec<u8>,
    /// Where each entry's frame ends: indices into `bytes`. An entry that no subscriber needs in this encoding
    /// has an empty frame.
    ends: Vec<usize>,
    /// Entries that are needed in this encoding and not encoded yet, in order.
    needed: Vec<u32>,
    /// Frames that outlive the turn in an outbox, each behind its topic's name, indexed by entry.
    shared: Vec<Option<Arc<[u8]>>>,
}

/// The most memory that an encoding keeps for the next turn.
const KEPT_BYTES: usize = 1 << 20;

impl Batch {
    /// Returns the number of publications, which is also the number of the next one.
    pub(crate) fn len(&self) -> u32 {
        self.entries.len() as u32
    }

    /// Adds a publication or an announcement.
    pub(crate) fn push(&mut self, kind: Kind, name: &str, message: Message<'_>) {
        self.names.push_str(name);
        let plain = &mut self.encodings[0];
        encode::encode_header(&mut plain.bytes, message.opcode(), true, message.bytes().len());
        let payload_start = plain.bytes.len();
        plain.bytes.extend_from_slice(message.bytes());
        plain.ends.push(plain.bytes.len());
        let (name_end, opcode) = (self.names.len(), message.opcode());
        self.entries.push(Place { kind, name_end, opcode, payload_start });
    }

    /// Records that entry `at`, a message of this kind, is needed in this encoding. It may be the entry that is pushed next.
    /// Returns false if there is no such encoding of it.
    #[inline]
    pub(crate) fn need(&mut self, encoding: Encoding, at: u32, message: Message<'_>) -> bool {
        encoding == Encoding::PLAIN || self.need_other(encoding, at, message)
    }

    fn need_other(&mut self, encoding: Encoding, at: u32, message: Message<'_>) -> bool {
        if encoding.is_events() && matches!(message, Message::Binary(_)) {
            return false;
        }
        self.needs_others = true;
        let needed = &mut self.encodings[encoding.index()].needed;
        if needed.last() != Some(&at) {
            needed.push(at);
        }
        true
    }

    /// Encodes the entries that are needed and not encoded yet. `encode` appends a whole frame.
    #[inline]
    pub(crate) fn complete(&mut self, encode: impl FnMut(Encoding, Entry<'_>, &mut Vec<u8>)) {
        if self.needs_others {
            self.complete_others(encode);
        }
    }

    fn complete_others(&mut self, mut encode: impl FnMut(Encoding, Entry<'_>, &mut Vec<u8>)) {
        let (plain, others) = self.encodings.split_first_mut().expect("the plain encoding is always there");
        for (frames, number) in others.iter_mut().zip(1..) {
            for at in frames.needed.drain(..) {
                frames.ends.resize(at as usize, frames.bytes.len());
                encode(Encoding(number), entry(&self.names, &self.entries, plain, at), &mut frames.bytes);
                frames.ends.push(frames.bytes.len());
            }
        }
    }

    /// Returns the frames of entries `from..to`, one after the other. `from` must be less than `to`.
    #[inline]
    pub(crate) fn frames(&self, encoding: Encoding, from: u32, to: u32) -> &[u8] {
        let frames = &self.encodings[encoding.index()];
        &frames.bytes[frames.start(from)..frames.ends[to as usize - 1]]
    }

    /// Returns an entry.
    pub(crate) fn entry(&self, at: u32) -> Entry<'_> {
        entry(&self.names, &self.entries, &self.encodings[0], at)
    }

    /// Returns the length of an entry's frame in bytes.
    pub(crate) fn frame_bytes(&self, encoding: Encoding, at: u32) -> usize {
        let frames = &self.encodings[encoding.index()];
        frames.ends[at as usize] - frames.start(at)
    }

    /// Returns an entry's frame in memory that all outboxes share, and the length in bytes of the topic's
    /// name in front of it. An announcement has no name there, so that it never replaces a topic's message.
    pub(crate) fn shared(&mut self, encoding: Encoding, at: u32) -> (Arc<[u8]>, usize) {
        let at = at as usize;
        let name_start = at.checked_sub(1).map_or(0, |before| self.entries[before].name_end);
        let entry = &self.entries[at];
        let name = match entry.kind {
            Kind::Publication => &self.names.as_bytes()[name_start..entry.name_end],
            Kind::Announcement => b"",
        };
        let Frames { bytes, ends, shared, .. } = &mut self.encodings[encoding.index()];
        if shared.len() <= at {
            shared.resize(at + 1, None);
        }
        let start = at.checked_sub(1).map_or(0, |before| ends[before]);
        let block = shared[at].get_or_insert_with(|| [name, &bytes[start..ends[at]]].concat().into());
        (block.clone(), name.len())
    }

    /// Removes all entries.
    pub(crate) fn clear(&mut self) {
        self.names.clear();
        self.entries.clear();
        let used = if std::mem::take(&mut self.needs_others) { Encoding::COUNT } else { 1 };
        for frames in &mut self.encodings[..used] {
            if frames.bytes.capacity() > KEPT_BYTES {
                *frames = Frames::default();
            }
            frames.bytes.clear();
            frames.ends.clear();
            frames.needed.clear();
            frames.shared.clear();
        }
    }
}

fn entry<'a>(names: &'a str, entries: &[Place], plain: &'a Frames, at: u32) -> Entry<'a> {
    let at = at as usize;
    let Place { kind, name_end, opcode, payload_start } = entries[at];
    let payload = &plain.bytes[payload_start..plain.ends[at]];
    let name_start = at.checked_sub(1).map_or(0, |before| entries[before].name_end);
    let message = match opcode {
        Opcode::Text => Message::Text(utf8::text(payload).unwrap_or_default()),
        _ => Message::Binary(payload),
    };
    Entry { kind, name: &names[name_start..name_end], message }
}

impl Frames {
    #[inline]
    fn start(&self, at: u32) -> usize {
        if at == 0 { 0 } else { self.ends[at as usize - 1] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_lie_one_after_the_other() {
        let mut batch = Batch::default();
        batch.push(Kind::Publication, "a", Message::Text("one"));
        batch.push(Kind::Announcement, "bb", Message::Binary(b"two"));
        batch.push(Kind::Publication, "c", Message::Text(""));
        assert_eq!(batch.len(), 3);
        assert_eq!(batch.frames(Encoding::PLAIN, 0, 3), b"\x81\x03one\x82\x03two\x81\x00");
        assert_eq!(batch.frames(Encoding::PLAIN, 1, 2), b"\x82\x03two");
        assert_eq!(batch.frame_bytes(Encoding::PLAIN, 2), 2);
        let (one, two) = (Message::Text("one"), Message::Binary(b"two"));
        assert_eq!(batch.entry(0), Entry { kind: Kind::Publication, name: "a", message: one });
        assert_eq!(batch.entry(1), Entry { kind: Kind::Announcement, name: "bb", message: two });
        let (block, name_bytes) = batch.shared(Encoding::PLAIN, 0);
        assert_eq!((&block[..], name_bytes), (&b"a\x81\x03one"[..], 1));
        assert!(Arc::ptr_eq(&block, &batch.shared(Encoding::PLAIN, 0).0), "made once");
        let (block, name_bytes) = batch.shared(Encoding::PLAIN, 1);
        assert_eq!((&block[..], name_bytes), (&b"\x82\x03two"[..], 0));
        batch.clear();
        assert_eq!(batch.len(), 0);
    }

    #[test]
    fn needed_entries_are_encoded_once() {
        let mut batch = Batch::default();
        let encoding = Encoding::deflated(15);
        assert_eq!((encoding.window_bits(), Encoding::PLAIN.window_bits()), (Some(15), None));
        let mut made = Vec::new();
        let frame = |entry: Entry<'_>| [b"<", entry.message.bytes(), b">"].concat();
        for at in 0..6u32 {
            let text = at.to_string();
            for _ in 0..3 {
                if at % 2 == 1 {
                    assert!(batch.need(encoding, at, Message::Text(&text)));
                }
                assert!(batch.need(Encoding::PLAIN, at, Message::Text(&text)));
            }
            batch.push(Kind::Publication, "t", Message::Text(&text));
            if at == 3 {
                batch.complete(|made_for, entry, out| {
                    made.push((made_for, frame(entry)));
                    out.extend_from_slice(&frame(entry));
                });
            }
        }
        batch.complete(|_, entry, out| out.extend_from_slice(&frame(entry)));
        assert_eq!(made, [(encoding, b"<1>".to_vec()), (encoding, b"<3>".to_vec())]);
        for (at, expected) in [(1, "<1>"), (3, "<3>"), (5, "<5>")] {
            assert_eq!(batch.frames(encoding, at, at + 1), expected.as_bytes());
        }
        assert_eq!(batch.shared(encoding, 3).0[..], *b"t<3>");
        batch.clear();
        assert_eq!((batch.len(), batch.encodings[encoding.index()].bytes.len()), (0, 0));
    }

    #[test]
    fn only_text_is_an_event() {
        let mut batch = Batch::default();
        for encoding in [Encoding::EVENTS, Encoding::BARE_EVENTS] {
            assert!(encoding.is_events() && encoding.window_bits().is_none());
            assert!(batch.need(encoding, 0, Message::Text("x")));
            assert!(!batch.need(encoding, 0, Message::Binary(b"x")));
        }
        for encoding in [Encoding::PLAIN, Encoding::deflated(9), Encoding::deflated(15)] {
            assert!(!encoding.is_events() && batch.need(encoding, 0, Message::Binary(b"x")));
        }
    }
}
