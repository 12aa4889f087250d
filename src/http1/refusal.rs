//! Why a request is refused: one variant a reason, one status, one metric label.
//!
//! It does not know where in the stream the fault was. Its invariant: every variant is in
//! [`Refusal::ALL`], at its own index.

use std::fmt;

macro_rules! refusals {
    ($($(#[$doc:meta])* $variant:ident = $status:literal, $label:literal, $sentence:literal;)+) => {
        /// A reason for which a request is refused; the connection is closed after the answer.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Refusal {
            $($(#[$doc])* $variant,)+
        }

        impl Refusal {
            /// All reasons, each at its own [`index`](Refusal::index).
            pub const ALL: &'static [Refusal] = &[$(Refusal::$variant,)+];

            /// The status that a refused request is answered with (RFC 9110 §15).
            pub const fn status(self) -> u16 {
                match self {
                    $(Refusal::$variant => $status,)+
                }
            }

            /// A name for a metric's label, in snake case.
            pub const fn label(self) -> &'static str {
                match self {
                    $(Refusal::$variant => $label,)+
                }
            }

            const fn sentence(self) -> &'static str {
                match self {
                    $(Refusal::$variant => $sentence,)+
                }
            }
        }
    };
}

refusals! {
    /// A line ends in LF without CR (RFC 9112 §2.2).
    BareLf = 400, "bare_lf", "A line ends in LF without CR.";
    /// A CR that no LF follows (RFC 9112 §2.2).
    BareCr = 400, "bare_cr", "A CR is not followed by LF.";
    /// A control character where none may stand (RFC 9110 §5.5).
    ControlByte = 400, "control_byte", "The request contains a control character.";
    /// More empty lines before a request than are ignored (RFC 9112 §2.2).
    BlankLines = 400, "blank_lines", "Too many empty lines precede the request.";
    /// The request line is not `method SP target SP version` (RFC 9112 §3).
    RequestLine = 400, "request_line", "The request line is malformed.";
    /// The method is not a token (RFC 9110 §9.1).
    BadMethod = 400, "bad_method", "The method is not a token.";
    /// The target has none of the four forms, or not the one its method needs (RFC 9112 §3.2).
    BadTarget = 400, "bad_target", "The request target is malformed.";
    /// The target is longer than the limit (RFC 9110 §15.5.15).
    TargetTooLong = 414, "target_too_long", "The request target is too long.";
    /// The protocol version is malformed (RFC 9112 §2.3).
    BadVersion = 400, "bad_version", "The protocol version is malformed.";
    /// A version other than HTTP/1.0 and HTTP/1.1 (RFC 9110 §15.6.6).
    UnsupportedVersion = 505, "unsupported_version", "Only HTTP/1.1 and HTTP/1.0 are served.";
    /// A field line with a bad name, without colon, or folded (RFC 9112 §5).
    FieldLine = 400, "field_line", "A header field line is malformed.";
    /// More fields than the limit (RFC 6585 §5).
    TooManyFields = 431, "too_many_fields", "The request has too many header fields.";
    /// A head longer than the limit (RFC 6585 §5).
    HeadTooLarge = 431, "head_too_large", "The request head is too large.";
    /// HTTP/1.1 without Host (RFC 9112 §3.2).
    HostMissing = 400, "host_missing", "The Host field is missing.";
    /// More than one Host field (RFC 9112 §3.2).
    HostTwice = 400, "host_twice", "There is more than one Host field.";
    /// Host is not `uri-host [":" port]` (RFC 9110 §7.2).
    BadHost = 400, "bad_host", "The Host field is malformed.";
    /// More than one Content-Length field (RFC 9112 §6.3).
    LengthTwice = 400, "length_twice", "There is more than one Content-Length field.";
    /// Content-Length is not a number of at most 64 bits (RFC 9110 §8.6).
    BadLength = 400, "bad_length", "The Content-Length field is malformed.";
    /// Content-Length beside Transfer-Encoding (RFC 9112 §6.3).
    LengthWithEncoding = 400, "length_with_encoding",
        "Content-Length and Transfer-Encoding exclude each other.";
    /// Transfer-Encoding in HTTP/1.0 (RFC 9112 §6.1).
    EncodingInHttp10 = 400, "encoding_in_http10", "HTTP/1.0 has no Transfer-Encoding.";
    /// More than one Transfer-Encoding field.
    EncodingTwice = 400, "encoding_twice", "There is more than one Transfer-Encoding field.";
    /// Transfer-Encoding is malformed, or `chunked` is not its last coding (RFC 9112 §6.1).
    BadEncoding = 400, "bad_encoding", "The Transfer-Encoding field is malformed.";
    /// A transfer coding other than `chunked` (RFC 9112 §6.1).
    UnknownEncoding = 501, "unknown_encoding", "The only transfer coding understood is chunked.";
    /// An expectation other than `100-continue` (RFC 9110 §10.1.1).
    UnknownExpectation = 417, "unknown_expectation", "The only expectation met is 100-continue.";
    /// Content longer than the limit (RFC 9110 §15.5.14).
    ContentTooLarge = 413, "content_too_large", "The content is too large.";
    /// A chunk size that is no hexadecimal number of 1 to 16 digits (RFC 9112 §7.1).
    ChunkSize = 400, "chunk_size", "A chunk size is malformed.";
    /// Malformed chunk extensions (RFC 9112 §7.1.1).
    ChunkExtension = 400, "chunk_extension", "A chunk extension is malformed.";
    /// Chunk extensions longer than the limit (RFC 9112 §7.1.1).
    ChunkExtensionsTooLarge = 431, "chunk_extensions_too_large", "The chunk extensions are too large.";
    /// Chunk data that CRLF does not follow (RFC 9112 §7.1).
    ChunkEnd = 400, "chunk_end", "Chunk data is not followed by CRLF.";
    /// A malformed field line in the trailer section (RFC 9112 §7.1.2).
    TrailerLine = 400, "trailer_line", "A trailer field line is malformed.";
    /// A trailer field that belongs into the head (RFC 9110 §6.5.1).
    TrailerForbidden = 400, "trailer_forbidden", "A trailer names a field that only a head may have.";
    /// A trailer section longer than the limit.
    TrailersTooLarge = 431, "trailers_too_large", "The trailer section is too large.";
}

impl Refusal {
    /// How many reasons there are.
    pub const COUNT: usize = Refusal::ALL.len();

    /// Below [`COUNT`](Refusal::COUNT), and another for each reason: counters can be an array.
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence())
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_refusal_has_its_own_index_label_and_sentence() {
        let labels: HashSet<_> = Refusal::ALL.iter().map(|r| r.label()).collect();
        let sentences: HashSet<_> = Refusal::ALL.iter().map(|r| r.to_string()).collect();
        assert_eq!(labels.len(), Refusal::COUNT);
        assert_eq!(sentences.len(), Refusal::COUNT);
        for (i, refusal) in Refusal::ALL.iter().enumerate() {
            assert_eq!(refusal.index(), i);
            assert!(matches!(refusal.status(), 400 | 413 | 414 | 417 | 431 | 501 | 505), "{refusal:?}");
            assert!(
                refusal.label().bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            );
        }
    }
}
