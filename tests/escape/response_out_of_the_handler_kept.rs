// A response that owns what it says, kept for the next one that asks the same.

use fleeting::{App, Response};
use std::cell::RefCell;

fn main() {
    let cache = RefCell::new(Vec::<Response<'_>>::new());
    let _app = App::new().get("/hello/{name}", move |req| {
        cache.borrow_mut().push(Response::text(req.param("name").to_string()));
        Ok(Response::empty(204))
    });
}
