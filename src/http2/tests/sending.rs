//! What is sent: windows in both directions, and heads of any length (RFC 9113 §4.2, §5.2, §6.9).

use super::*;
use crate::http1::{ConnectionHeader, ContentLength, ResponseHead};
use crate::http2::frame::{FRAME_BYTES, setting};
use crate::http2::{push_head_frames, send::complete_head};

const INITIAL: u16 = setting::INITIAL_WINDOW_SIZE;

#[test]
fn windows_grow_and_shrink() {
    let mut owner = Owner::with_streams(2);
    let windows = |owner: &mut Owner| {
        [owner.core.window(1), owner.core.window(3), owner.core.new_window(), owner.core.send_window()]
    };
    assert_eq!(windows(&mut owner), [65_535; 4]);
    owner.take(&update(0, 1_000));
    assert_eq!(windows(&mut owner), [65_535, 65_535, 65_535, 66_535]);
    owner.take(&update(3, 500));
    assert_eq!(windows(&mut owner), [65_535, 66_035, 65_535, 66_535]);
    owner.core.send_content(1, &[b'x'; 60_000], false, &mut owner.out);
    assert_eq!(windows(&mut owner), [5_535, 6_535, 6_535, 6_535]);
    // RFC 9113 §6.9.2: a window may be less than nothing.
    owner.take(&settings(&[(INITIAL, 10_000)]));
    assert_eq!(windows(&mut owner), [0, 6_535, 6_535, 6_535]);
    assert_eq!(
        owner.core.streams.iter_mut().map(|stream| stream.send_window).collect::<Vec<_>>(),
        [-50_000, 10_500]
    );
    owner.take(&update(1, 50_000));
    assert_eq!(owner.core.window(1), 0);
    owner.take(&update(1, 1));
    assert_eq!(owner.core.window(1), 1);
    owner.take(&settings(&[(INITIAL, 0), (INITIAL, 20_000)]));
    assert_eq!(
        owner.core.streams.iter_mut().map(|stream| stream.send_window).collect::<Vec<_>>(),
        [10_001, 20_500]
    );
    owner.take(&settings(&[(INITIAL, 0)]));
    owner.take(&head(5, "later", END));
    assert_eq!((owner.core.window(5), owner.core.new_window()), (0, 0));
    // A stream that is not open has none.
    assert_eq!(owner.core.window(7), 0);
}

#[test]
fn windows_do_not_overflow() {
    // RFC 9113 §6.9.1
    let most = (1 << 31) - 1 - 65_535;
    check(&[update(0, most)], "windows");
    check(&[update(0, most + 1)], "> goaway 0 3");
    check(&[update(0, 0)], "> goaway 0 1");
    // The reserved bit is ignored.
    check(&[update(0, 0x8000_0001)], "windows");
    let check = |frames: &[Vec<u8>], expected: &str| {
        check_of(|| Owner::with_streams(2), &frames.concat(), expected);
    };
    check(&[update(1, most)], "windows");
    check(
        &[update(1, most + 1), data(1, "x", END), head(1, "t", END)],
        "reset 1; > reset 1 3; Ignored 1 t end",
    );
    check(&[update(1, 0), update(1, 0)], "reset 1; > reset 1 1");
    // §6.9.2: a setting that makes one too large.
    check(&[update(1, most), settings(&[(INITIAL, 65_536)])], "windows; > goaway 3 3");
    check(&[update(1, most), settings(&[(INITIAL, 65_535)])], "windows; windows; > ack");
}

#[test]
fn the_windows_of_the_peer_are_kept() {
    // RFC 9113 §6.9: those of a stream.
    let piece = "x".repeat(16_384);
    let mut owner = Owner::with_streams(2);
    for _ in 0..3 {
        owner.take(&data(1, &piece, 0));
    }
    owner.take(&data(1, &piece[1..], 0));
    assert!(!owner.core.has_failed());
    owner.log.clear();
    owner.take(&data(1, "x", 0));
    owner.expect("reset 1; > reset 1 3");
    // Padding counts, too (§6.9.1).
    for _ in 0..3 {
        owner.take(&data(3, &piece, 0));
    }
    owner.log.clear();
    owner.take(&frame(kind::DATA, flag::PADDED, 3, &[0; 16_384]));
    owner.expect("reset 3; > reset 3 3");
    // The connection's is always given back, also for streams that are not open.
    let mut owner = Owner::begun();
    owner.take(&head(1, "a", END));
    owner.log.clear();
    for _ in 0..200 {
        owner.take(&data(1, &piece, 0));
    }
    owner.expect(&["> reset 1 5"].into_iter().chain(["> update 0 540672"; 6]).collect::<Vec<_>>().join("; "));
}

#[test]
fn room_is_given_back() {
    let mut owner = Owner::with_streams(2);
    owner.take(&data(1, &"x".repeat(16_384), 0));
    owner.take(&data(1, &"x".repeat(16_384), 0));
    owner.log.clear();
    owner.core.credit(1, 32_766, &mut owner.out);
    owner.expect("");
    owner.core.credit(1, 1, &mut owner.out);
    owner.expect("> update 1 32767");
    owner.core.credit(1, 1, &mut owner.out);
    owner.core.credit(7, 50_000, &mut owner.out);
    owner.expect("");
    // The peer has nothing more to send.
    owner.take(&data(1, "x", END));
    owner.log.clear();
    owner.core.credit(1, 50_000, &mut owner.out);
    owner.expect("");
    // Padding needs no owner.
    for _ in 0..128 {
        owner.take(&frame(kind::DATA, flag::PADDED, 3, &[&[255], &[0; 255][..]].concat()));
    }
    assert_eq!(owner.log.iter().filter(|word| *word == "> update 3 32768").count(), 1);
}

#[test]
fn content_is_sent_in_frames() {
    let mut owner = Owner::with_streams(2);
    owner.core.send_content(1, &[b'x'; FRAME_BYTES + 1], true, &mut owner.out);
    owner.core.send_content(3, b"", true, &mut owner.out);
    owner.expect("> frame 0 0x0 1 16384; > frame 0 0x1 1 1; > frame 0 0x1 3 0");
    assert_eq!(owner.core.send_window(), 65_535 - FRAME_BYTES - 1);
    assert_eq!(owner.core.close(1, true, ErrorCode::INTERNAL_ERROR, &mut owner.out), Some(1));
    owner.expect("> reset 1 0");
    // Both sides have ended.
    owner.take(&data(3, "", END));
    owner.log.clear();
    assert_eq!(owner.core.close(3, true, ErrorCode::INTERNAL_ERROR, &mut owner.out), Some(3));
    assert_eq!(owner.core.close(3, true, ErrorCode::INTERNAL_ERROR, &mut owner.out), None);
    owner.expect("");
}

#[test]
fn a_response_that_is_not_complete_is_reset_with_a_code() {
    let mut owner = Owner::with_streams(2);
    assert_eq!(owner.core.close(1, true, ErrorCode::INTERNAL_ERROR, &mut owner.out), Some(1));
    owner.core.end(3);
    assert_eq!(owner.core.close(3, false, ErrorCode::PROTOCOL_ERROR, &mut owner.out), Some(3));
    owner.expect("> reset 1 2; > reset 3 1");
}

/// Returns the frames of a response's head whose field block has `bytes` bytes.
fn head_frames(bytes: usize) -> Vec<u8> {
    let mut out = [&[0; FRAME_HEAD_BYTES][..], &vec![0x88; bytes]].concat();
    complete_head(&mut out, 0, 0, 0);
    out
}

#[test]
fn a_head_that_is_longer_than_a_frame_is_continued() {
    // RFC 9113 §4.2, §4.3
    fn check(bytes: usize, ends: bool, table_bytes: u32, expected: &str) {
        let mut owner = Owner::with_streams(1);
        owner.take(&settings(&[(setting::HEADER_TABLE_SIZE, table_bytes)]));
        owner.log.clear();
        owner.core.send_head(1, &head_frames(bytes), ends, &mut owner.out);
        owner.expect(expected);
        // The same, encoded where it is sent.
        let mut owner = Owner::with_streams(1);
        owner.take(&settings(&[(setting::HEADER_TABLE_SIZE, table_bytes)]));
        owner.log.clear();
        let at = owner.core.begin_head(&mut owner.out);
        owner.out.extend(vec![0x88; bytes]);
        owner.core.end_head(1, at, ends, &mut owner.out);
        for frame in words(&owner.out) {
            let length = frame.rsplit(' ').next().and_then(|length| length.parse::<usize>().ok());
            assert!(length.is_some_and(|length| length <= FRAME_BYTES), "{frame}");
        }
    }
    check(3, false, 4_096, "> frame 1 0x4 1 3");
    check(3, true, 4_096, "> frame 1 0x5 1 3");
    check(FRAME_BYTES, true, 4_096, "> frame 1 0x5 1 16384");
    check(FRAME_BYTES + 1, true, 4_096, "> frame 1 0x1 1 16384; > frame 9 0x4 1 1");
    check(2 * FRAME_BYTES, false, 4_096, "> frame 1 0x0 1 16384; > frame 9 0x4 1 16384");
    check(3, true, 0, "> frame 1 0x5 1 4");
    check(FRAME_BYTES - 1, true, 0, "> frame 1 0x5 1 16384");
    check(FRAME_BYTES, true, 0, "> frame 1 0x1 1 1; > frame 9 0x4 1 16384");
    check(FRAME_BYTES + 1, true, 0, "> frame 1 0x1 1 1; > frame 9 0x0 1 16384; > frame 9 0x4 1 1");
}

#[test]
fn a_smaller_table_is_acknowledged_in_the_next_head() {
    // RFC 7541 §4.2
    fn check(settings: &[(u16, u32)], is_due: bool) {
        let date = b"Sun, 06 Nov 1994 08:49:37 GMT";
        let content = ContentLength::None;
        let connection = ConnectionHeader::Implied;
        let response = ResponseHead { status: 200, fields: &[], content, connection, date };
        let mut frames = Vec::new();
        push_head_frames(&mut frames, &response, false);
        let mut owner = Owner::with_streams(1);
        owner.take(&super::settings(settings));
        owner.out.clear();
        let first = |owner: &mut Owner| {
            owner.core.send_head(1, &frames, false, &mut owner.out);
            std::mem::take(&mut owner.out)[FRAME_HEAD_BYTES]
        };
        assert_eq!(first(&mut owner), if is_due { 0x20 } else { 0x88 }, "{settings:?}");
        assert_eq!(first(&mut owner), 0x88, "only once");
    }
    check(&[(setting::HEADER_TABLE_SIZE, 4_096)], false);
    check(&[(setting::HEADER_TABLE_SIZE, 65_536)], false);
    check(&[(setting::HEADER_TABLE_SIZE, 4_095)], true);
    check(&[(setting::HEADER_TABLE_SIZE, 0), (setting::HEADER_TABLE_SIZE, 4_096)], true);
}

#[test]
fn streams_are_visited_in_turn() {
    let mut owner = Owner::with_streams(3);
    let mut round =
        |after: u32| owner.core.streams.round_from(after).map(|stream| stream.id()).collect::<Vec<_>>();
    assert_eq!(round(0), [1, 3, 5]);
    assert_eq!(round(1), [3, 5, 1]);
    assert_eq!(round(4), [5, 1, 3]);
    assert_eq!(round(5), [1, 3, 5]);
    assert!(owner.core.bytes() > 0);
    assert_eq!(owner.core.take_streams().collect::<Vec<_>>(), [1, 3, 5]);
    assert!(owner.core.streams.is_empty());
    assert_eq!(owner.core.bytes(), 0);
}
