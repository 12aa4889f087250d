//! Reads the fields that HTTP itself acts on: Host, Connection, Expect, Upgrade, Content-Length and
//! Transfer-Encoding.
//!
//! It sees each field once, in order, and does not know the limits. Its invariant: ambiguous
//! framing is refused, never guessed.

use super::fields::{Span, members};
use super::{Framing, Refusal, Version, authority};

/// What the fields say about the framing and the connection, collected in one pass.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct FramingFields {
    pub(crate) host: Option<Span>,
    length: Option<u64>,
    encoding: Option<Result<(), Refusal>>,
    /// The first refusal, in the order of the fields.
    refusal: Option<Refusal>,
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    /// Connection lists `upgrade`.
    pub(super) upgrade: bool,
    /// Upgrade lists `websocket`.
    pub(super) websocket: bool,
    pub(crate) expects_continue: bool,
    /// The target names the host (RFC 9112 §3.2.2), so the value of Host is not used.
    target_has_host: bool,
}

impl FramingFields {
    /// Begins with no fields. `target_has_host`: the target names the host.
    pub(crate) fn new(target_has_host: bool) -> FramingFields {
        FramingFields { target_has_host, ..FramingFields::default() }
    }

    /// Reads a field, if HTTP acts on it. `value` lies in `section`.
    #[inline(always)]
    pub(crate) fn inspect(&mut self, section: &[u8], name: &[u8], value: Span) {
        // Length and first letter rule out nearly all other names.
        match (name.len(), name.first().map_or(0, |first| first | 0x20)) {
            (4, b'h') if is(name, b"host") => self.host(section, value),
            (6, b'e') | (7, b'u') | (10 | 14, b'c') | (17, b't') => {
                self.apply(name, value.bytes(section));
            }
            _ => {}
        }
    }

    /// RFC 9112 §3.2
    #[inline(always)]
    fn host(&mut self, section: &[u8], value: Span) {
        if self.host.replace(value).is_some() {
            self.refuse(Refusal::HostTwice);
            return;
        }
        match authority::check_in(section, value) {
            Some(authority) if !authority.host_is_empty => {}
            authority => self.unusual_host(authority.is_some()),
        }
    }

    /// RFC 9110 §4.2.1: the URI that a request is for has a host that is not empty.
    #[cold]
    fn unusual_host(&mut self, well_formed: bool) {
        if !(well_formed && self.target_has_host) {
            self.refuse(Refusal::BadHost);
        }
    }

    /// Reads a field other than Host.
    fn apply(&mut self, name: &[u8], value: &[u8]) {
        if is(name, b"connection") {
            self.connection(value);
        } else if is(name, b"content-length") {
            match content_length(value) {
                // RFC 9112 §6.3 allows merging equal fields; a second one is refused here.
                _ if self.length.is_some() => self.refuse(Refusal::LengthTwice),
                Some(length) => self.length = Some(length),
                None => self.refuse(Refusal::BadLength),
            }
        } else if is(name, b"transfer-encoding") {
            self.encoding(value);
        } else if is(name, b"upgrade") {
            self.websocket |= members(value).any(|m| m.eq_ignore_ascii_case(b"websocket"));
        } else if is(name, b"expect") {
            self.expect(value);
        }
    }

    #[cold]
    fn refuse(&mut self, refusal: Refusal) {
        self.refusal.get_or_insert(refusal);
    }

    /// RFC 9110 §7.6.1: connection options are case-insensitive.
    fn connection(&mut self, value: &[u8]) {
        if value == b"keep-alive" {
            self.keep_alive = true;
            return;
        }
        for option in members(value) {
            match option.len() {
                5 => self.close |= option.eq_ignore_ascii_case(b"close"),
                7 => self.upgrade |= option.eq_ignore_ascii_case(b"upgrade"),
                10 => self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive"),
                _ => {}
            }
        }
    }

    fn expect(&mut self, value: &[u8]) {
        for expectation in members(value).filter(|m| !m.is_empty()) {
            if expectation.eq_ignore_ascii_case(b"100-continue") {
                self.expects_continue = true;
            } else {
                self.refuse(Refusal::UnknownExpectation);
            }
        }
    }

    fn encoding(&mut self, value: &[u8]) {
        if self.encoding.replace(transfer_encoding(value)).is_some() {
            self.refuse(Refusal::EncodingTwice);
        }
    }

    /// Returns how the content is framed (RFC 9112 §6.3), or the first refusal.
    #[inline]
    pub(crate) fn framing(&self, version: Version) -> Result<Framing, Refusal> {
        if let Some(refusal) = self.refusal {
            return Err(refusal);
        }
        match (self.encoding, self.length) {
            (None, None) => Ok(Framing::None),
            (None, Some(length)) => Ok(Framing::Length(length)),
            (Some(_), Some(_)) => Err(Refusal::LengthWithEncoding),
            // RFC 9112 §6.1
            (Some(_), None) if version == Version::Http10 => Err(Refusal::EncodingInHttp10),
            (Some(encoding), None) => encoding.map(|()| Framing::Chunked),
        }
    }
}

/// Returns whether a field is called `known`, which consists of lowercase letters and hyphens. Setting bit
/// 0x20 ignores the case of letters. Among the characters of a name, it turns no other character into a
/// letter or a hyphen.
#[inline(always)]
fn is<const N: usize>(name: &[u8], known: &[u8; N]) -> bool {
    // Without an early return the compiler compares whole words.
    <&[u8; N]>::try_from(name)
        .is_ok_and(|name| name.iter().zip(known).fold(0, |other, (b, k)| other | ((b | 0x20) ^ k)) == 0)
}

/// RFC 9110 §8.6: Content-Length = 1*DIGIT
fn content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0u64, |length, &b| {
        let digit = b.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        length.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// RFC 9112 §6.1, §7: `chunked` and nothing else.
fn transfer_encoding(value: &[u8]) -> Result<(), Refusal> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    // A comma in a quoted parameter counts as a separator. That only changes which refusal is returned.
    let mut chunked = false;
    for coding in members(value) {
        let name_len = coding.iter().position(|b| matches!(b, b';' | b' ' | b'\t')).unwrap_or(coding.len());
        let name = &coding[..name_len];
        if chunked || name.is_empty() || (name.eq_ignore_ascii_case(b"chunked") && name.len() < coding.len())
        {
            return Err(Refusal::BadEncoding);
        }
        chunked = name.eq_ignore_ascii_case(b"chunked");
    }
    Err(Refusal::UnknownEncoding)
}
