//! The static table (RFC 7541 Appendix A).
//!
//! It knows names and values as they are listed, and the index of a name. Its invariant: names are in lower case.

use crate::http2::field::{FieldKind, PseudoField};

/// An entry: a name and a value, one behind the other.
pub(super) struct Entry {
    pub(super) both: &'static [u8],
    pub(super) name_len: usize,
    pub(super) kind: FieldKind,
}

impl Entry {
    pub(super) fn name(&self) -> &'static [u8] {
        &self.both[..self.name_len]
    }
}

macro_rules! entries {
    ($($name:literal $value:literal,)+) => {
        /// The entries. The first has index 1.
        pub(super) static ENTRIES: [Entry; LEN] = [
            $(Entry {
                both: concat!($name, $value).as_bytes(),
                name_len: $name.len(),
                kind: kind($name.as_bytes(), $value.as_bytes()),
            },)+
        ];
    };
}

const fn kind(name: &[u8], value: &[u8]) -> FieldKind {
    match FieldKind::of_name(name) {
        FieldKind::Pseudo(PseudoField::Authority) if value.is_empty() => {
            FieldKind::Unserved(PseudoField::Authority)
        }
        kind => kind,
    }
}

/// The number of entries.
pub(super) const LEN: usize = 61;

entries! {
    ":authority" "",
    ":method" "GET",
    ":method" "POST",
    ":path" "/",
    ":path" "/index.html",
    ":scheme" "http",
    ":scheme" "https",
    ":status" "200",
    ":status" "204",
    ":status" "206",
    ":status" "304",
    ":status" "400",
    ":status" "404",
    ":status" "500",
    "accept-charset" "",
    "accept-encoding" "gzip, deflate",
    "accept-language" "",
    "accept-ranges" "",
    "accept" "",
    "access-control-allow-origin" "",
    "age" "",
    "allow" "",
    "authorization" "",
    "cache-control" "",
    "content-disposition" "",
    "content-encoding" "",
    "content-language" "",
    "content-length" "",
    "content-location" "",
    "content-range" "",
    "content-type" "",
    "cookie" "",
    "date" "",
    "etag" "",
    "expect" "",
    "expires" "",
    "from" "",
    "host" "",
    "if-match" "",
    "if-modified-since" "",
    "if-none-match" "",
    "if-range" "",
    "if-unmodified-since" "",
    "last-modified" "",
    "link" "",
    "location" "",
    "max-forwards" "",
    "proxy-authenticate" "",
    "proxy-authorization" "",
    "range" "",
    "referer" "",
    "refresh" "",
    "retry-after" "",
    "server" "",
    "set-cookie" "",
    "strict-transport-security" "",
    "transfer-encoding" "",
    "user-agent" "",
    "vary" "",
    "via" "",
    "www-authenticate" "",
}

/// The first entry of a name that a response may have.
const FIRST_FIELD: usize = 15;

/// Slots for the names of fields: the index of the only name that may be in a slot, or 0.
static SLOTS: [u8; 128] = {
    let mut slots = [0; 128];
    let mut index = FIRST_FIELD;
    while index <= LEN {
        let entry = &ENTRIES[index - 1];
        let slot = slot(entry.both.split_at(entry.name_len).0);
        assert!(slots[slot] == 0, "two names have one slot");
        slots[slot] = index as u8;
        index += 1;
    }
    slots
};

/// Returns the slot of a name, which is not empty. The length and two characters distinguish all names of the table.
const fn slot(name: &[u8]) -> usize {
    let (last, third) = (name[name.len() - 1] | 0x20, name[name.len() / 3] | 0x20);
    (name.len() * 35 + last as usize * 24 + third as usize) % 128
}

/// Returns the index of a field's name, in any case, if the table has it.
#[inline]
pub(super) fn index_of(name: &[u8]) -> Option<usize> {
    if name.is_empty() {
        return None;
    }
    let index = SLOTS[slot(name)] as usize;
    let known = ENTRIES.get(index.wrapping_sub(1))?.name();
    known.eq_ignore_ascii_case(name).then_some(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_case() {
        for index in FIRST_FIELD..=LEN {
            let name = ENTRIES[index - 1].name();
            assert_eq!(index_of(name), Some(index));
            assert_eq!(index_of(&name.to_ascii_uppercase()), Some(index));
            assert_eq!(index_of(&[name, b"x"].concat()), None);
        }
        for name in ["", "x", ":status", "x-id", "datf", "content-typf"] {
            assert_eq!(index_of(name.as_bytes()), None, "{name}");
        }
    }
}
