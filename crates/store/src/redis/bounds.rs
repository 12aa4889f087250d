//! The bounds of a reply: how many bytes it may have, and how many values.
//!
//! It follows the framing of the protocol while the bytes arrive, and builds nothing; the parser does. Invariant: bytes
//! that exceed a bound, or announce that more of them will, never reach the parser.

/// The largest reply in bytes. It bounds the memory even if the peer is not Redis.
pub(super) const REPLY_BYTES_MAX: usize = 64 << 20;
/// The most values in a reply, nested ones included. However short a value is, the parser needs memory for it.
pub(super) const REPLY_VALUES_MAX: usize = 1 << 16;
/// The longest text of a length: an `i64` with its sign and some white space.
const LENGTH_BYTES_MAX: usize = 32;

/// Follows the replies on a connection.
#[derive(Debug)]
pub(super) struct Bounds {
    at: At,
    /// The bytes of the current reply so far.
    bytes: usize,
    /// The values that the current reply has announced so far, itself included.
    values: usize,
    /// For each array that has begun, the number of its values that have not ended.
    open: Vec<usize>,
}

/// What the next byte belongs to.
#[derive(Debug, Clone, Copy)]
enum At {
    /// The type of a value.
    Type,
    /// The line behind the type.
    Line { kind: u8, text: [u8; LENGTH_BYTES_MAX], length: usize, after_cr: bool },
    /// The rest of a string and of the line end behind it.
    Text { left: usize },
    /// Not the protocol. The parser reports that.
    Unknown,
}

impl Bounds {
    pub(super) fn new() -> Bounds {
        Bounds { at: At::Type, bytes: 0, values: 1, open: Vec::new() }
    }

    /// Follows bytes that have arrived.
    ///
    /// # Errors
    /// A sentence about the reply that exceeds a bound.
    pub(super) fn follow(&mut self, mut bytes: &[u8]) -> Result<(), &'static str> {
        while let Some(&byte) = bytes.first() {
            let taken = match self.at {
                At::Type | At::Line { .. } => 1,
                At::Text { left } => left.min(bytes.len()),
                At::Unknown => bytes.len(),
            };
            self.count_bytes(taken)?;
            bytes = &bytes[taken..];
            match &mut self.at {
                At::Type => {
                    self.at =
                        At::Line { kind: byte, text: [0; LENGTH_BYTES_MAX], length: 0, after_cr: false };
                }
                At::Line { kind, text, length, after_cr } => {
                    if *after_cr && byte == b'\n' {
                        let text = text.get(..*length).and_then(|text| std::str::from_utf8(text).ok());
                        let number = text.and_then(|text| text.trim().parse().ok());
                        let kind = *kind;
                        self.end_line(kind, number)?;
                    } else {
                        if let Some(place) = text.get_mut(*length) {
                            *place = byte;
                        }
                        *length += 1;
                        *after_cr = byte == b'\r';
                    }
                }
                At::Text { left } => {
                    *left -= taken;
                    if *left == 0 {
                        self.end_value();
                    }
                }
                At::Unknown => {}
            }
        }
        Ok(())
    }

    /// Returns whether a reply has begun and not ended.
    pub(super) fn is_within_reply(&self) -> bool {
        self.bytes > 0
    }

    /// Acts on the first line of a value of the type `kind`. `number` is what the line says, if that is a number.
    fn end_line(&mut self, kind: u8, number: Option<i64>) -> Result<(), &'static str> {
        let is_null = number.is_some_and(|number| number < 0);
        let length = number.map(|number| usize::try_from(number).unwrap_or(usize::MAX));
        match (kind, length) {
            (b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(', _) => self.end_value(),
            (b'$' | b'*' | b'~' | b'>', _) if is_null => self.end_value(),
            (b'$' | b'!' | b'=', Some(length)) => {
                if length > REPLY_BYTES_MAX - self.bytes {
                    return Err(TOO_LONG);
                }
                self.at = At::Text { left: length + 2 };
            }
            (b'*' | b'~' | b'>', Some(length)) => self.open(length)?,
            (b'%', Some(length)) => self.open(length.saturating_mul(2))?,
            // Attributes are followed by the value that they belong to.
            (b'|', Some(length)) => self.open(length.saturating_mul(2).saturating_add(1))?,
            _ => self.at = At::Unknown,
        }
        Ok(())
    }

    /// Begins an array of `length` values.
    fn open(&mut self, length: usize) -> Result<(), &'static str> {
        if length > REPLY_VALUES_MAX - self.values {
            return Err(TOO_MANY);
        }
        self.values += length;
        if length == 0 {
            self.end_value();
        } else {
            self.open.push(length);
            self.at = At::Type;
        }
        Ok(())
    }

    /// Ends a value, and the arrays whose last one it is.
    fn end_value(&mut self) {
        self.at = At::Type;
        while let Some(left) = self.open.last_mut() {
            *left -= 1;
            if *left > 0 {
                return;
            }
            self.open.pop();
        }
        (self.bytes, self.values) = (0, 1);
    }

    fn count_bytes(&mut self, bytes: usize) -> Result<(), &'static str> {
        if bytes > REPLY_BYTES_MAX - self.bytes {
            return Err(TOO_LONG);
        }
        self.bytes += bytes;
        Ok(())
    }
}

const TOO_LONG: &str = "the reply has more than 64 MiB";
const TOO_MANY: &str = "the reply has more than 65536 values";

#[cfg(test)]
mod tests {
    use super::*;
    use fleeting_testkit::random::Random;

    /// Follows `bytes` whole and byte by byte.
    fn follow(bytes: &[u8]) -> Result<Bounds, &'static str> {
        let (mut whole, mut pieces) = (Bounds::new(), Bounds::new());
        let of_whole = whole.follow(bytes);
        let of_pieces = bytes.chunks(1).try_for_each(|byte| pieces.follow(byte));
        assert_eq!(of_whole, of_pieces);
        of_whole.map(|()| pieces)
    }

    #[test]
    fn a_complete_reply_leaves_nothing_counted() {
        for reply in [
            &b"+OK\r\n"[..],
            b"-ERR no\r\n:7\r\n",
            b"$3\r\na\r\n\r\n",
            b"$-1\r\n*-1\r\n*0\r\n",
            b"*2\r\n$-1\r\n*2\r\n:1\r\n*1\r\n$2\r\n\r\n\r\n",
            b"%1\r\n+a\r\n~1\r\n#t\r\n|1\r\n+a\r\n,1\r\n_\r\n",
            b">2\r\n+message\r\n=5\r\ntxt:a\r\n!2\r\nno\r\n(12\r\n",
            b"+a\rb\nc\r\r\n",
        ] {
            let bounds = follow(reply).unwrap();
            assert!(matches!(bounds.at, At::Type), "{}: {bounds:?}", reply.escape_ascii());
            assert_eq!((bounds.bytes, bounds.values, bounds.open.len()), (0, 1, 0));
            let bounds = follow(&reply[..reply.len() - 1]).unwrap();
            assert_ne!(bounds.bytes, 0, "{}", reply.escape_ascii());
        }
        let unknown = follow(b"$x\r\nabc").unwrap();
        assert!(matches!(unknown.at, At::Unknown));
        let unknown = follow(b"HTTP/1.1 200 OK\r\nabc").unwrap();
        assert!(matches!(unknown.at, At::Unknown));
    }

    /// Appends a value that the parser accepts.
    fn append_value(random: &mut Random, depth: usize, out: &mut Vec<u8>) {
        let kinds = if depth == 0 { &b"+-:$!_#,"[..] } else { b"+-:$!_#,*~%>" };
        let kind = random.one_of(kinds);
        let count = random.below(4);
        let head = match kind {
            b'+' | b'-' => ["", "a", "OK", "a\rb\nc"][count].to_string(),
            b'#' => "t".to_string(),
            b'_' => String::new(),
            b'$' | b'*' if random.chance(200) => "-1".to_string(),
            _ => count.to_string(),
        };
        out.extend([&[kind], head.as_bytes(), b"\r\n"].concat());
        let is_null = head == "-1";
        let values = match kind {
            b'$' | b'!' if !is_null => {
                out.extend((0..count).map(|_| random.one_of(b"\r\n:*$")));
                out.extend(b"\r\n");
                0
            }
            b'*' | b'~' if !is_null => count,
            b'%' => 2 * count,
            // The first value of a push is its kind.
            b'>' if count > 0 => {
                out.extend(b"+message\r\n");
                count - 1
            }
            _ => 0,
        };
        (0..values).for_each(|_| append_value(random, depth - 1, out));
    }

    #[test]
    fn replies_end_where_the_parser_ends_them() {
        let mut random = Random::new(11);
        for _ in 0..5000 {
            let mut reply = Vec::new();
            append_value(&mut random, 3, &mut reply);
            assert!(redis::parse_redis_value(&reply).is_ok(), "{}", reply.escape_ascii());
            let mut bounds = Bounds::new();
            for (at, byte) in reply.iter().enumerate() {
                bounds.follow(&[*byte]).unwrap();
                let is_last = at + 1 == reply.len();
                assert_eq!(bounds.is_within_reply(), !is_last, "{at} of {}", reply.escape_ascii());
            }
            assert!(bounds.follow(&reply).is_ok() && !bounds.is_within_reply());
        }
    }

    /// Finding B11.
    #[test]
    fn a_reply_is_refused_when_it_announces_too_much() {
        let check = |bytes: &str, expected: Result<(), &'static str>| {
            assert_eq!(follow(bytes.as_bytes()).map(drop), expected, "{bytes}");
        };
        check("*15000000\r\n", Err(TOO_MANY));
        check("*65535\r\n", Ok(()));
        check("*65536\r\n", Err(TOO_MANY));
        check("%32767\r\n", Ok(()));
        check("%32768\r\n", Err(TOO_MANY));
        check("|-1\r\n", Err(TOO_MANY));
        check("*9223372036854775807\r\n", Err(TOO_MANY));
        // However the arrays are nested.
        check("*30000\r\n*30000\r\n", Ok(()));
        check("*30000\r\n*30000\r\n*30000\r\n", Err(TOO_MANY));
        check("$67108000\r\n", Ok(()));
        check("$67108864\r\n", Err(TOO_LONG));
        check("=-1\r\n", Err(TOO_LONG));
        check("*2\r\n$67108000\r\n", Ok(()));
        let mut bounds = Bounds::new();
        bounds.follow(b"+").unwrap();
        let megabyte = [b'x'; 1 << 20];
        assert!((0..63).all(|_| bounds.follow(&megabyte).is_ok()));
        assert_eq!(bounds.follow(&megabyte), Err(TOO_LONG));
    }
}
