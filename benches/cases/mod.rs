//! The cases that are measured without a socket: parsing, framing, masking, the arena, and whole turns of the
//! engine. `cores` times them, `instructions` counts what they execute.

mod cores;
mod engine;
mod http2;

/// An operation to repeat.
pub struct Case {
    /// `room/case`, without a comma: `benches/instructions` writes it to a CSV file.
    pub name: String,
    /// The number of requests, messages or other units in one turn.
    pub units: u64,
    /// Sets the case up and returns its turn.
    pub start: Box<dyn FnOnce() -> Turn>,
}

/// Runs the operation once. It can be called any number of times.
pub type Turn = Box<dyn FnMut()>;

impl Case {
    fn new<T: FnMut() + 'static>(
        name: impl Into<String>,
        units: u64,
        start: impl FnOnce() -> T + 'static,
    ) -> Case {
        Case { name: name.into(), units, start: Box::new(|| Box::new(start())) }
    }
}

/// Returns all cases, in the order of the tables.
pub fn all() -> Vec<Case> {
    let mut cases = cores::requests();
    cases.extend(cores::responses());
    cases.extend(cores::frames());
    cases.extend(cores::arena());
    cases.extend(engine::requests());
    cases.extend(http2::requests());
    cases.extend(engine::surroundings());
    cases.extend(engine::messages());
    cases.extend(engine::publications());
    cases.extend(engine::routes());
    cases
}

/// A minimal request of 40 bytes.
const PLAIN: &str = "GET / HTTP/1.1\r\nHost: localhost:8080\r\n\r\n";

/// A browser's request of 431 bytes.
const BROWSER: &str = "GET /hello/world?page=2 HTTP/1.1\r\nHost: example.org\r\nConnection: keep-alive\r\n\
    Upgrade-Insecure-Requests: 1\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, \
    like Gecko) Chrome/140.0.0.0 Safari/537.36\r\nAccept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\n\
    Referer: http://example.org/hello\r\nAccept-Encoding: gzip, deflate\r\nAccept-Language: en-GB,en;q=0.9\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef\r\n\r\n";

fn post(target: &str, content_type: &str, content: &str) -> String {
    format!(
        "POST {target} HTTP/1.1\r\nHost: localhost:8080\r\nContent-Type: {content_type}\r\n\
         Content-Length: {}\r\n\r\n{content}",
        content.len()
    )
}

/// Returns a masked frame. The mask is zero, so that unmasking in place leaves the frame unchanged.
fn frame(opcode: u8, bytes: usize) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match bytes {
        0..126 => frame.push(0x80 | bytes as u8),
        126..65536 => {
            frame.push(0xfe);
            frame.extend((bytes as u16).to_be_bytes());
        }
        _ => {
            frame.push(0xff);
            frame.extend((bytes as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.resize(frame.len() + bytes, b'x');
    frame
}
