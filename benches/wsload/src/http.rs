//! Requests, and the heads of their answers.

use crate::args::Args;
use crate::die::die;
use crate::link::Link;

/// The size of the buffer for reads of heads and short answers.
const READ_BUF: usize = 64 * 1024;

/// Reads up to the end of the response head. Returns the head and the bytes after it.
fn read_head(link: &mut Link) -> (String, Vec<u8>) {
    let mut buf = Vec::new();
    let mut tmp = [0u8; READ_BUF];
    loop {
        if let Some(p) = buf.windows(4).position(|w| w == b"\r\n\r\n") {
            let rest = buf.split_off(p + 4);
            return (String::from_utf8_lossy(&buf).into_owned(), rest);
        }
        match link.read(&mut tmp) {
            Ok(0) => die("connection closed before the response head"),
            Ok(n) => buf.extend_from_slice(&tmp[..n]),
            Err(e) => die(&format!("no response head: {}", std::io::Error::from_raw_os_error(e))),
        }
    }
}

fn header(head: &str, name: &str) -> Option<String> {
    head.lines().skip(1).find_map(|l| {
        let (k, v) = l.split_once(':')?;
        k.trim().eq_ignore_ascii_case(name).then(|| v.trim().to_string())
    })
}

/// Connects and upgrades. Returns the non-blocking connection and the extensions the server agreed to.
pub fn ws_connect(a: &Args, path: &str, offer: Option<&str>) -> (Link, Option<String>) {
    let fields = offer.map_or(String::new(), |o| format!("Sec-WebSocket-Extensions: {o}\r\n"));
    ws_connect_with(a, path, &fields)
}

/// The same, with further fields of the request, each with its CRLF.
pub fn ws_connect_with(a: &Args, path: &str, fields: &str) -> (Link, Option<String>) {
    let mut link = Link::connect(a);
    // The sample key of RFC 6455 §1.3, whose accept value is known.
    let upgrade = format!(
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Version: 13\r\n{fields}"
    );
    link.write_all(&request(a, path, &upgrade));
    let (head, rest) = read_head(&mut link);
    if !head.starts_with("HTTP/1.1 101") {
        die(&format!("handshake refused: {}", head.lines().next().unwrap_or("")));
    }
    if header(&head, "sec-websocket-accept").as_deref() != Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") {
        die("wrong Sec-WebSocket-Accept");
    }
    if !rest.is_empty() {
        die("the server sent data before the first message");
    }
    link.set_nonblocking();
    (link, header(&head, "sec-websocket-extensions"))
}

/// Connects and asks for an event stream. Returns the non-blocking connection, whether the content is chunked, and what has
/// arrived of it.
pub fn event_stream(a: &Args, path: &str) -> (Link, bool, Vec<u8>) {
    let mut link = Link::connect(a);
    link.write_all(&request(a, path, "Accept: text/event-stream\r\n"));
    let (head, rest) = read_head(&mut link);
    if !head.starts_with("HTTP/1.1 200") {
        die(&format!("event stream refused: {}", head.lines().next().unwrap_or("")));
    }
    let content_type = header(&head, "content-type").unwrap_or_default();
    if !content_type.starts_with("text/event-stream") {
        die(&format!("not an event stream: Content-Type is '{content_type}'"));
    }
    let chunked = header(&head, "transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked"));
    link.set_nonblocking();
    (link, chunked, rest)
}

/// Opens a connection, sends one GET, reads the complete answer, and keeps the connection open.
pub fn http_once(a: &Args, path: &str) -> Link {
    let mut link = Link::connect(a);
    link.write_all(&request(a, path, ""));
    let (head, mut rest) = read_head(&mut link);
    let len = content_length(&head);
    let mut tmp = [0u8; READ_BUF];
    while rest.len() < len {
        match link.read(&mut tmp) {
            Ok(n) if n > 0 => rest.extend_from_slice(&tmp[..n]),
            _ => die("connection closed before the end of the response body"),
        }
    }
    link
}

/// Returns a GET with further fields, each with its CRLF.
pub fn request(a: &Args, path: &str, fields: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {}:{}\r\n{fields}\r\n", a.host, a.port).into_bytes()
}

fn content_length(head: &str) -> usize {
    header(head, "content-length")
        .and_then(|v| v.parse().ok())
        .unwrap_or_else(|| die("no Content-Length"))
}

/// Returns whether this is a whole answer of status 200, and nothing else.
pub fn is_whole(answer: &[u8]) -> bool {
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n").map(|p| p + 4);
    end.is_some_and(|end| {
        let head = String::from_utf8_lossy(&answer[..end]);
        head.starts_with("HTTP/1.1 200 ") && answer.len() - end == content_length(&head)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_answers_are_told_from_parts() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        assert!(is_whole(answer));
        assert!((0..answer.len()).all(|n| !is_whole(&answer[..n])));
        assert!(!is_whole(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok!"));
        assert!(!is_whole(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nok"));
    }
}
