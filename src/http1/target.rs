//! The request target and its four forms (RFC 9112 §3.2).
//!
//! It splits the target and decodes nothing: path and query are as they were sent. Its invariant: a path
//! begins with `/`, unless the form has none.

use super::block::{BYTES, Block, Mask, below};
use super::fields::Span;
use super::{Method, Refusal, authority};
use std::fmt;

/// A request target, split into its parts.
///
/// Nothing is decoded: [`path`](Target::path) and [`query`](Target::query) are as they were sent.
///
/// ```
/// use fleeting::http1::{Decoder, HeadStep, TargetForm};
/// use fleeting::{Arena, Limits};
///
/// let (arena, mut input) = (Arena::new(4096), *b"GET /a?b HTTP/1.1\r\nHost: a\r\n\r\n");
/// let HeadStep::Head { head, .. } = Decoder::new().head(&mut input, &arena, &Limits::default()) else {
///     panic!()
/// };
/// let target = head.target;
/// assert_eq!((target.form(), target.path(), target.query()), (TargetForm::Origin, "/a", Some("b")));
/// ```
#[derive(Clone, Copy)]
pub struct Target<'r> {
    /// Visible ASCII.
    raw: &'r [u8],
    spans: TargetSpans,
}

impl<'r> Target<'r> {
    /// Splits a target that was accepted before.
    pub(crate) fn read_again(method: Method<'_>, raw: &'r [u8]) -> Option<Target<'r>> {
        split(method, raw).ok().map(|spans| spans.into_target(raw))
    }

    /// Returns the target as it was sent.
    pub fn raw(&self) -> &'r str {
        Span { at: 0, len: self.raw.len() as u32 }.text(self.raw)
    }

    /// Returns which of the four forms the target has.
    #[inline]
    pub fn form(&self) -> TargetForm {
        self.spans.form
    }

    /// Returns the path, not decoded. It begins with `/`, except that it is `*` in asterisk form and empty in
    /// authority form.
    pub fn path(&self) -> &'r str {
        self.spans.path.map_or("/", |span| span.text(self.raw))
    }

    /// Returns the bytes of [`path`](Target::path), all of them visible ASCII.
    #[inline]
    pub fn path_bytes(&self) -> &'r [u8] {
        self.spans.path.map_or(b"/", |span| span.bytes(self.raw))
    }

    /// Returns the text behind the first `?`, not decoded; `None` if there is no `?`.
    pub fn query(&self) -> Option<&'r str> {
        self.spans.query.map(|span| span.text(self.raw))
    }

    /// Returns whether path or query contain a `%`, so that decoding may change them.
    #[inline]
    pub fn is_escaped(&self) -> bool {
        self.spans.escaped
    }
}

impl fmt::Debug for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Target").field(&self.form()).field(&self.raw()).finish()
    }
}

/// The form of a request target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TargetForm {
    /// `/path?query` (RFC 9112 §3.2.1).
    Origin,
    /// `http://host/path?query` (RFC 9112 §3.2.2). The scheme may also be `https`, `ws` or `wss`: a client of a WebSocket
    /// may send its own URI (RFC 6455 §3).
    Absolute,
    /// `host:port`, for CONNECT only (RFC 9112 §3.2.3).
    Authority,
    /// `*`, for OPTIONS only (RFC 9112 §3.2.4).
    Asterisk,
}

/// The positions of a target's parts, counted from its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TargetSpans {
    pub(super) form: TargetForm,
    pub(super) authority: Option<Span>,
    /// `None` if the target has an empty path, which means `/`.
    pub(super) path: Option<Span>,
    pub(super) query: Option<Span>,
    /// Path or query contain a `%`.
    pub(super) escaped: bool,
}

impl TargetSpans {
    #[inline]
    pub(crate) fn into_target(self, raw: &[u8]) -> Target<'_> {
        Target { raw, spans: self }
    }
}

/// Returns the end of a target in origin form, and its parts. It ends with the first byte that no target contains, or that
/// `bounds` has in the block at a position.
#[inline(always)]
pub(super) fn origin_form(
    input: &[u8],
    start: usize,
    bounds: impl Fn(usize) -> Mask,
) -> Option<(usize, TargetSpans)> {
    let (mut at, mut question, mut escaped) = (start, None, false);
    let end = loop {
        let block = Block::at(input, at);
        let ends = block.not_visible() | bounds(at);
        let within = below(ends);
        // RFC 9112 §3.2: no fragment.
        if block.is(b'#') & within != 0 {
            return None;
        }
        escaped |= block.is(b'%') & within != 0;
        let questions = block.is(b'?') & within;
        if questions != 0 && question.is_none() {
            question = Some(at + questions.trailing_zeros() as usize);
        }
        if ends != 0 {
            break at + ends.trailing_zeros() as usize;
        }
        at += BYTES;
    };
    let span = |from: usize, to: usize| Span { at: (from - start) as u32, len: (to - from) as u32 };
    let spans = TargetSpans {
        form: TargetForm::Origin,
        authority: None,
        path: Some(span(start, question.unwrap_or(end))),
        query: question.map(|question| span(question + 1, end)),
        escaped,
    };
    Some((end, spans))
}

/// Splits a target in origin form that lies in `section`, where more bytes follow it.
#[inline]
pub(crate) fn split_origin_form(section: &[u8], target: Span) -> Option<TargetSpans> {
    let end = (target.at + target.len) as usize;
    let bounds = |at: usize| if end - at < BYTES { Mask::MAX << (end - at) } else { 0 };
    let (found, spans) = origin_form(section, target.at as usize, bounds)?;
    (found == end).then_some(spans)
}

/// Splits a target into its parts.
#[inline]
pub(crate) fn split(method: Method<'_>, target: &[u8]) -> Result<TargetSpans, Refusal> {
    if target.first() == Some(&b'/') && method != Method::Connect {
        return path_and_query(TargetForm::Origin, None, target, 0);
    }
    other_form(method, target)
}

#[cold]
fn other_form(method: Method<'_>, target: &[u8]) -> Result<TargetSpans, Refusal> {
    let whole = Span { at: 0, len: target.len() as u32 };
    if method == Method::Connect {
        // RFC 9112 §3.2.3: both host and port are required.
        return match authority::check(target) {
            Some(a) if a.has_port && !a.host_is_empty => Ok(TargetSpans {
                form: TargetForm::Authority,
                authority: Some(whole),
                path: Some(Span { at: 0, len: 0 }),
                query: None,
                escaped: false,
            }),
            _ => Err(Refusal::BadTarget),
        };
    }
    if target == b"*" {
        return if method == Method::Options {
            let form = TargetForm::Asterisk;
            Ok(TargetSpans { form, authority: None, path: Some(whole), query: None, escaped: false })
        } else {
            Err(Refusal::BadTarget)
        };
    }
    let scheme_len = ["http://", "https://", "ws://", "wss://"]
        .iter()
        .find(|s| target.get(..s.len()).is_some_and(|start| start.eq_ignore_ascii_case(s.as_bytes())))
        .ok_or(Refusal::BadTarget)?
        .len();
    let rest = &target[scheme_len..];
    let len = rest.iter().position(|b| matches!(b, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    // RFC 9110 §4.2.1: the host is not empty. Userinfo is refused (RFC 9110 §4.2.4).
    if authority::check(&rest[..len]).is_none_or(|a| a.host_is_empty) {
        return Err(Refusal::BadTarget);
    }
    let authority = Span { at: scheme_len as u32, len: len as u32 };
    path_and_query(TargetForm::Absolute, Some(authority), target, scheme_len + len)
}

/// Splits path and query. `at` is the start of the path, which may be empty.
#[inline]
fn path_and_query(
    form: TargetForm,
    authority: Option<Span>,
    target: &[u8],
    at: usize,
) -> Result<TargetSpans, Refusal> {
    let tail = &target[at..];
    let path_len = tail.iter().position(|&b| b == b'?').unwrap_or(tail.len());
    // RFC 9112 §3.2: no fragment. RFC 3986 §2: visible ASCII only.
    if tail.iter().fold(false, |bad, &b| bad | (b == b'#') | !(0x21..0x7f).contains(&b)) {
        return Err(Refusal::BadTarget);
    }
    let path = (path_len > 0).then_some(Span { at: at as u32, len: path_len as u32 });
    let query = (path_len < tail.len())
        .then(|| Span { at: (at + path_len + 1) as u32, len: (tail.len() - path_len - 1) as u32 });
    Ok(TargetSpans { form, authority, path, query, escaped: tail.contains(&b'%') })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_in_a_section_is_split_as_one_by_itself() {
        for length in 1..50 {
            for at in 0..length {
                for odd in [b"?", b"%", b"#", b"a", b" ", b"\x7f", &[0xff]] {
                    let mut target = vec![b'x'; length];
                    target[0] = b'/';
                    target[at] = odd[0];
                    // What is behind it makes no difference.
                    let section = [b"%?#", &target[..], b"?%#                "].concat();
                    let found = split_origin_form(&section, Span { at: 3, len: length as u32 });
                    if target[0] == b'/' {
                        assert_eq!(found, split(Method::Get, &target).ok(), "{}", target.escape_ascii());
                    }
                }
            }
        }
    }

    #[test]
    fn each_form_has_its_parts() {
        /// `expected` is form, path, query and authority; `None` if the target is refused.
        fn check(line: &str, expected: Option<(TargetForm, &str, Option<&str>, Option<&str>)>) {
            let (method, raw) = line.split_once(' ').unwrap();
            let spans = split(Method::from(method), raw.as_bytes());
            let found = spans.ok().map(|spans| {
                let target = spans.into_target(raw.as_bytes());
                assert_eq!(target.raw(), raw);
                assert_eq!(target.is_escaped(), raw.contains('%'));
                assert_eq!(target.path().as_bytes(), target.path_bytes());
                let authority = spans.authority.map(|a| a.text(raw.as_bytes()));
                (target.form(), target.path(), target.query(), authority)
            });
            assert_eq!(found, expected, "{line}");
        }
        use TargetForm::*;
        check("GET /", Some((Origin, "/", None, None)));
        check("GET /a/b", Some((Origin, "/a/b", None, None)));
        check("GET /a?", Some((Origin, "/a", Some(""), None)));
        check("GET /a?b=c?d", Some((Origin, "/a", Some("b=c?d"), None)));
        check("GET //a", Some((Origin, "//a", None, None)));
        check("GET /{|}\"", Some((Origin, "/{|}\"", None, None)));
        check("GET /a%20b?c", Some((Origin, "/a%20b", Some("c"), None)));
        check("GET /a#b", None);
        check("GET /a?b#c", None);
        check("GET /caf\u{e9}", None);
        check("GET index", None);
        check("GET ?a", None);
        check("GET *", None);
        check("OPTIONS *", Some((Asterisk, "*", None, None)));
        check("OPTIONS **", None);
        check("OPTIONS /", Some((Origin, "/", None, None)));
        check("GET http://a/b?c", Some((Absolute, "/b", Some("c"), Some("a"))));
        check("GET HTTPS://a:80", Some((Absolute, "/", None, Some("a:80"))));
        check("GET http://a?b", Some((Absolute, "/", Some("b"), Some("a"))));
        check("GET http://[::1]:8/", Some((Absolute, "/", None, Some("[::1]:8"))));
        // Finding E8.
        check("GET ws://a/b?c", Some((Absolute, "/b", Some("c"), Some("a"))));
        check("GET Wss://a:443", Some((Absolute, "/", None, Some("a:443"))));
        check("GET ws://u@a/", None);
        check("GET ws://", None);
        check("GET ws:/a", None);
        check("GET wsss://a/", None);
        check("GET http://a#b", None);
        check("GET http://u@a/", None);
        check("GET http://", None);
        check("GET http:///a", None);
        check("GET http://:80/", None);
        check("GET http:/a", None);
        check("GET ftp://a/", None);
        check("GET a:80", None);
        check("CONNECT a:80", Some((Authority, "", None, Some("a:80"))));
        check("CONNECT a", None);
        check("CONNECT a:", None);
        check("CONNECT :80", None);
        check("CONNECT /", None);
        check("CONNECT http://a:80", None);
    }
}
