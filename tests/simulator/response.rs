//! Responses and Close frames as the server must write them, and comparisons with what it has written.
//!
//! It does not know who asked for them.

use fleeting_testkit::ws::frames::server_frame;

pub const TEXT: &str = "text/plain; charset=utf-8";
pub const BYTES: &str = "application/octet-stream";
/// Stands for a Date that is not known yet.
pub const DATE: &str = "?????????????????????????????";

/// Returns a final response as it is written, with its Date left open.
pub fn response(status: &str, kind: &str, fields: &str, body: &[u8], head_only: bool) -> Vec<u8> {
    let length = body.len();
    // Connection comes last, whichever side set it.
    let (connection, fields): (Vec<&str>, Vec<&str>) =
        fields.split_inclusive('\n').partition(|line| line.starts_with("Connection:"));
    let (connection, fields) = (connection.concat(), fields.concat());
    let head = format!(
        "HTTP/1.1 {status}\r\nDate: {DATE}\r\nContent-Type: {kind}\r\n{fields}Content-Length: {length}\r\n\
         {connection}\r\n"
    );
    let mut bytes = head.into_bytes();
    if !head_only {
        bytes.extend_from_slice(body);
    }
    bytes
}

/// Returns where in a response the Date begins, if it has one.
pub fn date_in(response: &[u8]) -> Option<usize> {
    let head = &response[..response.len().min(200)];
    head.windows(DATE.len()).position(|window| window == DATE.as_bytes())
}

/// Returns a Close frame as a server sends it.
pub fn server_close(code: u16, reason: &str) -> Vec<u8> {
    server_frame(0x88, &[&code.to_be_bytes(), reason.as_bytes()].concat())
}

/// Returns a response as it is when the connection ends with it, or `None` if it already says so.
pub fn as_last(response: &[u8]) -> Option<Vec<u8>> {
    let end = response.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&response[..end]).ok()?;
    let kept = "Connection: keep-alive\r\n";
    let head = if head.contains(kept) {
        head.replace(kept, "Connection: close\r\n")
    } else if head.contains("Connection: close") {
        return None;
    } else {
        let line = head.find("Content-Length").or_else(|| head.find("Transfer-Encoding"))?;
        let after = line + head[line..].find("\r\n")? + 2;
        format!("{}Connection: close\r\n{}", &head[..after], &head[after..])
    };
    Some([head.as_bytes(), &response[end..]].concat())
}

/// Returns whether one begins with the other, ignoring the Date.
pub fn alike(got: &[u8], template: &[u8]) -> bool {
    let date = date_in(template).unwrap_or(usize::MAX);
    let same = |(at, (a, b)): (usize, (&u8, &u8))| a == b || (date..date.saturating_add(29)).contains(&at);
    got.iter().zip(template).enumerate().all(same)
}
