//! Chooses content codings by Accept-Encoding (RFC 9110 §12.5.3).
//!
//! It knows the field's value, not which files exist. Its invariant: a coding that the client does not accept
//! is never chosen.

use crate::semantics::members;

/// A content coding of a precompressed file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Coding {
    /// RFC 7932.
    Brotli,
    /// RFC 8878.
    Zstandard,
    /// RFC 1952.
    Gzip,
}

impl Coding {
    /// All codings, ordered by the expected size of the result, smallest first.
    const ALL: [Coding; 3] = [Coding::Brotli, Coding::Zstandard, Coding::Gzip];

    /// Returns the coding's name in Content-Encoding.
    pub fn name(self) -> &'static str {
        match self {
            Coding::Brotli => "br",
            Coding::Zstandard => "zstd",
            Coding::Gzip => "gzip",
        }
    }

    /// Returns the suffix that a precompressed file adds to the name of the original.
    pub fn suffix(self) -> &'static str {
        match self {
            Coding::Brotli => ".br",
            Coding::Zstandard => ".zst",
            Coding::Gzip => ".gz",
        }
    }
}

/// The codings that a client prefers to an uncoded answer, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Codings([Option<Coding>; 3]);

impl Codings {
    /// Reads the values of Accept-Encoding. Without a value there are no codings.
    ///
    /// Codings of equal weight are ordered by the expected size of the result. A malformed member is ignored.
    pub fn read<'v>(values: impl IntoIterator<Item = &'v [u8]>) -> Codings {
        let (mut weights, mut others, mut identity) = ([None; 3], None, None);
        for member in members(values).filter(|member| member.parameters().next().is_none()) {
            let (name, weight) = (member.range, member.weight);
            let known =
                Coding::ALL.iter().position(|coding| name.eq_ignore_ascii_case(coding.name().as_bytes()));
            if let Some(at) = known {
                weights[at] = Some(weight);
            } else if name.eq_ignore_ascii_case(b"x-gzip") {
                // RFC 9110 §8.4.1.3
                weights[2] = weights[2].or(Some(weight));
            } else if name == b"*" {
                others = Some(weight);
            } else if name.eq_ignore_ascii_case(b"identity") {
                identity = Some(weight);
            }
        }
        // The uncoded answer is preferred only if `identity` has a higher weight.
        let floor = identity.unwrap_or(0).max(1);
        let mut found: Vec<(u16, Coding)> = Vec::new();
        for (coding, weight) in Coding::ALL.into_iter().zip(weights) {
            let weight = weight.or(others).unwrap_or(0);
            if weight >= floor {
                found.push((weight, coding));
            }
        }
        found.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
        let mut best = found.into_iter().map(|(_, coding)| coding);
        Codings([best.next(), best.next(), best.next()])
    }

    /// Returns the codings, best first.
    pub fn iter(&self) -> impl Iterator<Item = Coding> {
        self.0.into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codings_are_chosen_by_weight() {
        fn check(value: &str, expected: &str) {
            let found: Vec<_> = Codings::read([value.as_bytes()]).iter().map(Coding::name).collect();
            assert_eq!(found.join(" "), expected, "{value}");
        }
        check("", "");
        check("gzip", "gzip");
        check("gzip, deflate, br, zstd", "br zstd gzip");
        check("GZIP;q=1.0, Br;Q=0.5", "gzip br");
        check("br;q=0.001, gzip;q=0.002, zstd;q=0.0", "gzip br");
        check("*", "br zstd gzip");
        check("*;q=0.5, br;q=0", "zstd gzip");
        check("*;q=0, gzip", "gzip");
        check("x-gzip", "gzip");
        check("x-gzip, gzip;q=0", "");
        check("identity", "");
        check("identity, gzip;q=0.5", "");
        check("identity;q=0.5, gzip;q=0.5", "gzip");
        check("identity;q=0, gzip;q=0.1", "gzip");
        check("gzip;q=0", "");
        for malformed in [
            "gzip;q=2",
            "gzip;q=1.001",
            "gzip;q=0.0001",
            "gzip;q=",
            "gzip;q=x",
            "gzip;a=1",
            "gzip;q=1;q=1",
            "gzip br",
        ] {
            check(malformed, "");
        }
        check("gzip ; q=0.5 ,, br;q=0.25", "gzip br");
    }

    #[test]
    fn values_of_several_fields_are_one_list() {
        let found: Vec<_> = Codings::read([&b"gzip"[..], b"br;q=0.5"]).iter().collect();
        assert_eq!(found, [Coding::Gzip, Coding::Brotli]);
        assert_eq!(Codings::read([]).iter().count(), 0);
    }
}
