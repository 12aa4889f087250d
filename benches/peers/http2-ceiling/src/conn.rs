//! One connection: what was read of it, what waits to be written, and the client's windows.

use crate::frames::{self, Answers, Head, HEAD, LARGE_BYTES, PREFACE, SMALL_BYTES};
use std::collections::VecDeque;

/// What the loop has to do next.
pub enum Progress {
    Same,
    WaitToRead,
    WaitToWrite,
    Ended,
}

/// What the requests of a connection get.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Small,
    Large,
}

/// Why a connection ends.
struct Broken;

pub struct Conn {
    fd: i32,
    has_preface: bool,
    /// What the first request asks for, which is not known before.
    kind: Option<Kind>,
    /// The client's dynamic table has the fields of the answers.
    has_fields: bool,
    /// The beginning of a frame whose end has not arrived.
    partial: Vec<u8>,
    /// Frames that the socket did not take, from `written` on.
    pending: Vec<u8>,
    written: usize,
    /// Streams that get the large answer, and how much of the first one's is written.
    large: VecDeque<u32>,
    large_written: usize,
    /// What the client accepts: on the connection, and on each stream at its beginning.
    window: i64,
    initial_window: u32,
    /// DATA received since the last WINDOW_UPDATE.
    received: u32,
}

fn send(fd: i32, b: &[u8]) -> usize {
    // SAFETY: pointer and length of `b`.
    let n = unsafe { libc::send(fd, b.as_ptr().cast(), b.len(), libc::MSG_NOSIGNAL) };
    n.max(0) as usize
}

impl Conn {
    pub fn new(fd: i32) -> Conn {
        Conn {
            fd,
            has_preface: false,
            kind: None,
            has_fields: false,
            partial: Vec::new(),
            pending: Vec::new(),
            written: 0,
            large: VecDeque::new(),
            large_written: 0,
            window: i64::from(frames::WINDOW_DEFAULT),
            initial_window: frames::WINDOW_DEFAULT,
            received: 0,
        }
    }

    /// Reads once, and writes what the frames need.
    pub fn read(&mut self, buf: &mut [u8], out: &mut Vec<u8>, answers: &mut Answers) -> Progress {
        // SAFETY: pointer and length of `buf`.
        let n = unsafe { libc::recv(self.fd, buf.as_mut_ptr().cast(), buf.len(), 0) };
        if n <= 0 {
            return Progress::Ended;
        }
        let data = &buf[..n as usize];
        out.clear();
        let taken = if self.partial.is_empty() {
            self.frames(data, out, answers)
                .map(|rest| self.partial.extend_from_slice(rest))
        } else {
            let mut whole = std::mem::take(&mut self.partial);
            whole.extend_from_slice(data);
            self.frames(&whole, out, answers)
                .map(|rest| self.partial = rest.to_vec())
        };
        if taken.is_err() {
            return Progress::Ended;
        }
        let n = if out.is_empty() { 0 } else { send(self.fd, out) };
        if n < out.len() {
            self.pending.extend_from_slice(&out[n..]);
        }
        if self.write_pending(answers) {
            Progress::Same
        } else {
            Progress::WaitToWrite
        }
    }

    /// Writes what the socket did not take before.
    pub fn go_on_writing(&mut self, answers: &mut Answers) -> Progress {
        if self.write_pending(answers) {
            Progress::WaitToRead
        } else {
            Progress::Same
        }
    }

    /// Returns whether nothing waits for room in the socket. Large answers may still wait for the client's window.
    fn write_pending(&mut self, answers: &mut Answers) -> bool {
        if !self.pending.is_empty() {
            self.written += send(self.fd, &self.pending[self.written..]);
            if self.written < self.pending.len() {
                return false;
            }
            self.pending.clear();
            self.written = 0;
        }
        while let Some(&stream) = self.large.front() {
            if self.large_written == 0 && !self.take_window(LARGE_BYTES) {
                break;
            }
            let bytes = answers.large.template(self.has_fields).for_stream(stream);
            self.large_written += send(self.fd, &bytes[self.large_written..]);
            if self.large_written < bytes.len() {
                return false;
            }
            self.has_fields = true;
            self.large_written = 0;
            self.large.pop_front();
        }
        true
    }

    fn take_window(&mut self, bytes: usize) -> bool {
        let enough = self.window >= bytes as i64;
        self.window -= if enough { bytes as i64 } else { 0 };
        enough
    }

    /// Handles the complete frames, and returns what is left.
    fn frames<'d>(&mut self, data: &'d [u8], out: &mut Vec<u8>, answers: &mut Answers) -> Result<&'d [u8], Broken> {
        let mut rest = data;
        if !self.has_preface {
            if rest.len() < PREFACE.len() {
                return Ok(rest);
            }
            rest = rest.strip_prefix(PREFACE).ok_or(Broken)?;
            self.has_preface = true;
            frames::push_preface(out);
        }
        while let Some((head, after)) = rest.split_first_chunk::<HEAD>() {
            let head = Head::read(head);
            let Some((payload, after)) = after.split_at_checked(head.len) else {
                break;
            };
            self.frame(&head, payload, out, answers)?;
            rest = after;
        }
        Ok(rest)
    }

    #[inline]
    fn frame(&mut self, head: &Head, payload: &[u8], out: &mut Vec<u8>, answers: &mut Answers) -> Result<(), Broken> {
        match head.kind {
            frames::HEADERS if head.flags & frames::END_STREAM == 0 => {
                out.extend_from_slice(answers.echo.template(self.has_fields).for_stream(head.stream));
                self.has_fields = true;
            }
            frames::HEADERS => self.request(head.stream, payload, out, answers)?,
            frames::DATA => self.echo(head, payload, out)?,
            frames::SETTINGS if head.flags & frames::ACK == 0 => {
                self.initial_window = frames::initial_window(payload).unwrap_or(self.initial_window);
                frames::push(out, frames::SETTINGS, frames::ACK, 0, &[]);
            }
            frames::PING if head.flags & frames::ACK == 0 => frames::push(out, frames::PING, frames::ACK, 0, payload),
            frames::WINDOW_UPDATE if head.stream == 0 => {
                let added = payload.first_chunk::<4>().ok_or(Broken)?;
                self.window += i64::from(u32::from_be_bytes(*added) & frames::WINDOW_MAX);
            }
            _ => {}
        }
        Ok(())
    }

    /// A request without content.
    #[inline]
    fn request(&mut self, stream: u32, block: &[u8], out: &mut Vec<u8>, answers: &mut Answers) -> Result<(), Broken> {
        let kind = *self.kind.get_or_insert_with(|| {
            if frames::asks_for_large(block) {
                Kind::Large
            } else {
                Kind::Small
            }
        });
        if kind == Kind::Large {
            // A stream's window is never looked at again, so it must be large enough at the beginning.
            if (self.initial_window as usize) < LARGE_BYTES {
                return Err(Broken);
            }
            self.large.push_back(stream);
            return Ok(());
        }
        if !self.take_window(SMALL_BYTES) {
            return Err(Broken);
        }
        out.extend_from_slice(answers.small.template(self.has_fields).for_stream(stream));
        self.has_fields = true;
        Ok(())
    }

    /// Sends back what has been posted, frame by frame.
    fn echo(&mut self, head: &Head, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        if !self.take_window(payload.len()) {
            return Err(Broken);
        }
        frames::push(out, frames::DATA, head.flags & frames::END_STREAM, head.stream, payload);
        // Only the connection's window has to be replenished: a stream's is enough for 2 GiB.
        self.received += head.len as u32;
        if self.received > frames::WINDOW_MAX / 2 {
            frames::push(out, frames::WINDOW_UPDATE, 0, 0, &self.received.to_be_bytes());
            self.received = 0;
        }
        Ok(())
    }
}
