//! Frames: their heads, types, flags and error codes (RFC 9113 §4, §6, §7).
//!
//! It knows no stream and no connection. Its invariant: what it writes is a complete frame.

/// What a client sends first (RFC 9113 §3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The length of a frame's head in bytes (RFC 9113 §4.1).
pub const FRAME_HEAD_BYTES: usize = 9;

/// The most bytes of payload that either side sends in one frame: no peer needs to allow more (RFC 9113 §6.5.2).
pub const FRAME_BYTES: usize = 16_384;

/// The largest window, and the largest increment of one (RFC 9113 §6.9.1).
pub const WINDOW_MAX: i64 = (1 << 31) - 1;

/// The window of a connection, and that of a stream unless settings say otherwise (RFC 9113 §6.9.2).
pub const WINDOW_INITIAL: i64 = 65_535;

/// The largest identifier of a stream (RFC 9113 §5.1.1).
pub const STREAM_MAX: u32 = (1 << 31) - 1;

/// The types of frames (RFC 9113 §6). Others are ignored (§5.5).
pub mod kind {
    /// Content (§6.1).
    pub const DATA: u8 = 0x0;
    /// The first part of a field block (§6.2).
    pub const HEADERS: u8 = 0x1;
    /// Deprecated (§6.3).
    pub const PRIORITY: u8 = 0x2;
    /// The end of a stream by an error (§6.4).
    pub const RST_STREAM: u8 = 0x3;
    /// Parameters of the connection (§6.5).
    pub const SETTINGS: u8 = 0x4;
    /// A response that was not asked for (§6.6), which this server never sends.
    pub const PUSH_PROMISE: u8 = 0x5;
    /// A question whether the peer is there (§6.7).
    pub const PING: u8 = 0x6;
    /// The beginning of the end of the connection (§6.8).
    pub const GOAWAY: u8 = 0x7;
    /// More room for content (§6.9).
    pub const WINDOW_UPDATE: u8 = 0x8;
    /// A further part of a field block (§6.10).
    pub const CONTINUATION: u8 = 0x9;
    /// The priority of a response (RFC 9218 §7.1), which this server checks and ignores.
    pub const PRIORITY_UPDATE: u8 = 0x10;
}

/// The flags of frames (RFC 9113 §6). Others are ignored.
pub mod flag {
    /// Of SETTINGS and PING: it answers one of the peer's.
    pub const ACK: u8 = 0x1;
    /// Of DATA and HEADERS: nothing follows on this stream but, after HEADERS, the rest of the field block.
    pub const END_STREAM: u8 = 0x1;
    /// Of HEADERS and CONTINUATION: the field block is complete.
    pub const END_HEADERS: u8 = 0x4;
    /// Of DATA and HEADERS: the payload begins with the length of the padding.
    pub const PADDED: u8 = 0x8;
    /// Of HEADERS: five bytes of priority precede the field block.
    pub const PRIORITY: u8 = 0x20;
}

/// The identifiers of settings (RFC 9113 §6.5.2, RFC 8441 §3). Others are ignored.
pub mod setting {
    /// The size of the table that the peer's decoder has for what we encode. Our encoder needs none.
    pub const HEADER_TABLE_SIZE: u16 = 0x1;
    /// Whether the server may push.
    pub const ENABLE_PUSH: u16 = 0x2;
    /// How many streams the peer may have open.
    pub const MAX_CONCURRENT_STREAMS: u16 = 0x3;
    /// The window of a new stream.
    pub const INITIAL_WINDOW_SIZE: u16 = 0x4;
    /// The most bytes of payload in a frame.
    pub const MAX_FRAME_SIZE: u16 = 0x5;
    /// The most bytes of a field section.
    pub const MAX_HEADER_LIST_SIZE: u16 = 0x6;
    /// The server understands extended CONNECT (RFC 8441).
    pub const ENABLE_CONNECT_PROTOCOL: u16 = 0x8;
    /// The server ignores RFC 7540's priorities (RFC 9218 §2.1).
    pub const NO_RFC7540_PRIORITIES: u16 = 0x9;
}

/// Why a stream or a connection ends (RFC 9113 §7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorCode(pub u32);

impl ErrorCode {
    /// Nothing is wrong.
    pub const NO_ERROR: ErrorCode = ErrorCode(0x0);
    /// A rule was broken for which there is no other code.
    pub const PROTOCOL_ERROR: ErrorCode = ErrorCode(0x1);
    /// The server has failed.
    pub const INTERNAL_ERROR: ErrorCode = ErrorCode(0x2);
    /// More was sent than the window allows.
    pub const FLOW_CONTROL_ERROR: ErrorCode = ErrorCode(0x3);
    /// The stream is closed already.
    pub const STREAM_CLOSED: ErrorCode = ErrorCode(0x5);
    /// The frame has the wrong size.
    pub const FRAME_SIZE_ERROR: ErrorCode = ErrorCode(0x6);
    /// Nothing was done for the request: it may be sent again.
    pub const REFUSED_STREAM: ErrorCode = ErrorCode(0x7);
    /// The stream is no longer wanted.
    pub const CANCEL: ErrorCode = ErrorCode(0x8);
    /// The field block cannot be decoded.
    pub const COMPRESSION_ERROR: ErrorCode = ErrorCode(0x9);
    /// The peer makes too much work.
    pub const ENHANCE_YOUR_CALM: ErrorCode = ErrorCode(0xb);
}

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHead {
    /// The length of the payload in bytes.
    pub length: usize,
    /// The type: see [`kind`].
    pub kind: u8,
    /// The flags: see [`flag`].
    pub flags: u8,
    /// The stream; 0 for the connection. The reserved bit is ignored.
    pub stream: u32,
}

impl FrameHead {
    /// Reads a head from the first bytes of a frame. Returns `None` if they are too few.
    #[inline]
    pub fn read(bytes: &[u8]) -> Option<FrameHead> {
        let [a, b, c, kind, flags, rest @ ..] = bytes.first_chunk::<FRAME_HEAD_BYTES>()?;
        Some(FrameHead {
            length: u32::from_be_bytes([0, *a, *b, *c]) as usize,
            kind: *kind,
            flags: *flags,
            stream: u32::from_be_bytes(*rest) & STREAM_MAX,
        })
    }

    /// Returns the head as it is sent. The length is less than 2^24.
    #[inline]
    pub fn bytes(self) -> [u8; FRAME_HEAD_BYTES] {
        let [_, a, b, c] = (self.length as u32).to_be_bytes();
        let [d, e, f, g] = self.stream.to_be_bytes();
        [a, b, c, self.kind, self.flags, d, e, f, g]
    }

    /// Whether a flag is set.
    #[inline]
    pub fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Whether what has arrived of a frame begins with the head of DATA.
pub fn is_content(bytes: &[u8]) -> bool {
    bytes.get(3) == Some(&kind::DATA)
}

/// Whether what has arrived of a frame begins with the head of HEADERS, which begin a field block.
#[inline]
pub fn begins_block(bytes: &[u8]) -> bool {
    bytes.get(3) == Some(&kind::HEADERS)
}

/// Appends a frame.
#[inline]
pub fn push_frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    out.extend_from_slice(&FrameHead { length: payload.len(), kind, flags, stream }.bytes());
    out.extend_from_slice(payload);
}

/// Appends a SETTINGS frame.
pub fn push_settings(out: &mut Vec<u8>, settings: &[(u16, u32)]) {
    let length = 6 * settings.len();
    out.extend_from_slice(&FrameHead { length, kind: kind::SETTINGS, flags: 0, stream: 0 }.bytes());
    for (id, value) in settings {
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// Appends an RST_STREAM frame.
pub fn push_reset(out: &mut Vec<u8>, stream: u32, code: ErrorCode) {
    push_frame(out, kind::RST_STREAM, 0, stream, &code.0.to_be_bytes());
}

/// Appends a WINDOW_UPDATE frame. The increment is at least 1.
pub fn push_window_update(out: &mut Vec<u8>, stream: u32, increment: u32) {
    push_frame(out, kind::WINDOW_UPDATE, 0, stream, &increment.to_be_bytes());
}

/// Appends a GOAWAY frame. Streams above `last_stream` were not looked at.
pub fn push_goaway(out: &mut Vec<u8>, last_stream: u32, code: ErrorCode, why: &str) {
    let length = 8 + why.len();
    out.extend_from_slice(&FrameHead { length, kind: kind::GOAWAY, flags: 0, stream: 0 }.bytes());
    out.extend_from_slice(&last_stream.to_be_bytes());
    out.extend_from_slice(&code.0.to_be_bytes());
    out.extend_from_slice(why.as_bytes());
}

/// Appends content as DATA frames. The last one has END_STREAM if `ends` is set; without content, that is an empty frame.
#[inline(always)]
pub fn push_data(out: &mut Vec<u8>, stream: u32, content: &[u8], ends: bool) {
    let last = if content.len() > FRAME_BYTES { push_full_frames(out, stream, content) } else { content };
    push_frame(out, kind::DATA, if ends { flag::END_STREAM } else { 0 }, stream, last);
}

/// Appends content as DATA frames, but for the last one. Returns the content of that.
#[inline(never)]
fn push_full_frames<'c>(out: &mut Vec<u8>, stream: u32, mut content: &'c [u8]) -> &'c [u8] {
    while content.len() > FRAME_BYTES {
        let (now, rest) = content.split_at(FRAME_BYTES);
        push_frame(out, kind::DATA, 0, stream, now);
        content = rest;
    }
    content
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_it_was_written() {
        let head =
            FrameHead { length: 0x01_02_03, kind: kind::DATA, flags: flag::PADDED, stream: 0x7fff_fffe };
        let mut bytes = head.bytes();
        assert_eq!(bytes, [1, 2, 3, 0, 8, 0x7f, 0xff, 0xff, 0xfe]);
        assert_eq!(FrameHead::read(&bytes), Some(head));
        bytes[5] |= 0x80;
        assert_eq!(FrameHead::read(&bytes), Some(head), "the reserved bit is ignored");
        assert_eq!(FrameHead::read(&bytes[..8]), None);
    }

    #[test]
    fn content_is_cut_into_frames() {
        fn check(length: usize, ends: bool, expected: &[(usize, u8)]) {
            let mut out = Vec::new();
            push_data(&mut out, 3, &vec![b'x'; length], ends);
            let (mut rest, mut found) = (&out[..], Vec::new());
            while let Some(head) = FrameHead::read(rest) {
                assert_eq!((head.kind, head.stream), (kind::DATA, 3));
                found.push((head.length, head.flags));
                rest = &rest[FRAME_HEAD_BYTES + head.length..];
            }
            assert_eq!(found, expected, "{length} bytes");
            assert!(rest.is_empty());
        }
        check(0, true, &[(0, 1)]);
        check(0, false, &[(0, 0)]);
        check(5, true, &[(5, 1)]);
        check(FRAME_BYTES, true, &[(FRAME_BYTES, 1)]);
        check(FRAME_BYTES + 1, true, &[(FRAME_BYTES, 0), (1, 1)]);
        check(2 * FRAME_BYTES, false, &[(FRAME_BYTES, 0), (FRAME_BYTES, 0)]);
    }

    #[test]
    fn frames_are_laid_out_as_the_rfc_says() {
        let mut out = Vec::new();
        push_settings(&mut out, &[(setting::MAX_CONCURRENT_STREAMS, 100)]);
        assert_eq!(out, [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100]);
        out.clear();
        push_goaway(&mut out, 5, ErrorCode::PROTOCOL_ERROR, "no");
        assert_eq!(out, [0, 0, 10, 7, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 1, b'n', b'o']);
        out.clear();
        push_reset(&mut out, 7, ErrorCode::CANCEL);
        push_window_update(&mut out, 0, 256);
        assert_eq!(out, [0, 0, 4, 3, 0, 0, 0, 0, 7, 0, 0, 0, 8, 0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
    }
}
