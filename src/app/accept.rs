//! Content negotiation: chooses what a client prefers among the application's offers (RFC 9110 §12.5).
//!
//! It knows the three fields with preferences, not what is sent. Its invariant: an offer that the client does not accept
//! is never chosen.

use super::Request;
use crate::semantics::{Member, members, parameters};

impl<'r> Request<'r> {
    /// Returns the media type among `offers` that the client prefers by Accept (RFC 9110 §12.5.1), or `None` if it
    /// accepts none of them.
    ///
    /// Among offers of equal weight the first one wins, so list the one that you prefer first. The weight of an offer is
    /// that of the most specific range that matches it. Without Accept, and if no member of it is well-formed, the first
    /// offer is returned.
    ///
    /// A response that depends on this should say so with `Vary: Accept` (RFC 9110 §12.5.5).
    ///
    /// ```
    /// use fleeting::{App, Error, Response};
    ///
    /// let app = App::new().get("/price", |req| {
    ///     let response = match req.accepts(&["application/json", "text/html"]) {
    ///         Some("text/html") => Response::html("<p>1.08</p>"),
    ///         Some(json) => Response::text("1.08").content_type(json)?,
    ///         None => return Err(Error::new(406, "There is JSON and HTML.")),
    ///     };
    ///     response.header("vary", "accept")
    /// });
    /// ```
    pub fn accepts<'o>(&self, offers: &[&'o str]) -> Option<&'o str> {
        self.preferred("accept", offers, media_fit)
    }

    /// Returns the content coding among `offers` that the client prefers by Accept-Encoding (RFC 9110 §12.5.3), or
    /// `None` if it accepts none of them. `identity` is no coding. It is acceptable unless the client excludes it, and
    /// every coding that the client names is preferred to it.
    ///
    /// Among offers of equal weight the first one wins. Without Accept-Encoding, `identity` is returned if it is among
    /// the offers, and the first offer otherwise: a client that does not name codings seldom decodes them.
    ///
    /// ```
    /// use fleeting::{App, Response};
    ///
    /// let app = App::new().get("/data", |req| {
    ///     let response = match req.accepts_encoding(&["gzip", "identity"]) {
    ///         Some("gzip") => Response::bytes(b"\x1f\x8b...").header("content-encoding", "gzip")?,
    ///         _ => Response::bytes(b"..."),
    ///     };
    ///     response.header("vary", "accept-encoding")
    /// });
    /// ```
    pub fn accepts_encoding<'o>(&self, offers: &[&'o str]) -> Option<&'o str> {
        if self.fields().get("accept-encoding").is_none() {
            let identity = offers.iter().find(|offer| is_identity(offer));
            return identity.or(offers.first()).copied();
        }
        best(offers, |offer| {
            let weight = weight(members(self.fields().values("accept-encoding")), offer, coding_fit);
            // Acceptable by default, but the client has not asked for it.
            if is_identity(offer) { weight.or(Some(Weight(1))) } else { weight }
        })
    }

    /// Returns the language among `offers` that the client prefers by Accept-Language (RFC 9110 §12.5.4), or `None` if
    /// it accepts none of them. The offers are language tags, such as `en` and `pt-BR`.
    ///
    /// A range matches a tag that is equal to it or that begins with it and a hyphen (RFC 4647 §3.3.1). If no range
    /// matches a tag, one that begins with the tag does (§3.4): `de-CH` finds `de`, but prefers `de-CH`. Among offers
    /// of equal weight the first one wins. Without Accept-Language the first offer is returned.
    ///
    /// ```
    /// use fleeting::{App, Response};
    ///
    /// let app = App::new().get("/", |req| {
    ///     let text = match req.accepts_language(&["en", "de"]).unwrap_or("en") {
    ///         "de" => "Guten Tag",
    ///         _ => "Good day",
    ///     };
    ///     Response::text(text).header("vary", "accept-language")
    /// });
    /// ```
    pub fn accepts_language<'o>(&self, offers: &[&'o str]) -> Option<&'o str> {
        self.preferred("accept-language", offers, language_fit)
    }

    /// Returns the preferred offer, or the first one if the field has no members.
    fn preferred<'o>(&self, field: &str, offers: &[&'o str], fit: Fit) -> Option<&'o str> {
        let all = || members(self.fields().values(field));
        if all().next().is_none() {
            return offers.first().copied();
        }
        best(offers, |offer| weight(all(), offer, fit))
    }
}

/// How well a member of a field fits an offer: the larger, the more specific. `None` if it does not fit.
type Fit = fn(&Member<'_>, &str) -> Option<usize>;

/// The member is a wildcard for all offers.
const ANY: usize = 0;
/// The member asks for something more special than the offer.
const NARROWER: usize = 1;
/// The member names the offer, or a group that it belongs to. What is more specific is larger.
const NAMED: usize = 2;

/// The weight of an offer, in thousandths and a bit for what lies between them. 0 is not acceptable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Weight(u16);

/// Returns the first of the offers with the largest weight.
fn best<'o>(offers: &[&'o str], weight: impl Fn(&str) -> Option<Weight>) -> Option<&'o str> {
    let mut best = (Weight(0), None);
    for offer in offers {
        match weight(offer) {
            Some(weight) if weight > best.0 => best = (weight, Some(*offer)),
            _ => {}
        }
    }
    best.1
}

/// Returns the weight of `offer`: that of the member that fits it best, or `None` if no member fits.
fn weight<'v>(all: impl Iterator<Item = Member<'v>>, offer: &str, fit: Fit) -> Option<Weight> {
    let fits = all.filter_map(|member| Some((fit(&member, offer)?, member.weight)));
    let (fit, thousandths) = fits.max()?;
    // What the client asked for comes before what is only similar.
    Some(Weight(if fit == NARROWER { (2 * thousandths).saturating_sub(1) } else { 2 * thousandths }))
}

/// RFC 9110 §12.5.1.
fn media_fit(member: &Member<'_>, offer: &str) -> Option<usize> {
    let (name, offered) = offer.split_once(';').unwrap_or((offer, ""));
    let offered = || parameters(offered.as_bytes());
    let is_offered = |(name, value): (&[u8], &[u8])| {
        offered().any(|(known, its)| known.eq_ignore_ascii_case(name) && its.eq_ignore_ascii_case(value))
    };
    if !member.parameters().all(is_offered) {
        return None;
    }
    let named = member.parameters().count();
    let name = name.trim_ascii().as_bytes();
    match member.range {
        // Old Java clients send a single asterisk.
        b"*/*" | b"*" => Some(ANY),
        range if range.eq_ignore_ascii_case(name) => Some(NAMED + 1 + named),
        [group @ .., b'*'] if group.ends_with(b"/") => {
            name.get(..group.len())?.eq_ignore_ascii_case(group).then_some(NAMED)
        }
        _ => None,
    }
}

/// RFC 9110 §12.5.3.
fn coding_fit(member: &Member<'_>, offer: &str) -> Option<usize> {
    // RFC 9110 §8.4.1: two codings have an old name.
    let current = |name| match name {
        name if <[u8]>::eq_ignore_ascii_case(name, b"x-gzip") => b"gzip",
        name if name.eq_ignore_ascii_case(b"x-compress") => &b"compress"[..],
        name => name,
    };
    if member.range == b"*" {
        // An asterisk excludes what is uncoded, but does not ask for it.
        return (member.weight == 0 || !is_identity(offer)).then_some(ANY);
    }
    current(member.range).eq_ignore_ascii_case(current(offer.as_bytes())).then_some(NAMED)
}

fn is_identity(offer: &str) -> bool {
    offer.eq_ignore_ascii_case("identity")
}

/// RFC 4647 §3.3.1 and §3.4.
fn language_fit(member: &Member<'_>, offer: &str) -> Option<usize> {
    let (range, tag) = (member.range, offer.as_bytes());
    if range == b"*" {
        return Some(ANY);
    }
    let begins_with = |whole: &[u8], start: &[u8]| {
        whole.get(..start.len()).is_some_and(|its| its.eq_ignore_ascii_case(start))
            && matches!(whole.get(start.len()), None | Some(b'-'))
    };
    if begins_with(tag, range) {
        return Some(NAMED + range.len());
    }
    // To exclude a variant does not exclude the language.
    (begins_with(range, tag) && member.weight > 0).then_some(NARROWER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::request::tests::with_request;

    type Choose = for<'o> fn(&Request<'_>, &[&'o str]) -> Option<&'o str>;

    /// Checks a choice among `offers`, which are separated by spaces. A value of several lines has several fields.
    fn check(field: &str, value: Option<&str>, choose: Choose, offers: &str, expected: &str) {
        let lines: String = value
            .iter()
            .flat_map(|value| value.split('\n'))
            .map(|line| format!("{field}: {line}\r\n"))
            .collect();
        let offers: Vec<_> = offers.split_ascii_whitespace().collect();
        with_request("GET /", &lines, b"", |req| {
            assert_eq!(choose(req, &offers).unwrap_or("none"), expected, "{value:?} of {offers:?}");
        });
    }

    #[test]
    fn media_types_are_chosen_by_weight_and_specificity() {
        let check = |value: &str, offers, expected| {
            check("Accept", Some(value), |req, offers| req.accepts(offers), offers, expected);
        };
        let both = "application/json text/html";
        check("text/html", both, "text/html");
        check("TEXT/HTML;q=0.1", both, "text/html");
        check("*/*", both, "application/json");
        check("*", both, "application/json");
        check("text/*", both, "text/html");
        check("text/html, application/json", both, "application/json");
        check("text/html, application/json;q=0.9", both, "text/html");
        check("text/html;q=0.5, */*;q=0.4", both, "text/html");
        check("text/html;q=0.5, */*;q=0.6", both, "application/json");
        check("text/*;q=0, */*", "text/html application/json", "application/json");
        check("text/html;q=0, */*", "text/html", "none");
        check("image/png", both, "none");
        check("*/*;q=0", both, "none");
        check("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", both, "text/html");
        check("image/png\ntext/html;q=0.1", both, "text/html");
        // Without a well-formed member the field counts as absent.
        check("", both, "application/json");
        check("text/html;q=2", both, "application/json");
        check("texthtml, */html, text/", both, "none");
        check("text/html", "", "none");
        // RFC 9110 §12.5.1, where media types have these weights.
        let example = "text/*;q=0.3, text/plain;q=0.7, text/plain;format=flowed, \
            text/plain;format=fixed;q=0.4, */*;q=0.5";
        for (offers, expected) in [
            ("text/plain;format=fixed text/plain;format=flowed", "text/plain;format=flowed"),
            ("text/plain text/plain;format=flowed", "text/plain;format=flowed"),
            ("text/html image/jpeg text/plain", "text/plain"),
            ("text/html image/jpeg", "image/jpeg"),
            ("text/html text/plain;format=fixed", "text/plain;format=fixed"),
            ("text/plain;format=fixed image/jpeg", "image/jpeg"),
        ] {
            check(example, offers, expected);
        }
        check("text/html;charset=UTF-8", "text/html;Charset=\"utf-8\"", "text/html;Charset=\"utf-8\"");
        check("text/html;level=1", "text/html", "none");
        check("text/html", "text/html;level=1", "text/html;level=1");
    }

    #[test]
    fn codings_are_chosen_by_weight() {
        let check = |value: Option<&str>, offers, expected| {
            check("Accept-Encoding", value, |req, offers| req.accepts_encoding(offers), offers, expected);
        };
        let all = "br gzip identity";
        check(Some("gzip, deflate, br, zstd"), all, "br");
        check(Some("gzip, br;q=0.9"), all, "gzip");
        check(Some("GZIP"), all, "gzip");
        check(Some("x-gzip"), all, "gzip");
        check(Some("gzip;q=0.001"), all, "gzip");
        check(Some("gzip;q=0"), all, "identity");
        check(Some("gzip;q=0.5, identity"), all, "identity");
        check(Some("gzip, identity"), "identity gzip", "identity");
        check(Some("*"), all, "br");
        check(Some("*;q=0.1, br;q=0"), all, "gzip");
        check(Some("*"), "identity br", "br");
        check(Some("*;q=0"), all, "none");
        check(Some("identity;q=0"), "identity", "none");
        check(Some("*;q=0, identity;q=0.1"), all, "identity");
        check(Some("zstd"), "br gzip", "none");
        check(Some(""), all, "identity");
        check(Some(""), "br gzip", "none");
        check(None, all, "identity");
        check(None, "br gzip", "br");
        check(None, "", "none");
    }

    #[test]
    fn languages_are_filtered_and_looked_up() {
        let check = |value: Option<&str>, offers, expected| {
            check("Accept-Language", value, |req, offers| req.accepts_language(offers), offers, expected);
        };
        check(Some("de"), "en de", "de");
        check(Some("DE"), "en de", "de");
        check(Some("en-US,en;q=0.5"), "de en", "en");
        check(Some("da, en-gb;q=0.8, en;q=0.7"), "en-US en-GB", "en-GB"); // RFC 9110 §12.5.4
        check(Some("de-de"), "de-DE-1996", "de-DE-1996"); // RFC 4647 §3.3.1
        check(Some("de-de"), "de-Deva de-Latn-DE", "none");
        check(Some("de"), "de-CH de", "de-CH");
        check(Some("de-CH"), "en de", "de"); // RFC 4647 §3.4
        check(Some("de-CH"), "de de-CH", "de-CH");
        check(Some("zh-Hant-CN-x-private1"), "en zh zh-Hant", "zh");
        check(Some("de-CH, fr;q=0.9"), "fr de", "de");
        check(Some("de-CH;q=0.5, fr;q=0.5"), "de fr", "fr");
        check(Some("de-CH;q=0, *"), "de", "de");
        check(Some("de;q=0, *"), "de-CH de en", "en");
        check(Some("de-CH, de;q=0"), "de", "none");
        check(Some("de-CH, *;q=0.5"), "en de", "de");
        check(Some("*;q=0.1"), "en", "en");
        check(Some("e, eng, *;q=0"), "en", "none");
        check(Some("fr"), "en de", "none");
        check(Some(""), "en de", "en");
        check(None, "en de", "en");
    }
}
