//! What a client has sent: when its frames have arrived, and which SETTINGS are not acknowledged.

use super::http2_stream::Played;
use fleeting_testkit::http2::frames::{Frame, PREFACE, kind};
use std::collections::BTreeMap;

/// What a client has sent.
pub struct Sent {
    pub bytes: usize,
    /// Where each frame begins, and when its first byte arrived, in milliseconds. The preface and each field block count as one.
    frames: Vec<(usize, Option<u64>)>,
}

impl Default for Sent {
    fn default() -> Sent {
        Sent { bytes: 0, frames: vec![(0, None)] }
    }
}

impl Sent {
    /// Whole frames are sent.
    pub fn note(&mut self, output: &[u8]) {
        let mut at = if self.bytes == 0 { PREFACE.len() } else { 0 };
        while let Some((frame, length)) = output.get(at..).and_then(Frame::parse) {
            if frame.kind != kind::CONTINUATION {
                self.frames.push((self.bytes + at, None));
            }
            at += length;
        }
        self.bytes += output.len();
    }

    /// The number of bytes that have arrived by now.
    pub fn note_arrival(&mut self, arrived: usize, now: u64) {
        let begun = self.frames.iter_mut().rev().filter(|(start, _)| *start < arrived);
        begun.take_while(|(_, at)| at.is_none()).for_each(|(_, at)| *at = Some(now));
    }

    /// Returns when the frame began to arrive of which the server has read a part.
    pub fn began(&self, read: usize) -> Option<u64> {
        let next = self.frames.partition_point(|(start, _)| *start < read);
        let (_, began) = *self.frames.get(next.checked_sub(1)?)?;
        let end = self.frames.get(next).map_or(self.bytes, |(start, _)| *start);
        began.filter(|_| read < end)
    }

    /// Returns when the first byte arrived.
    pub fn first(&self) -> Option<u64> {
        self.frames[0].1
    }
}

/// SETTINGS that were sent, and are not acknowledged.
pub struct Change {
    pub at: usize,
    /// The change of the windows of the streams up to `last_stream`.
    pub change: i64,
    pub last_stream: u32,
    pub is_applied: bool,
}

impl Change {
    pub fn apply(&self, streams: &mut BTreeMap<u32, Played>) {
        streams.range_mut(..=self.last_stream).for_each(|(_, stream)| stream.window += self.change);
    }
}
