//! The parts of a multipart form that is in memory.
//!
//! It knows requests, and the format only through its reader. Its invariant: a part borrows the request's content, and
//! only a head with escaped characters is copied, into the arena.

use super::head::{PartHead, Places};
use super::limits::MultipartLimits;
use super::reader::{Event, MultipartReader};
use crate::app::{Error, Request};
use crate::arena::Arena;
use crate::utf8;
use std::fmt;

pub(super) const TYPE: &str = "multipart/form-data";
pub(super) const OTHER_TYPE: &str = "The Content-Type must be multipart/form-data.";

/// A part of a multipart form: its head and its content. [`FormParts`] returns them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FormPart<'r> {
    head: PartHead<'r>,
    content: &'r [u8],
}

impl<'r> FormPart<'r> {
    /// Returns the name of the form's field.
    pub fn name(&self) -> &'r str {
        self.head.name()
    }

    /// Returns what else the head of the part says: the name of a file, and the type of the content.
    pub fn head(&self) -> PartHead<'r> {
        self.head
    }

    /// Returns the content.
    pub fn content(&self) -> &'r [u8] {
        self.content
    }

    /// Returns the content as text.
    ///
    /// # Errors
    /// Status 400 if it is not UTF-8.
    pub fn text(&self) -> Result<&'r str, Error> {
        utf8::text(self.content).map_err(|_| Error::bad_request("A field of the form is not UTF-8."))
    }
}

impl fmt::Debug for FormPart<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A form may hold a password, so the content is not shown.
        f.debug_struct("FormPart")
            .field("head", &self.head)
            .field("content_bytes", &self.content.len())
            .finish_non_exhaustive()
    }
}

/// The parts of a multipart form, in the order in which they were sent. Made by [`Request::multipart`].
///
/// A malformed part is an `Err` of status 400, 413 or 415, and the last item. Parts before it have been returned by
/// then, so act on the form after its last part.
#[derive(Debug)]
#[must_use = "iterators are lazy"]
pub struct FormParts<'r> {
    /// `None` after the last part and after an error.
    reader: Option<MultipartReader>,
    /// The content that has not been read.
    rest: &'r [u8],
    arena: &'r Arena,
}

impl<'r> Request<'r> {
    /// Reads the content, which is in memory, as a multipart form (RFC 7578). For forms that are too large for that,
    /// see [`App::multipart`](crate::App::multipart).
    ///
    /// ```
    /// use fleeting::{App, Error, MultipartLimits, Response};
    ///
    /// let app = App::new().post("/profile", |req| {
    ///     let (mut name, mut picture) = (None, None);
    ///     for part in req.multipart(MultipartLimits::new().parts(2))? {
    ///         let part = part?;
    ///         match part.name() {
    ///             "name" => name = Some(part.text()?),
    ///             "picture" => picture = Some(part.content()),
    ///             _ => return Err(Error::bad_request("There is no such field.")),
    ///         }
    ///     }
    ///     let (name, bytes) = (name.unwrap_or("nobody"), picture.unwrap_or_default().len());
    ///     Ok(Response::text(req.arena().format(format_args!("{name} has a picture of {bytes} bytes"))))
    /// });
    /// ```
    ///
    /// # Errors
    /// Status 415 if the Content-Type is not `multipart/form-data`, or if the content is in a content coding. Status 400
    /// if the type has no valid boundary, and 413 if the content is larger than the limits allow.
    pub fn multipart(&self, limits: MultipartLimits) -> Result<FormParts<'r>, Error> {
        let reader = open(self, limits)?;
        if self.body().len() as u64 > limits.total_bytes {
            return Err(Error::new(413, format!("The form is larger than {} bytes.", limits.total_bytes)));
        }
        Ok(FormParts { reader: Some(reader), rest: self.body(), arena: self.arena() })
    }
}

/// Makes a reader for the content of `req`.
pub(super) fn open(req: &Request<'_>, limits: MultipartLimits) -> Result<MultipartReader, Error> {
    let is_form = |media_type: &str| media_type.eq_ignore_ascii_case(TYPE);
    MultipartReader::new(req.content_of_type(is_form, OTHER_TYPE)?, limits)
}

impl<'r> Iterator for FormParts<'r> {
    type Item = Result<FormPart<'r>, Error>;

    fn next(&mut self) -> Option<Result<FormPart<'r>, Error>> {
        let mut reader = self.reader.take()?;
        let next = self.next_with(&mut reader).transpose();
        if let Some(Ok(_)) = next {
            self.reader = Some(reader);
        }
        next
    }
}

impl std::iter::FusedIterator for FormParts<'_> {}

impl<'r> FormParts<'r> {
    fn next_with(&mut self, reader: &mut MultipartReader) -> Result<Option<FormPart<'r>>, Error> {
        let (mut head, mut content) = (None, &[][..]);
        loop {
            let (consumed, event) = reader.next(self.rest)?;
            let (read, rest) = self.rest.split_at(consumed);
            match event {
                Event::Head(at) => {
                    let bytes = at.map_or(&[][..], |at| &read[at]);
                    head = Some(read_head(bytes, reader.limits(), self.arena)?);
                }
                // All of the content is there, so each part has one piece at most.
                Event::Content(at) => content = &read[at],
                Event::Held(_) => {}
                Event::End => {
                    self.rest = rest;
                    return Ok(head.map(|head| FormPart { head, content }));
                }
                Event::NeedsInput => {
                    self.rest = rest;
                    return reader.finish().map(|()| None);
                }
            }
            self.rest = rest;
        }
    }
}

fn read_head<'r>(head: &'r [u8], limits: &MultipartLimits, arena: &'r Arena) -> Result<PartHead<'r>, Error> {
    let mut places = Places::find(head)?;
    if !places.has_escapes() {
        return places.read(head, limits);
    }
    let copy = arena.alloc_slice_with(head.len(), |at| head[at]);
    places.unescape(copy);
    places.read(copy, limits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::request::tests::with_request;

    const FORM: &str = "Content-Type: multipart/form-data; boundary=b\r\n";

    fn check(fields: &str, content: &str, limits: MultipartLimits, expected: Result<&[(&str, &str)], u16>) {
        with_request("POST /", fields, content.replace('\n', "\r\n").as_bytes(), |req| {
            let parts = req.multipart(limits).and_then(|mut parts| {
                let read: Result<Vec<_>, Error> = parts.by_ref().collect();
                assert!(parts.next().is_none(), "the end is the end");
                read
            });
            let texts = parts.map(|parts| {
                parts.iter().map(|part| (part.name(), part.text().unwrap())).collect::<Vec<_>>()
            });
            assert_eq!(texts.as_deref().map_err(Error::status), expected, "{fields}{content}");
        });
    }

    const ONE: &str = "--b\nContent-Disposition: form-data; name=\"a\"\n\n1\n--b--\n";

    #[test]
    fn parts_are_read_from_the_content() {
        let check = |content: &str, expected: Result<&[(&str, &str)], u16>| {
            check(FORM, content, MultipartLimits::new(), expected);
        };
        check("--b--", Ok(&[]));
        check(ONE, Ok(&[("a", "1")]));
        let field = "Content-Disposition: form-data; name";
        check(
            &format!("--b\n{field}=a\n\n\n--b\n{field}=a\n\n--b\n{field}=b\n\n--c\n--b--"),
            Ok(&[("a", ""), ("a", ""), ("b", "--c")]),
        );
        check(
            &format!("preamble\n--b \t\n{field}=\"a\\\"\"\n\n1\n\n--b-- epilogue\n--b\n"),
            Ok(&[("a\"", "1\r\n")]),
        );
        for malformed in [
            "",
            "--b",
            "--b-",
            "--b\n",
            "--bx\n",
            "--b\r",
            "--b\n\n",
            "--b --",
            "b--",
            &ONE.replace("\n--b--", ""),
        ] {
            check(malformed, Err(400));
        }
        check(&format!("--b\n{field}=a\n\n1\n--b"), Err(400));
        check(&format!("--b\n{field}=a\nContent-Transfer-Encoding: base64\n\n1\n--b--"), Err(415));
    }

    #[test]
    fn only_forms_are_read() {
        let check = |fields: &str, expected: Result<&[(&str, &str)], u16>| {
            check(fields, ONE, MultipartLimits::new(), expected);
        };
        check("Content-Type: Multipart/Form-Data; Boundary=\"b\"\r\n", Ok(&[("a", "1")]));
        check("", Err(415));
        check("Content-Type: multipart/mixed; boundary=b\r\n", Err(415));
        check(&format!("{FORM}Content-Encoding: gzip\r\n"), Err(415));
        check("Content-Type: multipart/form-data\r\n", Err(400));
        check("Content-Type: multipart/form-data; boundary=\r\n", Err(400));
    }

    #[test]
    fn limits_are_kept() {
        let check = |limits: MultipartLimits, expected| check(FORM, ONE, limits, expected);
        let (all, ok) = (MultipartLimits::new(), Ok(&[("a", "1")][..]));
        let head = ONE.find("\n\n").unwrap() - "--b\n".len();
        check(all.parts(1).head_bytes(head).name_bytes(1).part_bytes(1), ok);
        let total = ONE.replace('\n', "\r\n").len() as u64;
        check(all.total_bytes(total), ok);
        check(all.total_bytes(total - 1), Err(413));
        check(all.parts(0), Err(413));
        check(all.head_bytes(head - 1), Err(413));
        check(all.name_bytes(0), Err(413));
        check(all.part_bytes(0), Err(413));
        check(all.head_bytes(usize::MAX).part_bytes(u64::MAX).total_bytes(u64::MAX), ok);
    }

    #[test]
    fn text_that_is_not_utf_8_is_refused() {
        let content = b"--b\r\nContent-Disposition: form-data; name=a\r\n\r\n\xff\r\n--b--";
        with_request("POST /", FORM, content, |req| {
            let part = req.multipart(MultipartLimits::new()).unwrap().next().unwrap().unwrap();
            assert_eq!(
                (part.content(), part.text().map_err(|error| error.status())),
                (&b"\xff"[..], Err(400))
            );
        });
    }
}
