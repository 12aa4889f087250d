//! Compares the parsing of envelopes between servers with a second parser that reads byte by byte.

use fleeting::ws::Message;
use fleeting_store::{Content, Envelope};
use std::time::Duration;

/// The maximum number of cuts and changes tried per input.
const TRIES_MAX: usize = 200;

/// Panics unless the bytes are parsed as by `read` and encode to the same bytes. No part of an envelope may parse as an
/// envelope, and one with a changed byte must still be parsed as by `read`. The first byte of the input is the change.
pub fn envelope(bytes: &[u8]) {
    let Some((&change, bytes)) = bytes.split_first() else { return };
    if !check(bytes) {
        return;
    }
    for length in (0..bytes.len()).rev().take(TRIES_MAX) {
        assert!(!check(&bytes[..length]), "{length} of {} bytes", bytes.len());
    }
    let mut changed = bytes.to_vec();
    for at in 0..bytes.len().min(TRIES_MAX) {
        changed[at] ^= change;
        check(&changed);
        changed[at] = bytes[at];
    }
    changed.push(change);
    assert!(!check(&changed), "one byte more");
}

/// Parses the bytes both ways. Returns whether they are an envelope.
fn check(bytes: &[u8]) -> bool {
    let (found, expected) = (Envelope::parse(bytes), read(bytes));
    assert_eq!(found, expected.as_ref().map(Read::envelope), "{}", bytes.escape_ascii());
    if let Some(envelope) = found {
        let mut written = Vec::new();
        envelope.encode(&mut written);
        assert_eq!(written, bytes);
    }
    found.is_some()
}

/// The result of the second parser.
struct Read {
    kind: u8,
    incarnation: u64,
    number: u64,
    last_us: u64,
    node: String,
    topic: String,
    payload: Vec<u8>,
}

impl Read {
    fn envelope(&self) -> Envelope<'_> {
        let content = match self.kind {
            0 => Content::Heartbeat,
            1 => {
                Content::Publication(&self.topic, Message::Text(std::str::from_utf8(&self.payload).unwrap()))
            }
            _ => Content::Publication(&self.topic, Message::Binary(&self.payload)),
        };
        let last_ago = (self.last_us != u64::MAX).then(|| Duration::from_micros(self.last_us));
        Envelope { node: &self.node, incarnation: self.incarnation, number: self.number, last_ago, content }
    }
}

fn read(bytes: &[u8]) -> Option<Read> {
    let mut bytes = bytes.iter().copied();
    let number = |count: usize, bytes: &mut dyn Iterator<Item = u8>| -> Option<u64> {
        let mut number = 0;
        for _ in 0..count {
            number = number * 256 + u64::from(bytes.next()?);
        }
        Some(number)
    };
    let version = number(1, &mut bytes)?;
    let kind = number(1, &mut bytes)? as u8;
    let (incarnation, count) = (number(8, &mut bytes)?, number(8, &mut bytes)?);
    let last_us = number(8, &mut bytes)?;
    let mut parts = Vec::new();
    for size in [1, 4, 4] {
        let length = number(size, &mut bytes)?;
        // The length is not trusted: this takes at most the bytes that are left.
        let part: Vec<u8> = bytes.by_ref().take(length as usize).collect();
        if part.len() as u64 != length {
            return None;
        }
        parts.push(part);
    }
    let payload = parts.pop()?;
    let topic = String::from_utf8(parts.pop()?).ok()?;
    let node = String::from_utf8(parts.pop()?).ok()?;
    let good = match kind {
        0 => topic.is_empty() && payload.is_empty(),
        1 => count > 0 && std::str::from_utf8(&payload).is_ok(),
        2 => count > 0,
        _ => false,
    };
    let named = !node.is_empty() && node.len() <= 64;
    let whole = version == 2 && good && named && bytes.next().is_none();
    whole.then_some(Read { kind, incarnation, number: count, last_us, node, topic, payload })
}
