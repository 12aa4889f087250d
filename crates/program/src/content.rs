//! What a client sends, read as JSON.
//!
//! It knows no route. Its invariant: JSON stays as it was, byte for byte; text becomes a string.

use fleeting::{Error, Request};
use serde_json::value::RawValue;

/// The content as JSON: as it is, or text as a string.
///
/// # Errors
/// 400 if it is not what its Content-Type says, 415 if that is neither.
pub(super) fn json(req: &Request<'_>) -> Result<Box<RawValue>, Error> {
    let media_type = req.header("content-type").unwrap_or_default();
    let mut parts = media_type.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    if essence == "application/json" || essence.ends_with("+json") {
        let read = serde_json::from_slice(req.body());
        return read.map_err(|error| Error::bad_request(format!("The content is not JSON: {error}.")));
    }
    if !essence.starts_with("text/") {
        return Err(Error::unsupported_media_type(
            "The Content-Type should be application/json, or text/plain for a string.",
        ));
    }
    let charset = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim_end().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
    });
    if !charset.is_none_or(|name| ["utf-8", "us-ascii"].iter().any(|known| name.eq_ignore_ascii_case(known)))
    {
        return Err(Error::unsupported_media_type("Text should be in UTF-8."));
    }
    let text = std::str::from_utf8(req.body()).map_err(|error| {
        Error::bad_request(format!("The text is not UTF-8 from byte {} on.", error.valid_up_to()))
    })?;
    serde_json::value::to_raw_value(text).map_err(|error| Error::internal(error.to_string()))
}
