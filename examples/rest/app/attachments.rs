//! Files that are attached to notes.
//!
//! It knows forms and the store of notes. Its invariant: no more than [`ATTACHED_BYTES_MAX`] bytes are kept in all.

use super::notes::{Notes, no_note};
use fleeting::{Error, Flow, Keep, Multipart, MultipartLimits, PartHead, Request, Response};
use serde::Serialize;
use std::sync::Arc;

/// Bytes of one file, and of one form.
const FILE_BYTES_MAX: u64 = 1 << 20;
const FORM_BYTES_MAX: u64 = 2 << 20;
/// Files of one form, and of one note.
const FILES_MAX: usize = 8;
/// Bytes of all files together.
const ATTACHED_BYTES_MAX: usize = 64 << 20;

/// A file. It is shared with the responses that send it, so a download holds no lock and copies nothing.
#[derive(Serialize)]
pub struct Attachment {
    name: Box<str>,
    bytes: usize,
    #[serde(skip)]
    content: Arc<[u8]>,
}

impl Attachment {
    pub fn len(&self) -> usize {
        self.content.len()
    }
}

/// Receives a form with files (`multipart/form-data`), piece by piece.
pub struct Attach(pub Notes);

/// The files of a form that have arrived.
pub struct Form {
    note: u64,
    files: Vec<Attachment>,
}

/// A file that is arriving.
pub struct Part {
    name: Box<str>,
    content: Vec<u8>,
}

impl Multipart for Attach {
    type Session = Form;
    type Part = Part;

    fn limits(&self) -> MultipartLimits {
        MultipartLimits::new().parts(FILES_MAX).part_bytes(FILE_BYTES_MAX).total_bytes(FORM_BYTES_MAX)
    }

    /// Called when the head has arrived: a client that asks for the wrong note does not send its files first.
    fn open(&self, req: &Request<'_>) -> Result<Form, Error> {
        let note = req.param("id").parse().map_err(|_| no_note())?;
        if !self.0.lock().notes.contains_key(&note) {
            return Err(no_note());
        }
        Ok(Form { note, files: Vec::new() })
    }

    fn part(&self, _form: &mut Form, head: &PartHead<'_>) -> Result<Part, Error> {
        let name = head.file_name().ok_or_else(|| Error::bad_request("The form may contain files only."))?;
        Ok(Part { name: name.keep(), content: Vec::new() })
    }

    fn piece(&self, _: &mut Form, part: &mut Part, piece: &[u8], _: &mut Flow<'_>) -> Result<(), Error> {
        part.content.extend_from_slice(piece);
        Ok(())
    }

    fn part_end(&self, form: &mut Form, Part { name, content }: Part) -> Result<(), Error> {
        form.files.push(Attachment { name, bytes: content.len(), content: content.into() });
        Ok(())
    }

    fn finish(&self, form: Form) -> Result<Response<'static>, Error> {
        if form.files.is_empty() {
            return Err(Error::bad_request("The form has no file."));
        }
        let mut store = self.0.lock();
        let bytes = store.attached_bytes + form.files.iter().map(Attachment::len).sum::<usize>();
        if bytes > ATTACHED_BYTES_MAX {
            return Err(Error::new(507, "There is no room for more files."));
        }
        let note = store.notes.get(&form.note).ok_or_else(no_note)?; // it may have been deleted meanwhile
        if note.attachments.len() + form.files.len() > FILES_MAX {
            return Err(Error::new(409, "The note would have too many files."));
        }
        let note = store.changed(form.note)?;
        note.attachments.extend(form.files);
        // The request is over, and its arena with it: this answer owns its content.
        let answer = Response::json_owned(&note.attachments)?.with_status(201);
        store.attached_bytes = bytes;
        Ok(answer)
    }
}

/// Sends a file. Whatever its sender says that it is, a browser saves it and runs nothing in it.
pub fn download<'r>(notes: &Notes, req: &Request<'r>) -> Result<Response<'r>, Error> {
    let number: usize = req.param("number").parse()?;
    let store = notes.lock();
    let file = store.note(req)?.attachments.get(number);
    let file = file.ok_or_else(|| Error::not_found("There is no such file."))?;
    Response::bytes(file.content.clone())
        .header("content-disposition", "attachment")?
        .header("x-content-type-options", "nosniff")
}
