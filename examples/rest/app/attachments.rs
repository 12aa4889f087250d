//! Files that are attached to notes: how they come, and how they are sent.
//!
//! It knows forms and the store. Its invariant: nothing is kept of a form that is too large or does not end.

use super::store::{Attachment, FILES_MAX, Notes};
use fleeting::{Error, Flow, Keep, Multipart, MultipartLimits, PartHead, Request, Response};

/// Bytes of one file, and of one form.
const FILE_BYTES_MAX: u64 = 1 << 20;
const FORM_BYTES_MAX: u64 = 2 << 20;

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
        let note = self.0.lock().note(req.param("id"))?.id;
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
        let note = store.attach(form.note, form.files)?; // 404 if it was deleted meanwhile
        // The request's arena is not there any more, so this answer owns its content.
        Ok(Response::json_owned(&note.attachments)?.with_status(201))
    }
}

/// Sends a file. Whatever its sender says that it is, a browser saves it and runs nothing in it.
pub fn download<'r>(notes: &Notes, req: &Request<'r>) -> Result<Response<'r>, Error> {
    let number: usize = req.param("number").parse()?;
    let store = notes.lock();
    let file = store.note(req.param("id"))?.attachments.get(number);
    let file = file.ok_or_else(|| Error::not_found("There is no such file."))?;
    Response::bytes(file.content.clone())
        .header("content-disposition", "attachment")?
        .header("x-content-type-options", "nosniff")
}
