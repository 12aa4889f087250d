use fleeting::{App, Response};
use std::cell::Cell;
use std::rc::Rc;

fn main() {
    let count = Rc::new(Cell::new(0));
    App::new()
        .get("/count", move |_req| Ok(Response::text(count.get().to_string())))
        .post("/count", move |_req| {
            count.set(count.get() + 1);
            Ok(Response::new(204))
        });
}
