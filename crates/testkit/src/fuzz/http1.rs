//! Cuts a stream of requests in different ways.
//!
//! The invariant of [`http1`](fleeting::http1): heads, contents and refusals do not depend on the cuts.

use super::cuts::{BYTEWISE_MAX, cuts, pieces};
use crate::http1::trace::{trace, trace_streamed};

/// Panics unless the stream means the same whole, cut as the input says, and byte by byte. A stream that ends earlier
/// must produce a prefix of the same events, and streaming the contents must change nothing.
pub fn http1_split(bytes: &[u8]) {
    let (cuts, variant, stream) = cuts(bytes);
    // Small, so that the input reaches them; the second set is so small that little else happens.
    let limits = match variant & 1 {
        0 => crate::limits! { head_bytes: 400, target_bytes: 80, body_bytes: 64, headers: 60 },
        _ => crate::limits! { head_bytes: 90, target_bytes: 12, body_bytes: 5, headers: 3 },
    };
    let whole = trace([stream], &limits);
    assert_eq!(trace(pieces(stream, &cuts), &limits), whole, "cut at {cuts:?}");
    let streamed = trace_streamed([stream], &limits);
    assert_eq!(streamed.0, whole, "streamed");
    assert_eq!(trace_streamed(pieces(stream, &cuts), &limits), streamed, "streamed, cut at {cuts:?}");
    if stream.len() <= BYTEWISE_MAX {
        assert_eq!(trace(stream.chunks(1), &limits), whole, "bytewise");
        assert_eq!(trace_streamed(stream.chunks(1), &limits), streamed, "streamed, bytewise");
    }
    if let Some(&end) = cuts.first() {
        let part = trace([&stream[..end]], &limits);
        assert!(whole.starts_with(&part), "ended at {end}: {part:?}, not the beginning of {whole:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_are_a_valid_input() {
        http1_split(b"");
        http1_split(b"\x07\x01");
        http1_split(b"\x02\x05\xffGET / HTTP/1.1\r\nHost: a\r\n\r\n");
        http1_split(
            b"\x81\x30POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        );
    }
}
