//! HTTP/2 frames: how to write them and how to read them (RFC 9113 §4.1 and §6).
//!
//! It knows no connection. Any frame can be written, also one that no correct peer sends.

use std::fmt;
use std::io::{self, ErrorKind, Read};

/// What a client sends first (RFC 9113 §3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The length of a frame's header.
pub const HEADER: usize = 9;

/// The types of frames.
pub mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// The flags of frames.
pub mod flag {
    pub const END_STREAM: u8 = 1;
    /// Of SETTINGS and PING.
    pub const ACK: u8 = 1;
    pub const END_HEADERS: u8 = 4;
    pub const PADDED: u8 = 8;
    pub const PRIORITY: u8 = 0x20;
}

/// The identifiers of settings (RFC 9113 §6.5.2, RFC 8441 §3).
pub mod setting {
    pub const HEADER_TABLE_SIZE: u16 = 1;
    pub const ENABLE_PUSH: u16 = 2;
    pub const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub const INITIAL_WINDOW_SIZE: u16 = 4;
    pub const MAX_FRAME_SIZE: u16 = 5;
    pub const MAX_HEADER_LIST_SIZE: u16 = 6;
    pub const ENABLE_CONNECT_PROTOCOL: u16 = 8;
}

/// The error codes (RFC 9113 §7).
pub mod code {
    pub const NO_ERROR: u32 = 0;
    pub const PROTOCOL_ERROR: u32 = 1;
    pub const INTERNAL_ERROR: u32 = 2;
    pub const FLOW_CONTROL_ERROR: u32 = 3;
    pub const SETTINGS_TIMEOUT: u32 = 4;
    pub const STREAM_CLOSED: u32 = 5;
    pub const FRAME_SIZE_ERROR: u32 = 6;
    pub const REFUSED_STREAM: u32 = 7;
    pub const CANCEL: u32 = 8;
    pub const COMPRESSION_ERROR: u32 = 9;
    pub const CONNECT_ERROR: u32 = 10;
    pub const ENHANCE_YOUR_CALM: u32 = 11;
    pub const INADEQUATE_SECURITY: u32 = 12;
    pub const HTTP_1_1_REQUIRED: u32 = 13;
}

/// One frame.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn new(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Frame {
        Frame { kind, flags, stream, payload: payload.into() }
    }

    pub fn data(stream: u32, data: impl Into<Vec<u8>>, end: bool) -> Frame {
        Frame::new(kind::DATA, if end { flag::END_STREAM } else { 0 }, stream, data)
    }

    /// Returns a HEADERS frame with a whole field block.
    pub fn headers(stream: u32, block: impl Into<Vec<u8>>, end: bool) -> Frame {
        let end = if end { flag::END_STREAM } else { 0 };
        Frame::new(kind::HEADERS, flag::END_HEADERS | end, stream, block)
    }

    pub fn continuation(stream: u32, block: impl Into<Vec<u8>>, last: bool) -> Frame {
        Frame::new(kind::CONTINUATION, if last { flag::END_HEADERS } else { 0 }, stream, block)
    }

    /// Returns a PRIORITY frame. `weight` is one less than the weight.
    pub fn priority(stream: u32, parent: u32, weight: u8) -> Frame {
        let mut payload = parent.to_be_bytes().to_vec();
        payload.push(weight);
        Frame::new(kind::PRIORITY, 0, stream, payload)
    }

    pub fn rst_stream(stream: u32, code: u32) -> Frame {
        Frame::new(kind::RST_STREAM, 0, stream, code.to_be_bytes())
    }

    pub fn settings(settings: &[(u16, u32)]) -> Frame {
        let entry = |(id, value): &(u16, u32)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
        Frame::new(kind::SETTINGS, 0, 0, settings.iter().flat_map(entry).collect::<Vec<u8>>())
    }

    pub fn settings_ack() -> Frame {
        Frame::new(kind::SETTINGS, flag::ACK, 0, [])
    }

    pub fn ping(payload: [u8; 8]) -> Frame {
        Frame::new(kind::PING, 0, 0, payload)
    }

    pub fn ping_ack(payload: [u8; 8]) -> Frame {
        Frame::new(kind::PING, flag::ACK, 0, payload)
    }

    pub fn goaway(last_stream: u32, code: u32) -> Frame {
        Frame::new(kind::GOAWAY, 0, 0, [last_stream.to_be_bytes(), code.to_be_bytes()].concat())
    }

    pub fn window_update(stream: u32, increment: u32) -> Frame {
        Frame::new(kind::WINDOW_UPDATE, 0, stream, increment.to_be_bytes())
    }

    /// Adds padding to a DATA or HEADERS frame.
    pub fn padded(mut self, octets: u8) -> Frame {
        self.flags |= flag::PADDED;
        self.payload.insert(0, octets);
        self.payload.resize(self.payload.len() + usize::from(octets), 0);
        self
    }

    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Returns the frame as it is on the wire, reserved bit included.
    ///
    /// # Panics
    /// If the payload is longer than a frame's length field can say.
    pub fn to_bytes(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len()).expect("no such length").to_be_bytes();
        assert_eq!(length[0], 0, "a payload of {} bytes", self.payload.len());
        let mut bytes = vec![length[1], length[2], length[3], self.kind, self.flags];
        bytes.extend_from_slice(&self.stream.to_be_bytes());
        bytes.extend_from_slice(&self.payload);
        bytes
    }

    /// Returns the first frame of `bytes` and its length, or `None` if it is incomplete.
    pub fn parse(bytes: &[u8]) -> Option<(Frame, usize)> {
        let header: &[u8; HEADER] = bytes.first_chunk()?;
        let end = HEADER + length(header);
        let payload = bytes.get(HEADER..end)?;
        Some((Frame { payload: payload.to_vec(), ..without_payload(header) }, end))
    }

    /// Reads one frame. Returns `None` if the stream ends in front of it.
    ///
    /// # Errors
    /// Those of the stream, and `UnexpectedEof` if it ends within a frame.
    pub fn read(stream: &mut impl Read) -> io::Result<Option<Frame>> {
        let mut header = [0; HEADER];
        let first = loop {
            match stream.read(&mut header) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        if first == 0 {
            return Ok(None);
        }
        stream.read_exact(&mut header[first..])?;
        let mut payload = vec![0; length(&header)];
        stream.read_exact(&mut payload)?;
        Ok(Some(Frame { payload, ..without_payload(&header) }))
    }

    /// Returns the payload of a DATA or HEADERS frame without padding and priority, or `None` if they are longer than it.
    pub fn content(&self) -> Option<&[u8]> {
        let mut content = &self.payload[..];
        if self.has(flag::PADDED) {
            let (&octets, rest) = content.split_first()?;
            content = rest.get(..rest.len().checked_sub(octets.into())?)?;
        }
        if self.kind == kind::HEADERS && self.has(flag::PRIORITY) {
            content = content.get(5..)?;
        }
        Some(content)
    }

    /// Returns the number that begins at `at` in the payload.
    pub fn number(&self, at: usize) -> Option<u32> {
        self.payload.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
    }

    /// Returns the entries of a SETTINGS frame, or `None` if one is incomplete.
    pub fn entries(&self) -> Option<Vec<(u16, u32)>> {
        let entry = |entry: &[u8; 6]| {
            let [a, b, value @ ..] = *entry;
            (u16::from_be_bytes([a, b]), u32::from_be_bytes(value))
        };
        let (entries, rest) = self.payload.as_chunks();
        rest.is_empty().then(|| entries.iter().map(entry).collect())
    }
}

fn length(header: &[u8; HEADER]) -> usize {
    u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize
}

fn without_payload(header: &[u8; HEADER]) -> Frame {
    // The reserved bit is ignored (RFC 9113 §4.1).
    let stream = u32::from_be_bytes([header[5], header[6], header[7], header[8]]) & 0x7fff_ffff;
    Frame { kind: header[3], flags: header[4], stream, payload: Vec::new() }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 10] = [
            "DATA",
            "HEADERS",
            "PRIORITY",
            "RST_STREAM",
            "SETTINGS",
            "PUSH_PROMISE",
            "PING",
            "GOAWAY",
            "WINDOW_UPDATE",
            "CONTINUATION",
        ];
        match NAMES.get(usize::from(self.kind)) {
            Some(name) => write!(f, "{name}")?,
            None => write!(f, "frame of type {}", self.kind)?,
        }
        let shown = &self.payload[..self.payload.len().min(64)];
        let (flags, stream, length) = (self.flags, self.stream, self.payload.len());
        write!(f, " flags {flags:#x} stream {stream} length {length} \"{}\"", shown.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(frame: Frame, bytes: &[u8]) {
        assert_eq!(frame.to_bytes(), bytes, "{frame:?}");
        assert_eq!(Frame::parse(bytes), Some((frame.clone(), bytes.len())));
        assert_eq!(Frame::parse(&bytes[..bytes.len() - 1]), None);
        assert_eq!(Frame::read(&mut &bytes[..]).unwrap(), Some(frame));
    }

    #[test]
    fn frames_are_written_and_read() {
        check(Frame::data(1, b"hi", true), b"\0\0\x02\0\x01\0\0\0\x01hi");
        check(Frame::data(1, b"hi", false).padded(2), b"\0\0\x05\0\x08\0\0\0\x01\x02hi\0\0");
        check(Frame::headers(3, b"\x82", false), b"\0\0\x01\x01\x04\0\0\0\x03\x82");
        check(Frame::priority(5, 3, 15), b"\0\0\x05\x02\0\0\0\0\x05\0\0\0\x03\x0f");
        check(Frame::rst_stream(1, code::CANCEL), b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08");
        check(Frame::settings(&[(4, 65536)]), b"\0\0\x06\x04\0\0\0\0\0\0\x04\0\x01\0\0");
        check(Frame::settings_ack(), b"\0\0\0\x04\x01\0\0\0\0");
        check(Frame::ping(*b"12345678"), b"\0\0\x08\x06\0\0\0\0\x0012345678");
        check(Frame::goaway(7, 1), b"\0\0\x08\x07\0\0\0\0\0\0\0\0\x07\0\0\0\x01");
        check(Frame::window_update(0, 1), b"\0\0\x04\x08\0\0\0\0\0\0\0\0\x01");
        check(Frame::continuation(3, b"", true), b"\0\0\0\x09\x04\0\0\0\x03");
    }

    #[test]
    fn the_reserved_bit_is_ignored() {
        let frame = Frame::data(0x8000_0001, b"", false);
        assert_eq!(Frame::parse(&frame.to_bytes()).map(|(frame, _)| frame.stream), Some(1));
    }

    #[test]
    fn content_is_what_is_not_padding_or_priority() {
        fn check(frame: Frame, content: Option<&[u8]>) {
            assert_eq!(frame.content(), content, "{frame:?}");
        }
        check(Frame::data(1, b"hi", false), Some(b"hi"));
        check(Frame::data(1, b"hi", false).padded(0), Some(b"hi"));
        check(Frame::data(1, b"hi", false).padded(255), Some(b"hi"));
        check(Frame::new(kind::DATA, flag::PADDED, 1, b""), None);
        check(Frame::new(kind::DATA, flag::PADDED, 1, b"\x01"), None);
        check(Frame::new(kind::DATA, flag::PADDED, 1, b"\x01\0"), Some(b""));
        check(Frame::new(kind::HEADERS, flag::PRIORITY, 1, b"\0\0\0\0\x0f\x82"), Some(b"\x82"));
        check(Frame::new(kind::HEADERS, flag::PRIORITY, 1, b"\0\0\0\0"), None);
        check(
            Frame::new(kind::HEADERS, flag::PRIORITY | flag::PADDED, 1, b"\x01\0\0\0\0\x0f\x82\0"),
            Some(b"\x82"),
        );
    }

    #[test]
    fn a_stream_ends_between_frames_or_within_one() {
        assert_eq!(Frame::read(&mut &b""[..]).unwrap(), None);
        assert_eq!(Frame::read(&mut &b"\0\0\x01\0"[..]).unwrap_err().kind(), ErrorKind::UnexpectedEof);
        assert_eq!(Frame::settings(&[(1, 2), (8, 1)]).entries(), Some(vec![(1, 2), (8, 1)]));
        assert_eq!(Frame::new(kind::SETTINGS, 0, 0, b"\0\x01\0\0\0").entries(), None);
    }
}
