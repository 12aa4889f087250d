//! Checks what a server has written on a connection: responses, and frames behind a 101.
//!
//! It reads with the readers of `fleeting::testing`, is stricter than they are, and does not know how the bytes were made.

use fleeting::testing::wire::{self, Framing};

/// The result of the check.
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
        let Some(head) = wire::Head::read(rest).unwrap_or_else(|error| panic!("{error}")) else {
            assert!(!complete, "a head is cut short: {}", rest.escape_ascii());
            break;
        };
        rest = &rest[head.bytes().len()..];
        let closes = check_fields(&head);
        found.responses += u64::from(head.status() != 100);
        if headless {
            break;
        }
        if head.status() == 101 {
            frames(rest, complete);
            break;
        }
        match head.framing(false).unwrap_or_else(|error| panic!("{error}")) {
            Framing::Empty => assert!(matches!(head.status(), 100 | 204 | 304), "{head:?}"),
            Framing::Length(length) if length <= rest.len() => rest = &rest[length..],
            Framing::Length(_) if !complete => break,
            framing => panic!("{framing:?} of {head:?}: {}", rest.escape_ascii()),
        }
        assert!(!closes || rest.is_empty(), "behind a last response: {}", rest.escape_ascii());
    }
    found
}

/// Checks the fields as this server writes them. Returns whether the response is the last one.
fn check_fields(head: &wire::Head) -> bool {
    let lines = head.bytes().split(|byte| *byte == b'\n').skip(1).filter(|line| line.len() > 1);
    for line in lines {
        assert!(line.windows(2).any(|two| two == b": "), "no field line: {}", line.escape_ascii());
    }
    for (name, value) in head.fields() {
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "{name:?}");
        assert!(!value.contains(&b'\t'), "{}", value.escape_ascii());
    }
    assert_eq!(head.values("date").count(), usize::from(head.status() != 100), "dates in {head:?}");
    head.values("connection").any(|value| value == b"close")
}

/// Checks frames of a server: RFC 6455 §5.
fn frames(mut rest: &[u8], complete: bool) {
    while let Some(frame) = wire::frame(rest).unwrap_or_else(|error| panic!("{error}")) {
        assert_eq!(frame.first & 0xf0, 0x80, "FIN and no reserved bits");
        let (payload, behind) = (&rest[frame.payload.clone()], &rest[frame.payload.end..]);
        let opcode = frame.first & 0x0f;
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
