//! Heads of HTTP/1.1 as HTTP/2 has them, and the reverse (RFC 9113 §8.2 and §8.3, RFC 8441 §4).
//!
//! It passes on what the server is to judge. It refuses only what HTTP/2 has no form for.

use crate::http2::Field;

/// How the content of a request is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    None,
    Length(u64),
    Chunked,
}

/// A request's head.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    pub fields: Vec<Field>,
    pub content: Content,
    pub is_head: bool,
    /// The client reads chunked content.
    pub is_http11: bool,
    /// The client wants the connection closed after the response.
    pub closes: bool,
    /// The key of a WebSocket handshake.
    pub websocket_key: Option<String>,
}

/// Fields that say something about the connection (RFC 9113 §8.2.2).
const OF_CONNECTION: [&str; 7] =
    ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "http2-settings", "te"];

/// Returns whether a list of tokens contains this one.
fn lists(fields: &[Field], name: &str, token: &str) -> bool {
    let of_name = fields.iter().filter(|(known, _)| known == name.as_bytes());
    let mut tokens = of_name.flat_map(|(_, value)| value.split(|octet| *octet == b','));
    tokens.any(|known| known.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

/// Reads field lines, with their names in lower case.
pub fn fields(lines: &[u8]) -> Result<Vec<Field>, &'static str> {
    let lines = lines.split(|octet| *octet == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let field = |line: &[u8]| {
        let colon = line.iter().position(|octet| *octet == b':').ok_or("a field line without a colon")?;
        Ok((line[..colon].to_ascii_lowercase(), line[colon + 1..].trim_ascii().to_vec()))
    };
    lines.filter(|line| !line.is_empty()).map(field).collect()
}

/// Translates a request's head.
///
/// # Errors
/// Why HTTP/2 has no form for it.
pub fn request(head: &[u8]) -> Result<Request, &'static str> {
    let end = head.iter().position(|octet| *octet == b'\n').ok_or("no request line")?;
    let line = head[..end].strip_suffix(b"\r").unwrap_or(&head[..end]);
    let [method, target, version] = line.split(|octet| *octet == b' ').collect::<Vec<_>>()[..] else {
        return Err("the request line has not three parts");
    };
    let is_http11 = match version {
        b"HTTP/1.1" => true,
        b"HTTP/1.0" => false,
        _ => return Err("the version is not HTTP/1.1 or HTTP/1.0"),
    };
    let fields = fields(&head[end + 1..])?;
    let values = |name: &str| -> Vec<&[u8]> {
        fields.iter().filter(|(known, _)| known == name.as_bytes()).map(|(_, value)| &value[..]).collect()
    };
    let host = match values("host")[..] {
        [] => None,
        [host] => Some(host),
        _ => return Err("more than one Host"),
    };
    let content = match (values("transfer-encoding").is_empty(), &values("content-length")[..]) {
        (false, []) if lists(&fields, "transfer-encoding", "chunked") => Content::Chunked,
        (false, _) => return Err("Transfer-Encoding is not chunked alone"),
        (true, []) => Content::None,
        (true, [length]) => {
            let length = std::str::from_utf8(length).ok().and_then(|length| length.parse().ok());
            Content::Length(length.ok_or("Content-Length is no number")?)
        }
        (true, _) => return Err("more than one Content-Length"),
    };
    let closes = lists(&fields, "connection", "close") || !is_http11;
    let is_websocket = method == b"GET"
        && is_http11
        && lists(&fields, "connection", "upgrade")
        && lists(&fields, "upgrade", "websocket");
    let websocket_key = match values("sec-websocket-key")[..] {
        _ if !is_websocket => None,
        [key] => Some(String::from_utf8_lossy(key).into_owned()),
        _ => return Err("not one Sec-WebSocket-Key"),
    };
    if is_websocket && content != Content::None {
        return Err("a WebSocket handshake with content");
    }
    let mut translated = pseudo_header(method, target, host, is_websocket);
    let is_named = |name: &[u8]| lists(&fields, "connection", &String::from_utf8_lossy(name));
    for (name, value) in &fields {
        let is_replaced = name == b"host" || is_websocket && name == b"sec-websocket-key";
        if !is_replaced && !OF_CONNECTION.iter().any(|known| name == known.as_bytes()) && !is_named(name) {
            translated.push((name.clone(), value.clone()));
        }
    }
    if lists(&fields, "te", "trailers") {
        translated.push((b"te".to_vec(), b"trailers".to_vec()));
    }
    let is_head = method == b"HEAD";
    Ok(Request { fields: translated, content, is_head, is_http11, closes, websocket_key })
}

/// Returns the pseudo-header fields of a request (RFC 9113 §8.3.1, RFC 8441 §4).
fn pseudo_header(method: &[u8], target: &[u8], host: Option<&[u8]>, is_websocket: bool) -> Vec<Field> {
    let field = |name: &str, value: &[u8]| (name.as_bytes().to_vec(), value.to_vec());
    if method == b"CONNECT" {
        return vec![field(":method", method), field(":authority", target)];
    }
    let colon = target.iter().position(|octet| *octet == b':').filter(|_| !target.starts_with(b"/"));
    let (scheme, without_scheme) = match colon.map(|colon| (&target[..colon], &target[colon + 1..])) {
        Some((scheme, rest)) => (scheme, rest.strip_prefix(b"//")),
        None => (&b"http"[..], None),
    };
    // RFC 8441 §5: `ws` and `wss` become `http` and `https`.
    let scheme: &[u8] = match &scheme.to_ascii_lowercase()[..] {
        b"wss" => b"https",
        b"ws" | b"http" => b"http",
        b"https" => b"https",
        _ => scheme,
    };
    let (authority, path) = match without_scheme {
        None => (host, target),
        Some(rest) => {
            let end = rest.iter().position(|octet| b"/?".contains(octet)).unwrap_or(rest.len());
            (Some(&rest[..end]), &rest[end..])
        }
    };
    let path = match path {
        b"" if method == b"OPTIONS" => b"*".to_vec(),
        path if path.is_empty() || path[0] == b'?' => [b"/", path].concat(),
        path => path.to_vec(),
    };
    let mut fields = match is_websocket {
        true => vec![field(":method", b"CONNECT"), field(":protocol", b"websocket")],
        false => vec![field(":method", method)],
    };
    fields.extend([field(":scheme", scheme), (b":path".to_vec(), path)]);
    fields.extend(authority.filter(|host| !host.is_empty()).map(|host| field(":authority", host)));
    fields
}

/// Returns the status of a response's head.
pub fn status(fields: &[Field]) -> Option<u16> {
    let value = crate::http2::value(fields, ":status")?;
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// Returns the head of a response with this status, these fields, and field lines in addition.
pub fn response(status: u16, fields: &[Field], lines: &str) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status} {}\r\n", reason(status)).into_bytes();
    head.extend(field_lines(fields));
    head.extend_from_slice(lines.as_bytes());
    head.extend_from_slice(b"\r\n");
    head
}

/// Returns fields as lines, pseudo-header fields left out.
pub fn field_lines(fields: &[Field]) -> Vec<u8> {
    let ordinary = fields.iter().filter(|(name, _)| !name.starts_with(b":"));
    ordinary.flat_map(|(name, value)| [name, &b": "[..], value, b"\r\n"].concat()).collect()
}

fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(fields: &[Field]) -> String {
        let field = |(name, value): &Field| {
            format!("{}={} ", String::from_utf8_lossy(name), String::from_utf8_lossy(value))
        };
        fields.iter().map(field).collect::<String>().trim_end().to_owned()
    }

    #[test]
    fn requests_are_translated() {
        #[track_caller]
        fn check(head: &str, fields: &str, content: Content, closes: bool) {
            let head = head.replace('\n', "\r\n") + "\r\n\r\n";
            let request = request(head.as_bytes()).unwrap_or_else(|error| panic!("{head}: {error}"));
            assert_eq!(shown(&request.fields), fields);
            assert_eq!((request.content, request.closes), (content, closes), "{head}");
        }
        let get = ":method=GET :scheme=http :path=/a?b :authority=h";
        check("GET /a?b HTTP/1.1\nHost: h", get, Content::None, false);
        check("GET /a?b HTTP/1.0\nHost: h", get, Content::None, true);
        check("GET http://h/a?b HTTP/1.1\nHost: other", get, Content::None, false);
        check(
            "GET /a?b HTTP/1.1\nHost: h\nConnection: close, X-Hop\nX-Hop: 1\nKeep-Alive: 5",
            get,
            Content::None,
            true,
        );
        check(
            "GET /a?b HTTP/1.1\nHost: h\nTE: gzip, trailers",
            &format!("{get} te=trailers"),
            Content::None,
            false,
        );
        check("GET / HTTP/1.1\nHost:", ":method=GET :scheme=http :path=/", Content::None, false);
        check(
            "OPTIONS http://h HTTP/1.1\nHost: h",
            ":method=OPTIONS :scheme=http :path=* :authority=h",
            Content::None,
            false,
        );
        check("GET WSS://h HTTP/1.1", ":method=GET :scheme=https :path=/ :authority=h", Content::None, false);
        check("CONNECT h:1 HTTP/1.1\nHost: h", ":method=CONNECT :authority=h:1", Content::None, false);
        check(
            "POST / HTTP/1.1\nHost: h\nContent-Length: 12\nX-Id:  a b ",
            ":method=POST :scheme=http :path=/ :authority=h content-length=12 x-id=a b",
            Content::Length(12),
            false,
        );
        check(
            "POST / HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\nTrailer: sum",
            ":method=POST :scheme=http :path=/ :authority=h trailer=sum",
            Content::Chunked,
            false,
        );
        check(
            "GET /ws HTTP/1.1\nHost: h\nUpgrade: websocket\nConnection: keep-alive, Upgrade\nSec-WebSocket-Key: k\nSec-WebSocket-Version: 13",
            ":method=CONNECT :protocol=websocket :scheme=http :path=/ws :authority=h sec-websocket-version=13",
            Content::None,
            false,
        );
    }

    #[test]
    fn what_has_no_form_is_refused() {
        #[track_caller]
        fn check(head: &str) {
            assert!(request(head.as_bytes()).is_err(), "{head}");
        }
        check("GET /\r\n\r\n");
        check("GET / HTTP/2.0\r\n\r\n");
        check("GET / HTTP/1.1\r\nno colon\r\n\r\n");
        check("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
        check("POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n");
        check("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n");
        check("GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
    }
}
