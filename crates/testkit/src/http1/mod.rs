//! Streams of HTTP/1.1 requests, played to the decoder in pieces.

pub mod trace;
