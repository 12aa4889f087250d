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
    pub(super) method: Option<Span>,
    pub(super) scheme: Option<Span>,
    pub(super) authority: Option<Span>,
    pub(super) path: Option<Span>,
    pub(super) protocol: Option<Span>,
    /// How many pseudo-fields there are.
    pub(super) pseudo_fields: usize,
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
        if let FieldKind::Pseudo(pseudo) = kind {
            return self.add_pseudo(pseudo, field.value);
        }
        if kind != FieldKind::Ordinary {
            self.add_special(bytes, field.name, field.value, kind);
        }
        self.fields += 1;
    }

    /// The spans are passed one by one, in registers: a field in memory would have to be read right after it was written.
    fn add_special(&mut self, bytes: &[u8], name: Span, value: Span, kind: FieldKind) {
        match kind {
            FieldKind::Ordinary | FieldKind::Pseudo(_) => {}
            FieldKind::Cookie => self.cookies += 1,
            FieldKind::Framing => self.framing.inspect(bytes, name.bytes(bytes), value),
            FieldKind::Malformed => self.add_malformed(bytes, FieldSpan { name, value }),
        }
    }

    #[inline]
    fn add_pseudo(&mut self, pseudo: PseudoField, value: Span) {
        let place = match pseudo {
            PseudoField::Method => &mut self.method,
            PseudoField::Scheme | PseudoField::BadScheme => &mut self.scheme,
            PseudoField::Authority | PseudoField::BadAuthority => &mut self.authority,
            PseudoField::Path => &mut self.path,
            PseudoField::Protocol => &mut self.protocol,
        };
        let is_twice = place.replace(value).is_some();
        self.pseudo_fields += 1;
        match pseudo {
            PseudoField::BadScheme => _ = self.refusal.get_or_insert(Refusal::BadTarget),
            PseudoField::BadAuthority => _ = self.refusal.get_or_insert(Refusal::BadHost),
            _ => {}
        }
        if self.fields > 0 {
            self.malformed.get_or_insert(Malformed::LatePseudoField);
        } else if is_twice {
            self.malformed.get_or_insert(Malformed::PseudoField);
        }
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

    /// Returns what is wrong with one of the fields, if anything is.
    #[inline]
    pub(super) fn malformed(&self) -> Option<Malformed> {
        self.malformed
    }

    /// Checks that a request has these pseudo-fields. Returns its method.
    #[inline]
    pub(super) fn check_request(&self, bytes: &[u8]) -> Result<Span, Malformed> {
        if let Some(malformed) = self.malformed {
            return Err(malformed);
        }
        let method = self.method.ok_or(Malformed::MissingPseudoField)?;
        let has_target = self.scheme.is_some() && self.path.is_some();
        let (is_whole, is_allowed) = match (method.bytes(bytes) == b"CONNECT", self.protocol.is_some()) {
            (false, false) => (has_target, true),
            // RFC 9113 §8.5
            (true, false) => (self.authority.is_some(), self.scheme.is_none() && self.path.is_none()),
            // RFC 8441 §4
            (true, true) => (has_target && self.authority.is_some(), true),
            (false, true) => (true, false),
        };
        match (is_allowed, is_whole) {
            (false, _) => Err(Malformed::PseudoField),
            (_, false) => Err(Malformed::MissingPseudoField),
            _ => Ok(method),
        }
    }
}
