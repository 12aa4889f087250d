//! What a connection keeps for a stream that has a record of its own.
//!
//! It knows no frame. Its invariant: what has arrived is here until the record reads it.

use super::text::ContentForm;
use crate::app::ConnId;
use crate::buffer::{Inbox, NoMemory, Pool};
use crate::http1::{Fields, SIZE_LINE_MAX, chunk_size_line};

/// What is kept for a stream with a record of its own.
pub(in crate::engine) struct Record {
    /// `None` until the record exists.
    pub(in crate::engine) conn: Option<ConnId>,
    /// Content that has arrived and was not read. `None` or empty if there is none.
    pub(super) input: Option<Box<Inbox>>,
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
    /// Where its last frame that could end it begins, in all that the connection's streams have sent.
    pub(super) last_frame: Option<u64>,
}

impl Record {
    pub(in crate::engine) fn new(form: ContentForm) -> Record {
        Record {
            conn: None,
            input: None,
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
    pub(super) fn push(&mut self, content: &[u8], ends: bool, pool: &Pool) -> Result<(), NoMemory> {
        let mut line = [0; SIZE_LINE_MAX];
        let is_chunked = self.form == ContentForm::Chunked;
        let (size, end) = match content.len() {
            bytes if is_chunked && bytes > 0 => (chunk_size_line(bytes, &mut line), LINE_END),
            _ => (&[][..], &[][..]),
        };
        let last = if ends && is_chunked { LAST_CHUNK } else { &[] };
        self.push_parts(&[size, content, end, last], pool)?;
        self.uncredited += content.len();
        Ok(())
    }

    /// Adds trailers, which end the content.
    ///
    /// # Errors
    /// There is no memory for them.
    pub(super) fn push_trailers(&mut self, trailers: &Fields<'_>, pool: &Pool) -> Result<(), NoMemory> {
        if self.form != ContentForm::Chunked {
            return Ok(());
        }
        self.push_parts(&[b"0\r\n"], pool)?;
        for (name, value) in trailers.iter() {
            self.push_parts(&[name.as_bytes(), b": ", value, LINE_END], pool)?;
        }
        self.push_parts(&[LINE_END], pool)
    }

    fn push_parts(&mut self, parts: &[&[u8]], pool: &Pool) -> Result<(), NoMemory> {
        if parts.iter().all(|part| part.is_empty()) {
            return Ok(());
        }
        let input = self.input.get_or_insert_with(|| pool.take());
        let pushed = input.push_parts(parts);
        if pushed.is_err() && pool.clear() { input.push_parts(parts) } else { pushed }
    }

    /// Moves content that has arrived to `buffer`. Returns the number of bytes.
    pub(super) fn read(&mut self, buffer: &mut [u8], pool: &Pool) -> usize {
        let Some(input) = &mut self.input else { return 0 };
        let bytes = input.len().min(buffer.len());
        buffer[..bytes].copy_from_slice(&input.bytes()[..bytes]);
        input.keep(bytes, input.len());
        if input.is_empty() {
            self.give_back(pool);
        }
        bytes
    }

    /// Returns the record that is to be posted because something has arrived. Once is enough until it reads.
    pub(super) fn reader(&mut self) -> Option<ConnId> {
        let is_posted = &mut self.is_posted;
        self.conn.filter(|_| !std::mem::replace(is_posted, true))
    }

    /// Returns the memory of its input to the pool.
    pub(super) fn give_back(&mut self, pool: &Pool) {
        if let Some(input) = self.input.take() {
            pool.give(input);
        }
    }
}

const LINE_END: &[u8] = b"\r\n";
/// With an empty trailer section (RFC 9112 §7.1).
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
