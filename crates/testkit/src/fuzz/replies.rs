//! Checks what a server has written on a connection: responses, and frames behind a 101.
//!
//! It reads strictly and does not know how the bytes were made.

/// What the check has found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Number of final responses, 101 included.
    pub(super) responses: u64,
}

/// Panics unless `sent` consists of responses and frames. If `complete`, none may be cut short. If `headless`, a
/// request may have been HEAD, so only the first response's head is checked.
pub(super) fn check(sent: &[u8], complete: bool, headless: bool) -> Found {
    let mut found = Found::default();
    let mut rest = sent;
    while !rest.is_empty() {
        let Some((head, behind)) = head(rest) else {
            assert!(!complete, "a head is cut short: {}", rest.escape_ascii());
            // Whatever there is of a status line is correct.
            let known = rest.len().min(9);
            assert_eq!(rest[..known], b"HTTP/1.1 "[..known]);
            break;
        };
        rest = behind;
        found.responses += u64::from(head.status != 100);
        if headless {
            break;
        }
        if head.status == 101 {
            frames(rest, complete);
            break;
        }
        match (head.length, head.status) {
            (None, 100 | 204 | 304) => {}
            (Some(length), 200..) if length <= rest.len() => rest = &rest[length..],
            (Some(_), 200..) if !complete => break,
            _ => panic!("content of {:?} behind {}: {}", head.length, head.status, rest.escape_ascii()),
        }
        assert!(!head.close || rest.is_empty(), "behind a last response: {}", rest.escape_ascii());
    }
    found
}

struct Head {
    status: u16,
    length: Option<usize>,
    close: bool,
}

/// Splits off the head that `bytes` begin with. Returns `None` if it is cut short.
fn head(bytes: &[u8]) -> Option<(Head, &[u8])> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let mut lines =
        bytes[..end].split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let status_line = lines.next().unwrap_or_default();
    let digits = status_line.strip_prefix(b"HTTP/1.1 ").and_then(|line| line.split_first_chunk::<4>());
    let Some(([a @ b'1'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9', b' '], _)) = digits else {
        panic!("no status line: {}", status_line.escape_ascii());
    };
    let status = [a, b, c].iter().fold(0, |number, digit| number * 10 + u16::from(**digit - b'0'));
    let mut head = Head { status, length: None, close: false };
    let mut dates = 0;
    for line in lines {
        let colon = line.windows(2).position(|two| two == b": ");
        let colon = colon.unwrap_or_else(|| panic!("no field line: {}", line.escape_ascii()));
        let (name, value) = (line[..colon].to_ascii_lowercase(), &line[colon + 2..]);
        assert!(name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-'), "{name:?}");
        assert!(!value.iter().any(|byte| matches!(byte, 0..=8 | 10..=31 | 127)), "{}", value.escape_ascii());
        match &name[..] {
            b"content-length" => {
                let length = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
                assert!(length.is_some() && head.length.is_none(), "{}", line.escape_ascii());
                head.length = length;
            }
            b"connection" => head.close = value == b"close",
            b"date" => dates += 1,
            b"transfer-encoding" => panic!("nothing here is chunked"),
            _ => {}
        }
    }
    assert_eq!(dates, u32::from(status != 100), "dates in a {status}");
    Some((head, &bytes[end + 4..]))
}

/// Checks frames of a server: RFC 6455 §5.
fn frames(mut rest: &[u8], complete: bool) {
    while let Some((opcode, payload, behind)) = frame(rest) {
        match opcode {
            1 => assert!(std::str::from_utf8(payload).is_ok(), "text {}", payload.escape_ascii()),
            2 => {}
            8..=10 => assert!(payload.len() <= 125, "{} bytes in a control frame", payload.len()),
            _ => panic!("opcode {opcode}"),
        }
        rest = behind;
        if opcode == 8 {
            assert!(payload.len() != 1 && rest.is_empty(), "behind a Close: {}", rest.escape_ascii());
        }
    }
    assert!(rest.is_empty() || !complete, "a frame is cut short: {}", rest.escape_ascii());
}

/// Splits off the whole, unmasked, unfragmented frame that `bytes` begin with.
fn frame(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[first, second], rest) = bytes.split_first_chunk()?;
    assert_eq!(first & 0xf0, 0x80, "FIN and no reserved bits");
    let (length, rest) = match second {
        0..=125 => (u64::from(second), rest),
        126 => rest.split_first_chunk().map(|(bytes, rest)| (u16::from_be_bytes(*bytes).into(), rest))?,
        127 => rest.split_first_chunk().map(|(bytes, rest)| (u64::from_be_bytes(*bytes), rest))?,
        _ => panic!("masked"),
    };
    let least = [0, 126, 65_536][usize::from(second.saturating_sub(125))];
    assert!(length >= least, "{length} is not in its shortest form");
    let (payload, behind) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    Some((first & 0x0f, payload, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bad(sent: &str) -> bool {
        std::panic::catch_unwind(|| check(sent.as_bytes(), true, false)).is_err()
    }

    #[test]
    fn valid_responses_pass_and_invalid_ones_do_not() {
        let date = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
        let ok = |content: &str, fields: &str| {
            format!("HTTP/1.1 200 OK\r\n{date}Content-Length: {}\r\n{fields}\r\n{content}", content.len())
        };
        let good =
            format!("HTTP/1.1 100 Continue\r\n\r\n{}{}", ok("hi", ""), ok("", "Connection: close\r\n"));
        assert_eq!(check(good.as_bytes(), true, false).responses, 2);
        check(&good.as_bytes()[..good.len() - 3], false, false);
        let open = format!("HTTP/1.1 101 Switching Protocols\r\n{date}\r\n");
        check(&[open.as_bytes(), b"\x81\x7e\0"].concat(), false, false);
        check(&[open.as_bytes(), b"\x81\x02hi\x88\0"].concat(), true, false);
        assert!(bad(&good[..good.len() - 3]));
        assert!(bad(&format!("{}x", ok("hi", ""))));
        assert!(bad(&format!("{}{}", ok("hi", "Connection: close\r\n"), ok("", ""))));
        assert!(bad(&ok("", "Content-Length: 0\r\n")));
        assert!(bad("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
        assert!(bad(&format!("{open}ab")));
    }
}
