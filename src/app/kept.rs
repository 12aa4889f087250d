//! A request in memory of its own.
//!
//! It knows no connection but its name. Its invariant: what it holds was a request once, read and checked, so
//! reading it again, with the same parser, gives the same.

use super::{ConnId, Request, RequestParts};
use crate::arena::Arena;
use crate::http1::{Fields, Head, Method, Target};
use crate::keep::{self, Keep};
use crate::transport::Peer;
use std::fmt;
use std::net::SocketAddr;

/// A whole request, copied out of the arena in one block: its head as it was sent, its content, decoded, its
/// trailer fields and the values of its route's parameters.
#[derive(Clone, PartialEq, Eq)]
pub struct KeptRequest {
    /// The head, the content, the trailer section, and the parameters: for each the lengths of name and value as
    /// four bytes each, and both. One after the other.
    block: Box<[u8]>,
    /// Ends of the first three in `block`; none is before the one in front of it.
    head_end: usize,
    content_end: usize,
    trailers_end: usize,
    has_params: bool,
    conn: ConnId,
    peer: Peer,
}

/// Bytes of a parameter's two lengths.
const LENGTHS: usize = 8;

impl KeptRequest {
    /// The request again, as another handler may have it: it borrows this and the arena.
    ///
    /// ```
    /// use fleeting::{App, Arena, Error, Handler, Keep, Response};
    ///
    /// let app = App::new().post("/orders/{id}", |req| {
    ///     let kept = req.keep(); // it may go to another thread
    ///     let arena = Arena::new(4096);
    ///     let again = kept.request(&arena);
    ///     assert_eq!((again.param("id"), again.body()), (req.param("id"), req.body()));
    ///     Ok(Response::empty(204))
    /// });
    /// ```
    pub fn request<'k>(&'k self, arena: &'k Arena) -> Request<'k> {
        let head = Head::read_again(self.head(), arena).expect("it was read before");
        let trailers = &self.block[self.content_end..self.trailers_end];
        let trailers = Fields::read_trailers_again(trailers, arena).expect("they were read before");
        let params = self.has_params.then(|| {
            let mut params = arena.list(self.params().count());
            self.params().for_each(|param| params.push(param));
            &*arena.alloc(params.finish())
        });
        let (content, conn, peer) = (self.body(), self.conn, &self.peer);
        Request::new(RequestParts { head, content, trailers, params, arena, conn, peer })
    }

    /// The method.
    pub fn method(&self) -> &str {
        text(self.request_line().0)
    }

    /// The path, as [`Request::path`].
    pub fn path(&self) -> &str {
        self.target().path()
    }

    /// The query, as [`Request::query`].
    pub fn query(&self) -> Option<&str> {
        self.target().query()
    }

    /// The value of the first field of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.fields().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(value).ok()
    }

    /// All fields of the head, in their order: names, and values as bytes.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        // What was read and checked has lines that end in CRLF, each with a colon behind its name.
        let lines = lines_of(self.head()).skip(1);
        lines.filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            Some((text(&line[..colon]), line[colon + 1..].trim_ascii()))
        })
    }

    /// The content.
    pub fn body(&self) -> &[u8] {
        &self.block[self.head_end..self.content_end]
    }

    /// The value of a parameter of the route, as [`Request::try_param`].
    pub fn try_param(&self, name: &str) -> Option<&str> {
        self.params().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// The connection it came on; that may be gone.
    pub fn conn_id(&self) -> ConnId {
        self.conn
    }

    /// The peer's address, as [`Request::peer_addr`].
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.peer.addr()
    }

    fn head(&self) -> &[u8] {
        &self.block[..self.head_end]
    }

    /// Method and target.
    fn request_line(&self) -> (&[u8], &[u8]) {
        let mut words = self.head().splitn(3, |byte| *byte == b' ');
        (words.next().unwrap_or_default(), words.next().unwrap_or_default())
    }

    fn target(&self) -> Target<'_> {
        let (method, raw) = self.request_line();
        Target::read_again(Method::from(text(method)), raw).expect("it was read before")
    }

    fn params(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut rest = &self.block[self.trailers_end..];
        std::iter::from_fn(move || {
            let (lengths, behind) = rest.split_first_chunk::<LENGTHS>()?;
            let [name_length, value_length] = [0, 4].map(|at| {
                u32::from_ne_bytes([lengths[at], lengths[at + 1], lengths[at + 2], lengths[at + 3]]) as usize
            });
            let (name, behind) = behind.split_at(name_length);
            let (value, behind) = behind.split_at(value_length);
            rest = behind;
            Some((text(name), text(value)))
        })
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("copied from text")
}

/// Lines that end in CRLF, without it.
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

impl Keep for Request<'_> {
    type Kept = KeptRequest;

    fn keep(&self) -> KeptRequest {
        let RequestParts { head, content, trailers, params, conn, peer, .. } = self.parts();
        let (head, trailers) = (head.bytes(), trailers.trailer_bytes());
        let list = params.map_or(&[][..], |params| params);
        let params_bytes: usize = list.iter().map(|(name, value)| LENGTHS + name.len() + value.len()).sum();
        let mut block = Vec::with_capacity(head.len() + content.len() + trailers.len() + params_bytes);
        block.extend_from_slice(head);
        block.extend_from_slice(content);
        block.extend_from_slice(trailers);
        for (name, value) in list {
            // Both were in a head, or in the program.
            block.extend_from_slice(&(name.len() as u32).to_ne_bytes());
            block.extend_from_slice(&(value.len() as u32).to_ne_bytes());
            block.extend_from_slice(name.as_bytes());
            block.extend_from_slice(value.as_bytes());
        }
        keep::count(block.len());
        let content_end = head.len() + content.len();
        KeptRequest {
            block: block.into(),
            head_end: head.len(),
            content_end,
            trailers_end: content_end + trailers.len(),
            has_params: params.is_some(),
            conn: *conn,
            peer: (*peer).clone(),
        }
    }
}
