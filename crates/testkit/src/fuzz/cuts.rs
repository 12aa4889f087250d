//! How an input says where its stream is to be cut.
//!
//! It does not know what the stream means.

/// The maximum number of cuts that an input can ask for.
const CUTS_MAX: usize = 7;

/// Streams up to this length are also played byte by byte.
pub(super) const BYTEWISE_MAX: usize = 300;

/// Reads the cuts. The low three bits of the first byte are their number, and each following byte is the distance from
/// the previous cut. Returns the cuts in ascending order, the other bits of the first byte, and the rest.
pub(super) fn cuts(bytes: &[u8]) -> (Vec<usize>, u8, &[u8]) {
    let Some((&first, rest)) = bytes.split_first() else { return (Vec::new(), 0, bytes) };
    let (gaps, stream) = rest.split_at(rest.len().min(usize::from(first) & CUTS_MAX));
    let mut at = 0;
    let places = gaps.iter().map(|gap| {
        at += usize::from(*gap);
        at.min(stream.len())
    });
    (places.collect(), first >> 3, stream)
}

/// Returns the pieces of `stream` between `cuts`, which ascend.
pub(super) fn pieces<'s>(stream: &'s [u8], cuts: &[usize]) -> Vec<&'s [u8]> {
    let mut from = 0;
    let ends = cuts.iter().copied().chain([stream.len()]);
    ends.map(|to| &stream[std::mem::replace(&mut from, to)..to]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_are_read() {
        assert_eq!(cuts(b""), (vec![], 0, &b""[..]));
        assert_eq!(cuts(b"\x00abc"), (vec![], 0, &b"abc"[..]));
        assert_eq!(cuts(b"\x0a\x01\x01abc"), (vec![1, 2], 1, &b"abc"[..]));
        assert_eq!(cuts(b"\x02\x02\x05abc"), (vec![2, 3], 0, &b"abc"[..]));
        assert_eq!(pieces(b"abc", &[1, 1, 3]), [&b"a"[..], b"", b"bc", b""]);
        assert_eq!(pieces(b"abc", &[]), [b"abc"]);
    }
}
