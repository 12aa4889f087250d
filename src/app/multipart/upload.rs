//! Multipart forms whose parts go to the application as they arrive.
//!
//! It knows uploads, and the format only through its reader. Its invariant: a part that has begun ends once, by
//! `part_end` or by its drop, before its session does.

use super::content::open;
use super::head::PartHead;
use super::limits::MultipartLimits;
use super::reader::{FormPiece, MultipartReader};
use crate::app::{App, Error, Flow, Request, Response, Upload};
use crate::http1::Fields;

/// Receives multipart forms (RFC 7578) part by part, each in pieces, as they arrive. Pass it to [`App::multipart`].
///
/// No part is in memory as a whole unless the application keeps it. Content of another type than `multipart/form-data`
/// is answered with 415, a malformed form with 400, and one that exceeds a limit with 413.
///
/// ```
/// use fleeting::{App, Error, Flow, Multipart, PartHead, Request, Response};
/// use std::fs::File;
/// use std::io::Write;
///
/// /// Writes files below /srv/uploads, and keeps the other fields.
/// struct Store;
///
/// enum Part {
///     Field { name: Box<str>, value: Vec<u8> },
///     File(File),
/// }
///
/// #[derive(Default)]
/// struct Form {
///     fields: Vec<(Box<str>, Vec<u8>)>,
///     files: usize,
/// }
///
/// impl Multipart for Store {
///     type Session = Form;
///     type Part = Part;
///
///     fn open(&self, _req: &Request<'_>) -> Result<Form, Error> {
///         Ok(Form::default())
///     }
///
///     fn part(&self, form: &mut Form, head: &PartHead<'_>) -> Result<Part, Error> {
///         if head.file_name().is_none() {
///             return Ok(Part::Field { name: head.name().into(), value: Vec::new() });
///         }
///         form.files += 1;
///         // The client's name for the file is not a safe path.
///         let path = format!("/srv/uploads/{}", form.files);
///         File::create(path).map(Part::File).map_err(|_| Error::unavailable("There is no room."))
///     }
///
///     fn piece(&self, _form: &mut Form, part: &mut Part, piece: &[u8], _flow: &mut Flow<'_>) -> Result<(), Error> {
///         match part {
///             Part::Field { value, .. } if value.len() + piece.len() > 1000 => {
///                 Err(Error::new(413, "A field is too long."))
///             }
///             Part::Field { value, .. } => Ok(value.extend_from_slice(piece)),
///             Part::File(file) => file.write_all(piece).map_err(|_| Error::unavailable("The disk is full.")),
///         }
///     }
///
///     fn part_end(&self, form: &mut Form, part: Part) -> Result<(), Error> {
///         if let Part::Field { name, value } = part {
///             form.fields.push((name, value));
///         }
///         Ok(())
///     }
///
///     fn finish(&self, form: Form) -> Result<Response<'static>, Error> {
///         Ok(Response::text(format!("{} files, {} fields", form.files, form.fields.len())))
///     }
/// }
///
/// let app = App::new().multipart("POST", "/upload", Store);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not receive multipart forms",
    label = "the trait `Multipart` is not implemented for this",
    note = "implement `fleeting::Multipart` for a type; it gets the parts as they arrive",
    note = "a closure gets a form that fits into memory: add it with `App::post` and call `req.multipart(...)`"
)]
pub trait Multipart: 'static {
    /// The state of one request's form.
    type Session: 'static;

    /// The state of one part. It is dropped if the rest of the part does not arrive.
    type Part: 'static;

    /// Returns the limits of a form. Called for each request.
    fn limits(&self) -> MultipartLimits {
        MultipartLimits::new()
    }

    /// Called when the head of a request has arrived, as [`Upload::open`].
    ///
    /// # Errors
    /// The [`Error`] becomes the answer. The content is not consumed.
    fn open(&self, req: &Request<'_>) -> Result<Self::Session, Error>;

    /// Called when a part begins. What it returns receives the part's content.
    ///
    /// # Errors
    /// The [`Error`] becomes the answer. The rest of the content is not consumed, and the session is
    /// [aborted](Multipart::abort). The same holds for the other methods.
    fn part(&self, session: &mut Self::Session, head: &PartHead<'_>) -> Result<Self::Part, Error>;

    /// Called when more of a part's content has arrived. The piece is not empty, and it borrows the read buffer. A part
    /// may have no pieces.
    ///
    /// After [`Flow::pause`] no more is read from the client, but what has been read already still arrives: the rest of
    /// one read buffer, which may contain further parts.
    ///
    /// # Errors
    /// As for [`part`](Multipart::part).
    fn piece(
        &self,
        session: &mut Self::Session,
        part: &mut Self::Part,
        piece: &[u8],
        flow: &mut Flow<'_>,
    ) -> Result<(), Error>;

    /// Called when all of a part's content has arrived. Others may follow, and the form may still turn out to be
    /// malformed.
    ///
    /// # Errors
    /// As for [`part`](Multipart::part).
    fn part_end(&self, session: &mut Self::Session, part: Self::Part) -> Result<(), Error>;

    /// Called when the form is complete. Returns the response, which may be [deferred](Response::defer).
    ///
    /// # Errors
    /// The [`Error`] becomes the answer.
    fn finish(&self, session: Self::Session) -> Result<Response<'static>, Error>;

    /// Called when the rest of the form will not arrive, as [`Upload::abort`], or if the form is malformed or incomplete.
    fn abort(&self, session: Self::Session) {
        drop(session);
    }
}

impl App {
    /// Answers `method` on `path` with a [`Multipart`], which gets the parts of a form in pieces as they arrive, as an
    /// [upload](App::upload) does. A mistake is reported by [`check`](App::check).
    pub fn multipart<M: Multipart>(self, method: &str, path: &str, server: M) -> App {
        self.upload(method, path, FormUpload(server))
    }
}

/// The upload that a [`Multipart`] is.
struct FormUpload<M>(M);

/// The session of an upload.
struct FormSession<M: Multipart> {
    reader: MultipartReader,
    /// The part that is under way. It comes first, so that it is dropped first.
    part: Option<M::Part>,
    session: M::Session,
}

impl<M: Multipart> Upload for FormUpload<M> {
    type Session = FormSession<M>;

    fn limit(&self) -> u64 {
        self.0.limits().total_bytes
    }

    fn open(&self, req: &Request<'_>) -> Result<FormSession<M>, Error> {
        let reader = open(req, self.0.limits())?.with_room_for_heads();
        Ok(FormSession { reader, part: None, session: self.0.open(req)? })
    }

    fn piece(&self, form: &mut FormSession<M>, piece: &[u8], flow: &mut Flow<'_>) -> Result<(), Error> {
        let FormSession { reader, part, session } = form;
        reader.read(piece, |next| {
            match (next, &mut *part) {
                (FormPiece::Head(head), _) => *part = Some(self.0.part(session, &head)?),
                (FormPiece::Content(content), Some(part)) => self.0.piece(session, part, content, flow)?,
                (FormPiece::End, under_way) => {
                    if let Some(part) = under_way.take() {
                        self.0.part_end(session, part)?;
                    }
                }
                (FormPiece::Content(_), None) => {}
            }
            Ok(())
        })
    }

    fn finish(&self, form: FormSession<M>, _trailers: Fields<'_>) -> Result<Response<'static>, Error> {
        match form.reader.finish() {
            Ok(()) => self.0.finish(form.session),
            Err(error) => {
                self.abort(form);
                Err(error)
            }
        }
    }

    fn abort(&self, form: FormSession<M>) {
        drop(form.part);
        self.0.abort(form.session);
    }
}
