//! Reads lists whose members have weights, as in the Accept fields (RFC 9110 §12.4.2).
//!
//! It knows the grammar that all of these fields share, but not what their members mean. Its invariant: a member whose
//! weight is malformed is ignored, so a preference is never guessed.

/// One member of a list: `range;parameter=value;q=0.5`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member<'v> {
    /// What comes before the first semicolon. Not empty.
    pub(crate) range: &'v [u8],
    /// From 0, not acceptable, to 1000.
    pub(crate) weight: u16,
    /// What comes after the first semicolon.
    rest: &'v [u8],
}

impl<'v> Member<'v> {
    /// Returns the names and values of the parameters, without the weight.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = (&'v [u8], &'v [u8])> + use<'v> {
        parameters(self.rest).filter(|(name, _)| !is_weight(name))
    }
}

/// Returns the members of these lists, in order. Members that are empty or whose weight is malformed are left out.
pub(crate) fn members<'v>(values: impl IntoIterator<Item = &'v [u8]>) -> impl Iterator<Item = Member<'v>> {
    values.into_iter().flat_map(|list| split(list, b',')).filter_map(member)
}

fn member(text: &[u8]) -> Option<Member<'_>> {
    let range = split(text, b';').next().filter(|range| !range.is_empty())?;
    let rest = &text.trim_ascii_start()[range.len()..];
    let mut weights = parameters(rest).filter(|(name, _)| is_weight(name));
    let weight = weights.next().map_or(Some(1000), |(_, value)| thousandths(value))?;
    weights.next().is_none().then_some(Member { range, weight, rest })
}

/// Returns the parameters in `;name=value; name="quoted"`. A value is returned without its quotes.
pub(crate) fn parameters(text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    split(text, b';').filter(|parameter| !parameter.is_empty()).map(|parameter| {
        let equals = parameter.iter().position(|byte| *byte == b'=').unwrap_or(parameter.len());
        let (name, value) = (&parameter[..equals], parameter.get(equals + 1..).unwrap_or_default());
        (name, value.strip_prefix(b"\"").and_then(|inner| inner.strip_suffix(b"\"")).unwrap_or(value))
    })
}

fn is_weight(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"q")
}

/// Splits `text` at a separator that is not within quotes. White space around the parts is dropped.
fn split(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let (mut quoted, mut escaped) = (false, false);
        let end = text.iter().position(|byte| {
            let was_escaped = std::mem::take(&mut escaped);
            match byte {
                _ if was_escaped => {}
                b'\\' => escaped = quoted,
                b'"' => quoted = !quoted,
                _ => return !quoted && *byte == separator,
            }
            false
        });
        rest = end.map(|end| &text[end + 1..]);
        Some(text[..end.unwrap_or(text.len())].trim_ascii())
    })
}

/// Reads `qvalue`, in thousandths (RFC 9110 §12.4.2).
fn thousandths(value: &[u8]) -> Option<u16> {
    let (whole, fraction) = match value {
        [whole] => (whole, &b""[..]),
        [whole, b'.', fraction @ ..] => (whole, fraction),
        _ => return None,
    };
    if fraction.len() > 3 || !fraction.iter().all(u8::is_ascii_digit) {
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

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn members_have_ranges_parameters_and_weights() {
        fn check(list: &str, expected: &[&str]) {
            let found: Vec<String> = members([list.as_bytes()])
                .map(|member| {
                    let parameters: String = member
                        .parameters()
                        .map(|(name, value)| format!(" {}={}", text(name), text(value)))
                        .collect();
                    format!("{} {}{parameters}", text(member.range), member.weight)
                })
                .collect();
            assert_eq!(found, expected, "{list}");
        }
        check("", &[]);
        check(" , ,", &[]);
        check("a", &["a 1000"]);
        check("a,b;q=0.5 ,\tc ; Q=0.001", &["a 1000", "b 500", "c 1"]);
        check("a;q=0, b;q=1, c;q=1.000, d;q=0.", &["a 0", "b 1000", "c 1000", "d 0"]);
        check("a;x=1;q=0.25;y", &["a 250 x=1 y="]);
        check("a;;x=1; ", &["a 1000 x=1"]);
        check("a;x=\"1, 2; 3\";q=0.1, b", &["a 100 x=1, 2; 3", "b 1000"]);
        check("a;x=\"\\\",\", b", &["a 1000 x=\\\",", "b 1000"]);
        check("a;x=\"b, c", &["a 1000 x=\"b, c"]);
        for malformed in ["q=2", "q=1.001", "q=0.0001", "q=", "q", "q=x", "q=.5", "q=-1", "q=1;q=1", "q= 1"] {
            check(&format!("a;{malformed}, b"), &["b 1000"]);
        }
        check(";q=1", &[]);
    }

    #[test]
    fn several_values_are_one_list() {
        let ranges: Vec<_> = members([&b"a,b"[..], b"", b"c"]).map(|member| text(member.range)).collect();
        assert_eq!(ranges, ["a", "b", "c"]);
    }
}
