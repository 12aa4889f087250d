//! What makes work and brings nothing is bounded (RFC 9113 §10.5).

use super::*;
use crate::http2::frame::setting;

/// What a peer may send at once, and in a second after that.
const ROOM: usize = 1_000;
const A_SECOND: usize = 33;

/// Sends frames until the connection fails. Returns how many passed.
fn flood(owner: &mut Owner, mut frames: impl FnMut(u32) -> Vec<u8>) -> usize {
    for at in 0..20_000 {
        owner.log.clear();
        owner.take(&frames(at));
        if owner.core.has_failed() {
            assert!(
                owner.log.iter().any(|word| word.starts_with("> goaway") && word.ends_with(" 11")),
                "{:?}",
                owner.log
            );
            return at as usize;
        }
    }
    usize::MAX
}

#[track_caller]
fn check(frames: impl Fn(u32) -> Vec<u8>) {
    let mut owner = Owner::with_streams(1);
    // SETTINGS, which came first, is in the bucket.
    assert_eq!(flood(&mut owner, &frames), ROOM - 1);

    let mut owner = Owner::with_streams(1);
    for at in 0..900 {
        owner.take(&frames(at));
    }
    owner.now_ms += 1_000;
    assert_eq!(flood(&mut owner, |at| frames(900 + at)), ROOM - 901 + A_SECOND);
}

#[test]
fn floods_end_the_connection() {
    check(|_| ping(0, b"12345678"));
    check(|_| ping(flag::ACK, b"12345678"));
    check(|_| settings(&[]));
    check(|_| settings(&[(setting::INITIAL_WINDOW_SIZE, 1)]));
    check(|_| frame(kind::SETTINGS, flag::ACK, 0, b""));
    check(|_| frame(kind::PRIORITY, 0, 1, &[0; 5]));
    check(|_| frame(kind::PRIORITY_UPDATE, 0, 0, b"\0\0\0\x01"));
    check(|_| frame(kind::GOAWAY, 0, 0, &[0; 8]));
    check(|_| frame(0x63, 0, 0, b""));
    check(|_| data(1, "", 0));
    check(|_| frame(kind::DATA, flag::PADDED, 1, b"\0"));
    check(|_| update(0, 1));
    check(|_| update(1, 1));
    // CVE-2023-44487
    check(|at| [head(3 + 2 * at, "later", END), reset(3 + 2 * at)].concat());
    // CVE-2025-8671: streams that the peer has the server reset.
    check(|at| [head(3 + 2 * at, "later", END), data(3 + 2 * at, "x", 0)].concat());
    check(|at| [head(3 + 2 * at, "1", 0), data(3 + 2 * at, "x!", 0)].concat());
    check(|at| [head(3 + 2 * at, "later", 0), head(3 + 2 * at, "t", 0)].concat());
    check(|at| [head(3 + 2 * at, "a", END), data(3 + 2 * at, "x", END)].concat());
}

#[test]
fn refused_streams_are_counted() {
    let mut owner = Owner::with_streams(3);
    assert_eq!(flood(&mut owner, |at| head(7 + 2 * at, "later", END)), ROOM - 1);
}

#[test]
fn requests_and_content_are_free() {
    let mut owner = Owner::with_streams(1);
    assert_eq!(flood(&mut owner, |at| head(3 + 2 * at, "a", END)), usize::MAX);
    let mut owner = Owner::with_streams(1);
    assert_eq!(flood(&mut owner, |_| data(1, "x", 0)), usize::MAX);
}

#[test]
fn room_that_is_given_back_for_content_is_free() {
    fn check(bytes: usize, updates: usize) {
        let mut owner = Owner::with_streams(1);
        for _ in 0..2_000 {
            owner.core.send_content(1, &vec![b'x'; bytes], false, &mut owner.out);
            owner.out.clear();
            for _ in 0..updates {
                let more = (bytes / updates) as u32;
                owner.take(&[update(0, more), update(1, more)].concat());
            }
        }
        assert!(!owner.core.has_failed(), "{updates} updates for {bytes} bytes");
        // What was not used is remembered, to a bound.
        let more = flood(&mut owner, |_| update(0, 1));
        assert!((ROOM - 1..2 * ROOM).contains(&more), "{more}");
    }
    check(1, 1);
    check(4_096, 1);
    check(16_384, 4);
    check(15 * 4_096, 15);
}
