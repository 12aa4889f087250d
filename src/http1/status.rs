//! Status lines in their final form.
//!
//! It knows the registered statuses and their reason phrases, not when to use them.

macro_rules! status_lines {
    ($($status:literal $reason:literal,)+) => {
        /// Returns the status line of a registered status (RFC 9110 §15, RFC 6585, RFC 7725 and others).
        #[inline]
        pub(super) fn status_line(status: u16) -> Option<&'static [u8]> {
            Some(match status {
                $($status => concat!("HTTP/1.1 ", $status, " ", $reason, "\r\n").as_bytes(),)+
                _ => return None,
            })
        }
    };
}

status_lines! {
    100 "Continue",
    101 "Switching Protocols",
    102 "Processing",
    103 "Early Hints",
    200 "OK",
    201 "Created",
    202 "Accepted",
    203 "Non-Authoritative Information",
    204 "No Content",
    205 "Reset Content",
    206 "Partial Content",
    207 "Multi-Status",
    208 "Already Reported",
    226 "IM Used",
    300 "Multiple Choices",
    301 "Moved Permanently",
    302 "Found",
    303 "See Other",
    304 "Not Modified",
    305 "Use Proxy",
    307 "Temporary Redirect",
    308 "Permanent Redirect",
    400 "Bad Request",
    401 "Unauthorized",
    402 "Payment Required",
    403 "Forbidden",
    404 "Not Found",
    405 "Method Not Allowed",
    406 "Not Acceptable",
    407 "Proxy Authentication Required",
    408 "Request Timeout",
    409 "Conflict",
    410 "Gone",
    411 "Length Required",
    412 "Precondition Failed",
    413 "Content Too Large",
    414 "URI Too Long",
    415 "Unsupported Media Type",
    416 "Range Not Satisfiable",
    417 "Expectation Failed",
    418 "I'm a teapot",
    421 "Misdirected Request",
    422 "Unprocessable Content",
    423 "Locked",
    424 "Failed Dependency",
    425 "Too Early",
    426 "Upgrade Required",
    428 "Precondition Required",
    429 "Too Many Requests",
    431 "Request Header Fields Too Large",
    451 "Unavailable For Legal Reasons",
    500 "Internal Server Error",
    501 "Not Implemented",
    502 "Bad Gateway",
    503 "Service Unavailable",
    504 "Gateway Timeout",
    505 "HTTP Version Not Supported",
    506 "Variant Also Negotiates",
    507 "Insufficient Storage",
    508 "Loop Detected",
    511 "Network Authentication Required",
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::Refusal;

    #[test]
    fn every_refusal_has_a_status_line() {
        for refusal in Refusal::ALL {
            let line = status_line(refusal.status()).unwrap();
            assert!(line.starts_with(format!("HTTP/1.1 {} ", refusal.status()).as_bytes()));
            assert!(line.ends_with(b"\r\n"));
        }
        assert_eq!(status_line(299), None);
    }
}
