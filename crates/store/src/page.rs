//! The pages of a scan.

/// The position from which a scan continues. It is only valid for the store that returned it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor(pub(crate) u64);

impl Cursor {
    /// The start of every scan.
    pub const START: Cursor = Cursor(0);
}

/// The result of one call of [`Store::scan`](crate::Store::scan).
#[derive(Debug, Clone, Copy)]
pub struct Page<'a> {
    /// Keys and their values.
    pub entries: &'a [(&'a str, &'a [u8])],
    /// The cursor for the next call; `None` at the end.
    pub next: Option<Cursor>,
}
