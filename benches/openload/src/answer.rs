//! Splits a byte stream into answers, however it was cut. Knows no socket and no clock.

const HEAD_BYTES_MAX: usize = 64 * 1024;

/// The state of the answer that is being received.
#[derive(Default)]
pub struct Answers {
    /// The beginning of a head that is still incomplete.
    head: Vec<u8>,
    /// The status of an answer whose head is complete, and the number of content bytes still missing.
    content: Option<(u16, usize)>,
}

impl Answers {
    /// Consumes the next complete answer from `data` and returns its status. Returns `None` if `data` was
    /// used up before an answer was complete.
    pub fn next(&mut self, data: &mut &[u8]) -> Result<Option<u16>, &'static str> {
        let (status, left) = match self.content {
            Some(content) => content,
            None => match self.head(data)? {
                Some(content) => content,
                None => return Ok(None),
            },
        };
        let here = left.min(data.len());
        *data = &data[here..];
        if here < left {
            self.content = Some((status, left - here));
            return Ok(None);
        }
        self.content = None;
        Ok(Some(status))
    }

    /// Returns the status and the content length of a head that ends in `data`.
    fn head(&mut self, data: &mut &[u8]) -> Result<Option<(u16, usize)>, &'static str> {
        let kept = self.head.len();
        if kept == 0
            && let Some(end) = end_of_head(data)
        {
            let (head, rest) = data.split_at(end);
            *data = rest;
            return parse(head).map(Some);
        }
        // Rare: the head arrives in pieces, and its end may span two of them.
        self.head.extend_from_slice(data);
        let Some(end) = end_of_head(&self.head) else {
            *data = &[];
            let endless = self.head.len() > HEAD_BYTES_MAX;
            return if endless {
                Err("a head of more than 64 KiB")
            } else {
                Ok(None)
            };
        };
        *data = &data[end - kept..];
        let content = parse(&self.head[..end]);
        self.head.clear();
        content.map(Some)
    }
}

fn end_of_head(data: &[u8]) -> Option<usize> {
    data.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4)
}

/// Returns the status and the content length of a complete head.
fn parse(head: &[u8]) -> Result<(u16, usize), &'static str> {
    let mut lines = head.split(|b| *b == b'\n');
    let status = lines.next().and_then(status).ok_or("not an HTTP/1.1 answer")?;
    let mut length = None;
    for line in lines {
        let Some(colon) = line.iter().position(|b| *b == b':') else {
            continue; // the blank line
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            let digits = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok());
            length = Some(digits.ok_or("a Content-Length that is not a number")?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            return Err("a Transfer-Encoding, which openload does not support");
        }
    }
    match (status, length) {
        // RFC 9112 §6.3: these have no content, whatever their fields say.
        (204 | 304, _) => Ok((status, 0)),
        (_, Some(length)) => Ok((status, length)),
        (_, None) => Err("an answer without Content-Length"),
    }
}

fn status(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(b"HTTP/1.1 ")?;
    let (digits, after) = rest.split_at_checked(3)?;
    let ends = matches!(after.first(), Some(b' ' | b'\r'));
    (ends && digits.iter().all(u8::is_ascii_digit)).then(|| digits.iter().fold(0, |n, b| n * 10 + u16::from(b - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &[u8] = b"HTTP/1.1 200 OK\r\nServer: x\r\ncontent-length: 5\r\n\r\nHello\
        HTTP/1.1 404 Not Found\r\nContent-Length:0\r\n\r\n";

    fn statuses(pieces: &[&[u8]]) -> Result<Vec<u16>, &'static str> {
        let (mut answers, mut found) = (Answers::default(), Vec::new());
        for mut piece in pieces.iter().copied() {
            while let Some(status) = answers.next(&mut piece)? {
                found.push(status);
            }
            assert!(piece.is_empty());
        }
        Ok(found)
    }

    #[test]
    fn answers_are_the_same_however_they_are_cut() {
        assert_eq!(statuses(&[TWO]), Ok(vec![200, 404]));
        for first in 0..TWO.len() {
            for second in first..TWO.len() {
                let pieces = [&TWO[..first], &TWO[first..second], &TWO[second..]];
                assert_eq!(statuses(&pieces), Ok(vec![200, 404]), "cut at {first} and {second}");
            }
        }
        let bytes: Vec<&[u8]> = TWO.chunks(1).collect();
        assert_eq!(statuses(&bytes), Ok(vec![200, 404]));
    }

    #[test]
    fn an_answer_is_not_counted_before_its_last_byte() {
        let end = TWO.len() - b"HTTP/1.1 404 Not Found\r\nContent-Length:0\r\n\r\n".len();
        assert_eq!(statuses(&[&TWO[..end - 1]]), Ok(vec![]));
        assert_eq!(statuses(&[&TWO[..end]]), Ok(vec![200]));
    }

    #[test]
    fn answers_without_content() {
        assert_eq!(statuses(&[b"HTTP/1.1 204 No Content\r\n\r\n"]), Ok(vec![204]));
        assert_eq!(statuses(&[b"HTTP/1.1 304\r\nContent-Length: 9\r\n\r\n"]), Ok(vec![304]));
    }

    #[test]
    fn invalid_answers_are_refused() {
        let check = |data: &[u8]| assert!(statuses(&[data]).is_err(), "{}", data.escape_ascii());
        check(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n");
        check(b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n");
        check(b"HTTP/1.1 2x0 OK\r\nContent-Length: 0\r\n\r\n");
        check(b"HTTP/1.1 200 OK\r\n\r\n");
        check(b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\n");
        check(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        check(&[b'x'; HEAD_BYTES_MAX + 1]);
    }
}
