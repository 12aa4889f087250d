//! One TLS connection as a state machine: records in, plaintext out, and the other way round.
//!
//! It knows no socket and no clock. Only this file names rustls' connections. Its invariants: what a peer sends never
//! panics, and all that must be sent lies in the outgoing buffer, in order.

use super::records::{Outgoing, Plaintext};
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus};
use rustls::{Error, ServerConfig};
use std::sync::Arc;

/// The server's side of a connection.
pub(super) struct Session {
    connection: UnbufferedServerConnection,
}

/// What became of the records that were passed to [`Session::open`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Opened {
    /// Bytes of them that are done with. The others belong to a record or a message that is not complete.
    pub(super) consumed: usize,
    /// The peer has sent close_notify (RFC 8446 §6.1): nothing comes after it.
    pub(super) has_ended: bool,
}

/// Bytes that sealing adds to a record, at most: the header, the content type and the tag (RFC 8446 §5.2), or the explicit
/// nonce of TLS 1.2 (RFC 5288 §3).
const RECORD_OVERHEAD: usize = 64;
/// Bytes of plaintext in a record, at most (RFC 8446 §5.1).
pub(super) const RECORD_PLAINTEXT: usize = 16 << 10;

impl Session {
    pub(super) fn new(config: Arc<ServerConfig>) -> Result<Session, Error> {
        Ok(Session { connection: UnbufferedServerConnection::new(config)? })
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Returns the protocol that was agreed upon (RFC 7301).
    pub(super) fn application_protocol(&self) -> Option<&[u8]> {
        self.connection.alpn_protocol()
    }

    /// Returns the certificates that the client has shown, its own first, in DER.
    pub(super) fn certificates(&self) -> impl Iterator<Item = &[u8]> {
        self.connection.peer_certificates().into_iter().flatten().map(|certificate| &**certificate)
    }

    /// Decrypts the records that are complete. What must be sent in return goes to `out`.
    ///
    /// # Errors
    /// The peer broke the protocol. The alert is in `out`, and nothing else follows.
    pub(super) fn open(
        &mut self,
        records: &mut [u8],
        plaintext: &mut Plaintext<'_>,
        out: &mut Outgoing,
    ) -> Result<Opened, Error> {
        let mut opened = Opened { consumed: 0, has_ended: false };
        loop {
            let UnbufferedStatus { mut discard, state } =
                self.connection.process_tls_records(&mut records[opened.consumed..]);
            let mut is_done = false;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        discard += record.discard;
                        plaintext.put(record.payload);
                    }
                }
                Ok(ConnectionState::EncodeTlsData(encode)) => put_encoded(encode, out),
                Ok(ConnectionState::TransmitTlsData(transmit)) => transmit.done(),
                // The peer sends nothing more, but may be answered.
                Ok(ConnectionState::PeerClosed) => opened.has_ended = true,
                Ok(ConnectionState::Closed) => (opened.has_ended, is_done) = (true, true),
                Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => is_done = true,
                // Early data is never accepted.
                Ok(_) => return Err(Error::General("an unexpected state".into())),
                Err(error) => {
                    self.put_alert(&mut records[opened.consumed + discard..], out);
                    return Err(error);
                }
            }
            opened.consumed += discard;
            if is_done {
                return Ok(opened);
            }
        }
    }

    /// Encrypts `plaintext` into records in `out`. `received` is what [`open`](Session::open) has left.
    ///
    /// # Errors
    /// The connection cannot be written to: the handshake is not complete, or the keys are used up.
    pub(super) fn seal(
        &mut self,
        plaintext: &[u8],
        received: &mut [u8],
        out: &mut Outgoing,
    ) -> Result<(), Error> {
        let overhead = (plaintext.len() / RECORD_PLAINTEXT + 1) * RECORD_OVERHEAD;
        let room = plaintext.len() + overhead;
        self.write(received, out, room, |traffic, room| traffic.encrypt(plaintext, room))
    }

    /// Puts a close_notify into `out` (RFC 8446 §6.1).
    ///
    /// # Errors
    /// As [`seal`](Session::seal).
    pub(super) fn close(&mut self, received: &mut [u8], out: &mut Outgoing) -> Result<(), Error> {
        self.write(received, out, RECORD_OVERHEAD, |traffic, room| traffic.queue_close_notify(room))
    }

    /// Lets `write` fill `room` bytes of `out`, or more if it needs more, when everything that comes before is there.
    fn write(
        &mut self,
        received: &mut [u8],
        out: &mut Outgoing,
        mut room: usize,
        mut write: impl FnMut(&mut WriteTraffic<'_>, &mut [u8]) -> Result<usize, EncryptError>,
    ) -> Result<(), Error> {
        loop {
            // Parts of a message are looked for in what was received before.
            let mut traffic = match self.connection.process_tls_records(received).state? {
                ConnectionState::WriteTraffic(traffic) => traffic,
                ConnectionState::EncodeTlsData(encode) => {
                    put_encoded(encode, out);
                    continue;
                }
                ConnectionState::TransmitTlsData(transmit) => {
                    transmit.done();
                    continue;
                }
                ConnectionState::PeerClosed => continue,
                _ => return Err(Error::HandshakeNotComplete),
            };
            match write(&mut traffic, out.room(room)) {
                Ok(bytes) => {
                    out.filled(bytes);
                    return Ok(());
                }
                Err(EncryptError::InsufficientSize(size)) => room = size.required_size,
                Err(EncryptError::EncryptExhausted) => return Err(Error::EncryptError),
            }
        }
    }

    /// Puts the alert that ends the connection into `out`, after an error, behind what waited to be sent before. `records` are
    /// those that follow the wrong one.
    #[cold]
    fn put_alert(&mut self, records: &mut [u8], out: &mut Outgoing) {
        while let Ok(ConnectionState::EncodeTlsData(encode)) =
            self.connection.process_tls_records(records).state
        {
            put_encoded(encode, out);
        }
    }
}

type WriteTraffic<'c> = rustls::unbuffered::WriteTraffic<'c, rustls::server::ServerConnectionData>;

fn put_encoded<Data>(mut encode: EncodeTlsData<'_, Data>, out: &mut Outgoing) {
    let mut room = 0;
    loop {
        match encode.encode(out.room(room)) {
            Ok(bytes) => return out.filled(bytes),
            Err(EncodeError::InsufficientSize(size)) => room = size.required_size,
            Err(EncodeError::AlreadyEncoded) => return,
        }
    }
}
