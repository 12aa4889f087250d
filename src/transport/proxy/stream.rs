//! A stream that begins with a PROXY header, which its reader does not see.
//!
//! It knows nothing of what follows. Its invariants: no byte behind the header is lost, and none is read before the header is
//! complete; until then at most `HEADER_BYTES_MAX` are kept.

use super::header::{self, HEADER_BYTES_MAX, Invalid};
use crate::buffer::{Charge, Memory, NoMemory};
use crate::transport::Stream;
use crate::transport::peer::KnownPeer;
use std::fs::File;
use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::RawFd;
use std::sync::Arc;

/// A stream, at the beginning of which a proxy may say who its client is.
pub struct ProxiedStream<S> {
    stream: S,
    /// The header is not complete, or the read that has completed it was the last.
    announcement: Option<Box<Announcement>>,
    /// What has arrived of the header, or what is kept of it.
    charge: Charge,
}

/// What has arrived of a header.
struct Announcement {
    received: Vec<u8>,
    /// Who the header is about.
    peer: Arc<KnownPeer>,
    /// The bytes of the header that the last read has dropped. Not 0 once the header is complete.
    dropped: usize,
}

impl<S: Stream> ProxiedStream<S> {
    /// `announced` is who the header at the beginning of the stream is about, if there is one. What arrives of it is charged to
    /// `memory`.
    pub fn new(stream: S, announced: Option<Arc<KnownPeer>>, memory: &Arc<Memory>) -> ProxiedStream<S> {
        let announcement =
            announced.map(|peer| Box::new(Announcement { received: Vec::new(), peer, dropped: 0 }));
        ProxiedStream { stream, announcement, charge: memory.charge() }
    }

    /// Returns the stream below.
    pub fn inner_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Reads the header, and what follows it.
    #[cold]
    fn read_header(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(announcement) = self.announcement.as_mut().filter(|one| one.dropped == 0) {
            let count = self.stream.read(buffer)?;
            if count == 0 {
                return Ok(0);
            }
            let dropped = announcement.receive(&buffer[..count], &mut self.charge)?;
            if dropped > 0 && dropped < count {
                buffer.copy_within(dropped..count, 0);
                return Ok(count - dropped);
            }
        }
        self.announcement = None;
        self.stream.read(buffer)
    }
}

impl Announcement {
    /// Takes bytes that have arrived. Returns how many of them belong to the header, if it is complete now, otherwise 0.
    fn receive(&mut self, bytes: &[u8], charge: &mut Charge) -> io::Result<usize> {
        let before = self.received.len();
        self.received.extend_from_slice(&bytes[..bytes.len().min(HEADER_BYTES_MAX - before)]);
        // Not `OutOfMemory`, after which the caller would try again.
        let no_memory = |NoMemory| io::Error::from(ErrorKind::ConnectionAborted);
        charge.set(self.received.capacity()).map_err(no_memory)?;
        match header::read(&self.received) {
            Ok(None) => Ok(0),
            Ok(Some((header, length))) => {
                self.received = Vec::new();
                charge.shrink(header.kept_bytes());
                self.peer.announce(header);
                self.dropped = length - before;
                Ok(self.dropped)
            }
            Err(Invalid) => Err(ErrorKind::InvalidData.into()),
        }
    }
}

impl<S: Stream> Stream for ProxiedStream<S> {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.announcement.is_some() {
            return self.read_header(buffer);
        }
        self.stream.read(buffer)
    }

    #[inline]
    fn is_drained_by(&self, bytes: usize, room: usize) -> bool {
        let dropped = self.announcement.as_ref().map_or(0, |announcement| announcement.dropped);
        self.stream.is_drained_by(bytes + dropped, room)
    }

    #[inline]
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.stream.write(buffer)
    }

    #[inline]
    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.stream.write_vectored(buffers)
    }

    fn send_file(&mut self, file: &File, offset: u64, bytes: usize) -> io::Result<usize> {
        self.stream.send_file(file, offset, bytes)
    }

    #[inline]
    fn wants_write(&self) -> bool {
        self.stream.wants_write()
    }

    fn socket(&self) -> Option<RawFd> {
        self.stream.socket()
    }

    fn limit_unsent(&mut self, bytes: u32) -> io::Result<()> {
        self.stream.limit_unsent(bytes)
    }

    fn announce_end(&mut self) {
        self.stream.announce_end();
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.stream.shutdown_write()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::Peer;

    /// Pieces that arrive one by one, and then the end.
    struct Pieces(Vec<Vec<u8>>);

    impl Stream for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let Some(first) = self.0.first_mut() else { return Ok(0) };
            if first.is_empty() {
                self.0.remove(0);
                return Err(ErrorKind::WouldBlock.into());
            }
            let count = first.len().min(buffer.len());
            buffer[..count].copy_from_slice(&first[..count]);
            first.drain(..count);
            Ok(count)
        }

        fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
            Ok(buffer.len())
        }

        fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
            Ok(buffers.iter().map(|buffer| buffer.len()).sum())
        }

        fn shutdown_write(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const HEADER: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.7 4660 443\r\n";

    fn announced() -> Arc<KnownPeer> {
        Arc::new(KnownPeer::new("10.0.0.1:5".parse().ok(), false, None))
    }

    /// Reads all of `pieces` with room for `room` bytes at a time. Returns what a reader sees, and the peer's address then.
    fn read_all(pieces: Vec<Vec<u8>>, room: usize) -> (io::Result<Vec<u8>>, String) {
        let (peer, memory) = (announced(), Memory::new(usize::MAX));
        let mut stream = ProxiedStream::new(Pieces(pieces), Some(peer.clone()), &memory);
        let (mut seen, mut buffer) = (Vec::new(), vec![0; room]);
        let result = loop {
            match stream.read(&mut buffer) {
                Ok(0) => break Ok(seen),
                Ok(count) => {
                    // The piece has been read to its end if and only if there was room for all of it.
                    let rest = stream.stream.0.first().map_or(0, Vec::len);
                    assert!(!stream.is_drained_by(count, room) || rest == 0);
                    // The header is complete, and has no records that would be kept.
                    assert_eq!(memory.used_bytes(), 0);
                    seen.extend_from_slice(&buffer[..count]);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => break Err(error),
            }
        };
        drop(stream);
        assert_eq!(memory.used_bytes(), 0);
        (result, Peer::Known(peer).addr().unwrap().to_string())
    }

    #[test]
    fn what_follows_the_header_arrives_whole_however_it_is_cut() {
        let content = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let bytes = [HEADER, content].concat();
        for cut in 0..=bytes.len() {
            for room in [1, 7, 44, 45, 4096] {
                let (first, second) = bytes.split_at(cut);
                let (seen, addr) = read_all(vec![first.into(), second.into()], room);
                assert_eq!(seen.unwrap(), content, "cut at {cut}, {room} bytes at a time");
                assert_eq!(addr, "192.0.2.1:4660");
            }
        }
        let single = bytes.iter().map(|byte| vec![*byte]).collect();
        assert_eq!(read_all(single, 10).0.unwrap(), content);
    }

    #[test]
    fn a_stream_that_ends_within_its_header_has_no_content() {
        for cut in 0..HEADER.len() {
            let (seen, addr) = read_all(vec![HEADER[..cut].into()], 4096);
            assert_eq!((seen.unwrap(), &*addr), (Vec::new(), "10.0.0.1:5"), "cut at {cut}");
        }
    }

    #[test]
    fn a_stream_without_its_header_fails() {
        for bytes in [&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], b"PROXY TCP4 a b 1 2\r\n", &[0; 20_000]] {
            let (seen, addr) = read_all(vec![bytes.into()], 4096);
            assert_eq!(seen.unwrap_err().kind(), ErrorKind::InvalidData);
            assert_eq!(addr, "10.0.0.1:5");
        }
    }

    #[test]
    fn a_header_is_charged_to_the_memory_of_the_server() {
        let memory = Memory::new(1);
        let mut stream = ProxiedStream::new(Pieces(vec![HEADER[..9].into()]), Some(announced()), &memory);
        assert_eq!(stream.read(&mut [0; 100]).unwrap_err().kind(), ErrorKind::ConnectionAborted);
    }
}
