//! Compressed messages of WebSockets: which codec is used for what.
//!
//! It knows no stream. Without the feature `deflate` compression is never agreed on, so nothing here is used. Its
//! invariant: a compressed message refers only to earlier messages sent on the same connection.

use crate::pubsub::Encoding;
use crate::utf8;
use crate::ws::encode::encode_header;
use crate::ws::{Failure, Message, Negotiated, Opcode};

#[cfg(feature = "deflate")]
pub(in crate::engine) use with::{Codec, SocketCodec};
#[cfg(not(feature = "deflate"))]
pub(in crate::engine) use without::{Codec, SocketCodec};

/// Makes a message of inflated bytes; a text is validated here.
pub(in crate::engine) fn message(text: bool, bytes: &[u8]) -> Result<Message<'_>, Failure> {
    if !text {
        return Ok(Message::Binary(bytes));
    }
    // RFC 6455 §8.1 applies to the inflated text.
    utf8::text(bytes).map(Message::Text).map_err(|_| Failure::TextInvalid)
}

#[cfg(feature = "deflate")]
mod with {
    use super::*;
    use crate::ws::Compression;
    use crate::ws::deflate::{self, Deflater, Inflated, Inflater};
    use crate::ws::encode::encode_compressed_header;

    /// The worker's codec: for all messages that refer to no earlier one.
    #[derive(Default)]
    pub(in crate::engine) struct Codec {
        shared: deflate::Codec,
        /// A compressed message: its length must be known before its header is written.
        compressed: Vec<u8>,
    }

    /// A buffer for compressed messages that has grown beyond this is freed.
    const KEPT_BYTES: usize = 64 << 10;

    /// What a connection has agreed to, and its own windows.
    pub(in crate::engine) struct SocketCodec {
        agreed: Negotiated,
        level: u8,
        threshold_bytes: usize,
        /// Made when a message needs it, if messages may refer to earlier ones.
        inflater: Option<Box<Inflater>>,
        deflater: Option<Box<Deflater>>,
        /// The connection was sent a message that its deflater has not seen, so the next message must refer to no
        /// earlier one.
        foreign: bool,
    }

    impl Codec {
        pub(in crate::engine) fn new() -> Codec {
            Codec::default()
        }

        /// Takes the buffer that messages are inflated into; the caller gives it back.
        pub(in crate::engine) fn take_inflated(&mut self) -> Inflated {
            std::mem::take(&mut self.shared.inflated)
        }

        pub(in crate::engine) fn give_inflated(&mut self, mut inflated: Inflated) {
            if cfg!(any(fuzzing, fleeting_paranoid)) {
                return;
            }
            inflated.trim();
            self.shared.inflated = inflated;
        }

        /// Appends a published message's frame, compressed with this encoding's window if that makes it smaller.
        pub(in crate::engine) fn encode_published(
            &mut self,
            encoding: Encoding,
            opcode: Opcode,
            payload: &[u8],
            out: &mut Vec<u8>,
        ) {
            // One frame serves all subscribers with this window, so the default options apply, not those of a route.
            let options = Compression::shared();
            let bits = encoding.window_bits().filter(|_| payload.len() >= options.threshold_bytes());
            self.compressed.clear();
            if let Some(bits) = bits {
                self.shared.deflater(bits, options.effort()).message(payload, false, &mut self.compressed);
            }
            // A message that does not get smaller is sent as it is.
            if bits.is_some() && self.compressed.len() < payload.len() {
                encode_compressed_header(out, opcode, true, self.compressed.len());
                out.extend_from_slice(&self.compressed);
            } else {
                encode_header(out, opcode, true, payload.len());
                out.extend_from_slice(payload);
            }
            self.compressed.shrink_to(KEPT_BYTES);
        }
    }

    impl SocketCodec {
        pub(in crate::engine) fn new(agreed: Negotiated, options: &Compression) -> SocketCodec {
            let (level, threshold_bytes) = (options.effort(), options.threshold_bytes());
            let (inflater, deflater) = (None, None);
            SocketCodec { agreed, level, threshold_bytes, inflater, deflater, foreign: false }
        }

        /// Returns how publications are encoded for it. They refer to nothing earlier, so one frame serves all
        /// subscribers with this encoding.
        pub(in crate::engine) fn encoding(&self) -> Encoding {
            Encoding::deflated(self.agreed.server_window_bits)
        }

        /// Notes that it was sent a publication, compressed by another deflater than its own.
        pub(in crate::engine) fn was_sent_foreign(&mut self) {
            self.foreign = true;
        }

        /// Returns the most bytes that a payload of this length may have once compressed. One that does not get smaller is
        /// sent as it is, unless later messages may refer to it.
        pub(in crate::engine) fn bytes_max(&self, payload_bytes: usize) -> usize {
            if self.agreed.server_takeover { deflate::with_overhead(payload_bytes) } else { payload_bytes }
        }

        /// Inflates a message.
        pub(in crate::engine) fn inflate<'m>(
            &mut self,
            payload: &[u8],
            into: &'m mut Inflated,
            codec: &mut Codec,
            bytes_max: usize,
        ) -> Result<&'m [u8], Failure> {
            let takeover = self.agreed.client_takeover;
            let inflater =
                if takeover { self.inflater.get_or_insert_default() } else { &mut codec.shared.inflater };
            inflater.message(payload, takeover, into, bytes_max)
        }

        /// Compresses a payload; returns `None` if it is to be sent as it is.
        ///
        /// With context takeover a payload is compressed even if it does not get smaller: later ones do because they
        /// refer to it.
        pub(in crate::engine) fn compress<'c>(
            &mut self,
            payload: &[u8],
            codec: &'c mut Codec,
        ) -> Option<&'c [u8]> {
            if payload.len() < self.threshold_bytes {
                return None;
            }
            let (bits, level) = (self.agreed.server_window_bits, self.level);
            let takeover = self.agreed.server_takeover && !std::mem::take(&mut self.foreign);
            let deflater = if self.agreed.server_takeover {
                self.deflater.get_or_insert_with(|| Box::new(Deflater::new(bits, level)))
            } else {
                codec.shared.deflater(bits, level)
            };
            codec.compressed.clear();
            codec.compressed.shrink_to(KEPT_BYTES);
            deflater.message(payload, takeover, &mut codec.compressed);
            let smaller = codec.compressed.len() < payload.len();
            (smaller || self.agreed.server_takeover).then_some(&codec.compressed[..])
        }
    }
}

#[cfg(not(feature = "deflate"))]
mod without {
    use super::*;
    use crate::ws::Compression;

    pub(in crate::engine) struct Codec;

    pub(in crate::engine) struct Inflated;

    /// Never exists.
    pub(in crate::engine) enum SocketCodec {}

    impl Codec {
        pub(in crate::engine) fn new() -> Codec {
            Codec
        }

        pub(in crate::engine) fn take_inflated(&mut self) -> Inflated {
            Inflated
        }

        pub(in crate::engine) fn give_inflated(&mut self, _: Inflated) {}

        pub(in crate::engine) fn encode_published(
            &mut self,
            _: Encoding,
            opcode: Opcode,
            payload: &[u8],
            out: &mut Vec<u8>,
        ) {
            encode_header(out, opcode, true, payload.len());
            out.extend_from_slice(payload);
        }
    }

    impl SocketCodec {
        pub(in crate::engine) fn new(_: Negotiated, _: &Compression) -> SocketCodec {
            unreachable!("compression is agreed on only with the feature")
        }

        pub(in crate::engine) fn encoding(&self) -> Encoding {
            match *self {}
        }

        pub(in crate::engine) fn was_sent_foreign(&mut self) {
            match *self {}
        }

        pub(in crate::engine) fn bytes_max(&self, _: usize) -> usize {
            match *self {}
        }

        pub(in crate::engine) fn inflate<'m>(
            &mut self,
            _: &[u8],
            _: &'m mut Inflated,
            _: &mut Codec,
            _: usize,
        ) -> Result<&'m [u8], Failure> {
            match *self {}
        }

        pub(in crate::engine) fn compress<'c>(&mut self, _: &[u8], _: &'c mut Codec) -> Option<&'c [u8]> {
            match *self {}
        }
    }
}
