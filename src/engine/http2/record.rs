//! What a connection keeps for a stream that has a record of its own.
//!
//! It knows no frame. Its invariant: what has arrived is here until the record reads it.

use super::text::ContentForm;
use crate::app::ConnId;

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
    /// It has been refused room.
    pub(super) waits: bool,
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
            waits: false,
            last_frame: None,
        }
    }

    /// Returns how many bytes have arrived and were not read.
    pub(super) fn unread(&self) -> usize {
        self.input.len() - self.read
    }
}
