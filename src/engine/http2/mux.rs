//! One HTTP/2 connection, as its own turn and its streams share it.
//!
//! It knows no stream of the system: frames gather here until the connection has its turn. Its invariants: content of a stream
//! is taken only as far as the windows and the room here allow, and what is refused is offered again when there is more; a
//! stream's frames are in the order in which they were written.

use super::begun::Begun;
use super::post::{Post, Task};
use super::record::Record;
use super::text::ContentForm;
use crate::app::ConnId;
use crate::buffer::{Charge, NoMemory};
use crate::http1::Fields;
use crate::http2::{
    Connection, ErrorCode, FRAME_BYTES, FRAME_HEAD_BYTES, FrameHead, closes, flag, is_interim, kind,
    split_head,
};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::rc::Rc;

/// Content of streams that gathers before the connection has sent it.
const OUT_BYTES: usize = 64 << 10;
/// What a stream may put there at once while others wait.
const SHARE_BYTES: usize = FRAME_BYTES;

/// A connection, and what its streams have to send.
pub(in crate::engine) struct Mux {
    pub(in crate::engine) core: Connection<Record>,
    /// Frames that the connection's next turn sends. It has memory only while there are any.
    pub(in crate::engine) out: Vec<u8>,
    /// Bytes that have left `out`.
    passed: u64,
    owner: ConnId,
    post: Rc<Post>,
    /// The connection is posted to send.
    is_posted: bool,
    /// The connection has sent less than it was given: nothing more is taken.
    is_blocked: bool,
    /// Streams that have been refused room.
    waiting: usize,
    /// The stream that was woken and then sent something last.
    last_served: u32,
    /// A bound on what the connection holds unsent, which its next turn sets.
    unsent_bytes: Option<u32>,
    /// Bytes of the next frame that are needed.
    pub(in crate::engine) wants: usize,
    /// For frames and the list of streams: the most that they have had since frames last left, or since no stream was open.
    charge: Charge,
}

impl Mux {
    pub(in crate::engine) fn new(owner: ConnId, post: Rc<Post>) -> Mux {
        Mux {
            core: Connection::new(),
            out: Vec::new(),
            passed: 0,
            charge: post.spare.account(),
            owner,
            post,
            is_posted: false,
            is_blocked: false,
            waiting: 0,
            last_served: 0,
            unsent_bytes: None,
            wants: 0,
        }
    }

    /// Opens the stream of the request that has just arrived: see [`Connection::open`].
    pub(super) fn open(&mut self, id: u32, ends: bool, content_length: Option<u64>, form: ContentForm) {
        self.core.streams.lend(|| self.post.spare.take_streams());
        self.core.open(id, ends, content_length, Record::new(form));
    }

    /// Lets a stream have a record, after the connection's turn.
    pub(super) fn begin(&mut self, begun: Begun) {
        self.post.begin(begun);
    }

    /// Removes a stream that had no record and has been answered.
    pub(super) fn close_answered(&mut self, id: u32, out: &mut Vec<u8>) {
        if let Some(record) = self.core.close(id, true, ErrorCode::INTERNAL_ERROR, out) {
            self.forget(record);
        }
    }

    /// Posts the connection to send what is here.
    fn post_owner(&mut self) {
        if !std::mem::replace(&mut self.is_posted, true) {
            self.post.send(self.owner);
        }
    }

    /// Gives a stream the name of its record. Returns false if it has ended since it began.
    pub(in crate::engine) fn name(&mut self, id: u32, conn: ConnId) -> bool {
        let Some(stream) = self.core.streams.find(id) else { return false };
        stream.record.conn = Some(conn);
        true
    }

    /// Bounds what the connection holds unsent, for a stream that replaces what waits: what the system has taken, it cannot.
    pub(super) fn limit_unsent(&mut self, bytes: u32) {
        self.unsent_bytes = Some(bytes);
        self.post_owner();
    }

    /// Returns the bound on what the connection holds unsent, if it is to be set.
    pub(super) fn take_unsent_bytes(&mut self) -> Option<u32> {
        self.unsent_bytes.take()
    }

    /// Passes what is to be sent to `take`. Nothing is left.
    pub(in crate::engine) fn take_out(&mut self, take: impl FnOnce(&[u8])) {
        self.is_posted = false;
        if !self.out.is_empty() {
            take(&self.out);
            self.passed += self.out.len() as u64;
            self.give_back();
        }
    }

    /// Lets frames have memory, which other connections had before. Returns how many bytes are here.
    fn lend(&mut self) -> usize {
        if self.out.capacity() == 0 {
            self.out = self.post.spare.take_frames();
        }
        self.out.len()
    }

    fn give_back(&mut self) {
        self.post.spare.give_frames(std::mem::take(&mut self.out));
        self.charge.shrink(self.core.bytes());
    }

    /// Posts the connection if there are frames behind the first `before` bytes.
    fn post_frames(&mut self, before: usize) {
        if self.out.len() > before {
            self.post_owner();
        } else if self.out.is_empty() {
            self.give_back();
        }
    }

    /// Notes whether the connection has sent everything it was given. If so, streams that wait for room are woken.
    pub(in crate::engine) fn set_blocked(&mut self, is_blocked: bool) {
        self.is_blocked = is_blocked;
        if !is_blocked && self.waiting > 0 {
            self.wake_waiting();
        }
    }

    /// Wakes the streams that wait and may send now, in turn: the next after the one that was served last comes first.
    pub(in crate::engine) fn wake_waiting(&mut self) {
        if self.is_blocked || self.waiting == 0 {
            return;
        }
        // No more are woken than can send: the first would take what there is, each time.
        let mut room = OUT_BYTES.saturating_sub(self.out.len()).min(self.core.send_window());
        for stream in self.core.streams.round_from(self.last_served) {
            if room == 0 {
                break;
            }
            let window = stream.send_window();
            if !stream.record.waits || window == 0 {
                continue;
            }
            let Some(conn) = stream.record.conn else { continue };
            stream.record.waits = false;
            self.waiting -= 1;
            stream.record.was_woken = true;
            room = room.saturating_sub(SHARE_BYTES.min(window));
            self.post.push(Task::Ready { conn, readable: false });
        }
    }

    /// Charges what is here to the server's memory.
    ///
    /// # Errors
    /// There is no more. What is here already is bounded by the windows, so only what comes next is refused.
    fn settle(&mut self) -> Result<(), NoMemory> {
        self.charge.reach(self.out.capacity() + self.core.bytes())
    }

    /// Takes content that has arrived for a stream, or its end.
    ///
    /// # Errors
    /// There is no memory for it.
    pub(in crate::engine) fn receive(&mut self, id: u32, content: &[u8], ends: bool) -> Result<(), NoMemory> {
        let Some(stream) = self.core.streams.find(id) else { return Ok(()) };
        stream.record.push(content, ends, &self.post.spare.pool)?;
        self.post.push_reader(stream.record.reader());
        self.settle()
    }

    /// Takes the trailers of a stream's content, which end it.
    ///
    /// # Errors
    /// There is no memory for them.
    pub(in crate::engine) fn receive_trailers(
        &mut self,
        id: u32,
        trailers: &Fields<'_>,
    ) -> Result<(), NoMemory> {
        let Some(stream) = self.core.streams.find(id) else { return Ok(()) };
        stream.record.push_trailers(trailers, &self.post.spare.pool)?;
        self.post.push_reader(stream.record.reader());
        Ok(())
    }

    /// Lets a stream's record go on, which has ended by an error.
    pub(in crate::engine) fn fail(&mut self, record: Record) {
        if let Some(conn) = record.conn {
            self.post.push(Task::Fail(conn));
        }
        self.forget(record);
    }

    /// Takes back what a stream has that is removed.
    fn forget(&mut self, mut record: Record) {
        self.waiting -= usize::from(record.waits);
        record.give_back(&self.post.spare.pool);
        if let Some(memory) = self.core.streams.take_memory() {
            self.post.spare.give_streams(memory);
            self.charge.shrink(self.core.bytes());
        }
    }

    /// The peer sends nothing more: what has not arrived of a request will not, and a record learns that its client may have left.
    pub(in crate::engine) fn peer_has_ended(&mut self) {
        for record in self.core.streams.take_if(|stream| !stream.remote_ended()) {
            self.fail(record);
        }
        for stream in self.core.streams.iter_mut() {
            if let Some(conn) = stream.record.conn {
                self.post.push(Task::Leave(conn));
            }
        }
    }

    /// Ends all streams, because the connection has ended.
    pub(in crate::engine) fn end(&mut self) {
        for mut record in self.core.take_streams() {
            record.give_back(&self.post.spare.pool);
            if let Some(conn) = record.conn {
                self.post.push(Task::Fail(conn));
            }
        }
        self.waiting = 0;
        self.is_blocked = true;
    }

    /// Reads content of a stream for its record.
    pub(super) fn read(&mut self, id: u32, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(stream) = self.core.streams.find(id) else { return Ok(0) };
        let ended = stream.remote_ended();
        let record = &mut stream.record;
        record.is_posted = false;
        let bytes = record.read(buffer, &self.post.spare.pool);
        if bytes == 0 {
            // The end of a request is in its framing; only a tunnel ends with the stream.
            let ends = ended && record.form == ContentForm::Tunnel;
            return if ends { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        }
        if record.input.is_none() {
            let credit = std::mem::take(&mut record.uncredited);
            let before = self.lend();
            self.core.credit(id, credit, &mut self.out);
            self.post_frames(before);
            let _ = self.settle();
        }
        Ok(bytes)
    }

    /// Whether a stream has content that was not read.
    pub(super) fn has_input(&mut self, id: u32) -> bool {
        let Some(stream) = self.core.streams.find(id) else { return true };
        let is_tunnel_end = stream.remote_ended() && stream.record.form == ContentForm::Tunnel;
        stream.record.input.is_some() || is_tunnel_end
    }

    /// Lets the record of a stream refuse its request, because there is no memory for its content. Returns false if it has none.
    pub(super) fn refuse_in_record(&mut self, id: u32) -> bool {
        let conn = self.core.streams.find(id).and_then(|stream| stream.record.conn);
        conn.inspect(|conn| self.post.push(Task::Refuse(*conn))).is_some()
    }

    /// Whether a stream carries a WebSocket.
    pub(super) fn is_tunnel(&mut self, id: u32) -> bool {
        self.core.streams.find(id).is_some_and(|stream| stream.record.form == ContentForm::Tunnel)
    }

    /// Takes what a stream's record writes: first the head, in frames that name no stream, then content. Returns how many bytes
    /// were taken.
    pub(super) fn write(&mut self, id: u32, slices: &[&[u8]]) -> io::Result<usize> {
        let Some(stream) = self.core.streams.find(id) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let mut awaits_head = stream.record.awaits_head;
        self.waiting -= usize::from(std::mem::take(&mut stream.record.waits));
        let mut taken = 0;
        let before = self.lend();
        for slice in slices {
            let mut rest = *slice;
            while awaits_head && !rest.is_empty() {
                let (frames, after) = split_head(rest);
                awaits_head = is_interim(frames);
                let at = self.out.len();
                self.core.send_head(id, frames, false, &mut self.out);
                if closes(frames) {
                    self.core.announce_end(&mut self.out);
                }
                if let Some(stream) = self.core.streams.find(id) {
                    stream.record.awaits_head = awaits_head;
                    stream.record.last_frame = Some(self.passed + at as u64);
                }
                taken += frames.len();
                rest = after;
            }
            if rest.is_empty() {
                continue;
            }
            let room = self.room(id);
            let now = &rest[..rest.len().min(room)];
            if !now.is_empty() {
                self.put(id, now);
                taken += now.len();
            }
            if now.len() < rest.len() {
                self.wait(id);
                break;
            }
        }
        self.post_frames(before);
        if taken > 0 {
            let _ = self.settle();
            Ok(taken)
        } else {
            Err(io::ErrorKind::WouldBlock.into())
        }
    }

    /// Takes up to `bytes` bytes of a file as content of a stream.
    pub(super) fn send_file(&mut self, id: u32, file: &File, offset: u64, bytes: usize) -> io::Result<usize> {
        let room = self.room(id).min(bytes);
        if room == 0 {
            self.wait(id);
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.lend();
        let mut sent = 0;
        while sent < room {
            let now = (room - sent).min(FRAME_BYTES);
            let at = self.out.len();
            self.out.resize(at + FRAME_HEAD_BYTES + now, 0);
            let read = match file.read_at(&mut self.out[at + FRAME_HEAD_BYTES..], offset + sent as u64) {
                Ok(read) if read > 0 => read,
                other => {
                    self.out.truncate(at);
                    if sent == 0 {
                        self.post_frames(at);
                        return other;
                    }
                    break;
                }
            };
            self.out.truncate(at + FRAME_HEAD_BYTES + read);
            let head = FrameHead { length: read, kind: kind::DATA, flags: 0, stream: id };
            self.out[at..at + FRAME_HEAD_BYTES].copy_from_slice(&head.bytes());
            self.note(id, at, read);
            sent += read;
        }
        self.post_owner();
        let _ = self.settle();
        Ok(sent)
    }

    /// Returns how much content of a stream is taken now.
    fn room(&mut self, id: u32) -> usize {
        if self.is_blocked {
            return 0;
        }
        let share = if self.waiting > 0 { SHARE_BYTES } else { OUT_BYTES };
        let free = OUT_BYTES.saturating_sub(self.out.len());
        self.core.window(id).min(share).min(free)
    }

    fn put(&mut self, id: u32, content: &[u8]) {
        let at =
            self.out.len() + content.len().saturating_sub(1) / FRAME_BYTES * (FRAME_BYTES + FRAME_HEAD_BYTES);
        crate::http2::push_data(&mut self.out, id, content, false);
        self.note(id, at, content.len());
    }

    fn note(&mut self, id: u32, last_frame: usize, bytes: usize) {
        self.core.spend(id, bytes, false);
        if let Some(stream) = self.core.streams.find(id) {
            stream.record.last_frame = Some(self.passed + last_frame as u64);
            if std::mem::take(&mut stream.record.was_woken) {
                self.last_served = id;
            }
        }
    }

    fn wait(&mut self, id: u32) {
        if let Some(stream) = self.core.streams.find(id) {
            if !std::mem::replace(&mut stream.record.waits, true) {
                self.waiting += 1;
            }
        }
    }

    /// Ends a stream's sending side: its last frame gets END_STREAM if it is still here.
    ///
    /// # Errors
    /// The stream has had no response.
    pub(super) fn end_stream(&mut self, id: u32) -> io::Result<()> {
        let Some(stream) = self.core.streams.find(id).filter(|stream| !stream.record.awaits_head) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        match stream.record.last_frame.and_then(|at| at.checked_sub(self.passed)) {
            Some(at) => self.out[at as usize + FLAGS_AT] |= flag::END_STREAM,
            None => {
                self.lend();
                crate::http2::push_data(&mut self.out, id, &[], true);
            }
        }
        self.core.end(id);
        self.post_owner();
        Ok(())
    }

    /// Ends a stream whose record is dropped. `code` says why, if its response is not complete.
    pub(super) fn close(&mut self, id: u32, code: ErrorCode) {
        let before = self.lend();
        if let Some(record) = self.core.close(id, true, code, &mut self.out) {
            self.forget(record);
            // The connection may have waited for its last stream.
            if self.core.streams.is_empty() {
                self.post_owner();
            }
        }
        self.post_frames(before);
    }
}

/// Where the flags are in a frame's head (RFC 9113 §4.1).
const FLAGS_AT: usize = 4;
