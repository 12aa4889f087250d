//! Compares the decoding of chunked content with a second decoder: slow, allocating, and written from RFC 9112 §7.1
//! alone.
//!
//! `read` shares no code with [`http1`](fleeting::http1) and works differently: it asks for one byte at a time, and
//! running out of bytes is an error like any other.

use super::cuts::{BYTEWISE_MAX, cuts, pieces};
use crate::http1::trace::{trace, trace_streamed};
use fleeting::http1::{ContentStep, Decoder, HeadStep};
use fleeting::{Arena, Limits};

const HEAD: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

type Trailers = Vec<(String, Vec<u8>)>;

/// The result of decoding a body.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Whole { content: Vec<u8>, trailers: Trailers, consumed: usize },
    Starved,
    Refused,
}

/// Decodes a body behind a fixed head. Panics unless the result is that of `read`, whatever the cuts, and the bytes
/// behind the body are read as on a new connection.
pub fn chunked(bytes: &[u8]) {
    let (cuts, variant, body) = cuts(bytes);
    // Trailers and extensions are bounded by the limit for heads.
    let limits = match variant & 1 {
        0 => crate::limits! { head_bytes: 120, body_bytes: 400, headers: 5 },
        _ => crate::limits! { head_bytes: 60, body_bytes: 9, headers: 2 },
    };
    let expected = read(body, &limits);
    assert_eq!(decoded(body, &limits), expected, "{:?}", body.escape_ascii().to_string());

    let stream = [HEAD, body].concat();
    let whole = trace([&stream[..]], &limits);
    let shifted: Vec<usize> = cuts.iter().map(|cut| HEAD.len() + cut).collect();
    assert_eq!(trace(pieces(&stream, &shifted), &limits), whole, "cut at {cuts:?}");
    if body.len() <= BYTEWISE_MAX {
        let bytewise = [HEAD].into_iter().chain(body.chunks(1));
        assert_eq!(trace(bytewise, &limits), whole, "bytewise");
    }
    let streamed = trace_streamed([&stream[..]], &limits);
    assert_eq!(streamed.0, whole, "streamed");
    assert_eq!(trace_streamed(pieces(&stream, &shifted), &limits), streamed, "streamed, cut at {cuts:?}");
    match expected {
        Outcome::Whole { consumed, .. } => {
            assert_eq!(whole[2..], trace([&body[consumed..]], &limits), "what follows");
        }
        Outcome::Starved => assert_eq!(whole.len(), 1),
        Outcome::Refused => assert!(whole.len() == 2 && whole[1].starts_with("refused ")),
    }
}

/// Decodes the body in one piece.
fn decoded(body: &[u8], limits: &Limits) -> Outcome {
    let arena = Arena::new(512);
    let mut input = [HEAD, body].concat();
    let mut decoder = Decoder::new();
    let HeadStep::Head { head, rest, resumed: false } = decoder.head(&mut input, &arena, limits) else {
        panic!("the head is well-formed");
    };
    match decoder.content(head, rest, &arena, limits) {
        ContentStep::Incomplete { .. } => Outcome::Starved,
        ContentStep::Refused(_) => Outcome::Refused,
        ContentStep::Whole { content, trailers, consumed } => Outcome::Whole {
            content: content.to_vec(),
            trailers: trailers.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect(),
            consumed: consumed - HEAD.len(),
        },
    }
}

/// Why the second decoder stopped before the end.
enum Stop {
    Starved,
    Refused,
}

type Read<T> = Result<T, Stop>;

/// The second decoder.
fn read(body: &[u8], limits: &Limits) -> Outcome {
    let mut source = Source { bytes: body, at: 0, extension_bytes: 0, limits };
    match source.body() {
        Ok((content, trailers)) => Outcome::Whole { content, trailers, consumed: source.at },
        Err(Stop::Starved) => Outcome::Starved,
        Err(Stop::Refused) => Outcome::Refused,
    }
}

struct Source<'a> {
    bytes: &'a [u8],
    /// Number of bytes consumed so far.
    at: usize,
    /// Number of bytes of all extensions so far, white space included.
    extension_bytes: usize,
    limits: &'a Limits,
}

impl Source<'_> {
    fn peek(&self) -> Read<u8> {
        self.bytes.get(self.at).copied().ok_or(Stop::Starved)
    }

    fn take(&mut self) -> Read<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Ok(byte)
    }

    fn expect(&mut self, expected: u8) -> Read<()> {
        require(self.take()? == expected)
    }

    /// chunked-body = *chunk last-chunk trailer-section CRLF
    fn body(&mut self) -> Read<(Vec<u8>, Trailers)> {
        let mut content = Vec::new();
        loop {
            let size = self.size()?;
            self.extensions()?;
            self.expect(b'\n')?;
            if size == 0 {
                return Ok((content, self.trailers()?));
            }
            require(size <= self.limits.body_bytes as u128 - content.len() as u128)?;
            for _ in 0..size {
                content.push(self.take()?);
            }
            self.expect(b'\r')?;
            self.expect(b'\n')?;
        }
    }

    /// chunk-size = 1*HEXDIG, 16 at most
    fn size(&mut self) -> Read<u128> {
        let mut digits = String::new();
        while self.peek()?.is_ascii_hexdigit() {
            digits.push(char::from(self.take()?));
            require(digits.len() <= 16)?;
        }
        u128::from_str_radix(&digits, 16).map_err(|_| Stop::Refused)
    }

    /// A byte of an extension.
    fn extension_byte(&mut self) -> Read<u8> {
        let byte = self.take()?;
        self.extension_bytes += 1;
        require(self.extension_bytes <= self.limits.head_bytes)?;
        Ok(byte)
    }

    fn white_space(&mut self) -> Read<bool> {
        let mut any = false;
        while matches!(self.peek()?, b' ' | b'\t') {
            self.extension_byte()?;
            any = true;
        }
        Ok(any)
    }

    fn token(&mut self) -> Read<()> {
        require(is_token(self.peek()?))?;
        while is_token(self.peek()?) {
            self.extension_byte()?;
        }
        Ok(())
    }

    /// chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] ), and the CR behind it
    fn extensions(&mut self) -> Read<()> {
        loop {
            // White space is allowed only before a semicolon.
            let space = self.white_space()?;
            if self.peek()? == b'\r' && !space {
                return self.expect(b'\r');
            }
            require(self.peek()? == b';')?;
            self.extension_byte()?;
            self.white_space()?;
            self.token()?;
            // The white space here may precede `=` or the next `;`.
            let space = self.white_space()?;
            if self.peek()? == b'=' {
                self.extension_byte()?;
                self.white_space()?;
                if self.peek()? == b'"' { self.quoted()? } else { self.token()? }
            } else {
                require(!space || self.peek()? == b';')?;
            }
        }
    }

    /// quoted-string = DQUOTE *( qdtext / quoted-pair ) DQUOTE (RFC 9110 §5.6.4)
    fn quoted(&mut self) -> Read<()> {
        self.extension_byte()?;
        loop {
            require(is_text(self.peek()?))?;
            match self.extension_byte()? {
                b'"' => return Ok(()),
                b'\\' => {
                    require(is_text(self.peek()?))?;
                    self.extension_byte()?;
                }
                _ => {}
            }
        }
    }

    /// trailer-section = *( field-line CRLF ), and the CRLF behind it
    fn trailers(&mut self) -> Read<Trailers> {
        let mut lines = Vec::new();
        let mut line = Vec::new();
        for count in 1.. {
            let byte = self.take()?;
            require(count <= self.limits.head_bytes)?;
            match (line.last(), byte) {
                (Some(b'\r'), b'\n') if line.len() == 1 => break,
                (Some(b'\r'), b'\n') => {
                    line.pop();
                    lines.push(std::mem::take(&mut line));
                }
                (Some(b'\r'), _) => return Err(Stop::Refused),
                (_, b'\r') => line.push(byte),
                _ => {
                    require(is_text(byte))?;
                    line.push(byte);
                }
            }
        }
        require(lines.len() <= self.limits.headers)?;
        let mut fields = Vec::new();
        for line in lines {
            let (name, value) = field(&line)?;
            match name.to_ascii_lowercase().as_str() {
                // RFC 9112 §6.3, RFC 9110 §7.2: they say where the request ends and goes.
                "content-length" | "transfer-encoding" | "host" => return Err(Stop::Refused),
                late if TOO_LATE.contains(&late) => {}
                _ => fields.push((name, value)),
            }
        }
        Ok(fields)
    }
}

/// field-line = field-name ":" OWS field-value OWS
fn field(line: &[u8]) -> Read<(String, Vec<u8>)> {
    let colon = line.iter().position(|b| *b == b':').ok_or(Stop::Refused)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    require(!name.is_empty() && name.iter().copied().all(is_token))?;
    let name = String::from_utf8_lossy(name).into_owned();
    Ok((name, value.trim_ascii().to_vec()))
}

/// Fields that must precede the content, so a trailer's are dropped (RFC 9110 §6.5.1): those of the connection (§7.6, §7.8,
/// §10.1), of its authentication (§11), those that control how the request is handled (§13.1, §14, RFC 9111 §5), and those that
/// describe its content (§8).
const TOO_LATE: [&str; 23] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
    "max-forwards",
    "expect",
    "authorization",
    "proxy-authorization",
    "cookie",
    "origin",
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
    "if-range",
    "range",
    "cache-control",
    "pragma",
    "content-type",
    "content-encoding",
    "content-range",
];

fn require(holds: bool) -> Read<()> {
    if holds { Ok(()) } else { Err(Stop::Refused) }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(&byte)
}

/// HTAB, SP, VCHAR and obs-text.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_decoder_accepts_and_rejects_correctly() {
        fn check(body: &str, expected: Outcome) {
            let limits = crate::limits! { head_bytes: 20, body_bytes: 9, headers: 2 };
            assert_eq!(read(body.as_bytes(), &limits), expected, "{body:?}");
        }
        let whole = |content: &str, trailers: &[(&str, &str)], consumed| Outcome::Whole {
            content: content.into(),
            trailers: trailers
                .iter()
                .map(|(name, value)| (name.to_string(), value.as_bytes().into()))
                .collect(),
            consumed,
        };
        check("0\r\n\r\nGET", whole("", &[], 5));
        check("3;a = \"b\\\"\" ;c\r\nabc\r\n0\r\nX: y\r\n\r\n", whole("abc", &[("X", "y")], 32));
        check("3\r\nab", Outcome::Starved);
        check("3\r\nabc\r\n0\r\nX: y\r\n", Outcome::Starved);
        check("a\r\n", Outcome::Refused);
        check("3 \r\n", Outcome::Refused);
        check("3;\r\n", Outcome::Refused);
        check("3\r\nabcd", Outcome::Refused);
        check("0\r\nHost: a\r\n\r\n", Outcome::Refused);
        check("0\r\nTE: a\r\nX: y\r\n\r\n", whole("", &[("X", "y")], 18));
        check("0\r\na:b\r\na:b\r\na:b\r\n\r\n", Outcome::Refused);
        check("0\r\na:b\n", Outcome::Refused);
    }
}
