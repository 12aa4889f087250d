//! The multipart format without input and output: bytes in, heads and content out.
//!
//! It knows no request. Its invariant: the bytes decide what comes out, not how they are cut. It keeps no content: what
//! it holds back at the end of an input is the beginning of the delimiter, whose bytes it knows.

use super::boundary::{Delimiter, Found, Search};
use super::head::{PartHead, Places};
use super::limits::MultipartLimits;
use crate::app::Error;
use std::ops::Range;

/// More than the head of a part has in almost any form.
const HEAD_BYTES_USUAL: usize = 512;

/// Reads a form as it arrives.
#[derive(Debug)]
pub struct MultipartReader {
    delimiter: Delimiter,
    limits: MultipartLimits,
    state: State,
    /// The head of a part, copied if it arrives in pieces.
    head: Vec<u8>,
    parts: usize,
    /// Bytes of the current part's content.
    part_bytes: u64,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Before the first delimiter.
    Preamble(Search),
    /// In the content of a part.
    Content(Search),
    /// Behind a delimiter.
    Delimiter,
    /// Behind a delimiter and a hyphen.
    Hyphen,
    /// In the white space behind a delimiter.
    Padding,
    /// Behind a delimiter and CR.
    LineEnd,
    /// In the head of a part.
    Head,
    /// Behind the last delimiter.
    Epilogue,
}

/// What comes next in a form. Ranges are ranges of the input, if nothing else is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// The head of a part, whose lines all end in CRLF, or `None` if it has been copied.
    Head(Option<Range<usize>>),
    /// Content of the part. Not empty.
    Content(Range<usize>),
    /// Content of the part that earlier inputs ended with: a range of the delimiter. Not empty.
    Held(Range<usize>),
    /// The end of the part.
    End,
    /// All of the input is consumed.
    NeedsInput,
}

/// A piece of a form, for code that reads it all the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FormPiece<'a> {
    /// A part begins.
    Head(PartHead<'a>),
    /// Content of the part. Not empty.
    Content(&'a [u8]),
    /// The part ends.
    End,
}

impl MultipartReader {
    /// Makes a reader for content of this type.
    ///
    /// # Errors
    /// Status 400 if the type has no valid boundary.
    pub fn new(content_type: &str, limits: MultipartLimits) -> Result<MultipartReader, Error> {
        Ok(MultipartReader {
            delimiter: Delimiter::of(content_type)?,
            limits,
            state: State::Preamble(Search::new()),
            head: Vec::new(),
            parts: 0,
            part_bytes: 0,
        })
    }

    /// Reads the next input to its end, and calls `take` with what is in it.
    ///
    /// # Errors
    /// Status 400 if the form is malformed, 413 if it exceeds a limit, 415 for a part in a transfer encoding, or the
    /// error of `take`. Nothing may be read after that.
    pub fn read(
        &mut self,
        mut input: &[u8],
        mut take: impl FnMut(FormPiece<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        loop {
            let (consumed, event) = self.next(input)?;
            match event {
                Event::Head(at) => take(FormPiece::Head(self.part_head(at.map(|at| &input[at]))?))?,
                Event::Content(at) => take(FormPiece::Content(&input[at]))?,
                Event::Held(at) => take(FormPiece::Content(&self.delimiter.bytes()[at]))?,
                Event::End => take(FormPiece::End)?,
                Event::NeedsInput => return Ok(()),
            }
            input = &input[consumed..];
        }
    }

    /// Makes room for the heads that arrive in pieces, so that those of usual length are copied without an allocation.
    pub(super) fn with_room_for_heads(mut self) -> MultipartReader {
        self.head.reserve(self.limits.head_bytes.min(HEAD_BYTES_USUAL));
        self
    }

    /// Checks that the form is complete.
    ///
    /// # Errors
    /// Status 400 if it is not.
    pub fn finish(&self) -> Result<(), Error> {
        match self.state {
            State::Epilogue => Ok(()),
            _ => Err(Error::bad_request("The form ends before its last delimiter.")),
        }
    }

    pub(super) fn limits(&self) -> &MultipartLimits {
        &self.limits
    }

    /// Reads a head that was announced, from the input or from the copy.
    fn part_head(&mut self, in_input: Option<&[u8]>) -> Result<PartHead<'_>, Error> {
        if let Some(head) = in_input {
            self.head.extend_from_slice(head);
        }
        let mut places = Places::find(&self.head)?;
        places.unescape(&mut self.head);
        places.read(&self.head, &self.limits)
    }

    /// Returns what comes next, and how many bytes of the input are consumed with it.
    pub(super) fn next(&mut self, input: &[u8]) -> Result<(usize, Event), Error> {
        let mut at = 0;
        loop {
            let rest = &input[at..];
            match &mut self.state {
                State::Preamble(search) => {
                    let (consumed, found) = search.next(&self.delimiter, rest);
                    at += consumed;
                    match found {
                        Found::Delimiter => self.state = State::Delimiter,
                        Found::Text(_) | Found::Held(_) => {}
                        Found::NeedsInput => return Ok((at, Event::NeedsInput)),
                    }
                }
                State::Content(search) => {
                    let (consumed, found) = search.next(&self.delimiter, rest);
                    let event = match found {
                        Found::Delimiter => {
                            self.state = State::Delimiter;
                            Event::End
                        }
                        Found::Text(range) => {
                            self.count(range.len())?;
                            Event::Content(range.start + at..range.end + at)
                        }
                        Found::Held(range) => {
                            self.count(range.len())?;
                            Event::Held(range)
                        }
                        Found::NeedsInput => Event::NeedsInput,
                    };
                    return Ok((at + consumed, event));
                }
                State::Head => {
                    let (consumed, event) = self.next_head(rest)?;
                    return Ok((
                        at + consumed,
                        match event {
                            Event::Head(Some(range)) => Event::Head(Some(range.start + at..range.end + at)),
                            event => event,
                        },
                    ));
                }
                State::Epilogue => return Ok((input.len(), Event::NeedsInput)),
                state => {
                    let Some(byte) = rest.first() else { return Ok((at, Event::NeedsInput)) };
                    at += 1;
                    *state = match (*state, byte) {
                        (State::Delimiter, b'-') => State::Hyphen,
                        (State::Hyphen, b'-') => State::Epilogue,
                        (State::Delimiter | State::Padding, b' ' | b'\t') => State::Padding,
                        (State::Delimiter | State::Padding, b'\r') => State::LineEnd,
                        (State::LineEnd, b'\n') => State::Head,
                        _ => return Err(Error::bad_request("A delimiter of the form is malformed.")),
                    };
                    if let State::Head = *state {
                        self.begin_part()?;
                    }
                }
            }
        }
    }

    fn begin_part(&mut self) -> Result<(), Error> {
        if self.parts == self.limits.parts {
            return Err(too_large(format!("The form has more than {} parts.", self.limits.parts)));
        }
        self.parts += 1;
        self.part_bytes = 0;
        self.head.clear();
        Ok(())
    }

    /// Counts bytes of the current part's content.
    fn count(&mut self, bytes: usize) -> Result<(), Error> {
        self.part_bytes += bytes as u64;
        match self.limits.part_bytes {
            limit if self.part_bytes > limit => {
                Err(too_large(format!("A part of the form is larger than {limit} bytes.")))
            }
            _ => Ok(()),
        }
    }

    /// Looks for the end of a head: an empty line. Ranges are ranges of `rest`.
    fn next_head(&mut self, rest: &[u8]) -> Result<(usize, Event), Error> {
        const END: &[u8] = b"\r\n\r\n";
        let limit = self.limits.head_bytes;
        let missing = limit.saturating_add(END.len()) - self.head.len();
        let taken = &rest[..rest.len().min(missing)];
        // The end may have begun in an earlier input.
        let seam = (1..END.len())
            .rev()
            .find(|bytes| self.head.ends_with(&END[..*bytes]) && taken.starts_with(&END[*bytes..]))
            .map(|bytes| END.len() - bytes);
        let in_taken = || Some(taken.windows(END.len()).position(|window| window == END)? + END.len());
        let Some(consumed) = seam.or_else(in_taken) else {
            if taken.len() == missing {
                return Err(too_large(format!("The head of a part is longer than {limit} bytes.")));
            }
            self.head.extend_from_slice(taken);
            return Ok((taken.len(), Event::NeedsInput));
        };
        self.state = State::Content(Search::new());
        // The empty line is not part of the head.
        if self.head.is_empty() {
            return Ok((consumed, Event::Head(Some(0..consumed - 2))));
        }
        self.head.extend_from_slice(&taken[..consumed]);
        self.head.truncate(self.head.len() - 2);
        Ok((consumed, Event::Head(None)))
    }
}

fn too_large(message: String) -> Error {
    Error::new(413, message)
}
