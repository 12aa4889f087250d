//! Pages of a scan.

/// Where a scan goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor(pub(crate) u64);

impl Cursor {
    /// Where it begins.
    pub const START: Cursor = Cursor(0);
}

/// What one call of [`Store::scan`](crate::Store::scan) has found.
#[derive(Debug, Clone, Copy)]
pub struct Page<'a> {
    /// Keys and values.
    pub entries: &'a [(&'a str, &'a [u8])],
    /// Where to go on; `None` at the end.
    pub next: Option<Cursor>,
}
