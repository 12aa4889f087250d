//! Why a field block cannot be decoded.

use std::fmt;

/// A fault in a field block. After any of them, the dynamic tables of the two sides may differ, so the connection cannot go
/// on (RFC 9113 §4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HpackError {
    /// The block ends within a field (RFC 7541 §3.2).
    Truncated,
    /// An integer is larger than the decoder allows (RFC 7541 §5.1).
    Integer,
    /// An index is 0, or beyond the last entry of the tables (RFC 7541 §2.3.3, §6.1).
    Index,
    /// A string is not in the Huffman code, or its padding is wrong (RFC 7541 §5.2).
    Huffman,
    /// The size of the table is changed behind a field, or more than twice (RFC 7541 §4.2).
    LateSizeUpdate,
    /// The size of the table is changed to more than the setting allows (RFC 7541 §6.3).
    SizeUpdate,
    /// The fields take many times what the limit allows. The peer makes work, and no request.
    Excessive,
    /// There is no memory for the dynamic table. That is not the peer's fault.
    NoMemory,
}

impl fmt::Display for HpackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HpackError::Truncated => "a field block ends within a field",
            HpackError::Integer => "an integer in a field block is too large",
            HpackError::Index => "a field block refers to an entry that is not in the table",
            HpackError::Huffman => "a string in a field block is not in the Huffman code",
            HpackError::LateSizeUpdate => "the size of the dynamic table changes at a wrong place",
            HpackError::SizeUpdate => "the size of the dynamic table exceeds the setting",
            HpackError::Excessive => "the fields of a field block exceed the limit many times",
            HpackError::NoMemory => "there is no memory for the dynamic table",
        })
    }
}

impl std::error::Error for HpackError {}
