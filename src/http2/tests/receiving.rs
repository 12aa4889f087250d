//! What each type of frame leads to (RFC 9113 §3.4, §5.1, §6).

use super::*;
use crate::http2::connection::RESET_MAX;
use crate::http2::frame::{STREAM_MAX, setting};

const PADDED: u8 = flag::PADDED;

/// The preface, SETTINGS, and then these frames.
#[track_caller]
fn check_beginning(frames: &[Vec<u8>], expected: &str) {
    check_of(Owner::new, &frames.concat(), expected);
}

#[test]
fn a_connection_begins_with_the_preface_and_settings() {
    // RFC 9113 §3.4
    let preface = || PREFACE.to_vec();
    check_beginning(&[], "");
    check_beginning(&[preface()], "");
    check_beginning(&[preface(), settings(&[])], "> ack");
    check_beginning(&[preface(), settings(&[]), head(1, "a", END)], "> ack; Head 1 a end");
    check_beginning(&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r ".to_vec()], "> goaway 0 1");
    check_beginning(&[b"GET / HTTP/1.1\r\n".to_vec()], "> goaway 0 1");
    check_beginning(&[preface(), head(1, "a", END)], "> goaway 0 1");
    check_beginning(&[preface(), ping(0, b"12345678")], "> goaway 0 1");
    check_beginning(&[preface(), frame(kind::SETTINGS, flag::ACK, 0, b"")], "> goaway 0 1");
    check_beginning(&[preface(), frame(kind::SETTINGS, 0, 0, b"12345")], "> goaway 0 6");
}

#[test]
fn nothing_is_read_after_a_failure() {
    check(&[data(0, "", 0), head(1, "a", END), data(0, "", 0)], "> goaway 0 1");
    let mut owner = Owner::begun();
    owner.take(&data(0, "", 0));
    owner.log.clear();
    assert!(owner.core.has_failed());
    owner.core.fail(ErrorCode::INTERNAL_ERROR, "again", &mut owner.out);
    owner.core.announce_end(&mut owner.out);
    owner.core.announce_last(&mut owner.out);
    owner.expect("");
}

#[test]
fn a_frame_has_16384_bytes_at_most() {
    // RFC 9113 §4.2
    let mut owner = Owner::with_streams(1);
    owner.take(&data(1, &"x".repeat(16_384), 0));
    assert!(owner.log.pop().is_some_and(|word| word.starts_with("content 1")));
    owner.take(b"\0\x40\x01\0\0\0\0\0\x01");
    owner.expect("> goaway 1 6");
    check(&[b"\xff\xff\xff\x63\0\0\0\0\0".to_vec()], "> goaway 0 6");
}

#[test]
fn heads() {
    check(&[head(1, "a", END), head(3, "b", 0)], "Head 1 a end; Head 3 b");
    // RFC 9113 §5.1.1: streams of a client have odd numbers, which increase.
    check(&[head(0, "a", END)], "> goaway 0 1");
    check(&[head(2, "a", END)], "> goaway 0 1");
    check(&[head(STREAM_MAX, "a", END)], "Head 2147483647 a end");
    check(&[head(3, "a", END), head(1, "a", END)], "Head 3 a end; > goaway 3 1");
    check(
        &[head(1, "a", END), head(7, "a", END), head(5, "a", END)],
        "Head 1 a end; Head 7 a end; > goaway 7 1",
    );
    check(
        &[head(1, "a", END), head(3, "a", END), head(1, "a", END)],
        "Head 1 a end; Head 3 a end; > goaway 3 5",
    );
    // The reserved bit is ignored (§4.1).
    let mut reserved = head(1, "a", END);
    reserved[5] |= 0x80;
    check(&[reserved], "Head 1 a end");
    // Flags that have no meaning are ignored.
    check(&[head(1, "a", 0xd0)], "Head 1 a");
}

#[test]
fn padding_and_priority_are_removed() {
    // RFC 9113 §6.1, §6.2
    fn check(flags: u8, payload: &[u8], expected: &str) {
        super::check(&[frame(kind::HEADERS, HEAD | flags, 1, payload)], expected);
    }
    check(PADDED, b"\0a", "Head 1 a");
    check(PADDED, b"\x02a\0\0", "Head 1 a");
    check(PADDED, b"\x02\0\0", "Head 1 ");
    check(PADDED, b"\x03\0\0", "> goaway 0 1");
    check(PADDED, b"", "> goaway 0 6");
    check(flag::PRIORITY, b"\0\0\0\0\x0fa", "Head 1 a");
    check(flag::PRIORITY, b"\0\0\0\0\x0f", "Head 1 ");
    check(flag::PRIORITY, b"\0\0\0\0", "> goaway 0 6");
    check(PADDED | flag::PRIORITY, b"\x01\0\0\0\0\x0fa\0", "Head 1 a");
    check(PADDED | flag::PRIORITY, b"\x04\0\0\0\0\x0fa\0", "> goaway 0 1");
    let check = |payload: &[u8], expected: &str| {
        check_of(|| Owner::with_streams(1), &frame(kind::DATA, PADDED, 1, payload), expected);
    };
    check(b"\x02hi\0\0", "content 1 \"hi\"");
    check(b"\x04hi\0\0", "content 1 \"\"");
    check(b"\x05hi\0\0", "> goaway 1 1");
    check(b"", "> goaway 1 6");
}

#[test]
fn field_blocks_are_continued() {
    // RFC 9113 §4.3, §6.10
    let part = |stream, part: &str, flags| frame(kind::CONTINUATION, flags, stream, part.as_bytes());
    let first = |block: &str| frame(kind::HEADERS, END, 1, block.as_bytes());
    check(&[first("la"), part(1, "te", 0), part(1, "r", HEAD)], "Head 1 later end");
    check(&[first(""), part(1, "", HEAD), head(3, "b", 0)], "Head 1  end; Head 3 b");
    check(&[part(1, "a", HEAD)], "> goaway 0 1");
    check(&[head(1, "a", 0), part(1, "a", HEAD)], "Head 1 a; > goaway 1 1");
    check(&[first("a"), part(3, "a", HEAD)], "> goaway 1 1");
    check(&[first("a"), head(1, "a", 0)], "> goaway 1 1");
    check(&[first("a"), data(1, "a", 0)], "> goaway 1 1");
    check(&[first("a"), ping(0, b"12345678")], "> goaway 1 1");
    // A type that is unknown, too (§5.5).
    check(&[first("a"), frame(0x63, 0, 0, b"")], "> goaway 1 1");
    // Of trailers and of a refused head.
    check_of(|| Owner::with_streams(1), &[first("t"), part(1, "t", HEAD)].concat(), "Trailers 1 tt end");
    check_of(
        || Owner::with_streams(3),
        &[frame(kind::HEADERS, END, 7, b"a"), part(7, "b", HEAD)].concat(),
        "Refused 7 ab end; > reset 7 7",
    );
}

#[test]
fn field_blocks_have_bounds() {
    // CVE-2024-27316
    let parts = |count: usize, bytes: usize| {
        let mut frames = vec![frame(kind::HEADERS, END, 1, &b"x".repeat(bytes))];
        for at in 1..=count {
            let flags = if at == count { HEAD } else { 0 };
            frames.push(frame(kind::CONTINUATION, flags, 1, &b"x".repeat(bytes)));
        }
        frames.concat()
    };
    let check = |input: &[u8], expected: &str| {
        let mut owner = Owner::begun();
        owner.take(input);
        owner.expect(expected);
        assert!(!owner.core.is_gathering());
    };
    check(&parts(8, 1), "Head 1 xxxxxxxxx end");
    check(&parts(9, 1), "> goaway 1 11");
    check(&parts(9, 0), "> goaway 1 11");
    check(&parts(1, 20), &format!("Head 1 {} end", "x".repeat(40)));
    check(&parts(1, 21), "> goaway 1 11");
    check(&frame(kind::HEADERS, 0, 1, &[b'x'; 41]), "> goaway 1 11");
    // A block in one frame is bounded by the frame.
    check(&frame(kind::HEADERS, HEAD, 1, &[b'x'; 41]), &format!("Head 1 {}", "x".repeat(41)));
}

#[test]
fn streams_that_are_not_open() {
    // RFC 9113 §5.1: idle ones.
    check(&[data(1, "a", 0)], "> goaway 0 1");
    check(&[data(0, "a", 0)], "> goaway 0 1");
    check(&[data(2, "a", 0)], "> goaway 0 1");
    check(&[reset(1)], "> goaway 0 1");
    check(&[reset(0)], "> goaway 0 1");
    check(&[update(1, 1)], "> goaway 0 1");
    check(&[head(1, "a", END), update(2, 1)], "Head 1 a end; > goaway 1 1");
    // Closed ones: content gets a reset, once, and what may have crossed the response is ignored.
    check(&[head(1, "a", END), data(1, "x", 0), data(1, "x", END)], "Head 1 a end; > reset 1 5");
    check(&[head(1, "a", END), reset(1), update(1, 1), update(1, 0)], "Head 1 a end");
    check(&[head(5, "a", END), data(3, "x", END)], "Head 5 a end; > reset 3 5");
    // One that the peer has ended, and whose response is still to come.
    check(&[head(1, "later", END), data(1, "x", 0)], "Head 1 later end; reset 1; > reset 1 5");
    check(&[head(1, "later", END), head(1, "t", END)], "Head 1 later end; > goaway 1 5");
    check(&[head(1, "later", END), update(1, 1), reset(1)], "Head 1 later end; windows; reset 1");
}

#[test]
fn streams_that_were_reset_are_ignored_for_a_while() {
    // RFC 9113 §5.1: frames may be on their way. As many as a client has open are remembered.
    let mut owner = Owner::begun();
    let last = 1 + 2 * RESET_MAX as u32;
    for stream in (1..=last).step_by(2) {
        owner.take(&head(stream, "a", 0));
        owner.core.push_reset(stream, ErrorCode::NO_ERROR, &mut owner.out);
    }
    owner.read_replies();
    owner.log.clear();
    for stream in [3, 151, last] {
        owner
            .take(&[data(stream, "x", 0), update(stream, 1), head(stream, "t", END), reset(stream)].concat());
        owner.expect(&format!("Ignored {stream} t end"));
    }
    owner.take(&data(1, "x", 0));
    owner.expect("> reset 1 5");
    // That one is remembered now instead of 3.
    owner.take(&[data(1, "x", 0), head(3, "t", END)].concat());
    owner.expect(&format!("> goaway {last} 5"));
}

#[test]
fn content_is_as_long_as_announced() {
    // RFC 9113 §8.1.1
    check(&[head(1, "2", 0), data(1, "hi", END)], "Head 1 2; content 1 \"hi\" end");
    check(
        &[head(1, "2", 0), data(1, "h", 0), data(1, "i", 0), data(1, "", END)],
        "Head 1 2; content 1 \"h\"; content 1 \"i\"; content 1 \"\" end",
    );
    check(&[head(1, "2", 0), data(1, "h", END)], "Head 1 2; reset 1; > reset 1 1");
    check(&[head(1, "2", 0), data(1, "hi!", 0)], "Head 1 2; reset 1; > reset 1 1");
    check(&[head(1, "0", 0), data(1, "", END)], "Head 1 0; content 1 \"\" end");
    check(&[head(1, "later", 0), data(1, "any", END)], "Head 1 later; content 1 \"any\" end");
    // Padding is no content.
    check(
        &[head(1, "2", 0), frame(kind::DATA, PADDED | END, 1, b"\x01hi\0")],
        "Head 1 2; content 1 \"hi\" end",
    );
    // Trailers end it, and nothing else (§8.1).
    check(
        &[head(1, "2", 0), data(1, "hi", 0), head(1, "t", END)],
        "Head 1 2; content 1 \"hi\"; Trailers 1 t end",
    );
    check(
        &[head(1, "2", 0), data(1, "h", 0), head(1, "t", END)],
        "Head 1 2; content 1 \"h\"; Trailers 1 t end; > reset 1 1",
    );
    check(&[head(1, "later", 0), head(1, "t", 0)], "Head 1 later; Trailers 1 t; > reset 1 1");
    check(
        &[head(1, "later", 0), head(1, "t", END), data(1, "", END)],
        "Head 1 later; Trailers 1 t end; reset 1; > reset 1 5",
    );
    check(
        &[head(1, "later", 0), head(1, "t", END), head(1, "t", END)],
        "Head 1 later; Trailers 1 t end; > goaway 1 5",
    );
}

#[test]
fn more_streams_than_allowed_are_refused() {
    // RFC 9113 §5.1.2
    let check = |frames: &[Vec<u8>], expected: &str| {
        check_of(|| Owner::with_streams(3), &frames.concat(), expected);
    };
    check(&[head(7, "later", 0), data(7, "x", END)], "Refused 7 later; > reset 7 7");
    check(&[reset(1), head(7, "later", END)], "reset 1; Head 7 later end");
    check(
        &[head(7, "a", END), head(1, "t", END), head(9, "a", END)],
        "Refused 7 a end; > reset 7 7; Trailers 1 t end; Refused 9 a end; > reset 9 7",
    );
}

#[test]
fn settings_are_checked() {
    // RFC 9113 §6.5, §6.5.2
    fn check(settings: &[(u16, u32)], expected: &str) {
        super::check(&[super::settings(settings)], expected);
    }
    check(&[(setting::ENABLE_PUSH, 0), (setting::ENABLE_PUSH, 1)], "> ack");
    check(&[(setting::ENABLE_PUSH, 2)], "> goaway 0 1");
    check(&[(setting::ENABLE_CONNECT_PROTOCOL, 1)], "> ack");
    check(&[(setting::ENABLE_CONNECT_PROTOCOL, 2)], "> goaway 0 1");
    check(&[(setting::NO_RFC7540_PRIORITIES, 1)], "> ack");
    check(&[(setting::NO_RFC7540_PRIORITIES, 2)], "> goaway 0 1");
    check(&[(setting::INITIAL_WINDOW_SIZE, 0x7fff_ffff)], "windows; > ack");
    check(&[(setting::INITIAL_WINDOW_SIZE, 0x8000_0000)], "> goaway 0 3");
    check(&[(setting::MAX_FRAME_SIZE, 16_384)], "> ack");
    check(&[(setting::MAX_FRAME_SIZE, 0xff_ffff)], "> ack");
    check(&[(setting::MAX_FRAME_SIZE, 16_383)], "> goaway 0 1");
    check(&[(setting::MAX_FRAME_SIZE, 0x0100_0000)], "> goaway 0 1");
    check(&[(setting::MAX_CONCURRENT_STREAMS, 0), (setting::MAX_HEADER_LIST_SIZE, 0), (0xfafa, 7)], "> ack");
    check(&[], "> ack");
    let check = |flags, stream, payload: &[u8], expected: &str| {
        super::check(&[frame(kind::SETTINGS, flags, stream, payload)], expected);
    };
    check(0, 1, b"", "> goaway 0 1");
    check(0, 0, b"1234567", "> goaway 0 6");
    check(flag::ACK, 0, b"", "");
    check(flag::ACK, 0, b"123456", "> goaway 0 6");
}

#[test]
fn frames_of_the_connection() {
    fn check(kind: u8, flags: u8, stream: u32, payload: &[u8], expected: &str) {
        super::check(&[frame(kind, flags, stream, payload)], expected);
    }
    // RFC 9113 §6.7
    check(kind::PING, 0, 0, b"12345678", "> ping 1 12345678");
    check(kind::PING, flag::ACK, 0, b"12345678", "");
    check(kind::PING, 0, 1, b"12345678", "> goaway 0 1");
    check(kind::PING, 0, 0, b"1234567", "> goaway 0 6");
    check(kind::PING, 0, 0, b"123456789", "> goaway 0 6");
    // RFC 9113 §6.8
    check(kind::GOAWAY, 0, 0, &[0; 8], "");
    check(kind::GOAWAY, 0, 0, b"\0\0\0\0\0\0\0\0bye", "");
    check(kind::GOAWAY, 0, 0, &[0; 7], "> goaway 0 6");
    check(kind::GOAWAY, 0, 1, &[0; 8], "> goaway 0 1");
    // RFC 9113 §6.3
    check(kind::PRIORITY, 0, 1, &[0; 5], "");
    check(kind::PRIORITY, 0, 2, &[0; 5], "");
    check(kind::PRIORITY, 0, 0, &[0; 5], "> goaway 0 1");
    check(kind::PRIORITY, 0, 1, &[0; 4], "> goaway 0 6");
    check(kind::PRIORITY, 0, 1, &[0; 6], "> goaway 0 6");
    // RFC 9218 §7.1
    check(kind::PRIORITY_UPDATE, 0, 0, b"\0\0\0\x01u=1", "");
    check(kind::PRIORITY_UPDATE, 0, 0, b"\0\0\0\0u=1", "> goaway 0 1");
    check(kind::PRIORITY_UPDATE, 0, 0, b"\0\0\0", "> goaway 0 6");
    check(kind::PRIORITY_UPDATE, 0, 1, b"\0\0\0\x01", "> goaway 0 1");
    // RFC 9113 §6.6, §6.4, §6.9, §5.5
    check(kind::PUSH_PROMISE, HEAD, 1, b"\0\0\0\x02", "> goaway 0 1");
    check(kind::RST_STREAM, 0, 1, b"\0\0\0", "> goaway 0 6");
    check(kind::WINDOW_UPDATE, 0, 0, b"\0\0\0", "> goaway 0 6");
    check(kind::WINDOW_UPDATE, 0, 0, b"\0\0\0\0\x01", "> goaway 0 6");
    check(0x63, 0xff, 7, b"anything", "");
}

#[test]
fn a_peer_that_does_not_answer_the_ping_is_served_for_a_while() {
    let mut owner = Owner::begun();
    owner.core.announce_end(&mut owner.out);
    owner.read_replies();
    owner.log.clear();
    for at in 0..1_000 {
        owner.take(&head(1 + 2 * at, "a", END));
        owner.expect(&format!("Head {} a end", 1 + 2 * at));
    }
    owner.take(&head(2_001, "a", END));
    owner.expect("Ignored 2001 a end; > goaway 1999 0");
    assert!(owner.core.is_drained());
    owner.take(&[head(2_003, "a", END), ping(flag::ACK, b"draining")].concat());
    owner.expect("Ignored 2003 a end");
}

#[test]
fn the_orderly_end_has_two_steps() {
    // RFC 9113 §6.8
    fn draining() -> Owner {
        let mut owner = Owner::with_streams(1);
        owner.core.announce_end(&mut owner.out);
        owner.core.announce_end(&mut owner.out);
        owner.expect("> goaway 2147483647 0; > ping 0 draining");
        owner
    }
    let acknowledged = || ping(flag::ACK, b"draining");
    let check = |frames: &[Vec<u8>], expected: &str| check_of(draining, &frames.concat(), expected);
    check(&[head(3, "a", END), acknowledged()], "Head 3 a end; > goaway 3 0");
    check(&[ping(flag::ACK, b"12345678"), head(3, "a", END)], "Head 3 a end");
    check(&[acknowledged(), acknowledged()], "> goaway 1 0");
    check(&[acknowledged(), data(1, "x", END)], "> goaway 1 0; content 1 \"x\" end");
    // The last GOAWAY names no larger stream than the one before.
    check(
        &[acknowledged(), head(5, "a", END), data(0, "", 0)],
        "> goaway 1 0; Ignored 5 a end; > goaway 1 1",
    );
    // Streams beyond it are ignored, whatever arrives on them.
    check(
        &[acknowledged(), head(5, "a", 0), data(5, "x", 0), update(5, 1), head(5, "t", END), data(5, "x", 0)],
        "> goaway 1 0; Ignored 5 a; Ignored 5 t end",
    );
    check(
        &[acknowledged(), head(5, "a", 0), reset(5), head(9, "a", END), reset(9)],
        "> goaway 1 0; Ignored 5 a; Ignored 9 a end",
    );
    check(&[acknowledged(), head(5, "a", 0), data(7, "x", 0)], "> goaway 1 0; Ignored 5 a; > goaway 1 1");

    let mut owner = draining();
    owner.take(&acknowledged());
    assert!(!owner.core.is_drained());
    owner.take(&reset(1));
    assert!(owner.core.is_drained());
}

#[test]
fn content_that_follows_its_head_in_one_frame_needs_no_stream() {
    let mut owner = Owner::begun();
    owner.take(&head(1, "a", 0));
    owner.expect("Head 1 a");
    let mut check = |window: i64, frame: &[u8], expected: Option<(&str, usize)>, update: u32| {
        (owner.core.receive_window, owner.out) = (window, Vec::new());
        let content = owner.core.whole_content(1, |length| length <= 3, frame, &mut owner.out);
        let expected = expected.map(|(content, consumed)| (content.as_bytes(), consumed));
        assert_eq!(content, expected, "{}", frame.escape_ascii());
        let replies = if update > 0 { self::update(0, update) } else { Vec::new() };
        assert_eq!(owner.out, replies);
        let left = window - content.map_or(0, |(content, _)| content.len() as i64) + i64::from(update);
        assert_eq!(owner.core.receive_window, left);
    };
    let (half, whole) = (1 << 19, 1 << 20);
    check(whole, &data(1, "abc", END), Some(("abc", 12)), 0);
    check(whole, &[data(1, "", END), data(1, "x", END)].concat(), Some(("", 9)), 0);
    check(half, &data(1, "a", END), Some(("a", 10)), half as u32 + 1);
    check(3, &data(1, "abc", END), Some(("abc", 12)), whole as u32);
    check(2, &data(1, "abc", END), None, 0);
    check(whole, &data(1, "abcd", END), None, 0);
    check(whole, &data(1, "abc", 0), None, 0);
    check(whole, &data(3, "abc", END), None, 0);
    check(whole, &data(1, "\0a", END | PADDED), None, 0);
    check(whole, &head(1, "abc", END), None, 0);
    check(whole, &data(1, "abc", END)[..11], None, 0);
    check(whole, b"\0", None, 0);
}
