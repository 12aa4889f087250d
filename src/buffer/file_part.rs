//! A run of bytes that lies in a file.

use std::fs::File;
use std::sync::Arc;

/// Bytes of a file that are to be sent: they are read when they leave, so they cost no memory while
/// they wait.
#[derive(Debug, Clone)]
pub struct FilePart {
    file: Arc<File>,
    offset: u64,
    /// May reach beyond the file's end, if the file was cut short since: then sending fails.
    bytes: u64,
}

impl FilePart {
    /// The `bytes` bytes of `file` from `offset` on.
    pub fn new(file: impl Into<Arc<File>>, offset: u64, bytes: u64) -> FilePart {
        FilePart { file: file.into(), offset, bytes }
    }

    /// The file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Where in the file it begins.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// How many bytes it has.
    pub fn len(&self) -> u64 {
        self.bytes
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Forgets its first `taken` bytes.
    pub(super) fn take(&mut self, taken: u64) {
        debug_assert!(taken <= self.bytes);
        self.offset += taken;
        self.bytes -= taken;
    }
}
