//! Chooses content codings by Accept-Encoding (RFC 9110 §12.5.3).
//!
//! It knows the field's value, not which files exist. Its invariant: a coding that the client does not accept
//! is never chosen.

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
        let members = values.into_iter().flat_map(|value| value.split(|byte| *byte == b','));
        for member in members {
            let mut parts = member.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
            let name = parts.next().unwrap_or_default();
            let Some(weight) = weight(parts) else { continue };
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

/// Returns the weight in a member's parameters, in thousandths (RFC 9110 §12.4.2); 1000 if there is none.
fn weight<'v>(mut parameters: impl Iterator<Item = &'v [u8]>) -> Option<u16> {
    let Some(parameter) = parameters.next() else { return Some(1000) };
    let value = parameter.strip_prefix(b"q=").or(parameter.strip_prefix(b"Q="))?;
    let (whole, fraction) = match value {
        [whole] => (whole, &b""[..]),
        [whole, b'.', fraction @ ..] => (whole, fraction),
        _ => return None,
    };
    if fraction.len() > 3 || !fraction.iter().all(u8::is_ascii_digit) || parameters.next().is_some() {
        return None;
    }
    let digit = |at| fraction.get(at).map_or(0, |byte: &u8| u16::from(byte - b'0'));
    let thousandths = digit(0) * 100 + digit(1) * 10 + digit(2);
    match whole {
        b'0' => Some(thousandths),
        b'1' if thousandths == 0 => Some(1000),
        _ => None,
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
