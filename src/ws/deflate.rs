//! Compressing and inflating the payload of messages (RFC 7692 §7.2).
//!
//! It knows no frame and no connection. A message is a slice. The caller says whether it may refer to earlier ones
//! (context takeover), which the handshake negotiated. Its invariant: an inflated message never exceeds the limit by
//! more than one byte, not even temporarily.

use super::Failure;
use super::compression::MEMORY_LEVEL;
pub(crate) use super::compression::with_overhead;
pub(crate) use super::inflated::Inflated;
use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Inflate, InflateFlush, Status};

/// The end of a flushed stream, which a message omits (RFC 7692 §7.2.1): the length of an empty stored block.
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// An upper bound of the bytes that the tail inflates to if it is not the length of a block: its 32 bits and up to
/// seven bits before them are at most 19 matches of 258 bytes.
const TAIL_INFLATED_BYTES_MAX: usize = 8 << 10;

/// Bytes of room that are made in advance for each byte of payload.
const CREDIT: usize = 4;
/// The most room that is made in advance.
const AHEAD_BYTES_MAX: usize = 64 << 10;

/// An empty message (RFC 7692 §7.2.3.6): the header of an empty stored block.
const EMPTY: [u8; 1] = [0x00];

/// Inflates messages. The window is allocated with the first message.
///
/// ```
/// use fleeting::ws::{Deflater, Inflated, Inflater};
///
/// let mut compressed = Vec::new();
/// Deflater::new(15, 1).message(&[b'a'; 1000], false, &mut compressed);
/// assert!(compressed.len() < 20);
///
/// let (mut inflater, mut buffer) = (Inflater::new(), Inflated::new());
/// assert_eq!(inflater.message(&compressed, false, &mut buffer, 1000), Ok(&[b'a'; 1000][..]));
/// assert!(inflater.message(&compressed, false, &mut buffer, 999).is_err());
/// ```
#[derive(Default)]
pub struct Inflater {
    inflate: Option<Inflate>,
}

impl Inflater {
    /// Makes an inflater that has read nothing yet.
    pub fn new() -> Inflater {
        Inflater::default()
    }

    /// Inflates the payload of one message into `out`, and returns the message.
    ///
    /// With `takeover` the message may refer to earlier ones, so all of them must come from the same connection.
    /// Without it, each message may come from any connection.
    ///
    /// An empty payload is an empty message. No sender should make one, but some do, because flushing zlib a
    /// second time writes nothing.
    ///
    /// # Errors
    /// [`Failure::MessageTooBig`] as soon as the message exceeds `bytes_max`; [`Failure::DeflateInvalid`] if it cannot
    /// be inflated or is cut short. After an error, later messages cannot refer to messages before it.
    pub fn message<'m>(
        &mut self,
        payload: &[u8],
        takeover: bool,
        out: &'m mut Inflated,
        bytes_max: usize,
    ) -> Result<&'m [u8], Failure> {
        out.clear();
        if payload.is_empty() {
            return Ok(out.bytes());
        }
        // RFC 7692 §7.1.2.2: a client's window has at most 2^15 bytes.
        let inflate = self.inflate.get_or_insert_with(|| Inflate::new(false, 15));
        if !takeover {
            inflate.reset(false);
        }
        match inflate_message(inflate, payload, out, bytes_max) {
            Ok(()) => Ok(out.bytes()),
            Err(failure) => {
                inflate.reset(false);
                Err(failure)
            }
        }
    }
}

/// Inflates `payload` and the tail that its sender omitted (RFC 7692 §7.2.2).
fn inflate_message(
    inflate: &mut Inflate,
    payload: &[u8],
    out: &mut Inflated,
    bytes_max: usize,
) -> Result<(), Failure> {
    let mut at = 0;
    out.reserve(payload.len().saturating_mul(CREDIT).min(AHEAD_BYTES_MAX), bytes_max)?;
    while at < payload.len() {
        at += step(inflate, &payload[at..], InflateFlush::NoFlush, out, bytes_max)?;
    }
    // A message is complete if its last block ends with the tail. Inflating stops between blocks. One more byte is
    // offered: if it is consumed, the message ended inside a block. There must be room for output, or inflating would
    // stop early.
    out.reserve(TAIL_INFLATED_BYTES_MAX, bytes_max)?;
    let ending = [TAIL[0], TAIL[1], TAIL[2], TAIL[3], 0];
    let mut at = 0;
    while at < TAIL.len() {
        at += step(inflate, &ending[at..], InflateFlush::Block, out, bytes_max)?;
    }
    if at == TAIL.len() { Ok(()) } else { Err(Failure::DeflateInvalid) }
}

/// Inflates up to the end of `input` or of the stream; with [`InflateFlush::Block`] also to the end of the block.
/// Returns the number of bytes read.
fn step(
    inflate: &mut Inflate,
    input: &[u8],
    flush: InflateFlush,
    out: &mut Inflated,
    bytes_max: usize,
) -> Result<usize, Failure> {
    let mut read = 0;
    loop {
        let room = out.room(bytes_max)?;
        let (room_bytes, before) = (room.len(), (inflate.total_in(), inflate.total_out()));
        let status = inflate.decompress(&input[read..], room, flush);
        let consumed = (inflate.total_in() - before.0) as usize;
        let written = (inflate.total_out() - before.1) as usize;
        read += consumed;
        out.filled(written);
        // If there are two faults, the first is reported: the output precedes the error.
        if out.bytes().len() > bytes_max {
            return Err(Failure::MessageTooBig);
        }
        let status = status.map_err(|_| Failure::DeflateInvalid)?;
        if status == Status::StreamEnd {
            // RFC 7692 §7.2.3.4: a block may be marked as the last of its stream. Another stream may follow, which
            // cannot refer back (RFC 1951 §3.2.3).
            inflate.reset(false);
            return Ok(read);
        }
        if written < room_bytes {
            // It stopped without reaching any end.
            if consumed == 0 && written == 0 && read == 0 {
                return Err(Failure::DeflateInvalid);
            }
            return Ok(read);
        }
    }
}

/// Compresses messages. See [`Inflater`] for an example.
pub struct Deflater {
    deflate: Deflate,
    window_bits: u8,
    level: u8,
    /// A message has been written that a later one could refer to.
    used: bool,
}

impl Deflater {
    /// Makes a compressor with a window of 2^`window_bits` bytes, 9 to 15, and the effort `level`, 1 to 9. Other
    /// values are clamped.
    pub fn new(window_bits: u8, level: u8) -> Deflater {
        let (window_bits, level) = (window_bits.clamp(9, 15), level.clamp(1, 9));
        let deflate = Deflate::new_with_config(DeflateConfig {
            window_bits: -i32::from(window_bits),
            mem_level: i32::from(MEMORY_LEVEL),
            ..DeflateConfig::new(i32::from(level))
        });
        Deflater { deflate, window_bits, level, used: false }
    }

    /// Appends the compressed form of `payload`.
    ///
    /// With `takeover` the result may refer to earlier messages, all of which must be sent to the same peer in this
    /// order.
    pub fn message(&mut self, payload: &[u8], takeover: bool, out: &mut Vec<u8>) {
        if payload.is_empty() {
            return out.extend_from_slice(&EMPTY);
        }
        if !takeover && self.used {
            self.deflate.reset();
        }
        self.used = true;
        let mut rest = payload;
        let mut end = out.len();
        loop {
            // The loop makes more room if this does not suffice.
            out.resize(end + with_overhead(rest.len()), 0);
            let (room_bytes, before) = (out.len() - end, (self.deflate.total_in(), self.deflate.total_out()));
            let status = self.deflate.compress(rest, &mut out[end..], DeflateFlush::SyncFlush);
            debug_assert!(status.is_ok(), "{status:?}");
            rest = &rest[(self.deflate.total_in() - before.0) as usize..];
            let written = (self.deflate.total_out() - before.1) as usize;
            end += written;
            if written < room_bytes {
                break;
            }
        }
        debug_assert!(rest.is_empty() && out[..end].ends_with(&TAIL));
        // RFC 7692 §7.2.1.
        out.truncate(end - TAIL.len());
    }

    /// Returns the size of the window as a power of two.
    pub fn window_bits(&self) -> u8 {
        self.window_bits
    }

    /// Returns the effort.
    pub fn level(&self) -> u8 {
        self.level
    }
}

/// One worker's codec for all connections without windows of their own.
///
/// It has a [`Deflater`] for each combination of window and level that is in use. There are few of them.
#[derive(Default)]
#[doc(hidden)]
pub struct Codec {
    /// Inflates messages that refer to no others.
    pub inflater: Inflater,
    /// The last message that was inflated.
    pub inflated: Inflated,
    deflaters: Vec<Deflater>,
}

impl Codec {
    /// Makes a codec. It allocates nothing.
    pub fn new() -> Codec {
        Codec::default()
    }

    /// Returns the compressor with a window of 2^`window_bits` bytes. It must not be used with takeover.
    pub fn deflater(&mut self, window_bits: u8, level: u8) -> &mut Deflater {
        let matches = |deflater: &Deflater| deflater.window_bits == window_bits && deflater.level == level;
        let index = self.deflaters.iter().position(matches).unwrap_or_else(|| {
            self.deflaters.push(Deflater::new(window_bits, level));
            self.deflaters.len() - 1
        });
        &mut self.deflaters[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleeting_testkit::random::Random;

    const MIB: usize = 1 << 20;

    fn inflated(payload: &[u8], bytes_max: usize) -> Result<Vec<u8>, Failure> {
        Inflater::new().message(payload, false, &mut Inflated::new(), bytes_max).map(<[u8]>::to_vec)
    }

    #[test]
    fn the_examples_of_rfc_7692_inflate() {
        fn check(messages: &[(&[u8], &str)], takeover: bool) {
            let (mut inflater, mut out) = (Inflater::new(), Inflated::new());
            for (payload, expected) in messages {
                let found = inflater.message(payload, takeover, &mut out, 5);
                assert_eq!(found, Ok(expected.as_bytes()), "{payload:x?}");
            }
        }
        let hello = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
        for takeover in [false, true] {
            // RFC 7692 §7.2.3.1: one block; §7.2.3.2: sent again, nothing of the first used.
            check(&[(hello, "Hello"), (hello, "Hello")], takeover);
            // §7.2.3.3: a stored block.
            check(&[(b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", "Hello")], takeover);
            // §7.2.3.4: the last block of its stream.
            let last = b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00";
            check(&[(last, "Hello"), (hello, "Hello"), (last, "Hello")], takeover);
            // §7.2.3.5: two blocks.
            check(&[(b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", "Hello")], takeover);
            // §7.2.3.6: an empty message, and the empty payload that zlib writes for the next one.
            check(&[(b"\x00", ""), (hello, "Hello"), (b"\x00", ""), (b"", ""), (hello, "Hello")], takeover);
        }
        // §7.2.3.2: the second refers to the first, also past an empty one.
        let again = b"\xf2\x00\x11\x00\x00";
        check(&[(hello, "Hello"), (again, "Hello"), (b"\x00", ""), (b"", ""), (again, "Hello")], true);
        assert_eq!(inflated(again, 5), Err(Failure::DeflateInvalid));
    }

    #[test]
    fn invalid_payloads_are_refused() {
        fn check(payload: &[u8], expected: Result<&str, Failure>) {
            assert_eq!(inflated(payload, 10), expected.map(|text| text.into()), "{payload:x?}");
        }
        let invalid = Err(Failure::DeflateInvalid);
        check(b"\xf2\x48\xcd\xc9\xc9\x07\x00", Ok("Hello"));
        for end in 1..7 {
            // The message is cut short.
            check(&b"\xf2\x48\xcd\xc9\xc9\x07\x00"[..end], invalid);
        }
        check(b"\xf2\x48\xcd\xc9\xc9\x07\x00\x00", invalid); // a byte in the middle of a length
        check(b"\xf3\x48\xcd\xc9\xc9\x07\x00", invalid); // the last block, but no header after it
        check(b"\xf3\x48\xcd\xc9\xc9\x07\x00\xf2\x48\xcd\xc9\xc9\x07\x00", Ok("HelloHello"));
        check(b"\xf3\x48\xcd\xc9\xc9\x07\x00\xf2\x00\x11\x00\x00", invalid); // another stream
        check(b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c", invalid); // the tail would be its text
        check(b"\x00\x05\x00\xfb\xff", invalid); // a length that is not its complement
        check(b"\x06", invalid); // no such kind of block
        check(b"\x07", invalid);
        check(b"\xff\xff\xff\xff", invalid);
        // The tail is data like any other (RFC 7692 §7.2.2): here it is the whole of a stored block.
        assert_eq!(inflated(b"\x00\x04\x00\xfb\xff", 10), Ok(TAIL.to_vec()));
    }

    #[test]
    fn after_a_failure_the_next_message_inflates_by_itself() {
        let (mut inflater, mut out) = (Inflater::new(), Inflated::new());
        for takeover in [false, true] {
            for broken in [&b"\xff"[..], b"\xf2\x48\xcd", b"\x00\x06\x00\xf9\xff\x48", &bomb(1000)] {
                assert!(inflater.message(broken, takeover, &mut out, 100).is_err());
                let hello = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
                assert_eq!(inflater.message(hello, takeover, &mut out, 100), Ok(&b"Hello"[..]));
            }
        }
    }

    #[test]
    fn compressed_messages_inflate_to_the_original() {
        let mut random = Random::new(0x2545_f491_4f6c_dd1d);
        let (mut compressed, mut out) = (Vec::new(), Inflated::new());
        for window_bits in 9..=15 {
            for level in [1, 2, 4, 6, 9] {
                for takeover in [false, true] {
                    let mut deflater = Deflater::new(window_bits, level);
                    let mut inflater = Inflater::new();
                    for round in 0..12 {
                        let bytes = [0, 1, 5, 100, 1000, 40_000][round % 6];
                        let message = random.repetitive(bytes);
                        compressed.clear();
                        compressed.extend_from_slice(b"before");
                        deflater.message(&message, takeover, &mut compressed);
                        let payload = compressed.strip_prefix(b"before").unwrap();
                        let found = inflater.message(payload, takeover, &mut out, message.len());
                        assert!(found == Ok(&message[..]), "{window_bits} {level} {takeover} {bytes}");
                        // Without takeover no other message is needed.
                        if !takeover {
                            assert_eq!(inflated(payload, message.len()), Ok(message));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn matches_stay_within_the_window() {
        let mut random = Random::new(7);
        let noise: Vec<u8> = random.noise(40_000);
        for window_bits in 9..=15 {
            let window = 1 << window_bits;
            // A repetition that is just too far back, and a repetition that is near enough.
            let far = [&noise[..window], &noise[..window]].concat();
            let near = [&noise[..window / 4], &noise[..window / 4]].concat();
            for level in [1, 6] {
                let size = |message: &[u8]| {
                    let mut compressed = Vec::new();
                    Deflater::new(window_bits, level).message(message, true, &mut compressed);
                    compressed.len()
                };
                assert!(size(&far) >= far.len(), "{window_bits} {level}");
                assert!(size(&near) < near.len() * 3 / 4, "{window_bits} {level}");
            }
        }
    }

    #[test]
    fn an_empty_message_is_one_byte() {
        let mut compressed = Vec::new();
        let mut deflater = Deflater::new(15, 1);
        deflater.message(b"", true, &mut compressed);
        deflater.message(b"", false, &mut compressed);
        assert_eq!(compressed, [0, 0]);
    }

    #[test]
    fn noise_grows_little() {
        let mut random = Random::new(3);
        for level in [1, 6] {
            for bytes in [1, 10, 100, 10_000, 300_000] {
                let noise: Vec<u8> = random.noise(bytes);
                let mut compressed = Vec::new();
                Deflater::new(15, level).message(&noise, false, &mut compressed);
                assert!(compressed.len() <= bytes + bytes / 8 + 10, "{level} {bytes}: {}", compressed.len());
                assert_eq!(inflated(&compressed, bytes), Ok(noise));
            }
        }
    }

    /// Returns `kib` KiB of zeros, compressed.
    fn bomb(kib: usize) -> Vec<u8> {
        let mut compressed = Vec::new();
        Deflater::new(15, 6).message(&vec![0; kib << 10], false, &mut compressed);
        compressed
    }

    #[test]
    fn a_bomb_takes_less_than_twice_the_limit() {
        let payload = bomb(8 << 10);
        assert!(payload.len() * 900 < 8 * MIB, "{}", payload.len());
        for bytes_max in [0, 1, 1000, 5000, 100_000, MIB, 3 * MIB + 17] {
            let (mut inflater, mut out) = (Inflater::new(), Inflated::new());
            // The codec's own memory is allocated here, and not counted.
            assert_eq!(inflater.message(b"\x00", false, &mut out, 0), Ok(&b""[..]));
            let counted = allocation_counter::measure(|| {
                let found = inflater.message(&payload, false, &mut out, bytes_max).map(<[u8]>::len);
                assert_eq!(found, Err(Failure::MessageTooBig));
            });
            assert!(counted.bytes_max <= 2 * bytes_max as u64 + 1, "{bytes_max}: {counted:?}");
            assert!(out.held_bytes() <= bytes_max + 1);
        }
        assert_eq!(inflated(&payload, 8 * MIB).map(|whole| whole.len()), Ok(8 * MIB));
        assert_eq!(inflated(&payload, 8 * MIB - 1), Err(Failure::MessageTooBig));
    }

    #[test]
    fn the_limit_holds_at_its_edge() {
        let mut random = Random::new(5);
        for bytes in [1, 2, 300, 4095, 4096, 4097, 12_288, 70_000] {
            let message = random.repetitive(bytes);
            let mut compressed = Vec::new();
            Deflater::new(15, 1).message(&message, false, &mut compressed);
            assert_eq!(inflated(&compressed, bytes - 1), Err(Failure::MessageTooBig), "{bytes}");
            assert_eq!(inflated(&compressed, bytes), Ok(message), "{bytes}");
        }
    }

    #[test]
    fn in_the_steady_state_nothing_is_allocated() {
        let mut random = Random::new(9);
        let messages: Vec<_> = [10, 1000, 60_000].iter().map(|bytes| random.repetitive(*bytes)).collect();
        for takeover in [false, true] {
            let (mut codec, mut compressed) = (Codec::new(), Vec::new());
            let mut round = || {
                for message in &messages {
                    compressed.clear();
                    codec.deflater(15, 1).message(message, takeover, &mut compressed);
                    let found = codec.inflater.message(&compressed, takeover, &mut codec.inflated, MIB);
                    assert!(found == Ok(&message[..]));
                    codec.inflated.trim();
                }
            };
            round();
            round();
            let counted = allocation_counter::measure(|| (0..20).for_each(|_| round()));
            assert_eq!(counted.count_total, 0, "{takeover}: {counted:?}");
        }
    }

    #[test]
    fn a_codec_has_a_deflater_for_each_window_and_level() {
        let mut codec = Codec::new();
        for (window_bits, level) in [(15, 1), (10, 1), (15, 6), (10, 1), (15, 1)] {
            let deflater = codec.deflater(window_bits, level);
            assert_eq!((deflater.window_bits(), deflater.level()), (window_bits, level));
        }
        assert_eq!(codec.deflaters.len(), 3);
    }
}
