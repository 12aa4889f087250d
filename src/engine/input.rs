//! The path from the stream to a buffer.
//!
//! It knows bytes only. Its invariant: an edge-triggered event is not lost, because a stream is called drained only when
//! the next byte or the end will make another event.

use super::conn::Source;
use super::output::Io;
use crate::transport::Stream;
use std::io;

/// Reads once. Returns `None` if nothing came: the stream is drained, at its end, or has failed.
#[inline(always)]
pub(super) fn read<S: Stream>(io: &mut Io<S>, source: &mut Source, room: &mut [u8]) -> Option<usize> {
    loop {
        match io.stream.read(room) {
            Ok(0) => {
                *source = Source::Ended;
                return None;
            }
            Ok(bytes) => {
                // A short read has drained the stream: the next event is a new one. But the end that this event has
                // announced, or what is behind urgent data, is still to be read.
                if *source == Source::Ready && io.stream.is_drained_by(bytes, room.len()) {
                    *source = Source::Drained;
                }
                return Some(bytes);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                // If the system is short of memory, nobody will report when it is no longer: the stream stays ready.
                if error.kind() != io::ErrorKind::OutOfMemory {
                    *source = Source::Drained;
                    io.broken |= error.kind() != io::ErrorKind::WouldBlock;
                }
                return None;
            }
        }
    }
}
