//! A range of bytes in a file.
//!
//! It knows no socket and no path. Its invariant: the range is not read before it is sent.

use std::fs::File;
use std::sync::Arc;

/// A range of a file to be sent. The bytes are read when they leave, so they take no memory while they wait.
///
/// ```no_run
/// use fleeting::{FilePart, Response};
/// use std::fs::File;
///
/// let file = File::open("report.pdf")?;
/// let bytes = file.metadata()?.len();
/// let response = Response::new(200).body(FilePart::new(file, 0, bytes));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct FilePart {
    file: Arc<File>,
    offset: u64,
    /// The part may reach beyond the end of a file that was truncated since. Sending it then fails.
    bytes: u64,
}

impl FilePart {
    /// Makes a part of the `bytes` bytes of `file` from `offset` on. The file is not read.
    pub fn new(file: impl Into<Arc<File>>, offset: u64, bytes: u64) -> FilePart {
        FilePart { file: file.into(), offset, bytes }
    }

    /// Returns the file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Returns the offset of the first byte in the file.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns the number of bytes.
    pub fn len(&self) -> u64 {
        self.bytes
    }

    /// Returns whether the part has no bytes.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Removes the first `taken` bytes.
    pub(super) fn take(&mut self, taken: u64) {
        debug_assert!(taken <= self.bytes);
        self.offset += taken;
        self.bytes -= taken;
    }
}
