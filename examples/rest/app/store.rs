//! What is kept: the notes and their files. The workers share it.
//!
//! It knows neither requests nor users. Its invariants: it owns all that it holds; a note's revision changes with the note;
//! and the number of notes and the bytes of all files are bounded.

use fleeting::{Error, Keep};
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::{Arc, Mutex, MutexGuard};

const NOTES_MAX: usize = 10_000;
/// Files of one note.
pub const FILES_MAX: usize = 8;
/// Bytes of all files together.
const FILE_BYTES_MAX: usize = 64 << 20;

#[derive(Serialize)]
pub struct Note {
    pub id: u64,
    pub revision: u64,
    pub author: &'static str,
    pub title: Box<str>,
    pub text: Box<str>,
    pub attachments: Vec<Attachment>,
}

/// A file of a note.
#[derive(Serialize)]
pub struct Attachment {
    pub name: Box<str>,
    pub bytes: usize,
    /// Shared with the responses that send it, so a download holds no lock and copies nothing.
    #[serde(skip)]
    pub content: Arc<[u8]>,
}

/// All notes, for all workers.
#[derive(Clone, Default)]
pub struct Notes(Arc<Mutex<Store>>);

impl Notes {
    pub fn lock(&self) -> MutexGuard<'_, Store> {
        self.0.lock().expect("no thread panics while it holds the lock")
    }
}

#[derive(Default)]
pub struct Store {
    notes: BTreeMap<u64, Note>,
    file_bytes: usize,
    last_id: u64,
    last_revision: u64,
}

impl Store {
    /// Returns the note with this number, which comes from a path.
    pub fn note(&self, id: &str) -> Result<&Note, Error> {
        id.parse().ok().and_then(|id| self.notes.get(&id)).ok_or_else(no_note)
    }

    /// Returns the notes with higher numbers, in order.
    pub fn after(&self, id: u64) -> impl Iterator<Item = &Note> {
        self.notes.range((Excluded(id), Unbounded)).map(|(_, note)| note)
    }

    pub fn len(&self) -> usize {
        self.notes.len()
    }

    /// Adds a note. The text lies in a request's memory, so what is kept is a copy.
    pub fn add(&mut self, author: &'static str, title: &str, text: &str) -> Result<&Note, Error> {
        if self.notes.len() >= NOTES_MAX {
            return Err(Error::new(507, "There are too many notes."));
        }
        self.last_id += 1;
        let (id, revision) = (self.last_id, self.next_revision());
        let (title, text) = (title.keep(), text.keep());
        let note = Note { id, revision, author, title, text, attachments: Vec::new() };
        Ok(self.notes.entry(id).or_insert(note))
    }

    pub fn replace(&mut self, id: u64, title: &str, text: &str) -> Result<&Note, Error> {
        let revision = self.next_revision();
        let note = self.notes.get_mut(&id).ok_or_else(no_note)?;
        (note.revision, note.title, note.text) = (revision, title.keep(), text.keep());
        Ok(note)
    }

    /// Adds files to a note, all of them or none.
    pub fn attach(&mut self, id: u64, files: Vec<Attachment>) -> Result<&Note, Error> {
        let revision = self.next_revision();
        let note = self.notes.get_mut(&id).ok_or_else(no_note)?;
        if note.attachments.len() + files.len() > FILES_MAX {
            return Err(Error::new(409, "The note would have too many files."));
        }
        let bytes = self.file_bytes + bytes_of(&files);
        if bytes > FILE_BYTES_MAX {
            return Err(Error::new(507, "There is no room for more files."));
        }
        self.file_bytes = bytes;
        note.revision = revision;
        note.attachments.extend(files);
        Ok(note)
    }

    pub fn remove(&mut self, id: u64) {
        if let Some(note) = self.notes.remove(&id) {
            self.file_bytes -= bytes_of(&note.attachments);
        }
    }

    fn next_revision(&mut self) -> u64 {
        self.last_revision += 1;
        self.last_revision
    }
}

fn bytes_of(files: &[Attachment]) -> usize {
    files.iter().map(|file| file.bytes).sum()
}

fn no_note() -> Error {
    Error::not_found("There is no such note.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(bytes: usize) -> Attachment {
        Attachment { name: "a".keep(), bytes, content: vec![0; bytes].into() }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut store = Store::default();
        for number in 1..=NOTES_MAX as u64 {
            assert_eq!(store.add("ada", "title", "text").map(|note| note.id).ok(), Some(number));
        }
        assert_eq!(store.add("ada", "title", "text").err().map(|error| error.status()), Some(507));
        store.remove(1);
        assert_eq!(store.add("ada", "title", "text").map(|note| note.id).ok(), Some(NOTES_MAX as u64 + 1));
        assert_eq!(store.len(), NOTES_MAX);

        let mut attach = |id, files: Vec<Attachment>| {
            store.attach(id, files).map(|note| note.attachments.len()).map_err(|error| error.status())
        };
        assert_eq!(attach(1, vec![file(1)]), Err(404));
        assert_eq!(attach(2, (0..FILES_MAX).map(|_| file(1)).collect()), Ok(FILES_MAX));
        assert_eq!(attach(2, vec![file(1)]), Err(409));
        assert_eq!(attach(3, vec![file(FILE_BYTES_MAX - FILES_MAX)]), Ok(1));
        assert_eq!(attach(4, vec![file(1)]), Err(507));
        store.remove(2);
        assert!(store.attach(4, vec![file(FILES_MAX)]).is_ok());
        assert!(store.attach(4, vec![file(1)]).is_err());
    }
}
