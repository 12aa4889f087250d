//! Why a head or a trailer section cannot be used.

use crate::http1::Refusal;
use std::fmt;

/// Why a request is turned down when its head, or its trailer section, has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HeadError {
    /// The request is malformed: a stream error of type PROTOCOL_ERROR (RFC 9113 §8.1.1).
    Malformed(Malformed),
    /// The request is answered with the refusal's status, as in HTTP/1.1.
    Refused(Refusal),
}

impl From<Refusal> for HeadError {
    fn from(refusal: Refusal) -> HeadError {
        HeadError::Refused(refusal)
    }
}

impl From<Malformed> for HeadError {
    fn from(malformed: Malformed) -> HeadError {
        HeadError::Malformed(malformed)
    }
}

/// What makes a request malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Malformed {
    /// A name is empty, no token, or not in lower case (RFC 9113 §8.2.1).
    Name,
    /// A value contains a control character, or begins or ends with white space (RFC 9113 §8.2.1).
    Value,
    /// A pseudo-field is unknown, occurs twice, or does not belong into this section (RFC 9113 §8.3).
    PseudoField,
    /// A pseudo-field follows a field (RFC 9113 §8.3).
    LatePseudoField,
    /// A pseudo-field is missing (RFC 9113 §8.3.1, §8.5, RFC 8441 §4).
    MissingPseudoField,
    /// `:path` is empty, or does not begin with `/` (RFC 9113 §8.3.1).
    Path,
    /// `:authority` and the field `host` differ (RFC 9113 §8.3.1).
    Host,
    /// A field that belongs to a connection of HTTP/1.1 (RFC 9113 §8.2.2).
    ConnectionField,
    /// The content is not as long as `content-length` says (RFC 9113 §8.1.1).
    Length,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Malformed::Name => "a field name is not a token in lower case",
            Malformed::Value => "a field value contains a control character, or white space around it",
            Malformed::PseudoField => "a pseudo-field is unknown, repeated or misplaced",
            Malformed::LatePseudoField => "a pseudo-field follows a field",
            Malformed::MissingPseudoField => "a pseudo-field is missing",
            Malformed::Path => ":path does not begin with a slash",
            Malformed::Host => ":authority and host differ",
            Malformed::ConnectionField => "a field belongs to a connection of HTTP/1.1",
            Malformed::Length => "the content is not as long as content-length says",
        })
    }
}
