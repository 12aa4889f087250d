//! The file of a Unix socket that a server has made.
//!
//! It knows no socket. Its invariant: a file that another process has put in its place is never removed.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The file of a listening Unix socket. Dropping this removes the file, if it is still the same.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and number of the file. The number belongs to no other file while the socket that is bound to it is open.
    identity: (u64, u64),
}

impl SocketFile {
    /// Takes over the file at `path`, to which a socket has just been bound.
    ///
    /// # Errors
    /// The file cannot be looked at. It is left where it is.
    pub fn new(path: &Path) -> io::Result<SocketFile> {
        // The current directory may change before it is removed.
        let path = std::path::absolute(path)?;
        let identity = identity(&path)?;
        Ok(SocketFile { path, identity })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}
