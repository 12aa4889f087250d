//! What a connection keeps for a stream that has a record of its own.
//!
//! It knows no frame. Its invariant: what has arrived is here until the record reads it.

use super::post::{Post, Task};
use super::text::ContentForm;
use crate::app::ConnId;
use crate::buffer::NoMemory;
use crate::http1::{Fields, encode_chunk_size, encode_last_chunk};

/// What is kept for a stream with a record of its own.
pub(in crate::engine) struct Record {
    /// `None` until the record exists.
    pub(in crate::engine) conn: Option<ConnId>,
    /// Content that has arrived and was not read, from `read` on.
    pub(super) input: Vec<u8>,
    pub(super) read: usize,
    /// How content appears to the record.
    pub(super) form: ContentForm,
    /// Content for which the peer has not been given new room.
    pub(super) uncredited: usize,
    /// The response's head is still to come.
    pub(super) awaits_head: bool,
    /// It is posted to read what has arrived, and has not done so.
    pub(super) is_posted: bool,
    /// It has been refused room.
    pub(super) waits: bool,
    /// It has waited, and was woken. It has sent nothing since.
    pub(super) was_woken: bool,
    /// Where in `out` its last frame that could end it begins.
    pub(super) last_frame: Option<usize>,
}

impl Record {
    pub(in crate::engine) fn new(form: ContentForm) -> Record {
        Record {
            conn: None,
            input: Vec::new(),
            read: 0,
            form,
            uncredited: 0,
            awaits_head: true,
            is_posted: false,
            waits: false,
            was_woken: false,
            last_frame: None,
        }
    }

    /// Adds content that has arrived, or its end.
    ///
    /// # Errors
    /// There is no memory for it.
    pub(super) fn push(&mut self, content: &[u8], ends: bool) -> Result<(), NoMemory> {
        let is_chunked = self.form == ContentForm::Chunked;
        let framing = if is_chunked { CHUNK_FRAMING_BYTES } else { 0 };
        if self.input.try_reserve(content.len() + framing).is_err() {
            return Err(NoMemory);
        }
        self.uncredited += content.len();
        if !is_chunked {
            self.input.extend_from_slice(content);
        } else if !content.is_empty() {
            encode_chunk_size(&mut self.input, content.len());
            self.input.extend_from_slice(content);
            self.input.extend_from_slice(b"\r\n");
        }
        if ends && is_chunked {
            encode_last_chunk(&mut self.input);
        }
        Ok(())
    }

    /// Adds trailers, which end the content.
    pub(super) fn push_trailers(&mut self, trailers: &Fields<'_>) {
        if self.form != ContentForm::Chunked {
            return;
        }
        self.input.extend_from_slice(b"0\r\n");
        for (name, value) in trailers.iter() {
            for part in [name.as_bytes(), b": ", value, b"\r\n"] {
                self.input.extend_from_slice(part);
            }
        }
        self.input.extend_from_slice(b"\r\n");
    }

    /// Lets its record read what has arrived. One task is enough until it does.
    pub(super) fn post(&mut self, post: &Post) {
        if let Some(conn) = self.conn.filter(|_| !self.is_posted) {
            self.is_posted = true;
            post.push(Task::Ready { conn, readable: true });
        }
    }

    /// Returns how many bytes have arrived and were not read.
    pub(super) fn unread(&self) -> usize {
        self.input.len() - self.read
    }
}

/// A chunk's size, the line breaks around it, and the last chunk.
const CHUNK_FRAMING_BYTES: usize = 32;
