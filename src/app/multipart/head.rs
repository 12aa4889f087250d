//! Reads the head of a part: its name, the name of a file, and a media type (RFC 7578 §4).
//!
//! It knows the lines of one head, and no content. Its invariant: a head whose meaning is in doubt is refused: folded
//! or repeated lines, control characters, text that is not UTF-8.

use super::limits::MultipartLimits;
use crate::app::Error;
use crate::http1::is_token;
use std::ops::Range;

/// What the head of a part of a multipart form says about its content. See [`Multipart`](crate::Multipart) for an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartHead<'a> {
    name: &'a str,
    file_name: Option<&'a str>,
    content_type: Option<&'a str>,
}

impl<'a> PartHead<'a> {
    /// Returns the name of the form's field. Several parts may have the same name.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// Returns the name of the file that the part is, if it is one. A browser sends an empty name for a field without a
    /// chosen file.
    ///
    /// The client chooses this text: it may contain `/`, `\` and `..`. Do not use it as a path. Browsers write `%22` for
    /// a quote in it, which is not decoded, because other clients mean the three characters themselves.
    pub fn file_name(&self) -> Option<&'a str> {
        self.file_name
    }

    /// Returns the Content-Type of the part. Without one it is `text/plain` (RFC 7578 §4.4).
    pub fn content_type(&self) -> Option<&'a str> {
        self.content_type
    }
}

/// Where the values of a head lie in it.
#[derive(Debug)]
pub(super) struct Places {
    name: Quoted,
    file_name: Option<Quoted>,
    content_type: Option<Range<usize>>,
}

/// A value that may have been between quotes.
#[derive(Debug, Clone)]
struct Quoted {
    at: Range<usize>,
    /// Whether it contains `\"` or `\\`.
    escaped: bool,
}

impl Places {
    /// Finds the values in a head, whose lines all end in CRLF.
    ///
    /// # Errors
    /// Status 400 if the head is malformed or names no field of a form, and 415 for content in a transfer encoding.
    pub(super) fn find(head: &[u8]) -> Result<Places, Error> {
        let (mut disposition, mut content_type, mut is_encoded) = (None, None, false);
        let mut from = 0;
        while let Some(length) = head[from..].windows(2).position(|two| two == b"\r\n") {
            let line = from..from + length;
            from = line.end + 2;
            let Some((name, value)) = field(head, line) else {
                return Err(Error::bad_request("A line in the head of a part is malformed."));
            };
            // RFC 7578 §4.8: all others are ignored.
            let place = if name.eq_ignore_ascii_case(b"content-disposition") {
                &mut disposition
            } else if name.eq_ignore_ascii_case(b"content-type") {
                &mut content_type
            } else {
                is_encoded |= name.eq_ignore_ascii_case(b"content-transfer-encoding")
                    && ![&b"7bit"[..], b"8bit", b"binary"]
                        .iter()
                        .any(|plain| head[value.clone()].eq_ignore_ascii_case(plain));
                continue;
            };
            if place.replace(value).is_some() {
                return Err(Error::bad_request("A field in the head of a part is repeated."));
            }
        }
        if is_encoded {
            return Err(Error::unsupported_media_type("A part must not be in a transfer encoding."));
        }
        let disposition = disposition.ok_or(Error::bad_request("A part has no Content-Disposition."))?;
        let Some((name, file_name)) = names(head, disposition) else {
            return Err(Error::bad_request("The Content-Disposition of a part is malformed."));
        };
        let name = name.ok_or(Error::bad_request("A part has no name."))?;
        Ok(Places { name, file_name, content_type })
    }

    pub(super) fn has_escapes(&self) -> bool {
        self.name.escaped || self.file_name.as_ref().is_some_and(|file_name| file_name.escaped)
    }

    /// Removes the backslashes of escaped characters from `head`.
    pub(super) fn unescape(&mut self, head: &mut [u8]) {
        for value in [Some(&mut self.name), self.file_name.as_mut()].into_iter().flatten() {
            if std::mem::take(&mut value.escaped) {
                let length = unescape(&mut head[value.at.clone()]);
                value.at.end = value.at.start + length;
            }
        }
    }

    /// Reads the values from `head`, in which nothing is escaped.
    ///
    /// # Errors
    /// Status 400 if a value is not UTF-8, and 413 if the name is too long.
    pub(super) fn read<'a>(&self, head: &'a [u8], limits: &MultipartLimits) -> Result<PartHead<'a>, Error> {
        let text = |at: &Range<usize>| {
            std::str::from_utf8(&head[at.clone()])
                .map_err(|_| Error::bad_request("The head of a part is not UTF-8."))
        };
        if self.name.at.len() > limits.name_bytes {
            let message = format!("The name of a part is longer than {} bytes.", limits.name_bytes);
            return Err(Error::new(413, message));
        }
        Ok(PartHead {
            name: text(&self.name.at)?,
            file_name: self.file_name.as_ref().map(|value| text(&value.at)).transpose()?,
            content_type: self.content_type.as_ref().map(text).transpose()?,
        })
    }
}

/// Splits a line of `head` into a field's name and the place of its value. Returns `None` if it is malformed.
fn field(head: &[u8], line: Range<usize>) -> Option<(&[u8], Range<usize>)> {
    let text = &head[line.clone()];
    let colon = text.iter().position(|byte| *byte == b':')?;
    let (name, value) = (&text[..colon], &text[colon + 1..]);
    let is_control = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
    if name.is_empty() || !name.iter().copied().all(is_token) || value.iter().any(is_control) {
        return None;
    }
    let blank = value.len() - value.trim_ascii_start().len();
    let start = line.start + colon + 1 + blank;
    Some((name, start..start + value.trim_ascii().len()))
}

/// Reads the parameters `name` and `filename` of a Content-Disposition. Returns `None` if it is malformed or not
/// `form-data`.
fn names(head: &[u8], value: Range<usize>) -> Option<(Option<Quoted>, Option<Quoted>)> {
    let (mut name, mut file_name) = (None, None);
    let text = &head[..value.end];
    let mut at = value.start;
    let skip_blank =
        |at: usize| at + text[at..].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let skip_token = |at: usize| at + text[at..].iter().take_while(|byte| is_token(**byte)).count();
    let kind = at..skip_token(at);
    at = skip_blank(kind.end);
    if !text[kind].eq_ignore_ascii_case(b"form-data") {
        return None;
    }
    while at < text.len() {
        if text[at] != b';' {
            return None;
        }
        at = skip_blank(at + 1);
        // Some clients end with a semicolon.
        if at == text.len() {
            break;
        }
        let key = at..skip_token(at);
        at = skip_blank(key.end);
        if key.is_empty() || text.get(at) != Some(&b'=') {
            return None;
        }
        let (parameter, end) = parameter(text, skip_blank(at + 1))?;
        at = skip_blank(end);
        // RFC 7578 §4.2: `filename*` is not for forms.
        let place = match &text[key] {
            key if key.eq_ignore_ascii_case(b"name") => &mut name,
            key if key.eq_ignore_ascii_case(b"filename") => &mut file_name,
            _ => continue,
        };
        if place.replace(parameter).is_some() {
            return None;
        }
    }
    Some((name, file_name))
}

/// Reads the value of a parameter that begins at `at`. Returns it and where it ends.
fn parameter(text: &[u8], at: usize) -> Option<(Quoted, usize)> {
    if text.get(at) != Some(&b'"') {
        let ends = |byte: &u8| matches!(byte, b';' | b' ' | b'\t' | b'"');
        let length = text[at..].iter().take_while(|byte| !ends(byte)).count();
        return (length > 0).then_some((Quoted { at: at..at + length, escaped: false }, at + length));
    }
    let (start, mut end, mut escaped) = (at + 1, at + 1, false);
    loop {
        match text[end..] {
            [b'"', ..] => return Some((Quoted { at: start..end, escaped }, end + 1)),
            [b'\\', b'"' | b'\\', ..] => {
                escaped = true;
                end += 2;
            }
            // Browsers write a single backslash as it is.
            [_, ..] => end += 1,
            [] => return None,
        }
    }
}

/// Removes the backslash before each escaped character. Returns the new length.
fn unescape(text: &mut [u8]) -> usize {
    let (mut from, mut to) = (0, 0);
    while from < text.len() {
        from += usize::from(matches!(text[from..], [b'\\', b'"' | b'\\', ..]));
        text[to] = text[from];
        from += 1;
        to += 1;
    }
    to
}

#[cfg(test)]
mod tests {
    use super::*;

    type Expected<'a> = Result<(&'a str, Option<&'a str>, Option<&'a str>), u16>;

    fn check(lines: &str, expected: Expected<'_>) {
        let limits = MultipartLimits::new().name_bytes(10);
        let mut head = lines.replace('\n', "\r\n").into_bytes();
        let found = Places::find(&head).and_then(|mut places| {
            let escaped = places.has_escapes();
            places.unescape(&mut head);
            assert_eq!(escaped, lines.contains("\\\"") || lines.contains("\\\\"), "{lines}");
            places.read(&head, &limits)
        });
        let found = found.map(|head| (head.name(), head.file_name(), head.content_type()));
        assert_eq!(found.map_err(|error| error.status()), expected, "{lines}");
    }

    /// Checks the parameters of a Content-Disposition.
    fn names_of(parameters: &str, expected: Result<(&str, Option<&str>), u16>) {
        let expected = expected.map(|(name, file_name)| (name, file_name, None));
        check(&format!("Content-Disposition: form-data{parameters}\n"), expected);
    }

    #[test]
    fn names_are_read() {
        names_of("; name=\"a\"", Ok(("a", None)));
        names_of("; name=a", Ok(("a", None)));
        names_of(";name=\"\"", Ok(("", None)));
        names_of("; name=\"a b;=\"; filename=\"c.txt\"", Ok(("a b;=", Some("c.txt"))));
        names_of("; filename=c.txt; name=a", Ok(("a", Some("c.txt"))));
        names_of("; name=\"a\"; filename=\"\"", Ok(("a", Some(""))));
        names_of(" ;\tNAME = \"a\" ; FileName=\"b\" ;", Ok(("a", Some("b"))));
        names_of("; name=\"\u{e9}\"; filename=\"\u{20ac}.txt\"", Ok(("\u{e9}", Some("\u{20ac}.txt"))));
        names_of("; name=\"a\"; filename=\"C:\\dir\\file.txt\"", Ok(("a", Some("C:\\dir\\file.txt"))));
        names_of("; name=\"a\\\"b\"; filename=\"\\\\\\\"\"", Ok(("a\"b", Some("\\\""))));
        names_of("; name=\"a%22\"; filename=\"%41\"", Ok(("a%22", Some("%41"))));
        names_of("; name=\"a\"; filename*=UTF-8''b; other=\"c\"", Ok(("a", None)));
        names_of("; name=\"0123456789\"", Ok(("0123456789", None)));
        names_of("; name=\"0123456789a\"", Err(413));
    }

    #[test]
    fn malformed_names_are_refused() {
        for parameters in [
            "",
            "; filename=\"a\"",
            "; name",
            "; name=",
            "; name=\"a",
            "; name=\"a\\\"",
            "; name=\"a\"b",
            "; name=a\"b",
            "; name=a b",
            "; name=\"a\"; name=\"b\"",
            "; name=\"a\"; filename=b; filename=c",
            "; =a",
            "; na me=a",
            " name=a",
            "x; name=a",
            ";; name=a",
        ] {
            names_of(parameters, Err(400));
        }
        check("Content-Disposition: attachment; name=a\n", Err(400));
        check("Content-Disposition:\n", Err(400));
    }

    #[test]
    fn fields_are_read_or_refused() {
        let name = "Content-Disposition: form-data; name=a\n";
        check(&format!("{name}Content-Type: image/png\n"), Ok(("a", None, Some("image/png"))));
        check(
            &format!("content-type:\ttext/plain; charset=utf-8 \n{name}"),
            Ok(("a", None, Some("text/plain; charset=utf-8"))),
        );
        check(&format!("X-Other: \u{e9}\n{name}Content-Length: 5\n"), Ok(("a", None, None)));
        for plain in ["7bit", "8BIT", "Binary"] {
            check(&format!("{name}Content-Transfer-Encoding: {plain}\n"), Ok(("a", None, None)));
        }
        check(&format!("{name}Content-Transfer-Encoding: base64\n"), Err(415));
        check(&format!("{name}{name}"), Err(400));
        check(&format!("{name}Content-Type: a/b\nContent-Type: a/b\n"), Err(400));
        check("Content-Type: text/plain\n", Err(400));
        check("", Err(400));
        for line in
            ["", "no colon", ": a", " folded: a", "na me: a", "name : a", "a: b\0", "a: b\rc", "a: b\x7f"]
        {
            check(&format!("{name}{line}\n"), Err(400));
        }
    }

    #[test]
    fn heads_that_are_not_utf_8_are_refused() {
        let head = b"Content-Disposition: form-data; name=\"\xff\"\r\n";
        let places = Places::find(head).unwrap();
        assert_eq!(places.read(head, &MultipartLimits::new()).unwrap_err().status(), 400);
    }
}
