//! Checks how a multipart form is read: the cut does not matter, and a second reader, which has the whole form and
//! works differently, reads the same.

use super::cuts::{BYTEWISE_MAX, cuts, pieces};
use fleeting::{FormPiece, MultipartLimits, MultipartReader};

/// The type of the form's content.
pub const FORM_TYPE: &str = "multipart/form-data; boundary=b";

/// A part that has arrived completely.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadPart {
    pub name: String,
    pub file_name: Option<String>,
    pub content_type: Option<String>,
    pub content: Vec<u8>,
}

/// Reads a form with the boundary `b`, in one piece and in several. The first bytes of the input say how it is cut, and
/// whether there are small limits.
///
/// Panics unless all of them read the same, and, without small limits, the same as `naive_form`.
pub fn multipart(bytes: &[u8]) {
    let (cuts, choice, form) = cuts(bytes);
    let small = MultipartLimits::new().parts(2).head_bytes(60).name_bytes(3).part_bytes(5);
    // Larger than any input.
    let large = MultipartLimits::new().parts(usize::MAX).name_bytes(usize::MAX).head_bytes(usize::MAX);
    let limits = if choice == 0 { large } else { small };
    let whole = read_form(&[form], limits);
    assert_eq!(read_form(&pieces(form, &cuts), limits), whole, "cut at {cuts:?}");
    if form.len() <= BYTEWISE_MAX {
        assert_eq!(read_form(&form.chunks(1).collect::<Vec<_>>(), limits), whole, "byte by byte");
    }
    if choice == 0 {
        let (parts, refused) = whole;
        assert_eq!(refused.is_none().then_some(parts), naive_form(form), "{}", form.escape_ascii());
    }
}

/// Returns the parts of a form that arrives in these pieces, and the status with which the rest is refused.
pub fn read_form(pieces: &[&[u8]], limits: MultipartLimits) -> (Vec<ReadPart>, Option<u16>) {
    let mut reader = MultipartReader::new(FORM_TYPE, limits).expect("the boundary is valid");
    let (mut parts, mut under_way) = (Vec::new(), None);
    for piece in pieces {
        let read = reader.read(piece, |next| {
            match (next, &mut under_way) {
                (FormPiece::Head(head), None) => {
                    under_way = Some(ReadPart {
                        name: head.name().into(),
                        file_name: head.file_name().map(String::from),
                        content_type: head.content_type().map(String::from),
                        content: Vec::new(),
                    });
                }
                (FormPiece::Content(content), Some(part)) => {
                    assert!(!content.is_empty());
                    part.content.extend_from_slice(content);
                }
                (FormPiece::End, part @ Some(_)) => parts.extend(part.take()),
                (next, part) => panic!("{next:?} with {part:?}"),
            }
            Ok(())
        });
        if let Err(error) = read {
            return (parts, Some(error.status()));
        }
    }
    (parts, reader.finish().err().map(|error| error.status()))
}

/// Reads a form with `split` and `find`, from its end in memory to its parts. Returns `None` if it is malformed.
pub fn naive_form(form: &[u8]) -> Option<Vec<ReadPart>> {
    let find = |text: &[u8], what: &[u8]| text.windows(what.len()).position(|window| window == what);
    let delimiter = b"\r\n--b";
    let form = [b"\r\n", form].concat();
    let mut parts = Vec::new();
    let mut rest = &form[find(&form, delimiter)? + delimiter.len()..];
    while !rest.starts_with(b"--") {
        let line_end = find(rest, b"\r\n")?;
        if rest[..line_end].iter().any(|byte| !b" \t".contains(byte)) {
            return None;
        }
        let head_and_content = &rest[line_end + 2..];
        let head_end = find(head_and_content, b"\r\n\r\n")?;
        let mut part = naive_head(&head_and_content[..head_end])?;
        // The empty line's CRLF stays, because it is also that of a delimiter that follows at once.
        let content = &head_and_content[head_end + 2..];
        let end = find(content, delimiter)?;
        part.content = content[..end].get(2..).unwrap_or_default().to_vec();
        parts.push(part);
        rest = &content[end + delimiter.len()..];
    }
    Some(parts)
}

fn naive_head(head: &[u8]) -> Option<ReadPart> {
    let mut part = ReadPart { name: String::new(), file_name: None, content_type: None, content: Vec::new() };
    let (mut disposition, mut type_bytes) = (None, None);
    for line in lines(head) {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let token = |byte: &u8| byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(byte);
        let value = &line[colon + 1..];
        let printable = |byte: &u8| *byte == b'\t' || !(*byte < b' ' || *byte == 127);
        if colon == 0 || !line[..colon].iter().all(token) || !value.iter().all(printable) {
            return None;
        }
        let value = value.trim_ascii().to_vec();
        match &*line[..colon].to_ascii_lowercase() {
            b"content-disposition" if disposition.is_some() => return None,
            b"content-disposition" => disposition = Some(value),
            b"content-type" if type_bytes.is_some() => return None,
            b"content-type" => type_bytes = Some(value),
            b"content-transfer-encoding" => {
                let plain: [&[u8]; 3] = [b"7bit", b"8bit", b"binary"];
                if !plain.contains(&&*value.to_ascii_lowercase()) {
                    return None;
                }
            }
            _ => {}
        }
    }
    // One byte is one character, so that text can be handled that is not UTF-8.
    let disposition: String = disposition?.into_iter().map(char::from).collect();
    let utf8 = |text: String| String::from_utf8(text.chars().map(|c| c as u8).collect()).ok();
    let mut name = None;
    for (key, value) in naive_parameters(&disposition)? {
        let place = match &*key {
            "name" => &mut name,
            "filename" => &mut part.file_name,
            _ => continue,
        };
        if place.replace(utf8(value)?).is_some() {
            return None;
        }
    }
    part.name = name?;
    part.content_type = match type_bytes {
        Some(bytes) => Some(String::from_utf8(bytes).ok()?),
        None => None,
    };
    Some(part)
}

/// Splits a head at CRLF.
fn lines(head: &[u8]) -> Vec<&[u8]> {
    let mut lines = vec![];
    let mut from = 0;
    for at in 0..head.len() {
        if head[at..].starts_with(b"\r\n") {
            lines.push(&head[from..at]);
            from = at + 2;
        }
    }
    lines.push(&head[from..]);
    lines
}

/// Returns the parameters behind `form-data`, their names in lower case. Returns `None` if they are malformed.
fn naive_parameters(disposition: &str) -> Option<Vec<(String, String)>> {
    // Quoted strings are replaced by numbers first.
    let (mut outside, mut strings) = (String::new(), Vec::new());
    let mut characters = disposition.chars().peekable();
    while let Some(c) = characters.next() {
        if c != '"' {
            outside.push(c);
            continue;
        }
        let mut string = String::new();
        loop {
            match characters.next()? {
                '"' => break,
                '\\' => string.push(characters.next_if(|c| matches!(c, '"' | '\\')).unwrap_or('\\')),
                c => string.push(c),
            }
        }
        outside.push_str(&format!("\u{1}{}\u{1}", strings.len()));
        strings.push(string);
    }
    let blank = [' ', '\t'];
    let mut pieces = outside.split(';').map(|piece| piece.trim_matches(blank)).collect::<Vec<_>>();
    if pieces.len() > 1 && pieces.last() == Some(&"") {
        pieces.pop();
    }
    if !pieces.first()?.eq_ignore_ascii_case("form-data") {
        return None;
    }
    let parameters = pieces[1..].iter().map(|piece| {
        let (key, value) = piece.split_once('=')?;
        let (key, value) = (key.trim_matches(blank), value.trim_matches(blank));
        let token = |c: char| c.is_ascii_graphic() && !"\"(),/:;<=>?@[\\]{}".contains(c);
        let value = match value.strip_prefix('\u{1}').and_then(|rest| rest.strip_suffix('\u{1}')) {
            Some(number) => strings.get(number.parse::<usize>().ok()?)?.clone(),
            None if value.contains(['\u{1}', ' ', '\t']) || value.is_empty() => return None,
            None => value.to_string(),
        };
        (!key.is_empty() && key.chars().all(token)).then(|| (key.to_ascii_lowercase(), value))
    });
    parameters.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_reader_reads_and_refuses() {
        fn check(form: &str, expected: Option<&[(&str, &str)]>) {
            let parts = naive_form(form.replace('\n', "\r\n").as_bytes());
            let found = parts.as_ref().map(|parts| {
                parts
                    .iter()
                    .map(|part| (&*part.name, std::str::from_utf8(&part.content).unwrap()))
                    .collect::<Vec<_>>()
            });
            assert_eq!(found.as_deref(), expected, "{form}");
        }
        let field = "Content-Disposition: form-data; name";
        check("--b--", Some(&[]));
        check(
            &format!("x\n--b \n{field}=a\n\n1\n--b\n{field}=\"\\\"\"\n\n--b--y"),
            Some(&[("a", "1"), ("\"", "")]),
        );
        for malformed in ["", "--b", "--b\n\n\n--b--", "--bx\n", &format!("--b\n{field}=a b\n\n\n--b--")] {
            check(malformed, None);
        }
    }
}
