//! HTTP/2 (RFC 9113), written a second time for tests: frames, HPACK (RFC 7541), one end of a connection, a client, and a
//! bridge from HTTP/1.1.
//!
//! It shares no code with the library. It is strict: what a correct peer never sends is an error, and fails the test.

pub mod bridge;
pub mod client;
pub mod event;
#[cfg(test)]
mod fake;
pub mod frames;
pub mod hpack;
pub mod session;
pub mod settings;
pub mod tables;

/// A field line: its name and its value.
pub type Field = (Vec<u8>, Vec<u8>);

/// Returns the value of the first field with this name.
pub fn value<'f>(fields: &'f [Field], name: &str) -> Option<&'f [u8]> {
    fields.iter().find(|(known, _)| known == name.as_bytes()).map(|(_, value)| &value[..])
}
