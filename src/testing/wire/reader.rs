//! Reads one response from the pieces in which it arrives.
//!
//! It knows no connection: the caller drops what was consumed. Its invariant: nothing behind the response is consumed.

use super::super::answer::Answer;
use super::head::{Framing, Head, Malformed, chunk, trailers};

/// A response that is arriving.
#[derive(Debug)]
pub struct Reader {
    state: State,
    /// The request was HEAD.
    to_head: bool,
    answer: Option<Answer>,
    /// Heads of interim responses, which come first.
    interim: Vec<Head>,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    /// This many bytes of the content.
    Length(usize),
    Chunk,
    Trailers,
    UntilEnd,
    Done,
}

impl Reader {
    /// Makes a reader for the next response. `to_head`: its request was HEAD, so it has no content.
    pub fn new(to_head: bool) -> Reader {
        Reader { state: State::Head, to_head, answer: None, interim: Vec::new() }
    }

    /// Reads as much of `bytes` as belongs to the response and is complete. Returns how many bytes that were. `ended`:
    /// nothing follows them.
    ///
    /// # Errors
    /// If the bytes are not a response.
    pub fn read(&mut self, bytes: &[u8], ended: bool) -> Result<usize, Malformed> {
        let mut at = 0;
        loop {
            let rest = &bytes[at..];
            let consumed = match self.state {
                State::Done => None,
                State::Head => self.head(rest)?,
                State::Length(left) => {
                    let taken = left.min(rest.len());
                    self.push(&rest[..taken]);
                    self.state = if taken == left { State::Done } else { State::Length(left - taken) };
                    (taken > 0).then_some(taken)
                }
                State::Chunk => chunk(rest)?.map(|chunk| {
                    self.state = if chunk.data.is_empty() { State::Trailers } else { State::Chunk };
                    self.push(&rest[chunk.data]);
                    chunk.end
                }),
                State::Trailers => trailers(rest)?.inspect(|length| {
                    self.state = State::Done;
                    if let Some(answer) = &mut self.answer {
                        answer.trailers = rest[..*length].to_vec();
                    }
                }),
                State::UntilEnd => {
                    self.push(rest);
                    if ended {
                        self.state = State::Done;
                    }
                    (!rest.is_empty()).then_some(rest.len())
                }
            };
            match consumed {
                Some(consumed) => at += consumed,
                None => return Ok(at),
            }
        }
    }

    fn head(&mut self, bytes: &[u8]) -> Result<Option<usize>, Malformed> {
        let Some(head) = Head::read(bytes)? else { return Ok(None) };
        let length = head.bytes().len();
        let framing = head.framing(self.to_head)?;
        // RFC 9110 §15.2: any number of interim responses, then a final one. 101 is the last on its connection.
        if matches!(head.status(), 100 | 102..=199) {
            self.interim.push(head);
            return Ok(Some(length));
        }
        self.state = match framing {
            Framing::Empty => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Chunk,
            Framing::UntilEnd => State::UntilEnd,
        };
        self.answer = Some(Answer::new(std::mem::take(&mut self.interim), head));
        Ok(Some(length))
    }

    fn push(&mut self, content: &[u8]) {
        if let Some(answer) = &mut self.answer {
            answer.body.extend_from_slice(content);
        }
    }

    /// Whether the response is complete.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether nothing has been read yet.
    pub fn is_fresh(&self) -> bool {
        self.state == State::Head && self.interim.is_empty()
    }

    /// Returns the response as far as it has been read; `None` before its head is complete.
    pub fn so_far(&self) -> Option<&Answer> {
        self.answer.as_ref()
    }

    /// Takes the content that was read since the last call.
    pub fn take_body(&mut self) -> Vec<u8> {
        self.answer.as_mut().map(|answer| std::mem::take(&mut answer.body)).unwrap_or_default()
    }

    /// Returns the response, if it is complete.
    pub fn finish(self) -> Option<Answer> {
        self.answer.filter(|_| self.state == State::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `text` in two pieces, cut everywhere. Returns the answer and what is left.
    fn read(text: &str, to_head: bool, ended: bool) -> (Option<Answer>, String) {
        let mut whole = None;
        for cut in 0..=text.len() {
            let mut reader = Reader::new(to_head);
            let mut at = reader.read(&text.as_bytes()[..cut], false).expect("well-formed");
            at += reader.read(&text.as_bytes()[at..], ended).expect("well-formed");
            let outcome = (reader.finish(), text[at..].to_string());
            assert_eq!(whole.get_or_insert_with(|| outcome.clone()), &outcome, "cut at {cut}");
        }
        whole.expect("read at least once")
    }

    #[test]
    fn each_framing_ends_where_it_says() {
        let (answer, rest) = read("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP", false, false);
        assert_eq!((answer.expect("complete").body(), &*rest), (&b"abc"[..], "HTTP"));
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let (answer, rest) = read(&format!("{chunked}2\r\nab\r\n1\r\nc\r\n0\r\nS: 1\r\n\r\nx"), false, false);
        let answer = answer.expect("complete");
        assert_eq!((answer.text(), &*rest), ("abc", "x"));
        assert_eq!(answer.trailers().collect::<Vec<_>>(), [("S", &b"1"[..])]);
        let (answer, rest) = read("HTTP/1.1 200 OK\r\n\r\nabc", false, true);
        assert_eq!((answer.expect("complete").text(), &*rest), ("abc", ""));
        let (answer, _) = read("HTTP/1.1 200 OK\r\n\r\nabc", false, false);
        assert_eq!(answer, None);
    }

    #[test]
    fn responses_without_content_end_with_their_head() {
        for (text, to_head) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", true),
            ("HTTP/1.1 204 No Content\r\n\r\n", false),
            ("HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", false),
            ("HTTP/1.1 101 Switching Protocols\r\n\r\n", false),
        ] {
            let (answer, rest) = read(&format!("{text}abc"), to_head, false);
            assert_eq!((answer.expect("complete").body(), &*rest), (&b""[..], "abc"), "{text}");
        }
    }

    #[test]
    fn interim_responses_come_before_the_final_one() {
        let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n";
        let (answer, _) = read(&format!("{interim}HTTP/1.1 204 No Content\r\n\r\n"), false, false);
        let answer = answer.expect("complete");
        assert_eq!((answer.status(), answer.interim().collect::<Vec<_>>()), (204, vec![100, 103]));
        assert_eq!(read(interim, false, true).0, None);
    }

    #[test]
    fn content_can_be_taken_as_it_arrives() {
        let mut reader = Reader::new(false);
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert!(reader.is_fresh());
        assert_eq!(reader.read(&[&head[..], b"1\r\na\r\n2\r\nb"].concat(), false), Ok(head.len() + 6));
        assert_eq!((reader.take_body(), reader.is_done(), reader.is_fresh()), (b"a".to_vec(), false, false));
        assert_eq!(reader.read(b"2\r\nbc\r\n0\r\n\r\n", false), Ok(12));
        assert_eq!((reader.take_body(), reader.is_done()), (b"bc".to_vec(), true));
    }
}
