//! TLS between the engine and a [`Wire`], so that clients, model and wire know nothing of it.
//!
//! ```text
//!   Wire <- SimStream <- Terminal <- TlsStream <- Engine
//!    plaintext            records     plaintext
//! ```
//!
//! A [`Terminal`] has the client's side of TLS. It encrypts what is to be read from the wire when it is read, and decrypts what is
//! written at once. So the wire must take everything: bytes that it leaves would be in no place that the model knows. Reads are cut
//! and interrupted as ever.

use super::wire::{SimStream, Wire};
use crate::tls::{Pair, configure, start};
use fleeting::testing::tls::TlsLayer;
use fleeting::transport::Stream;
use rustls::ClientConnection;
use rustls::crypto::aws_lc_rs::default_provider;
use std::cell::RefCell;
use std::io::{self, ErrorKind, IoSlice, Read as _, Write as _};
use std::rc::Rc;
use std::sync::OnceLock;

/// Plaintext that is encrypted at a time: the records fit into what the server reads at once.
const PLAINTEXT_MAX: usize = 16 << 10;

/// The server's side of TLS of a run.
pub struct Terminals {
    layer: TlsLayer,
    /// What the clients offer (RFC 7301).
    protocol: Option<&'static [u8]>,
}

/// The client's side, as a stream that the server reads records from.
struct Terminal {
    plaintext: SimStream,
    client: ClientConnection,
    /// Records that the server has not read.
    records: Vec<u8>,
    is_drained: bool,
}

fn pair() -> &'static Pair {
    static PAIR: OnceLock<Pair> = OnceLock::new();
    PAIR.get_or_init(|| Pair::new("localhost"))
}

impl Terminals {
    pub fn new(protocol: Option<&'static [u8]>) -> Terminals {
        let tls = pair().options().build().expect("they belong together");
        Terminals { layer: TlsLayer::new(tls), protocol }
    }

    /// Begins a turn, in which a few handshakes are answered.
    pub fn begin_turn(&self) {
        self.layer.begin_turn();
    }

    /// Returns the engine's end of a wire, with TLS in between.
    pub fn stream(&self, wire: &Rc<RefCell<Wire>>) -> Box<dyn Stream> {
        let mut config =
            configure(default_provider(), rustls::DEFAULT_VERSIONS, &[pair()]).with_no_client_auth();
        config.alpn_protocols.extend(self.protocol.map(<[u8]>::to_vec));
        let client = start(config, "localhost");
        let plaintext = Wire::stream(wire);
        let terminal = Terminal { plaintext, client, records: Vec::new(), is_drained: true };
        Box::new(self.layer.accept(terminal).expect("the certificate can be used"))
    }

    /// Returns the bytes that its streams have.
    pub fn memory_bytes(&self) -> usize {
        self.layer.memory_bytes()
    }
}

impl Terminal {
    /// Takes the records that the client sends by itself.
    fn collect(&mut self) {
        while self.client.wants_write() {
            self.client.write_tls(&mut self.records).expect("a vector takes everything");
        }
    }
}

impl Stream for Terminal {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.collect();
        if self.records.is_empty() && !self.client.is_handshaking() {
            let mut plaintext = [0; PLAINTEXT_MAX];
            let count = self.plaintext.read(&mut plaintext)?;
            self.is_drained = self.plaintext.is_drained_by(count, PLAINTEXT_MAX);
            if count == 0 {
                return Ok(0);
            }
            self.client.writer().write_all(&plaintext[..count])?;
            self.collect();
        }
        let records = std::mem::take(&mut self.records);
        if records.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        buffer.get_mut(..records.len()).expect("the records are read at once").copy_from_slice(&records);
        Ok(records.len())
    }

    /// The handshake's answer is there as soon as its question was asked, and no event says so.
    fn is_drained_by(&self, _bytes: usize, _room: usize) -> bool {
        self.is_drained && !self.client.is_handshaking()
    }

    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let mut records = buffer;
        while !records.is_empty() {
            self.client.read_tls(&mut records)?;
            self.client.process_new_packets().expect("the server keeps to the protocol");
            let mut plaintext = Vec::new();
            match self.client.reader().read_to_end(&mut plaintext) {
                Ok(_) => {}
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "nothing else is missing"),
            }
            let mut rest = &plaintext[..];
            while !rest.is_empty() {
                match self.plaintext.write(rest) {
                    Ok(count) => rest = &rest[count..],
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(buffer.len())
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        buffers.iter().map(|buffer| self.write(buffer)).sum()
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.plaintext.shutdown_write()
    }
}
