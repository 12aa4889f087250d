// A response that owns its content is cached for later requests.

use fleeting::{App, Response};
use std::cell::RefCell;

fn main() {
    let cache = RefCell::new(Vec::<Response<'_>>::new());
    let _app = App::new().get("/hello/{name}", move |req| {
        cache.borrow_mut().push(Response::text(req.param("name").to_string()));
        Ok(Response::new(204))
    });
}
