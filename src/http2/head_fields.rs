//! The fields of a head that HTTP itself acts on, noted while they are decoded (RFC 9113 §8.3).
//!
//! It knows kinds of fields and no bytes but those of a few values. Its invariant: of several faults, the first in the order of
//! the fields is kept.

use super::field::{self, FieldKind, PseudoField};
use super::malformed::Malformed;
use crate::http1::{FieldSpan, FramingFields, Refusal, Span};

/// What was found in the fields so far.
#[derive(Debug, Default)]
pub(super) struct HeadFields {
    /// The values of the pseudo-fields that are there.
    values: [Span; PseudoField::COUNT],
    /// Which are there: the [bit](PseudoField::bit) of each.
    there: u8,
    /// How many fields there are besides.
    pub(super) fields: usize,
    /// How many of them are `cookie`.
    pub(super) cookies: usize,
    pub(super) framing: FramingFields,
    /// Why the target cannot be served.
    pub(super) refusal: Option<Refusal>,
    malformed: Option<Malformed>,
}

impl HeadFields {
    /// Notes a field, whose bytes lie in `bytes`.
    #[inline(always)]
    pub(super) fn add(&mut self, bytes: &[u8], field: FieldSpan, kind: FieldKind) {
        match kind {
            FieldKind::Pseudo(pseudo) => self.add_pseudo(pseudo, field.value),
            FieldKind::Ordinary => self.fields += 1,
            _ => self.add_special(bytes, field.name, field.value, kind),
        }
    }

    /// The spans are passed one by one, in registers: a field in memory would have to be read right after it was written.
    fn add_special(&mut self, bytes: &[u8], name: Span, value: Span, kind: FieldKind) {
        match kind {
            FieldKind::Pseudo(pseudo) => return self.add_pseudo(pseudo, value),
            FieldKind::Unserved(pseudo) => {
                let refusal =
                    if pseudo == PseudoField::Authority { Refusal::BadHost } else { Refusal::BadTarget };
                self.refusal.get_or_insert(refusal);
                return self.add_pseudo(pseudo, value);
            }
            FieldKind::Ordinary => {}
            FieldKind::Cookie => self.cookies += 1,
            FieldKind::Framing => self.framing.inspect(bytes, name.bytes(bytes), value),
            FieldKind::Malformed => self.add_malformed(bytes, FieldSpan { name, value }),
        }
        self.fields += 1;
    }

    #[inline]
    fn add_pseudo(&mut self, pseudo: PseudoField, value: Span) {
        if self.fields > 0 {
            self.malformed.get_or_insert(Malformed::LatePseudoField);
        } else if self.has(pseudo) {
            self.malformed.get_or_insert(Malformed::PseudoField);
        }
        self.there |= pseudo.bit();
        self.values[pseudo as usize] = value;
    }

    #[cold]
    fn add_malformed(&mut self, bytes: &[u8], field: FieldSpan) {
        let malformed = match FieldKind::of_name(field.name.bytes(bytes)) {
            FieldKind::Pseudo(_) => Malformed::Value,
            _ if field.name.bytes(bytes).starts_with(b":") && self.fields == 0 => Malformed::PseudoField,
            _ => field::check(bytes, field).err().unwrap_or(Malformed::Name),
        };
        self.malformed.get_or_insert(malformed);
    }

    /// Whether a pseudo-field is there.
    #[inline]
    pub(super) fn has(&self, pseudo: PseudoField) -> bool {
        self.there & pseudo.bit() != 0
    }

    /// Whether any pseudo-field is there.
    pub(super) fn has_pseudo_fields(&self) -> bool {
        self.there != 0
    }

    /// Returns the value of a pseudo-field, if it is there.
    #[inline]
    pub(super) fn get(&self, pseudo: PseudoField) -> Option<Span> {
        self.has(pseudo).then_some(self.values[pseudo as usize])
    }

    /// Returns what is wrong with one of the fields, if anything is.
    #[inline]
    pub(super) fn malformed(&self) -> Option<Malformed> {
        self.malformed
    }

    /// Checks that a request has these pseudo-fields. Returns its method.
    #[inline]
    pub(super) fn check_request(&self, bytes: &[u8]) -> Result<Span, Malformed> {
        const METHOD: u8 = PseudoField::Method.bit();
        const AUTHORITY: u8 = PseudoField::Authority.bit();
        const TARGET: u8 = PseudoField::Scheme.bit() | PseudoField::Path.bit();
        if let Some(malformed) = self.malformed {
            return Err(malformed);
        }
        let method = self.get(PseudoField::Method).ok_or(Malformed::MissingPseudoField)?;
        let (needed, others) = match (method.bytes(bytes) == b"CONNECT", self.has(PseudoField::Protocol)) {
            (false, false) => (TARGET, AUTHORITY),
            // RFC 9113 §8.5
            (true, false) => (AUTHORITY, 0),
            // RFC 8441 §4
            (true, true) => (TARGET | AUTHORITY, PseudoField::Protocol.bit()),
            (false, true) => return Err(Malformed::PseudoField),
        };
        if self.there & !(METHOD | needed | others) != 0 {
            Err(Malformed::PseudoField)
        } else if self.there & needed != needed {
            Err(Malformed::MissingPseudoField)
        } else {
            Ok(method)
        }
    }
}
