//! A request in memory of its own, which may outlive the handler.
//!
//! It knows no more of a connection than its id. Its invariant: it holds a request that was parsed and
//! checked, so parsing it again gives the same result.

use super::forwarded;
use super::request::{Pattern, RequestState};
use super::{ConnId, Request, RequestParts};
use crate::arena::{Arena, ArenaWriter};
use crate::http1::{Fields, Head, Method, Target, TargetForm, Version};
use crate::keep::{self, Keep};
use crate::transport::Peer;
use std::fmt;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};

/// A whole request, copied into one block of memory: the head as it was sent, except that unreserved characters of the
/// path are decoded; the decoded content, the trailer fields, and the parameters of the route. It may leave the handler
/// and go to another thread.
///
/// [`Request::keep`](Keep::keep) makes one. Each call of an accessor searches the block. To read many fields, parse it once
/// with [`request`](KeptRequest::request).
///
/// ```
/// use fleeting::{App, Keep, KeptRequest, Response};
/// use std::sync::mpsc;
///
/// let (sender, receiver) = mpsc::channel::<KeptRequest>();
/// std::thread::spawn(move || {
///     for req in receiver {
///         println!("{} {}: {} bytes", req.method(), req.path(), req.body().len());
///     }
/// });
/// let app = App::new().post("/log", move |req| {
///     let _ = sender.send(req.keep());
///     Ok(Response::new(204))
/// });
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct KeptRequest {
    /// The head, the content, the trailer section and the parameters, one after the other. A parameter begins
    /// with the lengths of its name and its value, four bytes each. The name and the value follow.
    block: Box<[u8]>,
    /// Ends of the first three parts in `block`, in ascending order.
    head_end: usize,
    content_end: usize,
    trailers_end: usize,
    has_params: bool,
    /// It has arrived over HTTP/2; its head is kept as HTTP/1.1 would send it.
    is_http2: bool,
    conn: ConnId,
    peer: Peer,
}

/// Bytes that a parameter's two lengths take.
const LENGTHS_BYTES: usize = 8;

impl KeptRequest {
    /// Parses the request again, for another handler. The result borrows this `KeptRequest` and the arena.
    ///
    /// ```
    /// use fleeting::{App, Arena, Error, Handler, Keep, Response};
    ///
    /// let app = App::new().post("/orders/{id}", |req| {
    ///     let kept = req.keep();
    ///     let arena = Arena::new(4096);
    ///     let again = kept.request(&arena);
    ///     assert_eq!((again.param("id"), again.body()), (req.param("id"), req.body()));
    ///     Ok(Response::new(204))
    /// });
    /// ```
    pub fn request<'k>(&'k self, arena: &'k Arena) -> Request<'k> {
        let mut head = Head::read_again(self.head(), arena).expect("the head was parsed before");
        if self.is_http2 {
            head = arena.alloc(Head { version: Version::Http2, ..*head });
        }
        let trailers = &self.block[self.content_end..self.trailers_end];
        let trailers =
            Fields::read_trailers_again(trailers, arena).expect("the trailer section was parsed before");
        let params = self.has_params.then(|| {
            let mut params = arena.list(self.params().count());
            self.params().for_each(|param| params.push(param));
            &*arena.alloc(params.finish())
        });
        let (content, conn, peer) = (self.body(), self.conn, &self.peer);
        let (pattern, state) = (Pattern::NONE, RequestState::default());
        Request::new(RequestParts { head, content, trailers, params, arena, conn, peer, pattern, state })
    }

    /// Returns the method.
    pub fn method(&self) -> &str {
        text(self.request_line().0)
    }

    /// Returns the path, as [`Request::path`] does.
    pub fn path(&self) -> &str {
        self.target().path()
    }

    /// Returns the query, as [`Request::query`] does.
    pub fn query(&self) -> Option<&str> {
        self.target().query()
    }

    /// Returns the value of the first field of this name, in any case, as [`Request::header`] does.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.fields().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(value).ok()
    }

    /// Returns the names and values of all fields of the head, in the order in which they were sent.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        // The head was checked: its lines end in CRLF, and each field line has a colon after its name.
        let lines = lines_of(self.head()).skip(1);
        lines.filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            Some((text(&line[..colon]), line[colon + 1..].trim_ascii()))
        })
    }

    /// Returns the decoded content, as [`Request::body`] does.
    pub fn body(&self) -> &[u8] {
        &self.block[self.head_end..self.content_end]
    }

    /// Returns the value of a parameter of the route, as [`Request::param`] does.
    ///
    /// # Panics
    /// If the route has no parameter of this name. See also [`try_param`](KeptRequest::try_param).
    pub fn param(&self, name: &str) -> &str {
        match self.try_param(name) {
            Some(value) => value,
            None => panic!("the route of {} has no parameter {name:?}", self.path()),
        }
    }

    /// Returns the value of a parameter of the route, as [`Request::try_param`] does.
    pub fn try_param(&self, name: &str) -> Option<&str> {
        self.params().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Returns the connection that the request arrived on. It may be gone.
    pub fn conn_id(&self) -> ConnId {
        self.conn
    }

    /// Returns the client's address, as [`Request::client_ip`] does.
    pub fn client_ip(&self) -> Option<IpAddr> {
        let Some(proxies) = self.peer.trusted() else { return self.peer.ip() };
        let values = |name: &'static str| {
            let fields = self.fields().filter(move |(known, _)| known.eq_ignore_ascii_case(name));
            fields.map(|(_, value)| value)
        };
        forwarded::read(self.peer.ip(), proxies, values).ip
    }

    /// Returns the peer's address, as [`Request::peer_addr`] does.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.peer.addr()
    }

    fn head(&self) -> &[u8] {
        &self.block[..self.head_end]
    }

    /// Returns the method and the target.
    fn request_line(&self) -> (&[u8], &[u8]) {
        let mut words = self.head().splitn(3, |byte| *byte == b' ');
        (words.next().unwrap_or_default(), words.next().unwrap_or_default())
    }

    fn target(&self) -> Target<'_> {
        let (method, raw) = self.request_line();
        Target::read_again(Method::from(text(method)), raw).expect("the head was parsed before")
    }

    fn params(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut rest = &self.block[self.trailers_end..];
        std::iter::from_fn(move || {
            let (lengths, after) = rest.split_first_chunk::<LENGTHS_BYTES>()?;
            let [name_length, value_length] = [0, 4].map(|at| {
                u32::from_ne_bytes([lengths[at], lengths[at + 1], lengths[at + 2], lengths[at + 3]]) as usize
            });
            let (name, after) = after.split_at(name_length);
            let (value, after) = after.split_at(value_length);
            rest = after;
            Some((text(name), text(value)))
        })
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("copied from text")
}

/// Splits `bytes` into lines and removes the CRLF of each.
fn lines_of(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split_inclusive(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r\n").unwrap_or(line))
}

impl fmt::Debug for KeptRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptRequest")
            .field("method", &self.method())
            .field("path", &self.path())
            .field("content_bytes", &self.body().len())
            .finish_non_exhaustive()
    }
}

/// Returns a head of HTTP/2, which was not sent as text, as HTTP/1.1 would send it, with the path `path`. A stream for
/// another protocol (RFC 8441 §4) becomes a GET, which is how HTTP/1.1 asks for one.
#[cold]
fn head_as_text<'a>(head: &Head<'_>, path: &str, arena: &'a Arena) -> &'a [u8] {
    let (method, target) = (head.method, head.target);
    let method = match (method, target.form()) {
        (Method::Connect, TargetForm::Origin) => Method::Get,
        _ => method,
    };
    let mut text = arena.writer();
    // Writing into memory does not fail.
    let _ = match (target.form(), target.query()) {
        (TargetForm::Origin, Some(query)) => write!(text, "{method} {path}?{query} HTTP/1.1\r\n"),
        (TargetForm::Origin, None) => write!(text, "{method} {path} HTTP/1.1\r\n"),
        _ => write!(text, "{method} {} HTTP/1.1\r\n", target.raw()),
    };
    fields_as_text(head.fields, text)
}

/// Appends field lines and an empty line.
fn fields_as_text<'a>(fields: Fields<'_>, mut text: ArenaWriter<'a>) -> &'a [u8] {
    for (name, value) in fields {
        for part in [name.as_bytes(), b": ", value, b"\r\n"] {
            let _ = text.write_all(part);
        }
    }
    let _ = text.write_all(b"\r\n");
    text.finish()
}

/// Returns the parts of a head whose path is replaced with `path`.
fn head_with_path<'a>(head: &Head<'a>, path: &'a str) -> [&'a [u8]; 3] {
    let (bytes, target) = (head.bytes(), &head.target);
    if path.len() == target.path().len() {
        return [bytes, b"", b""];
    }
    let query = target.query().map_or(0, |query| 1 + query.len());
    let end = head.method.as_str().len() + 1 + target.raw().len() - query;
    [&bytes[..end - target.path().len()], path.as_bytes(), &bytes[end..]]
}

impl Keep for Request<'_> {
    type Kept = KeptRequest;

    fn keep(&self) -> KeptRequest {
        let RequestParts { head, content, trailers, params, conn, peer, arena, .. } = self.parts();
        let (head, trailers) = match head.version {
            Version::Http2 if trailers.is_empty() => {
                ([head_as_text(head, self.path(), arena), b"", b""], &b""[..])
            }
            Version::Http2 => (
                [head_as_text(head, self.path(), arena), b"", b""],
                fields_as_text(*trailers, arena.writer()),
            ),
            _ => (head_with_path(head, self.path()), trailers.trailer_bytes()),
        };
        let head_bytes = head.iter().map(|part| part.len()).sum::<usize>();
        let list = params.map_or(&[][..], |params| params);
        let params_bytes: usize =
            list.iter().map(|(name, value)| LENGTHS_BYTES + name.len() + value.len()).sum();
        let mut block = Vec::new();
        let bytes = head_bytes + content.len() + trailers.len() + params_bytes;
        keep::room(block.try_reserve_exact(bytes));
        head.iter().for_each(|part| block.extend_from_slice(part));
        block.extend_from_slice(content);
        block.extend_from_slice(trailers);
        for (name, value) in list {
            // A name comes from the program and a value from a head: both are shorter than 4 GiB.
            block.extend_from_slice(&(name.len() as u32).to_ne_bytes());
            block.extend_from_slice(&(value.len() as u32).to_ne_bytes());
            block.extend_from_slice(name.as_bytes());
            block.extend_from_slice(value.as_bytes());
        }
        keep::count(block.len());
        let content_end = head_bytes + content.len();
        KeptRequest {
            block: block.into(),
            head_end: head_bytes,
            content_end,
            trailers_end: content_end + trailers.len(),
            has_params: params.is_some(),
            is_http2: self.version() == Version::Http2,
            conn: *conn,
            peer: (*peer).clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limits;
    use crate::http2::{self, Section, hpack};

    /// Keeps a request of HTTP/2 and reads it again.
    fn check(fields: &[(&str, &str)], trailers: &[(&str, &str)], expected: &str) {
        let arena = Arena::new(4096);
        let section = |fields: &[(&str, &str)]| {
            let mut block = Vec::new();
            for (name, value) in fields {
                hpack::encoder::field(&mut block, name.as_bytes(), value.as_bytes());
            }
            let mut section = Section::new(&arena, &Limits::default(), block.len());
            hpack::Decoder::new(hpack::TABLE_BYTES).decode(&block, &mut section).unwrap();
            section
        };
        let head = http2::head::read(&mut section(fields), false).unwrap().head;
        let trailers = http2::head::trailers(&mut section(trailers)).unwrap();
        let (content, conn, peer) =
            (&b"content"[..], ConnId { worker: 0, index: 0, generation: 0 }, &Peer::None);
        let (params, pattern, state) = (None, Pattern::NONE, RequestState::default());
        let parts =
            RequestParts { head, content, trailers, params, arena: &arena, conn, peer, pattern, state };
        let kept = Request::new(parts).keep();
        let again = kept.request(&arena);
        let RequestParts { head, content, trailers, .. } = again.parts();
        assert_eq!((*content, head.version), (&b"content"[..], Version::Http2));
        let target = (head.target.path(), head.target.query());
        let found = format!("{} {target:?} [{}] {:?} {trailers:?}", head.method, head.host(), head.fields);
        assert_eq!(found, expected);
        assert_eq!(kept.fields().count(), head.fields.len());
    }

    #[test]
    fn a_request_of_http2_is_kept_as_text() {
        let start = [(":scheme", "https"), (":authority", "a:1")];
        check(
            &[&start[..], &[(":method", "GET"), (":path", "/x?y"), ("b", "c\td"), ("e", "")]].concat(),
            &[],
            r#"GET ("/x", Some("y")) [a:1] {"host": "a:1", "b": "c\td", "e": ""} {}"#,
        );
        check(
            &[&start[..], &[(":method", "OPTIONS"), (":path", "*"), ("content-length", "7")]].concat(),
            &[("sum", "1"), ("x", "")],
            r#"OPTIONS ("*", None) [a:1] {"host": "a:1", "content-length": "7"} {"sum": "1", "x": ""}"#,
        );
        check(
            &[&start[..], &[(":method", "CONNECT"), (":path", "/"), (":protocol", "websocket")]].concat(),
            &[],
            r#"GET ("/", None) [a:1] {"host": "a:1"} {}"#,
        );
        check(&[(":method", "CONNECT"), start[1]], &[], r#"CONNECT ("", None) [a:1] {"host": "a:1"} {}"#);
    }
}
