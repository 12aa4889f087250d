//! Runs bytes into the server's side of a connection with TLS.
//!
//! A [`Script`] says how they arrive. They are all that a fresh connection receives; or, with an impatient script, what it
//! receives after a handshake, or a client's hello that they alter.

use super::script::{Act, Script};
use crate::tls::{Certificate, TlsClient};
use fleeting::testing::stream::{MemoryStream, Pipe};
use fleeting::testing::tls::TlsLayer;
use fleeting::transport::Stream;
use std::cell::RefCell;
use std::io::ErrorKind;
use std::rc::Rc;

/// What a connection may have besides the bytes that it received: its state, the records of a handshake, and what was sealed ahead.
const MEMORY_BYTES_MAX: usize = 96 << 10;
/// What a client gets that speaks HTTP without TLS begins so.
const PLAIN_ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\n";

/// Panics if what is sent is neither records nor the answer to plain HTTP, if a client that has shaken hands cannot decrypt it,
/// if plaintext appears that nobody encrypted, if reading does not come to an end, or if memory is taken without bound or not
/// given back.
pub fn tls_bytes(bytes: &[u8]) {
    let (script, stream) = Script::read(bytes);
    let mut side = Side::new(script.tight);
    let (mut client, mut first) = (None, stream.first().copied());
    if script.impatient && script.ends_at_once {
        // The hello of a client, in which the bytes are turned that the input names.
        let mut hello = TlsClient::new().take_records();
        for pair in stream.chunks_exact(3) {
            let at = usize::from(u16::from_be_bytes([pair[0], pair[1]])) % hello.len();
            hello[at] ^= pair[2];
        }
        first = hello.first().copied();
        side.play(&script, &hello);
    } else {
        if script.impatient {
            client = Some(side.shake_hands());
        }
        side.play(&script, stream);
    }
    let received = bytes.len() + (4 << 10);
    assert!(side.layer.memory_bytes() <= MEMORY_BYTES_MAX + 2 * received, "{}", side.layer.memory_bytes());
    side.stream = None;
    assert_eq!(side.layer.memory_bytes(), 0);
    assert!(side.plaintext.is_empty(), "nobody has encrypted {:?}", side.plaintext);
    let written = std::mem::take(&mut side.pipe.borrow_mut().written);
    match client {
        // An alert ends what it understands.
        Some(mut client) => match client.read(&written) {
            // The last byte may have left before it was reported as taken.
            Ok(plaintext) => {
                let common = plaintext.len().min(side.sent.len());
                assert!(plaintext[..common] == side.sent[..common] && plaintext.len() <= side.sent.len() + 1);
            }
            Err(rustls::Error::AlertReceived(_)) => {}
            Err(error) => panic!("{error}"),
        },
        None if first.is_some_and(|byte| byte.is_ascii_uppercase()) => {
            assert!(written.starts_with(PLAIN_ANSWER) || PLAIN_ANSWER.starts_with(&written));
        }
        None => assert_records(&written),
    }
}

/// Panics unless these are records, the last of which may be cut off (RFC 8446 §5.1).
fn assert_records(mut bytes: &[u8]) {
    while let [kind, 3, 1..=3, high, low, rest @ ..] = bytes {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        assert!((20..=23).contains(kind) && length <= (16 << 10) + 256, "{}", bytes.escape_ascii());
        bytes = &rest[length.min(rest.len())..];
    }
    assert!(bytes.len() < 5, "not a record: {}", bytes.escape_ascii());
}

struct Side {
    layer: TlsLayer,
    /// `None` once it has failed or is dropped.
    stream: Option<Box<dyn Stream>>,
    pipe: Rc<RefCell<Pipe>>,
    plaintext: Vec<u8>,
    /// What was not taken yet. It is offered again, before anything else.
    outbox: Vec<u8>,
    /// What was taken to be sent.
    sent: Vec<u8>,
    /// The handshake is over.
    is_open: bool,
    /// The server has ended its side, which may take effect later.
    has_ended: bool,
}

impl Side {
    fn new(is_tight: bool) -> Side {
        let layer = TlsLayer::new(Certificate::get().server.clone());
        let pipe = Rc::new(RefCell::new(Pipe::with_room(if is_tight { 0 } else { usize::MAX })));
        let stream = layer.accept(MemoryStream::new(&pipe)).expect("the certificate can be used");
        let stream: Option<Box<dyn Stream>> = Some(Box::new(stream));
        Side {
            layer,
            stream,
            pipe,
            plaintext: Vec::new(),
            outbox: Vec::new(),
            sent: Vec::new(),
            is_open: false,
            has_ended: false,
        }
    }

    /// Completes the handshake of a client.
    fn shake_hands(&mut self) -> TlsClient {
        let mut client = TlsClient::new();
        self.pipe.borrow_mut().add_room(usize::MAX);
        for _ in 0..3 {
            self.pipe.borrow_mut().deliver(&client.take_records());
            self.read_all();
            let written = std::mem::take(&mut self.pipe.borrow_mut().written);
            client.read(&written).expect("the server keeps to the protocol");
        }
        assert!(!client.is_handshaking());
        self.is_open = true;
        client
    }

    fn play(&mut self, script: &Script<'_>, stream: &[u8]) {
        let mut at = 0;
        while at < stream.len() {
            for act in script.acts().chain([Act::Deliver(24)]) {
                self.act(act, stream, &mut at);
            }
        }
        self.pipe.borrow_mut().add_room(usize::MAX);
        self.pipe.borrow_mut().ended = true;
        self.write(b"");
        self.read_all();
        self.end();
    }

    fn act(&mut self, act: Act, stream: &[u8], at: &mut usize) {
        match act {
            Act::Deliver(bytes) => {
                let to = stream.len().min(*at + bytes);
                self.pipe.borrow_mut().deliver(&stream[*at..to]);
                *at = to;
            }
            Act::Room(bytes) => {
                self.pipe.borrow_mut().add_room(bytes);
                self.write(&[b'.'; 100]);
            }
            Act::Wait(ms) => self.write(&vec![b'~'; ms as usize]),
            Act::Interrupt => self.pipe.borrow_mut().interrupted = true,
            Act::Spurious => {}
            Act::Reset => self.pipe.borrow_mut().reset = true,
            Act::End => self.pipe.borrow_mut().ended = true,
            Act::Shutdown => self.end(),
            Act::Abort => self.stream = None,
        }
        self.read_all();
    }

    /// Reads until nothing is left, as an engine does over several turns.
    fn read_all(&mut self) {
        let mut room = [0; 100];
        let mut is_for_now = 0;
        while let Some(stream) = &mut self.stream {
            self.layer.begin_turn();
            if self.pipe.borrow().end_read {
                return;
            }
            match stream.read(&mut room) {
                Ok(0) => return,
                Ok(bytes) => self.plaintext.extend_from_slice(&room[..bytes]),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return,
                    ErrorKind::Interrupted | ErrorKind::OutOfMemory => {
                        is_for_now += 1;
                        assert!(is_for_now < 100, "it does not get on");
                    }
                    _ => self.stream = None,
                },
            }
        }
    }

    /// Sends as much as is taken.
    fn write(&mut self, bytes: &[u8]) {
        let Some(stream) = self.stream.as_mut().filter(|_| self.is_open) else { return };
        self.outbox.extend_from_slice(bytes);
        if self.outbox.is_empty() || self.has_ended {
            return;
        }
        match stream.write(&self.outbox) {
            Ok(taken) => self.sent.extend(self.outbox.drain(..taken)),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => self.stream = None,
        }
    }

    /// Ends the server's side.
    fn end(&mut self) {
        let has_ended = std::mem::replace(&mut self.has_ended, true);
        if let Some(stream) = self.stream.as_mut().filter(|_| !has_ended) {
            _ = stream.shutdown_write();
        }
    }
}
