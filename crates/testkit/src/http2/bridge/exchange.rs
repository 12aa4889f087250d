//! The exchanges of one HTTP/1.1 connection, one after the other.
//!
//! While a thread passes the content of a request on, another passes the response back.

use super::head::{self, Content, Request};
use super::incoming::{Incoming, Reader};
use super::link::{Item, Link};
use crate::http2::Field;
use crate::http2::frames::code;
use socket2::SockRef;
use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use tungstenite::handshake::derive_accept_key;

/// The longest head, and the longest line of chunked content.
const HEAD_BYTES: u64 = 1 << 20;
const LINE_BYTES: u64 = 64 << 10;

/// A connection of HTTP/1.1 and the one of HTTP/2 behind it.
pub struct Exchanges<'c> {
    link: Arc<Link>,
    client: &'c Arc<TcpStream>,
    incoming: Arc<Incoming>,
}

/// Whether another request may follow.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Request,
    End,
    /// The client is to see that the response is incomplete.
    Reset,
}

impl<'c> Exchanges<'c> {
    pub fn new(link: Arc<Link>, client: &'c Arc<TcpStream>) -> Exchanges<'c> {
        Exchanges { link, client, incoming: Arc::default() }
    }

    /// Carries requests until the client or the server ends the connection.
    pub fn run(self) {
        let _ = self.client.set_nodelay(true);
        let (incoming, client) = (self.incoming.clone(), self.client.clone());
        let reading = thread::spawn(move || incoming.read(&client));
        let retired = Arc::downgrade(&self.incoming);
        self.link.at_retirement(move || {
            if let Some(incoming) = retired.upgrade() {
                incoming.retire();
            }
        });
        let (incoming, client) = (self.incoming.clone(), self.client);
        let mut reader = Reader::new(&incoming);
        let mut next = Next::Request;
        while next == Next::Request && reader.has_next() {
            // An error is one of the client's socket: there is no reader for an answer.
            next = self.exchange(&mut reader).unwrap_or(Next::End);
        }
        // The connection to the server ends now, even if the client takes its time.
        drop(self);
        if next == Next::Reset {
            let _ = SockRef::from(&**client).set_linger(Some(Duration::ZERO));
            let _ = client.shutdown(Shutdown::Read);
        } else {
            // Closing with unread bytes would reset the connection, and the client might lose the last response.
            let _ = client.shutdown(Shutdown::Write);
            let _ = io::copy(&mut reader, &mut io::sink());
        }
        incoming.finish();
        let _ = client.shutdown(Shutdown::Read);
        let _ = reading.join();
    }

    fn exchange(&self, reader: &mut Reader<'_>) -> io::Result<Next> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let room = HEAD_BYTES.saturating_sub(head.len() as u64);
            if reader.by_ref().take(room).read_until(b'\n', &mut head)? == 0 {
                return match head.len() as u64 == HEAD_BYTES {
                    true => self.answer(431, "the head is too long for the bridge"),
                    false => Ok(Next::End),
                };
            }
            if head == b"\r\n" {
                head.clear(); // RFC 9112 §2.2
            }
        }
        match head::request(&head) {
            Err(problem) => self.answer(400, problem),
            Ok(request) if request.websocket_key.is_some() => self.tunnel(&request, reader),
            Ok(request) => self.carry(&request, reader),
        }
    }

    /// Carries an ordinary request and its response.
    fn carry(&self, request: &Request, reader: &mut Reader<'_>) -> io::Result<Next> {
        let has_content = !matches!(request.content, Content::None | Content::Length(0));
        let Some(stream) = self.link.open(&request.fields, !has_content) else { return Ok(Next::End) };
        // Content that is here is passed on before the response is looked at: an early one does not cut it off.
        let is_here = matches!(request.content, Content::Length(length) if reader.has(length));
        if is_here {
            self.upload(stream, request.content, reader)?;
        }
        let has_content = has_content && !is_here;
        let is_read = AtomicBool::new(!has_content);
        // The response may be here before the thread that has sent the end goes on.
        let is_uploaded = || is_read.load(Ordering::Acquire) || self.link.has_sent_end(stream);
        let next = thread::scope(|scope| {
            if has_content {
                scope.spawn(|| match self.upload(stream, request.content, reader) {
                    Ok(()) => {
                        is_read.store(true, Ordering::Release);
                        self.incoming.set_waiting(Some((self.link.clone(), stream)));
                    }
                    Err(_) => self.link.cancel(stream),
                });
            } else {
                self.incoming.set_waiting(Some((self.link.clone(), stream)));
            }
            let next = self.respond(stream, request, &is_uploaded);
            if !matches!(next, Ok(Next::Request)) && !is_uploaded() {
                // The client learns that the rest of its content is not wanted. It is read until the client ends.
                self.link.close(stream, code::CANCEL);
                if !matches!(next, Ok(Next::End)) || self.client.shutdown(Shutdown::Write).is_err() {
                    let _ = self.client.shutdown(Shutdown::Read);
                }
            }
            next
        });
        self.incoming.set_waiting(None);
        self.link.close(stream, code::CANCEL);
        next
    }

    /// Passes on the content of a request, and its trailers. What the server does not want is read and dropped.
    fn upload(&self, stream: u32, content: Content, reader: &mut Reader<'_>) -> io::Result<()> {
        match content {
            Content::None => {}
            Content::Length(length) => self.pass(stream, length, true, reader)?,
            Content::Chunked => loop {
                let line = line(reader)?;
                let digits = line.split(|octet| b"; \t".contains(octet)).next().unwrap_or_default();
                let digits = std::str::from_utf8(digits).map_err(io::Error::other)?;
                match u64::from_str_radix(digits, 16).map_err(io::Error::other)? {
                    0 => break self.trailers(stream, reader)?,
                    length => self.pass(stream, length, false, reader)?,
                }
                if !self::line(reader)?.is_empty() {
                    return Err(ErrorKind::InvalidData.into());
                }
            },
        }
        Ok(())
    }

    /// Passes on `length` bytes, with or without the end of the stream behind them.
    fn pass(&self, stream: u32, length: u64, end: bool, reader: &mut Reader<'_>) -> io::Result<()> {
        let mut left = length;
        while left > 0 {
            let arrived = reader.fill_buf()?;
            let piece = &arrived[..arrived.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
            if piece.is_empty() {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let length = piece.len();
            left -= length as u64;
            self.link.send(stream, piece, end && left == 0);
            reader.consume(length);
        }
        Ok(())
    }

    fn trailers(&self, stream: u32, reader: &mut Reader<'_>) -> io::Result<()> {
        let mut lines = Vec::new();
        loop {
            match line(reader)? {
                line if line.is_empty() => break,
                line => lines.extend([&line[..], b"\n"].concat()),
            }
        }
        let fields = head::fields(&lines).map_err(io::Error::other)?;
        if fields.is_empty() {
            self.link.send(stream, b"", true);
        } else {
            self.link.trailers(stream, &fields);
        }
        Ok(())
    }

    /// Passes the response back.
    fn respond(&self, stream: u32, request: &Request, is_uploaded: &dyn Fn() -> bool) -> io::Result<Next> {
        loop {
            match self.link.next(stream) {
                Item::Fields(fields, end) => match head::status(&fields) {
                    Some(status @ 100..200) => self.write(&head::response(status, &fields, ""))?,
                    Some(status) => {
                        let closes = status >= 400 && !is_uploaded();
                        return self.respond_with(stream, request, closes, status, &fields, end);
                    }
                    None => return self.answer(502, "the response has no status"),
                },
                Item::Reset(code) => {
                    return self.answer(502, &format!("the stream was reset with code {code}"));
                }
                Item::Data(..) => return self.answer(502, "the response has no head"),
                Item::Gone => return Ok(Next::End),
            }
        }
    }

    /// Passes back a response that is not interim.
    fn respond_with(
        &self,
        stream: u32,
        request: &Request,
        closes: bool,
        status: u16,
        fields: &[Field],
        end: bool,
    ) -> io::Result<Next> {
        let has_length = crate::http2::value(fields, "content-length").is_some();
        let has_no_content = request.is_head || matches!(status, 204 | 304);
        let is_chunked = !has_no_content && !has_length && !end && request.is_http11;
        // Without a length and chunks, the end of the connection is the end of the content.
        let closes = closes || request.closes || !is_chunked && !has_length && !end && !has_no_content;
        let mut lines = String::new();
        if is_chunked {
            lines += "transfer-encoding: chunked\r\n";
        } else if end && !has_length && !has_no_content {
            lines += "content-length: 0\r\n";
        }
        if closes {
            lines += "connection: close\r\n";
        }
        self.write(&head::response(status, fields, &lines))?;
        let mut has_ended = end;
        while !has_ended {
            match self.link.next(stream) {
                Item::Data(data, counted, end) => {
                    match is_chunked {
                        true if !data.is_empty() => self.write(&chunk(&data))?,
                        true => {}
                        false => self.write(&data)?,
                    }
                    self.link.grant(stream, counted);
                    if end && is_chunked {
                        self.write(b"0\r\n\r\n")?;
                    }
                    has_ended = end;
                }
                Item::Fields(trailers, _) => {
                    if is_chunked {
                        self.write(&[b"0\r\n", &head::field_lines(&trailers)[..], b"\r\n"].concat())?;
                    }
                    has_ended = true;
                }
                Item::Reset(_) | Item::Gone => return Ok(Next::End),
            }
        }
        Ok(if closes { Next::End } else { Next::Request })
    }

    /// Carries a WebSocket handshake, and what follows it if the server agrees (RFC 8441 §5).
    fn tunnel(&self, request: &Request, reader: &mut Reader<'_>) -> io::Result<Next> {
        if !self.link.allows_extended_connect() {
            return self.answer(501, "the server's settings do not allow extended CONNECT");
        }
        let Some(stream) = self.link.open(&request.fields, false) else { return Ok(Next::End) };
        let next = self.tunnel_on(stream, request, reader);
        self.incoming.set_waiting(None);
        self.link.close(stream, code::CANCEL);
        next
    }

    fn tunnel_on(&self, stream: u32, request: &Request, reader: &mut Reader<'_>) -> io::Result<Next> {
        self.incoming.set_waiting(Some((self.link.clone(), stream)));
        let (status, fields, end) = loop {
            match self.link.next(stream) {
                Item::Fields(fields, end) => match head::status(&fields) {
                    Some(status @ 100..200) => self.write(&head::response(status, &fields, ""))?,
                    Some(status) => break (status, fields, end),
                    None => return self.answer(502, "the response has no status"),
                },
                Item::Reset(code) => {
                    return self.answer(502, &format!("the stream was reset with code {code}"));
                }
                Item::Data(..) => return self.answer(502, "the response has no head"),
                Item::Gone => return Ok(Next::End),
            }
        };
        if !(200..300).contains(&status) {
            self.link.send(stream, b"", true);
            return self.respond_with(stream, request, false, status, &fields, end);
        }
        self.incoming.set_waiting(None);
        let key = request.websocket_key.as_deref().unwrap_or_default();
        let accept = derive_accept_key(key.as_bytes());
        let lines =
            format!("upgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: {accept}\r\n");
        self.write(&head::response(101, &fields, &lines))?;
        Ok(thread::scope(|scope| {
            scope.spawn(|| self.send_bytes(stream, reader));
            let next = match end {
                true => Next::End,
                false => self.receive_bytes(stream).unwrap_or(Next::Reset),
            };
            let ended = match next {
                Next::Reset => self.client.shutdown(Shutdown::Read),
                _ => self.client.shutdown(Shutdown::Write),
            };
            if ended.is_err() {
                self.link.cancel(stream);
            }
            next
        }))
    }

    /// Passes on what the client sends after the handshake, until it ends.
    fn send_bytes(&self, stream: u32, reader: &mut Reader<'_>) {
        loop {
            let length = match reader.fill_buf() {
                Ok([]) => {
                    self.link.send(stream, b"", true);
                    return;
                }
                // What the server does not want any more is read and dropped.
                Ok(bytes) => {
                    self.link.send(stream, bytes, false);
                    bytes.len()
                }
                Err(_) => return self.link.cancel(stream),
            };
            reader.consume(length);
        }
    }

    /// Passes back what the server sends after the handshake, until it ends or resets the stream.
    fn receive_bytes(&self, stream: u32) -> io::Result<Next> {
        loop {
            match self.link.next(stream) {
                Item::Data(data, counted, end) => {
                    self.write(&data)?;
                    self.link.grant(stream, counted);
                    if end {
                        return Ok(Next::End);
                    }
                }
                Item::Fields(..) => return Ok(Next::End),
                Item::Reset(code::NO_ERROR) => return Ok(Next::End),
                Item::Reset(_) | Item::Gone => return Ok(Next::Reset),
            }
        }
    }

    /// Answers in the bridge's own name, after which the connection ends.
    fn answer(&self, status: u16, text: &str) -> io::Result<Next> {
        let text = format!("bridge: {text}\n");
        let lines =
            format!("content-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n", text.len());
        self.write(&[&head::response(status, &[], &lines)[..], text.as_bytes()].concat())?;
        Ok(Next::End)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        (&**self.client).write_all(bytes)
    }
}

/// Takes a line without its end.
fn line(reader: &mut Reader<'_>) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    reader.take(LINE_BYTES).read_until(b'\n', &mut line)?;
    match line.strip_suffix(b"\r\n") {
        Some(line) => Ok(line.to_vec()),
        None => Err(ErrorKind::UnexpectedEof.into()),
    }
}

fn chunk(data: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat()
}
