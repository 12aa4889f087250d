//! Turns errors of Redis and of the connection into errors of a store.
//!
//! It knows no connection. [`Link`](super::link::Link) decides whether a connection may be used again.

use crate::StoreError;
use redis::RedisError;
use std::borrow::Cow;
use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// The longest description, in bytes. An error reply may be as long as any other.
const DESCRIPTION_BYTES_MAX: usize = 300;

/// Describes an error as a clause that can follow "the store is unavailable: ".
pub(super) fn describe(error: &RedisError, timeout: Duration) -> Cow<'static, str> {
    let whole = whole_description(error, timeout);
    if whole.len() <= DESCRIPTION_BYTES_MAX {
        return whole;
    }
    format!("{}...", &whole[..whole.floor_char_boundary(DESCRIPTION_BYTES_MAX)]).into()
}

fn whole_description(error: &RedisError, timeout: Duration) -> Cow<'static, str> {
    let own_text = own_text(error);
    if error.is_timeout() {
        let what = own_text.as_deref().unwrap_or("it has not answered");
        return format!("{what} within {} ms", timeout.as_millis()).into();
    }
    if let Some(text) = own_text {
        return text.into();
    }
    if let Some(code) = error.code() {
        let detail = error.detail().unwrap_or_default();
        // Redis appends the position to the message of an error in a script.
        let detail = detail.split_once(" script: ").map_or(detail, |(detail, _)| detail);
        return format!("it says {code} {detail}").trim_end().to_string().into();
    }
    if error.is_connection_refusal() {
        return format!("it cannot be reached: {error}").into();
    }
    if error.is_connection_dropped() {
        return "it has closed the connection".into();
    }
    if error.is_io_error() {
        return error.to_string().into();
    }
    format!("its reply is not understood: {error}").into()
}

/// Returns the text of an error that was made here rather than by the system.
fn own_text(error: &RedisError) -> Option<String> {
    let inner = error.source()?.downcast_ref::<Arc<dyn Error + Send + Sync>>()?;
    inner.downcast_ref::<io::Error>()?.get_ref().map(ToString::to_string)
}

/// Returns the error of an operation that is not about numbers.
pub(super) fn store_error(error: &RedisError, timeout: Duration) -> StoreError {
    match error.code() {
        // The operation needs more memory than `maxmemory`.
        Some("OOM") => StoreError::Full,
        _ => StoreError::Unavailable(describe(error, timeout)),
    }
}

/// Returns the error of an operation on a number.
pub(super) fn number_error(error: &RedisError, timeout: Duration) -> StoreError {
    let detail = error.detail().unwrap_or_default();
    match error.code() {
        Some("WRONGTYPE") => StoreError::NotANumber,
        Some("ERR") if detail.contains("not an integer") || detail.contains("would overflow") => {
            StoreError::NotANumber
        }
        _ => store_error(error, timeout),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use redis::parse_redis_value;

    const TIMEOUT: Duration = Duration::from_millis(250);

    fn reply(line: &str) -> RedisError {
        let value = parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
        value.extract_error().unwrap_err()
    }

    fn failed(kind: io::ErrorKind) -> RedisError {
        io::Error::from(kind).into()
    }

    #[test]
    fn error_replies_become_store_errors() {
        fn check(line: &str, expected: StoreError, on_a_number: StoreError) {
            let error = reply(line);
            assert_eq!(store_error(&error, TIMEOUT), expected, "{line}");
            assert_eq!(number_error(&error, TIMEOUT), on_a_number, "{line}");
        }
        fn unavailable(why: &'static str) -> StoreError {
            StoreError::Unavailable(why.into())
        }
        let oom = "OOM command not allowed when used memory > 'maxmemory'.";
        check(oom, StoreError::Full, StoreError::Full);
        check(&format!("{oom} script: 7e2d, on @user_script:1."), StoreError::Full, StoreError::Full);
        for line in [
            "ERR value is not an integer or out of range",
            "ERR value is not an integer or out of range script: 7e2d, on @user_script:2.",
            "ERR increment or decrement would overflow",
            "WRONGTYPE Operation against a key holding the wrong kind of value",
        ] {
            let error = reply(line);
            assert_eq!(number_error(&error, TIMEOUT), StoreError::NotANumber, "{line}");
            assert!(matches!(store_error(&error, TIMEOUT), StoreError::Unavailable(_)), "{line}");
        }
        let loading = unavailable("it says LOADING Redis is loading the dataset in memory");
        check("LOADING Redis is loading the dataset in memory", loading.clone(), loading);
        let read_only = unavailable("it says READONLY You can't write against a read only replica.");
        check("READONLY You can't write against a read only replica.", read_only.clone(), read_only);
        let no_auth = unavailable("it says NOAUTH Authentication required.");
        check("NOAUTH Authentication required.", no_auth.clone(), no_auth);
        // Finding B11: the reply of a hostile server is neither kept nor logged at full length.
        let long = describe(&reply(&format!("ERR {}", "é".repeat(1 << 20))), TIMEOUT);
        assert!(long.len() <= 303 && long.starts_with("it says ERR éé") && long.ends_with("é..."), "{long}");
        let bare = unavailable("it says BUSY");
        check("BUSY", bare.clone(), bare);
    }

    #[test]
    fn connection_errors_are_described() {
        fn check(error: &RedisError, expected: &str) {
            assert_eq!(describe(error, TIMEOUT), expected);
        }
        check(&failed(io::ErrorKind::TimedOut), "it has not answered within 250 ms");
        check(&failed(io::ErrorKind::WouldBlock), "it has not answered within 250 ms");
        check(&failed(io::ErrorKind::UnexpectedEof), "it has closed the connection");
        check(&failed(io::ErrorKind::ConnectionRefused), "it cannot be reached: connection refused");
        check(&failed(io::ErrorKind::NotFound), "it cannot be reached: entity not found");
        check(&failed(io::ErrorKind::ConnectionReset), "it has closed the connection");
        check(&failed(io::ErrorKind::BrokenPipe), "it has closed the connection");
        check(&failed(io::ErrorKind::PermissionDenied), "permission denied");
        let garbage = parse_redis_value(b"HTTP/1.1 400 Bad Request\r\n").unwrap_err();
        assert!(describe(&garbage, TIMEOUT).starts_with("its reply is not understood: "), "{garbage}");
    }
}
