//! Reads a request's content as JSON.
//!
//! It knows no route. Its invariant: JSON stays byte for byte as it was sent; text becomes a JSON string.

use fleeting::{Error, Request};
use serde_json::value::RawValue;

/// Returns the content as JSON: JSON unchanged, or text as a string.
///
/// # Errors
/// 400 if the content does not match its Content-Type, 415 if that is neither JSON nor text.
pub(crate) fn json(req: &Request<'_>) -> Result<Box<RawValue>, Error> {
    let media_type = req.header("content-type").unwrap_or_default();
    let mut parts = media_type.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    if essence == "application/json" || essence.ends_with("+json") {
        let json = serde_json::from_slice(req.body());
        return json.map_err(|error| Error::bad_request(format!("The content is not JSON: {error}.")));
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
        return Err(Error::unsupported_media_type("The charset of text should be utf-8 or us-ascii."));
    }
    let text = std::str::from_utf8(req.body()).map_err(|error| {
        Error::bad_request(format!("The text is not UTF-8: byte {} is invalid.", error.valid_up_to()))
    })?;
    serde_json::value::to_raw_value(text).map_err(|error| Error::internal(error.to_string()))
}
