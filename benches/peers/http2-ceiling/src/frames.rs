//! The frames of RFC 9113 that the ceiling reads and writes. Knows no sockets.

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub const HEAD: usize = 9;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const WINDOW_UPDATE: u8 = 8;

pub const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// The largest window (RFC 9113 §6.9.1), and what a connection begins with (§6.9.2).
pub const WINDOW_MAX: u32 = (1 << 31) - 1;
pub const WINDOW_DEFAULT: u32 = 65535;
const SETTINGS_INITIAL_WINDOW_SIZE: u16 = 4;
/// The largest frame that every peer accepts (RFC 9113 §4.2).
const FRAME_BYTES_MAX: usize = 16384;

const SMALL: &[u8] = b"Hello, World!";
pub const SMALL_BYTES: usize = SMALL.len();
pub const LARGE_BYTES: usize = 100 * 1024;

/// The head of a frame.
pub struct Head {
    pub len: usize,
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
}

impl Head {
    #[inline]
    pub fn read(b: &[u8; HEAD]) -> Head {
        Head {
            len: u32::from_be_bytes([0, b[0], b[1], b[2]]) as usize,
            kind: b[3],
            flags: b[4],
            stream: u32::from_be_bytes([b[5], b[6], b[7], b[8]]) & WINDOW_MAX,
        }
    }
}

pub fn push(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let len = (payload.len() as u32).to_be_bytes();
    let [a, b, c, d] = stream.to_be_bytes();
    out.extend_from_slice(&[len[1], len[2], len[3], kind, flags, a, b, c, d]);
    out.extend_from_slice(payload);
}

/// Appends the server's preface: windows that no load of this folder exhausts.
pub fn push_preface(out: &mut Vec<u8>) {
    let [a, b] = SETTINGS_INITIAL_WINDOW_SIZE.to_be_bytes();
    let [c, d, e, f] = WINDOW_MAX.to_be_bytes();
    push(out, SETTINGS, 0, 0, &[a, b, c, d, e, f]);
    push(out, WINDOW_UPDATE, 0, 0, &(WINDOW_MAX - WINDOW_DEFAULT).to_be_bytes());
}

/// Returns SETTINGS_INITIAL_WINDOW_SIZE of a SETTINGS frame.
pub fn initial_window(payload: &[u8]) -> Option<u32> {
    let wanted = SETTINGS_INITIAL_WINDOW_SIZE.to_be_bytes();
    let mut settings = payload.chunks_exact(6).rev();
    settings
        .find(|s| s[..2] == wanted)
        .map(|s| u32::from_be_bytes([s[2], s[3], s[4], s[5]]))
}

/// Returns whether a request's field block has the path `/100k` in full, which only the first of a connection needs to
/// have. The octets are Huffman-coded (RFC 7541 §5.2) or not.
pub fn asks_for_large(block: &[u8]) -> bool {
    [&b"\x84\x60\x20\x07\x5f"[..], b"\x05/100k"]
        .iter()
        .any(|path| memchr::memmem::find(block, path).is_some())
}

/// The frames of one answer, with the places of the stream identifier.
pub struct Template {
    pub bytes: Vec<u8>,
    ids: Vec<usize>,
}

impl Template {
    fn new(block: &[u8], content: Option<&[u8]>) -> Template {
        let mut t = Template {
            bytes: Vec::new(),
            ids: Vec::new(),
        };
        t.push(HEADERS, END_HEADERS, block);
        let chunks = content.map(|c| c.chunks(FRAME_BYTES_MAX)).into_iter().flatten();
        let count = content.map_or(0, |c| c.len().div_ceil(FRAME_BYTES_MAX));
        for (i, chunk) in chunks.enumerate() {
            let flags = if i + 1 == count { END_STREAM } else { 0 };
            t.push(DATA, flags, chunk);
        }
        t
    }

    fn push(&mut self, kind: u8, flags: u8, payload: &[u8]) {
        self.ids.push(self.bytes.len() + 5);
        push(&mut self.bytes, kind, flags, 0, payload);
    }

    /// Returns the frames for this stream.
    #[inline]
    pub fn for_stream(&mut self, stream: u32) -> &[u8] {
        for &at in &self.ids {
            self.bytes[at..at + 4].copy_from_slice(&stream.to_be_bytes());
        }
        &self.bytes
    }
}

/// What one kind of request gets: the answer that puts its fields into the client's dynamic table (RFC 7541 §2.3.2), and
/// those that refer to them. The fields in the table are the same in all pairs.
pub struct Pair {
    first: Template,
    later: Template,
}

impl Pair {
    fn new(content: Option<&[u8]>) -> Pair {
        // The newest field has the lowest index.
        let (mut first, mut later) = (vec![STATUS_200], vec![STATUS_200]);
        for (i, (name, value)) in FIELDS.iter().enumerate() {
            first.extend_from_slice(&[0x40 | name, value.len() as u8]);
            first.extend_from_slice(value.as_bytes());
            later.push(0x80 | (DYNAMIC + FIELDS.len() - 1 - i) as u8);
        }
        for block in [&mut first, &mut later] {
            if let Some(content) = content {
                let len = content.len().to_string();
                block.extend_from_slice(&CONTENT_LENGTH);
                block.push(len.len() as u8);
                block.extend_from_slice(len.as_bytes());
            }
        }
        Pair {
            first: Template::new(&first, content),
            later: Template::new(&later, content),
        }
    }

    /// Returns the answer for a client that has the fields in its dynamic table, or has not.
    #[inline]
    pub fn template(&mut self, has_fields: bool) -> &mut Template {
        if has_fields {
            &mut self.later
        } else {
            &mut self.first
        }
    }
}

/// The fields in the dynamic table, with their names' indices in the static table (RFC 7541 Appendix A).
const FIELDS: [(u8, &str); 3] = [
    (54, "ceiling"),
    (33, "Thu, 01 Jan 1970 00:00:00 GMT"),
    (31, "text/plain"),
];
/// The first index of the dynamic table.
const DYNAMIC: usize = 62;
/// `:status: 200` of the static table.
const STATUS_200: u8 = 0x88;
/// The name of a field that is not put into the dynamic table (RFC 7541 §6.2.2): index 28, with a prefix of four bits.
const CONTENT_LENGTH: [u8; 2] = [0x0f, 28 - 15];

pub struct Answers {
    pub small: Pair,
    pub large: Pair,
    /// Without content: what has been posted follows as it arrives.
    pub echo: Pair,
}

impl Answers {
    pub fn new() -> Answers {
        Answers {
            small: Pair::new(Some(SMALL)),
            large: Pair::new(Some(&[b'x'; LARGE_BYTES])),
            echo: Pair::new(None),
        }
    }
}
