//! The reasons for which a request is refused: a status, a metric label and a sentence for each.
//!
//! It does not know where in the stream the fault is. Its invariant: every reason is one line of the table.

use crate::reasons::reasons;

reasons! {
    /// A reason for which a request is refused. The connection is closed after the response.
    ///
    /// ```
    /// use fleeting::http1::Refusal;
    ///
    /// let refusal = Refusal::TargetTooLong;
    /// assert_eq!((refusal.status(), refusal.label()), (414, "target_too_long"));
    /// assert_eq!(refusal.to_string(), "The request target is too long.");
    /// ```
    pub enum Refusal;
    /// Returns the status of the response to the refused request (RFC 9110 §15).
    fn status() -> u16;

    /// A line ends in LF without CR (RFC 9112 §2.2).
    BareLf = 400, "bare_lf", "A line ends in LF without CR.";
    /// A CR that is not followed by LF (RFC 9112 §2.2).
    BareCr = 400, "bare_cr", "A CR is not followed by LF.";
    /// A control character where none is allowed (RFC 9110 §5.5).
    ControlByte = 400, "control_byte", "The request contains a control character.";
    /// Too many empty lines before a request (RFC 9112 §2.2).
    BlankLines = 400, "blank_lines", "Too many empty lines precede the request.";
    /// The request line is not `method SP target SP version` (RFC 9112 §3).
    RequestLine = 400, "request_line", "The request line is malformed.";
    /// The method is not a token (RFC 9110 §9.1).
    BadMethod = 400, "bad_method", "The method is not a token.";
    /// The target has none of the four forms, or a form that its method does not allow (RFC 9112 §3.2).
    BadTarget = 400, "bad_target", "The request target is malformed.";
    /// The target is longer than the limit `target_bytes` (RFC 9110 §15.5.15).
    TargetTooLong = 414, "target_too_long", "The request target is too long.";
    /// The protocol version is malformed (RFC 9112 §2.3).
    BadVersion = 400, "bad_version", "The protocol version is malformed.";
    /// A major version other than 1 (RFC 9110 §15.6.6).
    UnsupportedVersion = 505, "unsupported_version", "The only supported major version is HTTP/1.";
    /// A field line that has a bad name, has no colon, or is folded (RFC 9112 §5).
    FieldLine = 400, "field_line", "A header field line is malformed.";
    /// More fields than the limit `headers` (RFC 6585 §5).
    TooManyFields = 431, "too_many_fields", "The request has too many header fields.";
    /// A head longer than the limit `head_bytes` (RFC 6585 §5).
    HeadTooLarge = 431, "head_too_large", "The request head is too large.";
    /// An HTTP/1.1 request without Host (RFC 9112 §3.2).
    HostMissing = 400, "host_missing", "The Host field is missing.";
    /// More than one Host field (RFC 9112 §3.2).
    HostTwice = 400, "host_twice", "There is more than one Host field.";
    /// Host is not `uri-host [":" port]` (RFC 9110 §7.2), or names no host (§4.2.1).
    BadHost = 400, "bad_host", "The Host field is malformed or empty.";
    /// More than one Content-Length field (RFC 9112 §6.3).
    LengthTwice = 400, "length_twice", "There is more than one Content-Length field.";
    /// Content-Length is not a number of at most 64 bits (RFC 9110 §8.6).
    BadLength = 400, "bad_length", "The Content-Length field is malformed.";
    /// Both Content-Length and Transfer-Encoding (RFC 9112 §6.3).
    LengthWithEncoding = 400, "length_with_encoding",
        "Content-Length and Transfer-Encoding must not occur together.";
    /// Transfer-Encoding in HTTP/1.0 (RFC 9112 §6.1).
    EncodingInHttp10 = 400, "encoding_in_http10", "HTTP/1.0 has no Transfer-Encoding.";
    /// More than one Transfer-Encoding field.
    EncodingTwice = 400, "encoding_twice", "There is more than one Transfer-Encoding field.";
    /// Transfer-Encoding is malformed, or `chunked` is not its last coding (RFC 9112 §6.1).
    BadEncoding = 400, "bad_encoding", "The Transfer-Encoding field is malformed.";
    /// A transfer coding other than `chunked` (RFC 9112 §6.1).
    UnknownEncoding = 501, "unknown_encoding", "The only supported transfer coding is chunked.";
    /// An expectation other than `100-continue` (RFC 9110 §10.1.1).
    UnknownExpectation = 417, "unknown_expectation", "The only supported expectation is 100-continue.";
    /// Content longer than the limit `body_bytes` (RFC 9110 §15.5.14).
    ContentTooLarge = 413, "content_too_large", "The content is too large.";
    /// A chunk size that is not a hexadecimal number of 1 to 16 digits (RFC 9112 §7.1).
    ChunkSize = 400, "chunk_size", "A chunk size is malformed.";
    /// Malformed chunk extensions (RFC 9112 §7.1.1).
    ChunkExtension = 400, "chunk_extension", "A chunk extension is malformed.";
    /// Chunk extensions longer than the limit `head_bytes` (RFC 9112 §7.1.1).
    ChunkExtensionsTooLarge = 431, "chunk_extensions_too_large", "The chunk extensions are too large.";
    /// Chunk data that is not followed by CRLF (RFC 9112 §7.1).
    ChunkEnd = 400, "chunk_end", "Chunk data is not followed by CRLF.";
    /// A malformed field line in the trailer section (RFC 9112 §7.1.2).
    TrailerLine = 400, "trailer_line", "A trailer field line is malformed.";
    /// A trailer field that frames the content or routes the request (RFC 9110 §6.5.1).
    TrailerForbidden = 400, "trailer_forbidden", "A trailer contains a field that frames or routes the request.";
    /// A trailer section longer than the limit `head_bytes`.
    TrailersTooLarge = 431, "trailers_too_large", "The trailer section is too large.";
    /// The server's buffers have all the memory that the limit `memory` allows (RFC 9110 §15.6.4).
    NoMemory = 503, "no_memory", "The server is short of memory. Try again later.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_its_own_index_label_and_sentence() {
        crate::reasons::check(Refusal::ALL, Refusal::index, Refusal::label);
        for refusal in Refusal::ALL {
            assert!(matches!(refusal.status(), 400 | 413 | 414 | 417 | 431 | 501 | 503 | 505), "{refusal:?}");
        }
    }
}
