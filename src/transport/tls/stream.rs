//! A stream that is encrypted on its way: plaintext for the engine, records for the stream below.
//!
//! It knows no protocol above TLS. Its invariants: no more than [`SEALED_BYTES_MAX`] of plaintext is encrypted ahead of
//! what the stream below has taken; while encrypted plaintext waits, the caller has at least one byte of it left to
//! write, so that it waits for room; what is encrypted for one connection is never sent to another.

use super::records::{Outgoing, Plaintext};
use super::session::{Opened, RECORD_PLAINTEXT, Session};
use super::shared::{Buffers, PutOff, Shared};
use crate::buffer::{Charge, NoMemory};
use crate::panics::catch;
use crate::transport::Stream;
use crate::transport::peer::KnownPeer;
use std::io::{self, ErrorKind, IoSlice};
use std::rc::Rc;
use std::sync::Arc;

/// What a connection takes besides its buffers.
const STATE_BYTES: usize = 4 << 10;
/// Plaintext that is encrypted before the stream below is offered the records.
const SEALED_BYTES_MAX: usize = 64 << 10;
/// What a client gets that speaks HTTP without TLS.
const PLAIN_HTTP_ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 55\r\nConnection: close\r\n\r\nThis port speaks HTTPS: the address begins with https.\n";
/// The most that one read takes from the stream below.
const INCOMING_BYTES: usize = 64 << 10;
/// Reads of one call that may pass without plaintext, so that no peer keeps the loop busy with empty records.
const READS_MAX: usize = 4;

/// A stream with the server's side of TLS on top.
pub struct TlsStream<S> {
    stream: S,
    session: Session,
    /// Who the handshake shows to be at the other end.
    peer: Arc<KnownPeer>,
    shared: Rc<Shared>,
    phase: Phase,
    /// What was received and not decrypted: a part of a record.
    received: Vec<u8>,
    /// `received` may be complete: its handshake must wait for another turn.
    put_off: Option<PutOff>,
    /// Plaintext that the last reader had no room for, from `plaintext_from` on.
    plaintext: Vec<u8>,
    plaintext_from: usize,
    /// Records that the stream below has not taken, from `unsent_from` on.
    unsent: Vec<u8>,
    unsent_from: usize,
    /// The caller has been told that one byte less was taken than `unsent` and what went before it hold.
    holds_back: bool,
    /// A close_notify was sent, or the alert of an error.
    is_closed: bool,
    below: Below,
    /// The last read was one of the stream below, and has taken all that it had.
    is_drained: bool,
    charge: Charge,
}

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing has arrived.
    New,
    /// Nothing was answered. What arrives may need a signature.
    Hello,
    /// The handshake is under way.
    Handshake,
    Open,
    /// The peer has ended its side.
    Ended,
    /// What the peer sends is thrown away until it ends: this side has ended, or the peer does not speak TLS and was told so.
    Discarding,
}

/// The sending side of the stream below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Below {
    Open,
    /// It ends when the records that wait have left.
    Ending,
    Ended,
}

impl<S: Stream> TlsStream<S> {
    /// # Errors
    /// There is no memory for it.
    pub(super) fn new(
        stream: S,
        session: Session,
        peer: Arc<KnownPeer>,
        shared: Rc<Shared>,
    ) -> io::Result<TlsStream<S>> {
        let mut stream = TlsStream {
            charge: shared.memory.charge(),
            stream,
            session,
            peer,
            shared,
            phase: Phase::New,
            received: Vec::new(),
            put_off: None,
            plaintext: Vec::new(),
            plaintext_from: 0,
            unsent: Vec::new(),
            unsent_from: 0,
            holds_back: false,
            is_closed: false,
            below: Below::Open,
            is_drained: true,
        };
        stream.settle()?;
        Ok(stream)
    }

    /// Charges the memory that it has.
    ///
    /// # Errors
    /// There is no more; the connection cannot go on.
    fn settle(&mut self) -> io::Result<()> {
        let bytes =
            STATE_BYTES + self.received.capacity() + self.plaintext.capacity() + self.unsent.capacity();
        // Not `OutOfMemory`, after which the caller would try again.
        self.charge.set(bytes).map_err(|NoMemory| ErrorKind::ConnectionAborted.into())
    }

    /// Returns the stream below.
    pub fn inner_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Returns plaintext that is left from an earlier read.
    fn take_rest(&mut self, buffer: &mut [u8]) -> usize {
        let rest = &self.plaintext[self.plaintext_from..];
        let bytes = rest.len().min(buffer.len());
        buffer[..bytes].copy_from_slice(&rest[..bytes]);
        self.plaintext_from += bytes;
        // More may have arrived since the stream below was read.
        self.is_drained = false;
        if self.plaintext_from == self.plaintext.len() {
            // A connection at rest keeps no buffer.
            (self.plaintext, self.plaintext_from) = (Vec::new(), 0);
        }
        bytes
    }

    /// Reads from the stream below, unless there are records that were not decrypted, and decrypts. Returns the number of
    /// bytes of plaintext, 0 at the end; `None` if there may be more to read.
    fn pump(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let shared = self.shared.clone();
        let Buffers { incoming, outgoing } = &mut *shared.begin_call();
        let before = self.received.len();
        let mut end = before;
        incoming.resize(incoming.len().max(before + INCOMING_BYTES), 0);
        incoming[..before].copy_from_slice(&self.received);
        let put_off = self.put_off.take();
        if put_off.is_some() {
            self.is_drained = false;
        } else {
            let room = &mut incoming[before..before + INCOMING_BYTES];
            match self.stream.read(room)? {
                0 => {
                    self.phase = Phase::Ended;
                    return Ok(Some(0));
                }
                bytes => {
                    end += bytes;
                    self.is_drained = self.stream.is_drained_by(bytes, room.len());
                }
            }
        }
        if self.phase == Phase::New {
            if is_http(&incoming[..end]) {
                self.refuse();
                return Ok(None);
            }
            self.phase = Phase::Hello;
        }
        if self.phase == Phase::Hello && !shared.take_handshake(put_off.is_some()) {
            self.keep(&incoming[..end]);
            self.put_off = Some(put_off.unwrap_or_else(|| PutOff::new(&shared)));
            self.settle()?;
            return Err(ErrorKind::OutOfMemory.into());
        }
        let mut plaintext = Plaintext::new(buffer, &mut self.plaintext);
        let opened = guarded(|| self.session.open(&mut incoming[..end], &mut plaintext, outgoing));
        let filled = plaintext.filled();
        if self.phase == Phase::Hello && !outgoing.is_empty() {
            self.phase = Phase::Handshake;
        }
        if self.phase == Phase::Handshake && !self.session.is_handshaking() {
            self.phase = Phase::Open;
            self.peer.show(self.session.certificates());
        }
        // An alert is sent, too. It is the last record.
        self.is_closed |= opened.is_err();
        let sent = self.send(outgoing);
        let Opened { consumed, has_ended } = opened?;
        sent?;
        self.keep(&incoming[consumed..end]);
        self.settle()?;
        if has_ended {
            self.phase = Phase::Ended;
        }
        Ok((filled > 0 || has_ended).then_some(filled))
    }

    /// Keeps records for the next read.
    fn keep(&mut self, records: &[u8]) {
        if records.is_empty() {
            // A connection at rest keeps no buffer.
            self.received = Vec::new();
        } else {
            self.received.clear();
            self.received.extend_from_slice(records);
        }
    }

    /// Answers a client that speaks HTTP where TLS is spoken, as nginx does.
    #[cold]
    fn refuse(&mut self) {
        self.phase = Phase::Discarding;
        // Nothing was written before, so it fits.
        let _ = self.stream.write(PLAIN_HTTP_ANSWER);
        let _ = self.shut();
    }

    /// Ends this side of the stream below, unless it has ended.
    fn shut(&mut self) -> io::Result<()> {
        match std::mem::replace(&mut self.below, Below::Ended) {
            Below::Ended => Ok(()),
            Below::Open | Below::Ending => self.stream.shutdown_write(),
        }
    }

    /// Encrypts and writes several buffers, as one stream of bytes.
    fn write_all(&mut self, buffers: &mut dyn Iterator<Item = &[u8]>) -> io::Result<usize> {
        if self.phase == Phase::Discarding {
            return Err(ErrorKind::BrokenPipe.into());
        }
        self.flush()?;
        let shared = self.shared.clone();
        let outgoing = &mut shared.begin_call().outgoing;
        // The first byte was encrypted before.
        let mut skip = usize::from(std::mem::take(&mut self.holds_back));
        let (mut taken, mut sealed) = (0, 0);
        let mut is_full = false;
        for mut bytes in buffers {
            while !bytes.is_empty() && !is_full {
                let skipped = skip.min(bytes.len());
                skip -= skipped;
                taken += skipped;
                bytes = &bytes[skipped..];
                let (part, rest) = bytes.split_at(bytes.len().min(RECORD_PLAINTEXT));
                if !part.is_empty() {
                    guarded(|| self.session.seal(part, &mut self.received, outgoing))?;
                    taken += part.len();
                    sealed += part.len();
                }
                bytes = rest;
                if sealed >= SEALED_BYTES_MAX {
                    sealed = 0;
                    is_full = !self.send(outgoing)?;
                }
            }
        }
        if !is_full {
            is_full = !self.send(outgoing)?;
        }
        if is_full {
            self.holds_back = true;
            return if taken > 1 { Ok(taken - 1) } else { Err(ErrorKind::WouldBlock.into()) };
        }
        Ok(taken)
    }

    /// Writes what is outgoing, behind the records that wait. Returns whether all of it has left.
    fn send(&mut self, outgoing: &mut Outgoing) -> io::Result<bool> {
        let mut sent = 0;
        if self.unsent.is_empty() && !outgoing.is_empty() {
            sent = match self.stream.write(outgoing.bytes()) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(sent) => sent,
                // The caller offers the rest again.
                Err(error) if is_for_now(&error) => 0,
                Err(error) => return Err(error),
            };
        }
        if sent < outgoing.bytes().len() {
            self.unsent.extend_from_slice(&outgoing.bytes()[sent..]);
            self.settle()?;
        }
        outgoing.clear();
        Ok(self.unsent.is_empty())
    }

    /// Writes the records that wait.
    ///
    /// # Errors
    /// `WouldBlock` if the stream below does not take all of them, and any error of its own.
    fn flush(&mut self) -> io::Result<()> {
        while self.unsent_from < self.unsent.len() {
            match self.stream.write(&self.unsent[self.unsent_from..])? {
                0 => return Err(ErrorKind::WriteZero.into()),
                bytes => self.unsent_from += bytes,
            }
        }
        if self.unsent_from > 0 {
            (self.unsent, self.unsent_from) = (Vec::new(), 0);
            self.settle()?;
        }
        if self.below == Below::Ending { self.shut() } else { Ok(()) }
    }
}

impl<S: Stream> Stream for TlsStream<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.plaintext.is_empty() {
            return Ok(self.take_rest(buffer));
        }
        match self.flush() {
            Err(error) if !is_for_now(&error) => return Err(error),
            _ => {}
        }
        for _ in 0..READS_MAX {
            match self.phase {
                Phase::Ended => return Ok(0),
                Phase::Discarding => {
                    if self.stream.read(buffer)? == 0 {
                        self.phase = Phase::Ended;
                    }
                }
                Phase::New | Phase::Hello | Phase::Handshake | Phase::Open => {
                    if let Some(bytes) = self.pump(buffer)? {
                        return Ok(bytes);
                    }
                }
            }
        }
        // There may be more: it is read in the next turn.
        Err(ErrorKind::OutOfMemory.into())
    }

    fn application_protocol(&self) -> Option<&[u8]> {
        self.session.application_protocol()
    }

    fn is_drained_by(&self, _bytes: usize, _room: usize) -> bool {
        self.is_drained && self.put_off.is_none() && self.plaintext.is_empty() && self.phase != Phase::Ended
    }

    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.write_all(&mut std::iter::once(buffer))
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write_all(&mut buffers.iter().map(|buffer| &**buffer))
    }

    fn limit_unsent(&mut self, bytes: u32) -> io::Result<()> {
        self.stream.limit_unsent(bytes)
    }

    fn wants_write(&self) -> bool {
        !self.unsent.is_empty()
    }

    fn announce_end(&mut self) {
        let has_begun = matches!(self.phase, Phase::Open | Phase::Ended);
        if !has_begun || std::mem::replace(&mut self.is_closed, true) {
            return;
        }
        let shared = self.shared.clone();
        let outgoing = &mut shared.begin_call().outgoing;
        if guarded(|| self.session.close(&mut self.received, outgoing)).is_ok() {
            // A peer that does not take it learns of the end from the stream below.
            let _ = self.send(outgoing);
        }
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.announce_end();
        if self.phase != Phase::Ended {
            // Nothing can be answered any more, so nothing is worth decrypting.
            self.phase = Phase::Discarding;
            (self.received, self.put_off) = (Vec::new(), None);
        }
        if self.unsent.is_empty() {
            return self.shut();
        }
        self.below = Below::Ending;
        Ok(())
    }
}

/// Calls a session. Should it panic, only its connection ends.
fn guarded<T>(call: impl FnOnce() -> Result<T, rustls::Error>) -> io::Result<T> {
    match catch(call) {
        Some(result) => result.map_err(|error| io::Error::new(ErrorKind::InvalidData, error)),
        None => Err(ErrorKind::InvalidData.into()),
    }
}

/// Whether a call may succeed later.
fn is_for_now(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::OutOfMemory | ErrorKind::Interrupted)
}

/// Whether these bytes are HTTP: a TLS record begins with a byte that is no letter (RFC 8446 §5.1).
fn is_http(received: &[u8]) -> bool {
    received.first().is_some_and(u8::is_ascii_uppercase)
}

#[cfg(test)]
mod tests {
    use super::super::acceptor::TlsAcceptor;
    use super::super::config::Tls;
    use super::*;
    use crate::buffer::Memory;
    use crate::config::HttpVersions;
    use fleeting_testkit::random::Random;
    use rustls::pki_types::{CertificateDer, ServerName};
    use rustls::{ClientConfig, ClientConnection, RootCertStore};
    use std::cell::RefCell;
    use std::io::{Read, Write};

    /// Both directions between a client and the server's stream.
    struct Wire {
        random: Random,
        to_server: Vec<u8>,
        to_client: Vec<u8>,
        /// Bytes that the client's system still takes.
        room: usize,
        ended: bool,
        /// Nothing is cut, and nothing fails.
        is_smooth: bool,
        /// The server has ended its side.
        is_shut: bool,
    }

    struct End(Rc<RefCell<Wire>>);

    impl Wire {
        /// Fails now and then, as a socket does.
        fn fail(&mut self) -> io::Result<()> {
            match self.random.below(20) {
                _ if self.is_smooth => Ok(()),
                0 => Err(ErrorKind::Interrupted.into()),
                1 => Err(ErrorKind::OutOfMemory.into()),
                _ => Ok(()),
            }
        }

        /// Returns how many of so many bytes are moved at once.
        fn share(&mut self, possible: usize) -> usize {
            if self.is_smooth { possible } else { 1 + self.random.below(possible) }
        }
    }

    impl Stream for End {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let wire = &mut *self.0.borrow_mut();
            wire.fail()?;
            let possible = wire.to_server.len().min(buffer.len());
            if possible == 0 {
                return if wire.ended { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) };
            }
            let bytes = wire.share(possible);
            buffer[..bytes].copy_from_slice(&wire.to_server[..bytes]);
            wire.to_server.drain(..bytes);
            Ok(bytes)
        }

        fn is_drained_by(&self, _bytes: usize, _room: usize) -> bool {
            let wire = self.0.borrow();
            wire.to_server.is_empty() && !wire.ended
        }

        fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
            let wire = &mut *self.0.borrow_mut();
            assert!(!wire.is_shut, "nothing is written after the end");
            wire.fail()?;
            let possible = wire.room.min(buffer.len());
            if possible == 0 {
                return Err(ErrorKind::WouldBlock.into());
            }
            let bytes = wire.share(possible);
            wire.room -= bytes;
            wire.to_client.extend_from_slice(&buffer[..bytes]);
            Ok(bytes)
        }

        fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
            self.write(&buffers[0])
        }

        fn shutdown_write(&mut self) -> io::Result<()> {
            self.0.borrow_mut().is_shut = true;
            Ok(())
        }
    }

    /// A server's certificate, and a client that trusts it.
    struct Pair {
        tls: Tls,
        client: Arc<ClientConfig>,
    }

    fn pair() -> Pair {
        let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
        let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let tls = Tls::options().certificate_pem(chain.as_bytes(), key.as_bytes()).unwrap().build().unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(made.cert.der().to_vec())).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let client =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        Pair { tls, client: Arc::new(client.with_root_certificates(roots).with_no_client_auth()) }
    }

    struct Play {
        wire: Rc<RefCell<Wire>>,
        acceptor: Rc<TlsAcceptor>,
        server: TlsStream<End>,
        client: ClientConnection,
    }

    impl Play {
        fn new(pair: &Pair, seed: u64) -> Play {
            Play::at(&Rc::new(TlsAcceptor::new(Memory::new(usize::MAX), HttpVersions::Both)), pair, seed)
        }

        fn at(acceptor: &Rc<TlsAcceptor>, pair: &Pair, seed: u64) -> Play {
            let random = Random::new(seed);
            let (to_server, to_client) = (Vec::new(), Vec::new());
            let wire = Wire {
                random,
                to_server,
                to_client,
                room: usize::MAX,
                ended: false,
                is_smooth: false,
                is_shut: false,
            };
            let wire = Rc::new(RefCell::new(wire));
            let peer = Arc::new(KnownPeer::new(None, true, None));
            let server = acceptor.accept(End(wire.clone()), &pair.tls, peer).unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            let client = ClientConnection::new(pair.client.clone(), name).unwrap();
            Play { wire, acceptor: acceptor.clone(), server, client }
        }

        /// Moves records between the client and the wire. Returns the plaintext that has arrived, and whether it has ended.
        fn client_turn(&mut self) -> (Vec<u8>, bool) {
            let mut plaintext = Vec::new();
            let mut wire = self.wire.borrow_mut();
            let arrived = std::mem::take(&mut wire.to_client);
            let mut arrived = &arrived[..];
            while !arrived.is_empty() {
                self.client.read_tls(&mut arrived).unwrap();
                self.client.process_new_packets().expect("the server keeps to the protocol");
                let mut part = [0; 1 << 15];
                while let Ok(bytes @ 1..) = self.client.reader().read(&mut part) {
                    plaintext.extend_from_slice(&part[..bytes]);
                }
            }
            let has_ended = matches!(self.client.reader().read(&mut [0]), Ok(0));
            while self.client.wants_write() {
                self.client.write_tls(&mut wire.to_server).unwrap();
            }
            (plaintext, has_ended)
        }
    }

    #[test]
    fn a_handshake_that_has_waited_comes_before_newer_ones() {
        let (pair, acceptor) =
            (pair(), Rc::new(TlsAcceptor::new(Memory::new(usize::MAX), HttpVersions::Both)));
        let connect = |count| -> Vec<Play> {
            let plays = (0..count).map(|seed| Play::at(&acceptor, &pair, seed));
            plays.inspect(|play| play.wire.borrow_mut().is_smooth = true).collect()
        };
        // Returns whether the handshakes are answered, in this order.
        let turn = |plays: &mut [Play], order: &[usize]| -> Vec<bool> {
            acceptor.begin_turn();
            let answered = order.iter().map(|at| {
                let play = &mut plays[*at];
                play.client_turn();
                assert!(play.server.read(&mut [0; 100]).is_err(), "there is nothing but the handshake");
                play.server.phase == Phase::Handshake
            });
            answered.collect()
        };
        let mut plays = connect(5);
        assert_eq!(turn(&mut plays, &[0, 1, 2]), [true, true, false]);
        // The events of new connections come first, but another one waits.
        assert_eq!(turn(&mut plays, &[3, 4, 2]), [true, false, true]);
        assert_eq!(turn(&mut plays, &[4]), [true]);
        // One that is gone waits no longer.
        let mut plays = connect(5);
        turn(&mut plays, &[0, 1, 2, 3, 4]);
        drop(plays);
        assert_eq!(turn(&mut connect(2), &[0, 1]), [true; 2]);
    }

    /// Nothing can be answered then, so it does not matter what the peer sends.
    #[test]
    fn what_arrives_after_the_end_of_this_side_is_thrown_away() {
        let mut play = Play::new(&pair(), 1);
        while play.server.session.is_handshaking() || play.client.is_handshaking() {
            play.acceptor.begin_turn();
            play.client_turn();
            let _ = play.server.read(&mut [0; 100]);
        }
        play.client.writer().write_all(b"more").unwrap();
        assert!(!play.client_turn().1);
        play.server.shutdown_write().unwrap();
        play.wire.borrow_mut().to_server.extend_from_slice(&[0xff; 100]);
        for _ in 0..100 {
            let error = play.server.read(&mut [0; 100]).unwrap_err();
            assert!(is_for_now(&error), "{error}");
        }
        assert!(play.client_turn().1, "the end is announced");
        play.wire.borrow_mut().ended = true;
        assert_eq!(std::iter::repeat_with(|| play.server.read(&mut [0; 100])).find_map(Result::ok), Some(0));
    }

    #[test]
    fn this_side_ends_behind_the_records_that_wait() {
        let mut play = Play::new(&pair(), 1);
        play.wire.borrow_mut().is_smooth = true;
        while play.server.session.is_handshaking() || play.client.is_handshaking() {
            play.acceptor.begin_turn();
            play.client_turn();
            let _ = play.server.read(&mut [0; 100]);
        }
        play.client_turn();
        play.wire.borrow_mut().room = 0;
        play.server.shutdown_write().unwrap();
        assert!(play.server.wants_write() && !play.wire.borrow().is_shut);
        assert!(play.server.read(&mut [0; 100]).is_err(), "nothing has arrived");
        assert!(play.server.wants_write() && !play.wire.borrow().is_shut);
        play.wire.borrow_mut().room = usize::MAX;
        assert!(play.server.read(&mut [0; 100]).is_err(), "nothing has arrived");
        assert!(!play.server.wants_write() && play.wire.borrow().is_shut);
        assert!(play.client_turn().1, "the end is announced");
    }

    fn bytes(random: &mut Random, max: usize) -> Vec<u8> {
        (0..random.below(max)).map(|_| random.below(256) as u8).collect()
    }

    /// Both sides send to each other in pieces of any size, over a wire that takes and returns pieces of any size.
    #[test]
    fn every_byte_arrives_once_and_in_order_however_it_is_cut() {
        let pair = pair();
        for seed in 0..60 {
            let mut random = Random::new(seed);
            let (up, down) = (bytes(&mut random, 200_000), bytes(&mut random, 300_000));
            let mut play = Play::new(&pair, seed);
            play.wire.borrow_mut().room = random.below(100_000);
            let (mut sent_up, mut sent_down) = (0, 0);
            let (mut has_closed, mut ended) = (false, false);
            let (mut received_up, mut received_down) = (Vec::new(), Vec::new());
            let mut turns = 0;
            while !ended || received_down.len() < down.len() {
                turns += 1;
                assert!(turns < 100_000, "seed {seed}: it does not go on");
                play.acceptor.begin_turn();
                let (plaintext, _) = play.client_turn();
                received_down.extend(plaintext);
                if !play.client.is_handshaking() && !has_closed && random.below(3) == 0 {
                    let part = &up[sent_up..][..random.below(up.len() - sent_up + 1)];
                    sent_up += play.client.writer().write(part).unwrap();
                    if sent_up == up.len() {
                        play.client.send_close_notify();
                        has_closed = true;
                    }
                }
                if !ended && random.below(2) == 0 {
                    let mut room = vec![0; 1 + random.below(70_000)];
                    match play.server.read(&mut room) {
                        Ok(0) => ended = true,
                        Ok(count) => {
                            received_up.extend_from_slice(&room[..count]);
                            if play.server.is_drained_by(count, room.len()) {
                                assert!(play.wire.borrow().to_server.is_empty(), "seed {seed}");
                            }
                        }
                        Err(error) => assert!(is_for_now(&error), "seed {seed}: {error}"),
                    }
                }
                let is_open = !play.server.session.is_handshaking();
                if is_open && sent_down < down.len() && random.below(2) == 0 {
                    let part = &down[sent_down..][..1 + random.below(down.len() - sent_down)];
                    let (first, second) = part.split_at(random.below(part.len()));
                    match play.server.write_vectored(&[IoSlice::new(first), IoSlice::new(second)]) {
                        Ok(count) => {
                            assert!(count > 0 && count <= part.len());
                            sent_down += count;
                        }
                        Err(error) => assert!(is_for_now(&error), "seed {seed}: {error}"),
                    }
                } else if is_open && play.server.wants_write() {
                    // What an engine does when the stream has room.
                    let _ = play.server.flush();
                }
                assert!(
                    play.server.unsent.len() <= SEALED_BYTES_MAX + RECORD_PLAINTEXT + 4096,
                    "seed {seed}"
                );
                let more = random.below(50_000);
                let mut wire = play.wire.borrow_mut();
                wire.room = wire.room.saturating_add(more);
            }
            assert!(received_up == up && received_down == down, "seed {seed}");
            play.wire.borrow_mut().room = usize::MAX;
            while play.server.flush().is_err() {}
            play.server.shutdown_write().unwrap();
            while play.server.flush().is_err() {}
            assert!(play.client_turn().1, "seed {seed}: the end is announced");
        }
    }
}
