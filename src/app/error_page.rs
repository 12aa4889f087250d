//! Renders the errors of an application: as its outermost layer those that its layers return, and one at a time those that
//! happen outside of the layers.
//!
//! Its invariant: a page that fails does not hide the error, which is then sent as plain text.

use super::layer::Layer;
use super::{Body, Error, Handler, Request, Response};
use crate::panics::catch_counted;
use std::rc::Rc;

/// The closure that was passed to [`App::error_page`](super::App::error_page).
#[derive(Clone)]
pub(super) struct ErrorPage {
    page: Rc<Page>,
}

type Page = dyn Fn(&Error) -> Result<Response<'static>, Error>;

impl ErrorPage {
    pub(super) fn new(page: impl Fn(&Error) -> Result<Response<'static>, Error> + 'static) -> ErrorPage {
        ErrorPage { page: Rc::new(page) }
    }

    /// Returns the page for `error`.
    ///
    /// # Errors
    /// `error` itself, if there is no page for it.
    pub(super) fn render(&self, error: Error, panics: &mut u64) -> Result<Response<'static>, Error> {
        // It may be the connection's last response, so its content cannot come later. What would make that content is dropped
        // here, where its panic is caught.
        let is_whole = |response: &Response<'_>| !matches!(response.body, Body::Pending(_));
        match catch_counted(panics, || (self.page)(&error).ok().filter(is_whole)) {
            Some(Some(mut response)) => {
                response.status = error.status();
                response.fields.add_missing(error.fields());
                Ok(response)
            }
            _ => Err(error),
        }
    }
}

impl Layer for ErrorPage {
    fn call<'r>(&self, req: &Request<'r>, next: &dyn Handler) -> Result<Response<'r>, Error> {
        next.call(req).or_else(|error| {
            let mut panics = 0;
            let rendered = self.render(error, &mut panics);
            req.count_panics(panics);
            rendered
        })
    }
}
