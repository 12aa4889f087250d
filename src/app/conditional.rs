//! Conditional requests for what handlers make themselves (RFC 9110 §13).
//!
//! It knows requests and responses; [`semantics`](crate::semantics) evaluates the conditions. Its invariant: what a
//! client is sent as validators is what its conditions are compared with.

use super::scratch::with_scratch;
use super::{Error, Request, Response};
use crate::semantics::{Precondition, Validators, evaluate};
use crate::time::{Clock, DateCache};
use std::io::Write as _;

impl<'r> Request<'r> {
    /// Compares If-Match, If-Unmodified-Since, If-None-Match and If-Modified-Since with the current version of the
    /// resource, in the order of RFC 9110 §13.2.2. Returns `None` if the request is to be carried out, or the response
    /// to return instead: a 304 with the validators, for GET and HEAD.
    ///
    /// Call it when nothing else stands in the way of the request, just before carrying it out (§13.2.1).
    ///
    /// ```
    /// use fleeting::{App, EntityTag, Response, Validators};
    /// use std::cell::{Cell, RefCell};
    /// use std::rc::Rc;
    ///
    /// let (text, revision) = (Rc::new(RefCell::new(String::new())), Rc::new(Cell::new(0)));
    /// let (new_text, new_revision) = (text.clone(), revision.clone());
    /// let app = App::new()
    ///     .get("/text", move |req| {
    ///         let revision = req.arena().format(format_args!("{}", revision.get()));
    ///         let current = Validators::new().tag(EntityTag::strong(revision));
    ///         if let Some(not_modified) = req.preconditions(&current)? {
    ///             return Ok(not_modified); // the client has this version
    ///         }
    ///         Response::text(text.borrow().clone()).validators(&current)
    ///     })
    ///     .put("/text", move |req| {
    ///         let revision = req.arena().format(format_args!("{}", new_revision.get()));
    ///         let current = Validators::new().tag(EntityTag::strong(revision));
    ///         req.preconditions(&current)?; // 412 if someone else has changed it meanwhile
    ///         *new_text.borrow_mut() = String::from_utf8_lossy(req.body()).into_owned();
    ///         new_revision.set(new_revision.get() + 1);
    ///         Ok(Response::new(204))
    ///     });
    /// ```
    ///
    /// # Errors
    /// Status 412 if a condition does not hold. Status 500 as for [`Response::validators`], if the answer is a 304.
    pub fn preconditions(&self, current: &Validators<'_>) -> Result<Option<Response<'r>>, Error> {
        match evaluate(self.method(), &self.fields(), current, now_for(current)) {
            Precondition::Holds => Ok(None),
            Precondition::Failed => {
                Err(Error::new(412, "The resource does not meet the conditions of the request."))
            }
            // RFC 9110 §15.4.5: Last-Modified is for a cache that has no tag to go by.
            Precondition::NotModified if current.tag.is_some() => {
                Response::new(304).entity_tag(current).map(Some)
            }
            Precondition::NotModified => Response::new(304).validators(current).map(Some),
        }
    }
}

impl<'r> Response<'r> {
    /// Adds ETag and Last-Modified, so that the client can ask with conditions next time. See
    /// [`Request::preconditions`] for an example.
    ///
    /// # Errors
    /// Status 500 if the entity tag contains white space, a control character or a quote (RFC 9110 §8.8.3).
    pub fn validators(self, current: &Validators<'_>) -> Result<Response<'r>, Error> {
        let response = self.entity_tag(current)?;
        match current.modified_until(now_for(current)) {
            Some(secs) => response.header("last-modified", DateCache::new(secs).text()),
            None => Ok(response),
        }
    }

    /// Adds ETag.
    pub(super) fn entity_tag(self, current: &Validators<'_>) -> Result<Response<'r>, Error> {
        let Some(tag) = current.tag else { return Ok(self) };
        if !tag.is_valid() {
            return Err(Error::internal("The entity tag contains a character that is not allowed."));
        }
        with_scratch(|value| {
            // Writing to memory cannot fail.
            let _ = write!(value, "{tag}");
            self.header("etag", value)
        })
    }
}

/// Returns the time in seconds since 1970-01-01 UTC, if there is a date to compare it with.
fn now_for(current: &Validators<'_>) -> u64 {
    current.modified_secs.map_or(0, |_| Clock::new().now().unix_secs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::request::tests::with_request;
    use crate::semantics::EntityTag;

    const THEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const DATED: Validators<'static> = Validators::new().modified_secs(784_111_777);
    const BOTH: Validators<'static> = DATED.tag(EntityTag::strong("a"));

    #[test]
    fn a_request_is_carried_out_or_answered() {
        fn check(method: &str, field: &str, current: Validators<'_>, expected: Result<Option<&str>, u16>) {
            with_request(&format!("{method} /"), &format!("{field}\r\n"), b"", |req| {
                let answer = req.preconditions(&current);
                let shown = answer.as_ref().map(|answer| {
                    answer.as_ref().map(|response| {
                        assert_eq!(response.status, 304);
                        std::str::from_utf8(response.fields.bytes()).unwrap()
                    })
                });
                assert_eq!(shown.map_err(Error::status), expected, "{method} {field}");
            });
        }
        check("GET", "X: y", BOTH, Ok(None));
        check("GET", "If-None-Match: \"a\"", BOTH, Ok(Some("etag: \"a\"\r\n")));
        let weak = Validators::new().tag(EntityTag::weak("a"));
        check("GET", "If-None-Match: \"a\"", weak, Ok(Some("etag: W/\"a\"\r\n")));
        let since = format!("If-Modified-Since: {THEN}");
        check("HEAD", &since, BOTH, Ok(Some("etag: \"a\"\r\n")));
        check("GET", &since, DATED, Ok(Some(&format!("last-modified: {THEN}\r\n"))));
        check("GET", "If-None-Match: *", Validators::new(), Ok(Some("")));
        check("PUT", "If-None-Match: *", BOTH, Err(412));
        check("PUT", "If-None-Match: *", Validators::missing(), Ok(None));
        check("DELETE", "If-Match: \"b\"", BOTH, Err(412));
        check("GET", "If-None-Match: *", Validators::new().tag(EntityTag::strong("a b")), Err(500));
    }

    #[test]
    fn validators_are_sent() {
        fn check(current: Validators<'_>, expected: &str) {
            let response = Response::new(204).validators(&current).unwrap();
            assert_eq!(std::str::from_utf8(response.fields.bytes()).unwrap(), expected);
        }
        check(Validators::new(), "");
        check(Validators::missing(), "");
        check(DATED, &format!("last-modified: {THEN}\r\n"));
        check(BOTH, &format!("etag: \"a\"\r\nlast-modified: {THEN}\r\n"));
        let wrong = Validators::new().tag(EntityTag::strong("a\""));
        assert_eq!(Response::new(204).validators(&wrong).unwrap_err().status(), 500);
    }

    #[test]
    fn a_change_in_the_future_is_sent_as_now() {
        let response = Response::new(204).validators(&Validators::new().modified_secs(u64::MAX)).unwrap();
        let line = std::str::from_utf8(response.fields.bytes()).unwrap();
        assert!(line.starts_with("last-modified: ") && !line.contains("9999"), "{line}");
    }
}
