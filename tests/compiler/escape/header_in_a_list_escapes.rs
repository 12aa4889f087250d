// A header's value is stored in a list that outlives the request.

use fleeting::{App, Response};
use std::cell::RefCell;

fn main() {
    let seen = RefCell::new(Vec::<&str>::new());
    let _app = App::new().get("/", move |req| {
        if let Some(id) = req.header("x-id") {
            seen.borrow_mut().push(id);
        }
        Ok(Response::new(204))
    });
}
