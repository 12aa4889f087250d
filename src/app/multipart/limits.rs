//! What a multipart form may consist of.
//!
//! It knows numbers only.

/// Limits of a multipart form. A form that exceeds one is answered with 413 (RFC 9110 §15.5.14).
///
/// ```
/// use fleeting::MultipartLimits;
///
/// let limits = MultipartLimits::new().parts(10).part_bytes(1 << 20);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "pass it on"]
pub struct MultipartLimits {
    pub(super) parts: usize,
    pub(super) head_bytes: usize,
    pub(super) name_bytes: usize,
    pub(super) part_bytes: u64,
    pub(super) total_bytes: u64,
}

impl MultipartLimits {
    /// Makes the default limits: those of each method below.
    pub const fn new() -> MultipartLimits {
        MultipartLimits {
            parts: 128,
            head_bytes: 8 << 10,
            name_bytes: 256,
            part_bytes: 16 << 20,
            total_bytes: 32 << 20,
        }
    }

    /// Sets the maximum number of parts (default: 128).
    pub const fn parts(self, parts: usize) -> MultipartLimits {
        MultipartLimits { parts, ..self }
    }

    /// Sets the maximum length of a part's head, in bytes (default: 8 KiB). It bounds the name of a file, too.
    pub const fn head_bytes(self, bytes: usize) -> MultipartLimits {
        MultipartLimits { head_bytes: bytes, ..self }
    }

    /// Sets the maximum length of a part's name, in bytes (default: 256).
    pub const fn name_bytes(self, bytes: usize) -> MultipartLimits {
        MultipartLimits { name_bytes: bytes, ..self }
    }

    /// Sets the maximum length of a part's content, in bytes (default: 16 MiB).
    pub const fn part_bytes(self, bytes: u64) -> MultipartLimits {
        MultipartLimits { part_bytes: bytes, ..self }
    }

    /// Sets the maximum length of the whole form, in bytes (default: 32 MiB). If a longer one is announced, none of it
    /// is read.
    pub const fn total_bytes(self, bytes: u64) -> MultipartLimits {
        MultipartLimits { total_bytes: bytes, ..self }
    }
}

impl Default for MultipartLimits {
    fn default() -> MultipartLimits {
        MultipartLimits::new()
    }
}
