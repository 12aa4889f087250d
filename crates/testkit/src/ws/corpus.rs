//! Short client streams and what they mean, and the tools to write more of them.
//!
//! The streams are short, so that all their splits at two places can be tried.

use super::frames::{Frame, frame, masked};
use fleeting::Limits;

/// A stream and its trace.
pub struct Case {
    /// Describes the case in messages.
    pub name: &'static str,
    /// The stream.
    pub bytes: Vec<u8>,
    /// Its trace.
    pub expected: &'static str,
}

/// The limits under which [`streams`] have their traces.
pub fn limits() -> Limits {
    crate::limits! { message_bytes: 200, frame_bytes: 150, fragments: 4 }
}

/// Returns valid streams, and one for each way to be invalid.
pub fn streams() -> Vec<Case> {
    let framed = |name, frames: &[Frame<'_>], expected| Case { name, bytes: masked(frames), expected };
    let raw = |name, bytes: &[u8], expected| Case { name, bytes: bytes.to_vec(), expected };
    let long = [b'x'; 130];
    vec![
        framed("nothing", &[], "waits for 14, has 0\n"),
        framed(
            "two messages",
            &[frame(0x81, "hé€😀".as_bytes()), frame(0x82, b"\0\xff")],
            "text \"hé€😀\"\nbinary 00ff\nwaits for 14, has 0\n",
        ),
        framed(
            "two texts",
            &[frame(0x81, "a€".as_bytes()), frame(0x81, "é".as_bytes()), frame(0x81, b"b")],
            "text \"a€\"\ntext \"é\"\ntext \"b\"\nwaits for 14, has 0\n",
        ),
        framed(
            "empty ones",
            &[frame(0x81, b""), frame(0x82, b""), frame(0x89, b""), frame(0x8a, b"")],
            "text \"\"\nbinary \nping \npong \nwaits for 14, has 0\n",
        ),
        framed(
            "fragments with control frames between, cut inside characters",
            &[
                frame(0x01, b"\xe2"),
                frame(0x89, b"p"),
                frame(0x00, b"\x82\xac\xf0\x9f"),
                frame(0x8a, b"q"),
                frame(0x80, b"\x98\x80"),
                frame(0x82, b"!"),
            ],
            "fragment\nping 70\nfragment\npong 71\ntext \"€😀\"\nbinary 21\nwaits for 14, has 0\n",
        ),
        framed(
            "an empty last fragment",
            &[frame(0x02, b"ab"), frame(0x80, b"")],
            "fragment\nbinary 6162\nwaits for 14, has 0\n",
        ),
        framed(
            "16-bit length",
            &[frame(0x82, &long), frame(0x89, b"")],
            concat!(
                "binary 7878787878787878787878787878787878787878787878787878787878787878787878787878787878",
                "78787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878",
                "78787878787878787878787878787878787878787878787878787878787878787878787878787878787878",
                "\nping \nwaits for 14, has 0\n"
            ),
        ),
        framed("close", &[frame(0x88, b""), frame(0x81, b"late")], "close\n"),
        framed("close 783", &[frame(0x88, b"\x03\x0f")], "failed close_code_invalid\n"),
        framed("close 1000", &[frame(0x88, b"\x03\xe8bye"), frame(0x83, b"")], "close 1000 \"bye\"\n"),
        framed(
            "close inside a message",
            &[frame(0x01, b"ab"), frame(0x88, b"\x0b\xb8")],
            "fragment\nclose 3000 \"\"\n",
        ),
        framed("close with half a code", &[frame(0x88, b"\x03")], "failed close_too_short\n"),
        framed("close 1005", &[frame(0x88, b"\x03\xed")], "failed close_code_invalid\n"),
        framed("close with a bad reason", &[frame(0x88, b"\x03\xe8\xc3(")], "failed close_reason_invalid\n"),
        framed(
            "not UTF-8, then a ping",
            &[frame(0x81, b"ab\xffcd"), frame(0x89, b"")],
            "failed text_invalid\n",
        ),
        framed("UTF-8 cut short", &[frame(0x81, b"ab\xe2\x82"), frame(0x89, b"")], "failed text_invalid\n"),
        framed(
            "not UTF-8 across fragments",
            &[frame(0x01, b"\xf4"), frame(0x89, b""), frame(0x80, b"\x90\x80\x80")],
            "fragment\nping \nfailed text_invalid\n",
        ),
        framed(
            "fragments cut short",
            &[frame(0x01, b"a\xe2"), frame(0x80, b"\x82"), frame(0x89, b"")],
            "fragment\nfailed text_invalid\n",
        ),
        raw("not UTF-8 in a frame that never ends", b"\x81\x8a\0\0\0\0abc\xed\xa0", "failed text_invalid\n"),
        raw("a frame that never ends", b"\x81\x8a\0\0\0\0abc\xe2\x82", "waits for 16, has 11\n"),
        raw("half a header", b"\x83\xff\x7f", "waits for 14, has 3\n"),
        framed(
            "reserved bits",
            &[frame(0x81, b"a"), frame(0xc1, b"b")],
            "text \"a\"\nfailed reserved_bits\n",
        ),
        framed("reserved opcode", &[frame(0x8b, b"ab")], "failed reserved_opcode\n"),
        raw("unmasked", b"\x81\x02hi", "failed unmasked\n"),
        raw("length not minimal", b"\x81\xfe\0\x02\0\0\0\0hi", "failed length_not_minimal\n"),
        raw("length with a high bit", b"\x82\xff\x80\0\0\0\0\0\0\x02\0\0\0\0hi", "failed length_high_bit\n"),
        framed("fragmented ping", &[frame(0x09, b"a")], "failed control_fragmented\n"),
        framed("long ping", &[frame(0x89, &long)], "failed control_too_long\n"),
        framed("nothing to continue", &[frame(0x80, b"a")], "failed nothing_to_continue\n"),
        framed(
            "message in a message",
            &[frame(0x01, b"a"), frame(0x82, b"b")],
            "fragment\nfailed message_unfinished\n",
        ),
        raw("frame too big", b"\x82\xfe\0\x97\0\0\0\0", "failed frame_too_big\n"),
        framed(
            "message too big",
            &[frame(0x02, &long), frame(0x80, &long[..71])],
            "fragment\nfailed message_too_big\n",
        ),
        framed(
            "too many fragments",
            &[frame(0x02, b""), frame(0, b""), frame(0, b""), frame(0, b""), frame(0x80, b"")],
            "fragment\nfragment\nfragment\nfragment\nfailed too_many_fragments\n",
        ),
    ]
}

/// Returns streams for a connection that has agreed on permessage-deflate. The compressed payloads are arbitrary here,
/// and never UTF-8.
pub fn compressed_streams() -> Vec<Case> {
    let framed = |name, frames: &[Frame<'_>], expected| Case { name, bytes: masked(frames), expected };
    let long = [0xff; 130];
    vec![
        framed(
            "compressed and not",
            &[frame(0xc1, b"\xf2\x48"), frame(0x81, "é".as_bytes()), frame(0xc2, b"\xff"), frame(0x82, b"!")],
            "compressed text f248\ntext \"é\"\ncompressed binary ff\nbinary 21\nwaits for 14, has 0\n",
        ),
        framed("empty", &[frame(0xc1, b"")], "compressed text \nwaits for 14, has 0\n"),
        framed(
            "fragments with a ping between",
            &[frame(0x41, b"\xff\xe2"), frame(0x89, b"p"), frame(0x00, b"\x82"), frame(0x80, b"\xff")],
            "fragment\nping 70\nfragment\ncompressed text ffe282ff\nwaits for 14, has 0\n",
        ),
        framed(
            "fragments, then a text in fragments",
            &[frame(0x42, b""), frame(0x80, b"\xff"), frame(0x01, b"\xc3"), frame(0x80, b"\xa9")],
            "fragment\ncompressed binary ff\nfragment\ntext \"é\"\nwaits for 14, has 0\n",
        ),
        framed(
            "a text that is none",
            &[frame(0xc1, b"\xff"), frame(0x81, b"\xff")],
            "compressed text ff\nfailed text_invalid\n",
        ),
        framed(
            "the bit on a continuation",
            &[frame(0x41, b"\xff"), frame(0xc0, b"\xff")],
            "fragment\nfailed reserved_bits\n",
        ),
        framed("the bit on a ping", &[frame(0xc9, b"")], "failed reserved_bits\n"),
        framed("another bit, too", &[frame(0xe1, b"")], "failed reserved_bits\n"),
        framed(
            "too big while it is compressed",
            // An eighth of 200 and 64 more would pass, because noise grows.
            &[frame(0x42, &long), frame(0x00, &long), frame(0x80, &long[..30])],
            "fragment\nfragment\nfailed message_too_big\n",
        ),
        framed(
            "a message in a message",
            &[frame(0x41, b"\xff"), frame(0xc1, b"\xff")],
            "fragment\nfailed message_unfinished\n",
        ),
    ]
}
