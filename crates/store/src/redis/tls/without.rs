//! What the feature `tls` would add. Invariant: none of it can be made.

use crate::redis::url::TlsFiles;
use std::convert::Infallible;
use std::io::{self, Read};

pub(in crate::redis) struct Tls(Infallible);

pub(in crate::redis) struct Session(Infallible);

impl Tls {
    pub(in crate::redis) fn new(_files: TlsFiles) -> Tls {
        unreachable!("an address with TLS is not parsed without the feature `tls`")
    }

    pub(in crate::redis) fn load(&self) -> io::Result<()> {
        match self.0 {}
    }

    pub(in crate::redis) fn forget(&self) {
        match self.0 {}
    }

    pub(in crate::redis) fn session(&self, _host: &str) -> io::Result<Session> {
        match self.0 {}
    }
}

impl Session {
    pub(in crate::redis) fn is_handshaking(&self) -> bool {
        match self.0 {}
    }

    pub(in crate::redis) fn read(&mut self, _into: &mut [u8]) -> io::Result<Option<usize>> {
        match self.0 {}
    }

    pub(in crate::redis) fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        match self.0 {}
    }

    pub(in crate::redis) fn read_records(&mut self, _from: &mut dyn Read) -> io::Result<usize> {
        match self.0 {}
    }

    pub(in crate::redis) fn take_records(&mut self) -> Vec<u8> {
        match self.0 {}
    }
}
