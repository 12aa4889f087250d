//! Evaluates the preconditions of a request (RFC 9110 §13).
//!
//! It knows fields and validators, no resource. Its invariant is the order of RFC 9110 §13.2.2: once a condition has
//! decided, later ones are ignored.

use super::EntityTag;
use crate::http1::{Fields, Method};
use crate::time::parse_http_date;
use std::time::{SystemTime, UNIX_EPOCH};

/// What identifies the current version of a resource: an entity tag, the time of its last change, or both (RFC 9110
/// §8.8).
///
/// [`Request::preconditions`](crate::Request::preconditions) compares them with what a client knows, and
/// [`Response::validators`](crate::Response::validators) sends them.
///
/// ```
/// use fleeting::{App, EntityTag, Response, Validators};
///
/// const CURRENT: Validators<'static> = Validators::new().tag(EntityTag::strong("v1"));
///
/// let app = App::new().get("/license", |req| match req.preconditions(&CURRENT)? {
///     Some(not_modified) => Ok(not_modified),
///     None => Response::text("MIT").validators(&CURRENT),
/// });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validators<'a> {
    pub(crate) tag: Option<EntityTag<'a>>,
    /// In seconds since 1970-01-01 UTC.
    pub(crate) modified_secs: Option<u64>,
    /// Whether the resource has a current representation.
    exists: bool,
}

impl<'a> Validators<'a> {
    /// Makes validators without a tag and a time, for a resource that exists.
    pub const fn new() -> Validators<'a> {
        Validators { tag: None, modified_secs: None, exists: true }
    }

    /// Makes the validators of a resource that does not exist yet. `If-None-Match: *` holds for it, If-Match does not
    /// (RFC 9110 §13.1.1, §13.1.2).
    pub const fn missing() -> Validators<'a> {
        Validators { tag: None, modified_secs: None, exists: false }
    }

    /// Sets the entity tag.
    pub const fn tag(self, tag: EntityTag<'a>) -> Validators<'a> {
        Validators { tag: Some(tag), ..self }
    }

    /// Sets the time of the last change, which counts in whole seconds.
    pub fn modified(self, at: SystemTime) -> Validators<'a> {
        self.modified_secs(at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
    }

    pub(crate) const fn modified_secs(self, unix_secs: u64) -> Validators<'a> {
        Validators { modified_secs: Some(unix_secs), ..self }
    }

    /// Returns the time of the last change, which is never later than the time of the response (RFC 9110 §8.8.2.1).
    pub(crate) fn modified_until(&self, now_unix_secs: u64) -> Option<u64> {
        self.modified_secs.map(|secs| secs.min(now_unix_secs))
    }
}

impl Default for Validators<'_> {
    fn default() -> Self {
        Validators::new()
    }
}

/// What the preconditions demand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Precondition {
    /// The request is carried out.
    Holds,
    /// 304: the client has the current version.
    NotModified,
    /// 412.
    Failed,
}

/// Evaluates the preconditions in `fields`. `now_unix_secs` is the time of the response, in seconds since 1970-01-01 UTC.
pub(crate) fn evaluate(
    method: Method<'_>,
    fields: &Fields<'_>,
    current: &Validators<'_>,
    now_unix_secs: u64,
) -> Precondition {
    // §13.2.1: these do not select or change a representation.
    if matches!(method, Method::Connect | Method::Options | Method::Trace) {
        return Precondition::Holds;
    }
    // §13.1.3, §13.1.4: a date is ignored if it is malformed or not the only one, or if none is known to compare with.
    let modified_since = |name| {
        let mut dates = fields.values(name);
        let (Some(date), None) = (dates.next(), dates.next()) else { return None };
        Some(current.modified_until(now_unix_secs)? > parse_http_date(date, now_unix_secs)?)
    };
    let among = |name, strong| {
        let mut lists = fields.values(name).peekable();
        lists.peek()?;
        let tag = |list| current.tag.is_some_and(|tag| tag.is_among(list, strong));
        Some(lists.any(|list| if list == b"*" { current.exists } else { tag(list) }))
    };
    // Steps 1 and 2: If-Match replaces If-Unmodified-Since, even if it is malformed (§13.1.4).
    let holds = match among("if-match", true) {
        Some(matches) => matches,
        None => modified_since("if-unmodified-since") != Some(true),
    };
    if !holds {
        return Precondition::Failed;
    }
    let reads = matches!(method, Method::Get | Method::Head);
    // Steps 3 and 4.
    match among("if-none-match", false) {
        Some(true) if reads => Precondition::NotModified,
        Some(true) => Precondition::Failed,
        None if reads && modified_since("if-modified-since") == Some(false) => Precondition::NotModified,
        Some(false) | None => Precondition::Holds,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::Arena;
    use crate::config::Limits;
    use crate::http1::{Decoder, HeadStep};

    /// The time of the last change, and an hour before and after it.
    const THEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sun, 06 Nov 1994 07:49:37 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 09:49:37 GMT";
    const SECS: u64 = 784_111_777;

    const TAGGED: Validators<'static> = Validators::new().tag(EntityTag::strong("a")).modified_secs(SECS);

    fn decision(method: &str, fields: &str, current: &Validators<'_>, now_unix_secs: u64) -> Precondition {
        let target = if method == "CONNECT" { "a:80" } else { "/" };
        let mut request = format!("{method} {target} HTTP/1.1\r\nHost: a:80\r\n{fields}\r\n").into_bytes();
        let (arena, mut decoder) = (Arena::new(4096), Decoder::new());
        let HeadStep::Head { head, .. } = decoder.head(&mut request, &arena, &Limits::default()) else {
            panic!("{fields:?} is not a valid head");
        };
        evaluate(head.method, &head.fields, current, now_unix_secs)
    }

    #[track_caller]
    fn check_with(current: Validators<'_>, method: &str, fields: &[&str], expected: Precondition) {
        let fields: String = fields.iter().map(|line| format!("{line}\r\n")).collect();
        assert_eq!(decision(method, &fields, &current, SECS + 86_400), expected, "{method} {fields}");
    }

    #[track_caller]
    fn check(fields: &[&str], expected: Precondition) {
        check_with(TAGGED, "GET", fields, expected);
    }

    #[test]
    fn each_condition_decides_alone() {
        check(&[], Precondition::Holds);
        check(&["If-None-Match: \"a\""], Precondition::NotModified);
        check(&["If-None-Match: W/\"a\""], Precondition::NotModified);
        check(&["If-None-Match: \"b\"", "If-None-Match: \"a\""], Precondition::NotModified);
        check(&["If-None-Match: *"], Precondition::NotModified);
        check(&["If-None-Match: \"b\""], Precondition::Holds);
        check(&["If-Match: \"b\", \"a\""], Precondition::Holds);
        check(&["If-Match: *"], Precondition::Holds);
        check(&["If-Match: W/\"a\""], Precondition::Failed);
        check(&["If-Match: \"b\""], Precondition::Failed);
        check(&["If-Match: malformed"], Precondition::Failed);
        for (date, since, unmodified) in [
            (BEFORE, Precondition::Holds, Precondition::Failed),
            (THEN, Precondition::NotModified, Precondition::Holds),
            (AFTER, Precondition::NotModified, Precondition::Holds),
            ("yesterday", Precondition::Holds, Precondition::Holds),
        ] {
            let [since_line, unmodified_line] =
                ["If-Modified-Since", "If-Unmodified-Since"].map(|name| format!("{name}: {date}"));
            check(&[&since_line], since);
            check(&[&unmodified_line], unmodified);
            check(&[&since_line, &since_line], Precondition::Holds);
            check(&[&unmodified_line, &unmodified_line], Precondition::Holds);
        }
    }

    #[test]
    fn earlier_conditions_take_precedence() {
        check(&["If-Match: \"a\"", &format!("If-Unmodified-Since: {BEFORE}")], Precondition::Holds);
        check(&["If-Match: \"b\"", "If-None-Match: \"a\""], Precondition::Failed);
        check(&["If-Match: \"a\"", "If-None-Match: \"a\""], Precondition::NotModified);
        check(&["If-None-Match: \"b\"", &format!("If-Modified-Since: {THEN}")], Precondition::Holds);
    }

    #[test]
    fn methods_that_change_a_resource_fail_instead() {
        let since = format!("If-Modified-Since: {AFTER}");
        for method in ["POST", "PUT", "DELETE", "PATCH", "PURGE"] {
            check_with(TAGGED, method, &["If-None-Match: \"a\""], Precondition::Failed);
            check_with(TAGGED, method, &["If-Match: \"b\""], Precondition::Failed);
            check_with(TAGGED, method, &["If-Match: \"a\""], Precondition::Holds);
            check_with(TAGGED, method, &[&since], Precondition::Holds);
        }
        check_with(TAGGED, "HEAD", &["If-None-Match: \"a\""], Precondition::NotModified);
        check_with(TAGGED, "HEAD", &[&since], Precondition::NotModified);
        for method in ["OPTIONS", "TRACE", "CONNECT"] {
            check_with(TAGGED, method, &["If-Match: \"b\""], Precondition::Holds);
        }
    }

    #[test]
    fn what_is_not_known_is_not_compared() {
        let [since, unmodified] =
            [format!("If-Modified-Since: {AFTER}"), format!("If-Unmodified-Since: {BEFORE}")];
        let weak = Validators::new().tag(EntityTag::weak("a"));
        for (current, fields, expected) in [
            (Validators::new(), "If-Match: *", Precondition::Holds),
            (Validators::new(), "If-Match: \"a\"", Precondition::Failed),
            (Validators::new(), "If-None-Match: *", Precondition::NotModified),
            (Validators::new(), "If-None-Match: \"a\"", Precondition::Holds),
            (Validators::new(), &since, Precondition::Holds),
            (Validators::new(), &unmodified, Precondition::Holds),
            (weak, "If-None-Match: \"a\"", Precondition::NotModified),
            (weak, "If-Match: \"a\", W/\"a\"", Precondition::Failed),
            (Validators::missing(), "If-Match: *", Precondition::Failed),
            (Validators::missing(), "If-Match: \"a\"", Precondition::Failed),
            (Validators::missing(), "If-None-Match: *", Precondition::Holds),
            (Validators::missing(), &unmodified, Precondition::Holds),
        ] {
            check_with(current, "GET", &[fields], expected);
        }
        check_with(Validators::missing(), "PUT", &["If-None-Match: *"], Precondition::Holds);
        check_with(TAGGED, "PUT", &["If-None-Match: *"], Precondition::Failed);
    }

    /// A time in the future is compared as it is sent: as the time of the response.
    #[test]
    fn a_change_in_the_future_counts_as_now() {
        let now = SECS - 3600;
        let fields = format!("If-Unmodified-Since: {BEFORE}\r\n");
        assert_eq!(decision("PUT", &fields, &TAGGED, now), Precondition::Holds);
        assert_eq!(decision("PUT", &fields, &TAGGED, now + 1), Precondition::Failed);
        let before_1970 = Validators::new().modified(UNIX_EPOCH - std::time::Duration::from_secs(1));
        assert_eq!(before_1970, Validators::new().modified_secs(0));
    }
}
