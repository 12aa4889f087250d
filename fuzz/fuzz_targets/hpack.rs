#![no_main]

use loona_hpack::Decoder;
use loona_hpack::decoder::{DecoderError, IntegerDecodingError};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut decoder = Decoder::new();
    decoder.set_max_allowed_table_size(4096);
    fleeting_testkit::fuzz::hpack_with(bytes, &mut |block| match decoder.decode(block) {
        // Its integers have five octets, with the prefix. RFC 7541 allows more.
        Err(DecoderError::IntegerDecodingError(IntegerDecodingError::TooManyOctets)) => None,
        // RFC 7541 §4.2 does not forbid a block that has nothing else.
        Err(DecoderError::SizeUpdateAtEnd) => None,
        decoded => Some(decoded.map_err(drop)),
    });
});
