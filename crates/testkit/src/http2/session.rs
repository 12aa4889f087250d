//! One end of an HTTP/2 connection, without a socket: frames in, events and bytes out.
//!
//! It checks what the peer sends against RFC 9113, and keeps the windows of both sides. An error is a sentence: the peer is broken.

use super::event::Event;
use super::frames::{Frame, PREFACE, flag, kind, setting};
use super::hpack::{Decoder, Encoder, TABLE_SIZE};
use super::settings::{FRAME_MAX, Settings, WINDOW, WINDOW_MAX};
use std::collections::{HashMap, VecDeque};

/// Which windows are opened again as soon as data has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Windows {
    /// Those of the connection and of the streams.
    Open,
    /// That of the connection. The owner opens a stream's with [`Session::grant`].
    OfConnection,
    /// None.
    Closed,
}

#[derive(Debug, Default)]
struct Stream {
    /// The bytes that may be sent, and received.
    send: i64,
    receive: i64,
    sent_end: bool,
    received_head: bool,
    received_end: bool,
    /// One of the two sides has reset it, or the peer.
    is_reset: bool,
    peer_reset: bool,
}

/// A field block of which more is to come.
#[derive(Debug)]
struct Block {
    stream: u32,
    end: bool,
    fragments: Vec<u8>,
}

/// One end of a connection.
#[derive(Debug)]
pub struct Session {
    pub encoder: Encoder,
    pub windows: Windows,
    /// Whether SETTINGS and PING are acknowledged. They are unless an owner changes it.
    pub acknowledges: bool,
    /// The peer's settings, once its first SETTINGS have arrived.
    pub settings: Option<Settings>,
    /// Bytes to send.
    pub output: Vec<u8>,
    is_server: bool,
    decoder: Decoder,
    /// The own settings, and changes to them that the peer has not acknowledged.
    own: Settings,
    sent: VecDeque<Vec<(u16, u32)>>,
    send: i64,
    receive: i64,
    streams: HashMap<u32, Stream>,
    block: Option<Block>,
    next_stream: u32,
}

impl Session {
    /// Begins as a client does, with the preface and these settings.
    pub fn client(settings: &[(u16, u32)]) -> Session {
        let mut session = Session::new(false);
        session.output.extend_from_slice(PREFACE);
        session.set(settings);
        session
    }

    /// Begins as a server does, with these settings. Its owner reads the client's preface.
    pub fn server(settings: &[(u16, u32)]) -> Session {
        let mut session = Session::new(true);
        session.set(settings);
        session
    }

    fn new(is_server: bool) -> Session {
        Session {
            encoder: Encoder::default(),
            windows: Windows::Open,
            acknowledges: true,
            settings: None,
            output: Vec::new(),
            is_server,
            decoder: Decoder::default(),
            own: Settings::default(),
            sent: VecDeque::new(),
            send: WINDOW,
            receive: WINDOW,
            streams: HashMap::new(),
            block: None,
            next_stream: if is_server { 2 } else { 1 },
        }
    }

    /// Changes the own settings.
    pub fn set(&mut self, settings: &[(u16, u32)]) {
        self.put(&Frame::settings(settings));
        // What becomes larger may be used at once, what becomes smaller applies from the acknowledgment on. The first settings
        // arrive before anything that the peer could send too much of.
        let is_first = self.settings.is_none() && self.sent.is_empty();
        for &(id, value) in settings {
            self.apply_own(id, value, is_first, false);
        }
        self.sent.push_back(settings.to_vec());
    }

    fn apply_own(&mut self, id: u16, value: u32, is_first: bool, is_acknowledged: bool) {
        let (size, may_shrink) = (value as usize, is_first || is_acknowledged);
        match id {
            setting::INITIAL_WINDOW_SIZE if may_shrink || i64::from(value) > self.own.window => {
                let change = i64::from(value) - self.own.window;
                self.own.window = value.into();
                self.streams.values_mut().for_each(|stream| stream.receive += change);
            }
            setting::MAX_FRAME_SIZE if may_shrink || size > self.own.frame_bytes_max => {
                self.own.frame_bytes_max = size;
            }
            setting::HEADER_TABLE_SIZE if is_acknowledged || size > self.own.table_bytes_max => {
                self.own.table_bytes_max = size;
                self.decoder.set_limit(size);
            }
            _ => {}
        }
    }

    /// Adds a frame to the output, whatever it means.
    pub fn put(&mut self, frame: &Frame) {
        self.output.extend_from_slice(&frame.to_bytes());
    }

    /// Sends the head of a new stream. Returns the stream.
    pub fn open<N: AsRef<[u8]>, V: AsRef<[u8]>>(&mut self, fields: &[(N, V)], end: bool) -> u32 {
        let stream = self.next_stream;
        self.next_stream += 2;
        let window = self.settings.as_ref().map_or(WINDOW, |settings| settings.window);
        self.streams.insert(stream, Stream { send: window, receive: self.own.window, ..Stream::default() });
        self.fields(stream, fields, end);
        stream
    }

    /// Sends a field section on an open stream: a response's head, or trailers.
    pub fn fields<N: AsRef<[u8]>, V: AsRef<[u8]>>(&mut self, stream: u32, fields: &[(N, V)], end: bool) {
        let block = self.encoder.encode(fields);
        let frame_max = self.settings.as_ref().map_or(FRAME_MAX, |settings| settings.frame_bytes_max);
        let (first, rest) = block.split_at(block.len().min(frame_max));
        let mut frame = Frame::headers(stream, first, end);
        if !rest.is_empty() {
            frame.flags &= !flag::END_HEADERS;
        }
        self.put(&frame);
        let count = rest.chunks(frame_max).len();
        for (at, fragment) in rest.chunks(frame_max).enumerate() {
            self.put(&Frame::continuation(stream, fragment, at + 1 == count));
        }
        self.sent_end(stream, end);
    }

    /// Returns how much of `length` bytes the windows allow to send now.
    pub fn sendable(&self, stream: u32, length: usize) -> usize {
        let window = self.streams.get(&stream).map_or(0, |stream| stream.send).min(self.send);
        length.min(usize::try_from(window).unwrap_or(0))
    }

    /// Sends as much data as the windows allow, and the end of the stream with the last of it. Returns the number of bytes.
    pub fn data(&mut self, stream: u32, data: &[u8], end: bool) -> usize {
        let length = self.sendable(stream, data.len());
        let is_all = length == data.len();
        let frame_max = self.settings.as_ref().map_or(FRAME_MAX, |settings| settings.frame_bytes_max);
        let mut rest = &data[..length];
        loop {
            let (piece, behind) = rest.split_at(rest.len().min(frame_max));
            let is_last = is_all && end && behind.is_empty();
            if !piece.is_empty() || is_last {
                self.put(&Frame::data(stream, piece, is_last));
            }
            rest = behind;
            if rest.is_empty() {
                break;
            }
        }
        self.send -= length as i64;
        if let Some(stream) = self.streams.get_mut(&stream) {
            stream.send -= length as i64;
        }
        self.sent_end(stream, end && is_all);
        length
    }

    fn sent_end(&mut self, stream: u32, end: bool) {
        if let Some(stream) = self.streams.get_mut(&stream) {
            stream.sent_end |= end;
        }
    }

    /// Resets a stream, unless it has ended.
    pub fn reset(&mut self, stream: u32, code: u32) {
        if self.is_open(stream) {
            self.put(&Frame::rst_stream(stream, code));
            self.streams.entry(stream).and_modify(|stream| stream.is_reset = true);
        }
    }

    /// Returns whether a stream has not ended on both sides.
    pub fn is_open(&self, stream: u32) -> bool {
        self.streams.get(&stream).is_some_and(|s| !(s.is_reset || s.sent_end && s.received_end))
    }

    /// Returns whether a stream accepts data of this side.
    pub fn is_writable(&self, stream: u32) -> bool {
        self.streams.get(&stream).is_some_and(|stream| !stream.is_reset && !stream.sent_end)
    }

    /// Returns whether the end of a stream was sent.
    pub fn has_sent_end(&self, stream: u32) -> bool {
        self.streams.get(&stream).is_some_and(|stream| stream.sent_end)
    }

    /// Returns how much the peer may still send on a stream.
    pub fn receive_window(&self, stream: u32) -> i64 {
        self.streams.get(&stream).map_or(0, |stream| stream.receive).min(self.receive)
    }

    /// Opens the window of a stream, or of the connection if `stream` is 0, by `bytes` bytes.
    pub fn grant(&mut self, stream: u32, bytes: u32) {
        if stream == 0 {
            self.receive += i64::from(bytes);
        } else if let Some(stream) = self.streams.get_mut(&stream)
            && !stream.received_end
            && !stream.is_reset
        {
            stream.receive += i64::from(bytes);
        } else {
            return;
        }
        if bytes > 0 {
            self.put(&Frame::window_update(stream, bytes));
        }
    }

    /// Takes the peer's next frame.
    ///
    /// # Errors
    /// A sentence on what a correct peer would not have sent.
    pub fn receive(&mut self, frame: &Frame) -> Result<Event, String> {
        self.check(frame).map_err(|problem| format!("{problem}: {frame:?}"))?;
        let event = match frame.kind {
            kind::DATA => self.receive_data(frame),
            kind::HEADERS => self.receive_headers(frame),
            kind::CONTINUATION => self.receive_continuation(frame),
            kind::RST_STREAM => match self.streams.get_mut(&frame.stream) {
                Some(stream) => {
                    (stream.is_reset, stream.peer_reset) = (true, true);
                    Ok(Event::Reset { stream: frame.stream, code: frame.number(0).unwrap_or_default() })
                }
                None => Err("RST_STREAM on an idle stream".into()),
            },
            kind::SETTINGS if frame.has(flag::ACK) => self.acknowledged(),
            kind::SETTINGS => self.receive_settings(&frame.entries().unwrap_or_default()),
            kind::PUSH_PROMISE => Err("a push that was not allowed".into()),
            kind::PING => {
                let payload = frame.payload[..].try_into().map_err(|_| "a PING that is not 8 bytes long")?;
                if frame.has(flag::ACK) {
                    return Ok(Event::Pong(payload));
                }
                if self.acknowledges {
                    self.put(&Frame::ping_ack(payload));
                }
                Ok(Event::Nothing)
            }
            kind::GOAWAY => match (frame.number(0), frame.number(4)) {
                (Some(last_stream), Some(code)) => {
                    Ok(Event::GoAway { last_stream, code, debug: frame.payload[8..].to_vec() })
                }
                _ => Err("GOAWAY is too short".into()),
            },
            kind::WINDOW_UPDATE => self.receive_window_update(frame),
            // Unknown types are ignored (RFC 9113 §5.5).
            _ => Ok(Event::Nothing),
        };
        event.map_err(|problem: String| format!("{problem}: {frame:?}"))
    }

    /// Checks what does not depend on the type, and the fixed lengths (RFC 9113 §4.2, §6).
    fn check(&self, frame: &Frame) -> Result<(), &'static str> {
        let is_of_stream = match frame.kind {
            kind::DATA | kind::HEADERS | kind::PRIORITY | kind::RST_STREAM | kind::CONTINUATION => Some(true),
            kind::SETTINGS | kind::PING | kind::GOAWAY => Some(false),
            _ => None,
        };
        let has_its_length = match frame.kind {
            kind::SETTINGS if frame.has(flag::ACK) => frame.payload.is_empty(),
            kind::SETTINGS => frame.payload.len().is_multiple_of(6),
            kind::RST_STREAM | kind::WINDOW_UPDATE => frame.payload.len() == 4,
            kind::PRIORITY => frame.payload.len() == 5,
            kind::PING => frame.payload.len() == 8,
            _ => true,
        };
        let continues = self.block.as_ref().map(|block| (kind::CONTINUATION, block.stream));
        if self.settings.is_none() && (frame.kind != kind::SETTINGS || frame.has(flag::ACK)) {
            Err("the first frame is not SETTINGS") // RFC 9113 §3.4
        } else if frame.payload.len() > self.own.frame_bytes_max {
            Err("a frame is too long")
        } else if !has_its_length {
            Err("a frame of a wrong length")
        } else if is_of_stream.is_some_and(|is_of_stream| is_of_stream != (frame.stream != 0)) {
            Err("a frame on a wrong stream")
        } else if self.streams.get(&frame.stream).is_some_and(|stream| stream.peer_reset)
            && frame.kind < kind::PUSH_PROMISE
            && frame.kind != kind::PRIORITY
        {
            Err("a frame after RST_STREAM") // RFC 9113 §6.4
        } else if continues.is_some_and(|continues| continues != (frame.kind, frame.stream)) {
            Err("a frame within a field block") // RFC 9113 §4.3
        } else {
            Ok(())
        }
    }

    fn receive_data(&mut self, frame: &Frame) -> Result<Event, String> {
        let content = frame.content().ok_or("more padding than payload")?;
        let (counted, end) = (frame.payload.len() as u32, frame.has(flag::END_STREAM));
        self.receive -= i64::from(counted);
        let stream = self.streams.get_mut(&frame.stream).ok_or("DATA on an idle stream")?;
        stream.receive -= i64::from(counted);
        // RFC 9113 §6.9: what is empty needs no window.
        if counted > 0 && (self.receive < 0 || stream.receive < 0) {
            return Err("DATA exceeds a window".into()); // RFC 9113 §6.9.1
        }
        let is_reset = stream.is_reset;
        if !is_reset {
            if !stream.received_head || stream.received_end {
                return Err("DATA before the head or after the end of its stream".into());
            }
            stream.received_end = end;
        }
        if self.windows != Windows::Closed {
            self.grant(0, counted);
        }
        if self.windows == Windows::Open {
            self.grant(frame.stream, counted);
        }
        // What was on its way when the stream was reset is ignored (RFC 9113 §5.1).
        Ok(match is_reset {
            true => Event::Nothing,
            false => Event::Data { stream: frame.stream, data: content.to_vec(), counted, end },
        })
    }

    fn receive_headers(&mut self, frame: &Frame) -> Result<Event, String> {
        let content = frame.content().ok_or("more padding than payload")?;
        if self.is_server && !self.streams.contains_key(&frame.stream) {
            let window = self.settings.as_ref().map_or(WINDOW, |settings| settings.window);
            let stream = Stream { send: window, receive: self.own.window, ..Stream::default() };
            self.streams.insert(frame.stream, stream);
        }
        let stream = self.streams.get(&frame.stream).ok_or("HEADERS on an idle stream")?;
        if stream.received_end && !stream.is_reset {
            return Err("HEADERS after the end of their stream".into());
        }
        let block =
            Block { stream: frame.stream, end: frame.has(flag::END_STREAM), fragments: content.to_vec() };
        self.take_block(block, frame.has(flag::END_HEADERS))
    }

    fn receive_continuation(&mut self, frame: &Frame) -> Result<Event, String> {
        let mut block = self.block.take().ok_or("CONTINUATION without HEADERS")?;
        block.fragments.extend_from_slice(&frame.payload);
        self.take_block(block, frame.has(flag::END_HEADERS))
    }

    fn take_block(&mut self, block: Block, is_whole: bool) -> Result<Event, String> {
        if !is_whole {
            self.block = Some(block);
            return Ok(Event::Nothing);
        }
        let fields = self.decoder.decode(&block.fragments).map_err(|error| format!("HPACK: {error:?}"))?;
        let stream = self.streams.get_mut(&block.stream).ok_or("the stream is unknown")?;
        if stream.is_reset {
            return Ok(Event::Nothing);
        }
        stream.received_head = true;
        stream.received_end = block.end;
        Ok(Event::Fields { stream: block.stream, fields, end: block.end })
    }

    fn acknowledged(&mut self) -> Result<Event, String> {
        let settings = self.sent.pop_front().ok_or("an acknowledgment of no SETTINGS")?;
        for (id, value) in settings {
            self.apply_own(id, value, false, true);
        }
        Ok(Event::Nothing)
    }

    fn receive_settings(&mut self, entries: &[(u16, u32)]) -> Result<Event, String> {
        let mut settings = self.settings.clone().unwrap_or_default();
        let (window, table) = (settings.window, settings.table_bytes_max);
        settings.take(entries, self.is_server)?;
        for stream in self.streams.values_mut() {
            stream.send += settings.window - window;
        }
        if settings.table_bytes_max != table {
            self.encoder.resize(settings.table_bytes_max.min(TABLE_SIZE));
        }
        self.settings = Some(settings);
        if self.acknowledges {
            self.put(&Frame::settings_ack());
        }
        Ok(Event::Settings)
    }

    fn receive_window_update(&mut self, frame: &Frame) -> Result<Event, String> {
        let increment = i64::from(frame.number(0).unwrap_or_default() & 0x7fff_ffff);
        let window = match frame.stream {
            0 => &mut self.send,
            stream => &mut self.streams.get_mut(&stream).ok_or("WINDOW_UPDATE on an idle stream")?.send,
        };
        *window += increment;
        if increment == 0 || *window > WINDOW_MAX {
            return Err("WINDOW_UPDATE by nothing or by too much".into()); // RFC 9113 §6.9, §6.9.1
        }
        Ok(Event::Window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http2::frames::code;

    fn client() -> Session {
        let mut session = Session::client(&[(setting::INITIAL_WINDOW_SIZE, 10)]);
        session.windows = Windows::Closed;
        session.open(&[(":method", "GET"), (":path", "/")], true);
        session
    }

    /// Checks that a client takes all of these frames but the last.
    #[track_caller]
    fn check(frames: &[Frame], problem: &str) {
        let mut session = client();
        let (last, before) = frames.split_last().expect("a frame");
        for frame in before {
            session.receive(frame).unwrap_or_else(|problem| panic!("{problem}"));
        }
        let error = session.receive(last).expect_err("it is wrong");
        assert!(error.contains(problem), "{error}");
    }

    #[test]
    fn what_no_correct_server_sends_is_an_error() {
        let settings = || Frame::settings(&[]);
        let head = || Frame::headers(1, *b"\x88", false);
        check(&[Frame::ping([0; 8])], "first frame");
        check(&[Frame::settings_ack()], "first frame");
        check(&[Frame::settings(&[(setting::ENABLE_PUSH, 1)])], "ENABLE_PUSH");
        check(&[Frame::settings(&[(setting::MAX_FRAME_SIZE, 16_383)])], "MAX_FRAME_SIZE");
        check(&[Frame::settings(&[(setting::INITIAL_WINDOW_SIZE, 1 << 31)])], "INITIAL_WINDOW_SIZE");
        check(&[settings(), Frame::settings_ack(), Frame::settings_ack()], "acknowledgment of no");
        check(&[settings(), Frame::new(kind::PING, 0, 0, *b"short")], "wrong length");
        check(&[settings(), Frame::new(kind::PING, 0, 1, [0; 8])], "wrong stream");
        check(&[settings(), Frame::data(1, *b"x", false)], "before the head");
        check(&[settings(), Frame::data(3, *b"x", false)], "idle stream");
        check(&[settings(), Frame::headers(3, *b"\x88", false)], "idle stream");
        check(&[settings(), Frame::rst_stream(3, 0)], "idle stream");
        check(&[settings(), head(), Frame::data(1, [0; 11], false)], "exceeds a window");
        check(&[settings(), head(), Frame::data(1, [0; 1], false).padded(9)], "exceeds a window");
        check(&[settings(), head(), Frame::data(1, *b"", true), Frame::data(1, *b"", true)], "after the end");
        check(&[settings(), head(), Frame::rst_stream(1, 0), Frame::data(1, *b"", true)], "after RST_STREAM");
        check(&[settings(), Frame::headers(1, *b"\xff", false)], "HPACK");
        check(&[settings(), Frame::new(kind::HEADERS, 0, 1, *b"\x88"), settings()], "within a field block");
        check(&[settings(), Frame::continuation(1, *b"", true)], "without HEADERS");
        check(&[settings(), Frame::window_update(0, 0)], "WINDOW_UPDATE");
        check(&[settings(), Frame::window_update(0, 0x7fff_ffff)], "WINDOW_UPDATE");
        check(&[settings(), Frame::new(kind::PUSH_PROMISE, 0, 1, [0; 4])], "push");
        check(&[settings(), Frame::new(kind::DATA, 0, 1, [0; 16_385])], "too long");
    }

    #[test]
    fn the_end_needs_no_window() {
        let mut session = client();
        for frame in [Frame::settings(&[]), Frame::settings_ack(), Frame::headers(1, *b"\x88", false)] {
            session.receive(&frame).unwrap();
        }
        session.receive(&Frame::data(1, [0; 10], false)).unwrap();
        session.set(&[(setting::INITIAL_WINDOW_SIZE, 0)]);
        session.receive(&Frame::settings_ack()).unwrap();
        session.receive(&Frame::data(1, *b"", true)).unwrap();
    }

    #[test]
    fn windows_bound_what_is_sent() {
        let mut session = client();
        session.receive(&Frame::settings(&[(setting::INITIAL_WINDOW_SIZE, 5)])).unwrap();
        let stream = session.open(&[(":method", "POST")], false);
        assert_eq!(session.data(stream, b"12345678", true), 5);
        assert!(session.is_writable(stream));
        session.receive(&Frame::settings(&[(setting::INITIAL_WINDOW_SIZE, 2)])).unwrap();
        assert_eq!(session.sendable(stream, 3), 0);
        session.receive(&Frame::window_update(stream, 4)).unwrap();
        assert_eq!(session.data(stream, b"678", true), 1);
        session.receive(&Frame::window_update(stream, 100)).unwrap();
        session.output.clear();
        assert_eq!(session.data(stream, b"78", true), 2);
        assert_eq!(session.output, Frame::data(stream, *b"78", true).to_bytes());
        assert!(!session.is_writable(stream));
    }

    #[test]
    fn what_arrives_after_a_reset_is_ignored_but_decoded() {
        let mut session = client();
        session.receive(&Frame::settings(&[])).unwrap();
        let stream = session.open(&[(":method", "GET")], true);
        session.reset(1, code::CANCEL);
        let (name, indexed) = (b"\x40\x01a\x01b", b"\x88\xbe");
        assert_eq!(session.receive(&Frame::headers(1, *name, false)), Ok(Event::Nothing));
        assert_eq!(session.receive(&Frame::data(1, *b"x", true)), Ok(Event::Nothing));
        let fields = vec![(b":status".to_vec(), b"200".to_vec()), (b"a".to_vec(), b"b".to_vec())];
        let event = Event::Fields { stream, fields, end: true };
        assert_eq!(session.receive(&Frame::headers(stream, *indexed, true)), Ok(event));
    }

    #[test]
    fn a_reduced_table_is_announced() {
        let mut session = client();
        session.receive(&Frame::settings(&[(setting::HEADER_TABLE_SIZE, 0)])).unwrap();
        session.output.clear();
        session.open(&[(":method", "GET")], true);
        assert_eq!(session.output, Frame::headers(3, *b"\x20\x82", true).to_bytes());
    }
}
